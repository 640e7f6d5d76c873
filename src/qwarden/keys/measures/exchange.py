"""Exchanges that are disturbed and come through, and the errors that are left where nothing was noticed."""

from __future__ import annotations

import math
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from qwarden.core.keysupplies.preshared import PreSharedPool
from qwarden.core.measure import Bench, Measured, measure
from qwarden.keys import verification
from qwarden.keys.exchange import AT_MOST, Exchange
from qwarden.keys.link import Link, Origin, Settings
from qwarden.keys.observables import Observables
from qwarden.keys.party import sifting
from qwarden.keys.party.block import Terms
from qwarden.keys.party.transport import Transport
from qwarden.keys.physics import KINDS, Attack, Transmission, pair_rates, transmit
from qwarden.keys.physics.channel import pulses_for
from qwarden.keys.qec import distillation
from qwarden.keys.reconciliation import cascade
from qwarden.keys.records import Bits
from qwarden.keys.simulate import POOL_BYTES, Meddler, SimulatedLink

SEED: Final = 5
LINK: Final = Link(distance_km=10)
SMALL: Final = Settings(
    block_bits=20_000, intensities=(0.526, 0.133, 2e-4), probabilities=(0.05, 0.51, 0.44), key_basis=0.57
)
"""About the best for blocks of 20,000 bits over 10 km."""
VISIBLE: Final = tuple(name for name, kind in KINDS.items() if kind.visible)
EXCHANGES: Final = 40
"""Of each attack."""

BLOCKS, BLOCK_BITS = 1_000, 100_000
ROUNDS: Final = 3
"""Of distillation: the least that bring both bases below 0.2 %."""
GROUPS: Final = 400_000


@dataclass(slots=True)
class Disturbance:
    """An attack that lasts for some attempts: on the apparatus or the classical channel, and its alarm."""

    attack: Attack
    lasts: int
    apparatus: SimulatedLink
    attempts: int = 0
    origin: Origin = "simulated"

    def send(self, settings: Settings) -> Transmission:
        """Send a block; the attack is on in the first `lasts`."""
        self.attempts += 1
        return self.apparatus.send(settings)

    @property
    def on(self) -> bool:
        """Whether the block that was sent last is under attack."""
        return self.attempts <= self.lasts

    def meddle(self, transport: Transport) -> Transport:
        """Stand between the ends while the attack is on, if it is one on the classical channel."""
        return Meddler(transport) if self.on and self.attack.classical else transport

    def inspect(self, _: Observables) -> str:
        """Raise the alarm: how well the monitor does that is measured elsewhere."""
        return f"like {self.attack.name}" if self.on and not self.attack.classical else ""


@measure(
    "keys.retry_success",
    definition="Share of exchanges that end with a key, the same at both ends, in at most 3 attempts, after "
    "an attack at full strength on the first one or two of them, each of the visible attacks as often; no "
    "key may come of an attempt that was attacked. Photons are attacked in the simulation, the man in the "
    "middle changes messages; where the block still holds a key, the alarm is raised with the attack, so "
    "that this measures ending, telling, backtracking and repeating, and keys.monitor_detection the seeing.",
    units={"rate": "1"},
    article={"rate": 0.985},
)
def retry_success(bench: Bench) -> Measured:
    """Disturb exchanges and count those that come through."""
    done = total = 0
    with bench.progress.task("exchanges", EXCHANGES * len(VISIBLE)) as task:
        for kind, name in enumerate(VISIBLE):
            for number in range(EXCHANGES):
                seed = 1_000 * kind + number + 10_000 * SEED
                done += comes_through(Attack(name), 1 + number % (AT_MOST - 1), seed)
                total += 1
                task.advance(1, name)
    rate = done / total
    return Measured(
        values={"rate": rate},
        data=f"simulated link of {LINK.distance_km:g} km, blocks of {SMALL.block_bits:,} bits; "
        f"{', '.join(VISIBLE)}",
        seeds=[SEED],
        n=total,
        ci95={"rate": _wilson(done, total)},
    )


def comes_through(attack: Attack, lasts: int, seed: int) -> bool:
    """Say whether an exchange that is attacked `lasts` times ends with a key, and not before."""
    link = SimulatedLink(LINK, lambda block: attack if block < lasts and not attack.classical else None, seed)
    disturbed = Disturbance(attack=attack, lasts=lasts, apparatus=link)
    keys: list[bool] = []
    with tempfile.TemporaryDirectory(prefix="qwarden-retry-") as folder:
        shared = secrets.token_bytes(POOL_BYTES * AT_MOST)
        supplies = PreSharedPool(Path(folder, "a"), "alice"), PreSharedPool(Path(folder, "b"), "bob")
        supplies[0].add("bob", shared)
        supplies[1].add("alice", shared)
        exchange = Exchange(
            name="disturbed",
            apparatus=disturbed,
            terms=Terms(settings=SMALL),
            supplies=supplies,
            inspect=disturbed.inspect,
            publish=lambda _: None,
            meddle=disturbed.meddle,
            keep=lambda ends: keys.append(np.array_equal(ends.alice.key, ends.bob.key)),
        )
        exchange.run()
    return keys == [True] and disturbed.attempts > lasts


@measure(
    "keys.error_rate",
    definition="Share of bits that differ between the ends. after_reconciliation: of all bits of all blocks "
    "after Cascade (lean) and before anything is verified, on the sifted keys of an honest BB84 link; "
    "after_qec: of pairs of an honest E91 link after three rounds of entanglement distillation, the worse of "
    "both bases; after_verification: of the bits of blocks whose hashes agree. The last is a count, and its "
    "bound is eps_cor = 1e-15 a block. The honest links' QBERs stand with the data.",
    units={"after_reconciliation": "1", "after_qec": "1", "after_verification": "1"},
    article={"after_reconciliation": 0.002},
)
def error_rate(bench: Bench) -> Measured:
    """Reconcile an honest link's blocks and count what is left; distil its pairs."""
    settings = Settings(block_bits=BLOCK_BITS)
    bits = raw = left = verified = passed = 0
    with bench.progress.task("blocks", BLOCKS) as task:
        for block in range(BLOCKS):
            alice, bob = sifted_keys(Link(), settings, SEED + block)
            qber = float((alice != bob).mean())
            found = cascade.locally(alice, bob, qber, seed=block).bits
            differ = int((found != alice).sum())
            raw += int((alice != bob).sum())
            bits, left = bits + alice.size, left + differ
            if _verifies(alice, found, settings.eps_cor):
                verified, passed = verified + alice.size, passed + differ
            task.advance(1)
    pairs = pair_rates(Link()).qber
    distilled = distillation.distil(pairs, ROUNDS, shots=GROUPS, seed=SEED)
    return Measured(
        values={
            "after_reconciliation": left / bits,
            "after_qec": distilled.qber,
            "after_verification": passed / verified,
        },
        data=f"simulated links of {Link().distance_km:g} km: BB84, QBER {raw / bits:.3%}, {BLOCKS} blocks, "
        f"{bits:,} bits, {left} left wrong, {verified:,} verified; E91, QBER {pairs:.3%}, "
        f"{distilled.shots:,} pairs distilled at a yield of {distilled.yield_:.3f}",
        seeds=[SEED],
        n=BLOCKS,
        configurations_tried=4,
    )


def sifted_keys(link: Link, settings: Settings, seed: int) -> tuple[Bits, Bits]:
    """Return what both ends of an honest link hold after sifting."""
    sent = transmit(link, settings, pulses=pulses_for(link, settings), seed=seed)
    heard = sifting.tell_detections(sent.bob)
    answer, bits = sifting.answer_detections(heard, sent.alice, sent.telemetry)
    alice = sifting.sift(settings.protocol, heard, answer, bits)
    bob = sifting.sift(settings.protocol, heard, answer, sent.bob.bit[answer.present])
    return alice.key, bob.key


def _verifies(alice: Bits, bob: Bits, eps_cor: float) -> bool:
    point = secrets.token_bytes(verification.POINT_BYTES)
    length = verification.hash_bits(alice.size, eps_cor)
    return verification.key_hash(alice, point, length) == verification.key_hash(bob, point, length)


def _wilson(done: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927)."""
    z, share = 1.96, done / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return middle - half, min(1.0, middle + half)
