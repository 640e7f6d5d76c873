"""Blocks to learn from and to be judged on: random links with random settings, honest, drifting, attacked.

A run is one link over some blocks: honest ones, from which the reference learns, and then, each from that
same past, one block under each attack. Training and judgement share no seed, no band of distances, no block
size and no strength (`TRAINING`, `HELD_OUT`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from qwarden.core.progress import SILENT, Progress
from qwarden.keys.link import Link, Protocol, Settings
from qwarden.keys.monitor.features import F64, Reading
from qwarden.keys.monitor.reading import read
from qwarden.keys.monitor.reference import Reference
from qwarden.keys.monitor.twins import Cusum, bound_shortfall
from qwarden.keys.monitor.visibility import separation
from qwarden.keys.observables import Observables, observe_both
from qwarden.keys.physics import KINDS, Attack, pulses_for, transmit

Bands = Sequence[tuple[float, float]]

PHYSICAL: Final = tuple(
    name for name, kind in KINDS.items() if kind.hostile and kind.visible and kind.visible != ("tags",)
)
"""Attacks that show in what the monitor sees."""
DRIFTS: Final = (0.0, 1e-4, 5e-4)
"""Standard deviations of misalignment from block to block."""
RAMPS: Final = (0.0, 0.0, 0.3, 1.0)
"""Strengths of the steady drift under which links are trained and judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What conditions are drawn from.

    Parameters
    ----------
    bands : of distances in km, by protocol.
    block_bits : by protocol.
    strengths : fixed strengths of attacks; none: any from 0.3 % to 1, evenly on a logarithmic scale.
    drifts, ramps : how misalignment wanders from block to block, and how steadily it drifts.
    """

    bands: dict[Protocol, Bands]
    block_bits: dict[Protocol, Sequence[int]]
    strengths: Sequence[float] = ()
    drifts: Sequence[float] = DRIFTS
    ramps: Sequence[float] = RAMPS


TRAINING: Final = Plan(
    bands={"bb84": ((5, 30), (40, 70), (85, 110)), "e91": ((2, 8), (14, 20))},
    block_bits={"bb84": (20_000, 50_000, 100_000), "e91": (3_000, 10_000)},
    strengths=(0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0),
)
HELD_OUT: Final = Plan(
    bands={"bb84": ((30, 40), (70, 85), (110, 120)), "e91": ((8, 14), (20, 25))},
    block_bits={"bb84": (30_000, 80_000, 150_000), "e91": (5_000, 15_000)},
)
DRIFTING: Final = replace(HELD_OUT, drifts=(0.0, 5e-4, 1e-3), ramps=(0.3, 1.0))
"""Held-out links that all drift, as strongly as a drift of strength 1 and more wildly than in training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A link, how it is used, and the steady drift it is under."""

    link: Link
    settings: Settings
    ramp: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Blocks as the monitor sees them.

    Parameters
    ----------
    deviations : (n, d), see `reference.Reference.deviations`.
    cusum, bound : scores of these twins (n,).
    attacks, strengths : of each block; ``""`` for an honest one.
    separations : see `visibility.separation`; 0 for honest blocks (n,).
    runs : number of the run that each block is of (n,).
    """

    deviations: F64
    cusum: F64
    bound: F64
    attacks: npt.NDArray[np.str_]
    strengths: F64
    separations: F64
    runs: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.deviations)

    def take(self, which: npt.NDArray[np.bool_]) -> Rows:
        """Return some of the rows."""
        return Rows(**{name: getattr(self, name)[which] for name in self.__dataclass_fields__})


def condition(rng: np.random.Generator, plan: Plan) -> Condition:
    """Draw a link and its settings; six in seven are BB84."""
    protocol: Protocol = "bb84" if rng.random() < 0.85 else "e91"
    low, high = plan.bands[protocol][int(rng.integers(len(plan.bands[protocol])))]
    link = Link(
        distance_km=float(rng.uniform(low, high)),
        attenuation_db_per_km=float(rng.uniform(0.17, 0.22)),
        receiver_efficiency=float(rng.uniform(0.08, 0.3)),
        dark_count=float(10 ** rng.uniform(-7, -5.7)),
        afterpulse=float(rng.choice([0.0, 0.01, 0.04])),
        misalignment=float(rng.uniform(0.002, 0.02)),
        dead_time_s=float(rng.choice([0.0, 1e-8, 1e-7])),
        drift_per_block=float(rng.choice(plan.drifts)),
        visibility=float(rng.uniform(0.95, 0.995)),
        pair_rate=float(rng.uniform(0.02, 0.06)),
    )
    signal = float(rng.uniform(0.15, 0.8))
    decoy = (1.0 - signal) * float(rng.uniform(0.4, 0.85))
    mu1 = float(rng.uniform(0.35, 0.65))
    settings = Settings(
        protocol=protocol,
        intensities=(mu1, mu1 * float(rng.uniform(0.25, 0.5)), float(rng.choice([2e-4, 1e-3]))),
        probabilities=(signal, decoy, 1.0 - signal - decoy),
        key_basis=float(rng.uniform(0.5, 0.93)),
        block_bits=int(rng.choice(plan.block_bits[protocol])),
    )
    return Condition(link=link, settings=settings, ramp=float(rng.choice(plan.ramps)))


class Run:
    """One link, block after block, as `Monitor` would follow it if it never gave an alarm."""

    def __init__(self, condition: Condition, seed: int) -> None:
        self.condition, self._seed, self._blocks = condition, seed, 0
        self.link, self.settings = condition.link, condition.settings
        self.pulses = pulses_for(self.link, self.settings)
        self.reference, self.cusum = Reference.of(self.link), Cusum()

    def block(self, attack: Attack | None = None) -> Observables:
        """Send the next block: an honest one moves the link on, an attacked one leaves it as it was."""
        drift = Attack("drift", self.condition.ramp) if attack is None and self.condition.ramp else attack
        sent = transmit(
            self.link, self.settings, attack=drift, pulses=self.pulses,
            seed=self._seed * 100_003 + self._blocks,
        )  # fmt: skip
        self._blocks += 1
        if attack is None:
            self.link = replace(self.link, misalignment=sent.misalignment)
        return observe_both(self.settings.protocol, sent.alice, sent.bob, sent.telemetry)

    def honest(self) -> tuple[F64, float, float]:
        """Return an honest block's deviations and twins' scores, and learn from it."""
        row, reading = self._row(self.block())
        self.reference.learn(reading)
        self.cusum.learn(row[0])
        return row

    def attacked(self, attack: Attack) -> tuple[F64, float, float]:
        """Return the same of a block under attack; the past stays what it was."""
        return self._row(self.block(attack))[0]

    def _row(self, seen: Observables) -> tuple[tuple[F64, float, float], Reading]:
        reading = read(seen, self.condition.link, self.settings)
        deviations = self.reference.deviations(reading)
        bound = bound_shortfall(seen, self.condition.link, self.settings)
        return (deviations, self.cusum.score(deviations), bound), reading


def simulate_rows(
    plan: Plan,
    *,
    seed: int,
    runs: int,
    honest: int,
    attacked: int,
    names: Sequence[str] = PHYSICAL,
    progress: Progress = SILENT,
) -> Rows:
    """Simulate `runs` links: of each `honest` blocks, then `attacked` blocks under attacks in turn.

    Before attacks, one to four honest blocks go by that are among the `honest` ones; where `honest` is 0
    they are sent and not returned.
    """
    found: list[tuple[F64, float, float, str, float, float, int]] = []
    with progress.task("quantum links", runs) as task:
        for number in range(runs):
            rng = np.random.default_rng([seed, number])
            run = Run(condition(rng, plan), seed * 10_007 + number)
            for _ in range(honest or int(rng.integers(1, 5))):
                row = run.honest()
                if honest:
                    found.append((*row, "", 0.0, 0.0, number))
            for attack in _attacks(rng, plan, run.settings.protocol, attacked, names):
                apart = separation(attack, run.link, run.settings, run.pulses)
                found.append((*run.attacked(attack), attack.name, attack.strength, apart, number))
            task.advance(1)
    columns = list(zip(*found, strict=True))
    return Rows(
        deviations=np.array(columns[0]), cusum=np.array(columns[1]), bound=np.array(columns[2]),
        attacks=np.array(columns[3]), strengths=np.array(columns[4]), separations=np.array(columns[5]),
        runs=np.array(columns[6]),
    )  # fmt: skip


def _attacks(
    rng: np.random.Generator, plan: Plan, protocol: Protocol, count: int, among: Sequence[str]
) -> Iterator[Attack]:
    names = [name for name in among if protocol in KINDS[name].protocols]
    first = int(rng.integers(len(names)))
    for at in range(count):
        strength = (
            float(rng.choice(plan.strengths))
            if plan.strengths
            else float(10 ** rng.uniform(np.log10(0.003), 0))
        )
        yield Attack(names[(first + at) % len(names)], strength)
