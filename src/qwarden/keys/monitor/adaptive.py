"""An attacker who knows the monitor: he raises his strength for as long as it stays silent.

What is left to the ends under him is the figure of merit: secret bits retained, as a share of what the honest
link gives at the same false alarms. The definition is that of Mohamed and Al-Kuwari: detection counts for the
secret bits that it saves, not for the blocks that it flags. Each of our attacks is tried on each link; the
attacker takes the one that costs the ends most.

Bits retained of a block: the finite-key length of what was counted; none if the monitor gave an alarm; less
what Eve holds by side channels (trojan, time-shift, blinding), which no key length knows of. What she gains
by errors and by pulses of several photons the length accounts for already.

Not among these attacks: one that raises its share within each block as smoothly as misalignment drifts. The
monitor takes it for drift, and the key becomes shorter as errors become more.

Source: Mohamed, Al-Kuwari, Adversarial Learning Game for Intrusion Detection in Quantum Key Distribution,
arXiv:2603.03502 (2026), the abstract's "share of the honest finite-key rate".
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Final

import numpy as np

from qwarden.keys.finite_key import Counts, bbm92, binary_entropy, lim2014
from qwarden.keys.link import Settings
from qwarden.keys.monitor.model import MonitorModel
from qwarden.keys.monitor.reading import read
from qwarden.keys.monitor.training import PHYSICAL, Condition, Run
from qwarden.keys.monitor.visibility import VISIBLE, separation
from qwarden.keys.observables import Observables
from qwarden.keys.physics import KINDS, Attack, eve_knows

SIDE_CHANNELS: Final = ("trojan", "time-shift", "blinding")
BLOCKS: Final = 8
"""Blocks in a row that must pass without an alarm, for an attack to have gone unnoticed."""
RECONCILIATION: Final = 1.16
REACH: Final = 2.0
"""How far beyond the visible strength the search goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an attacker reached on a link.

    Parameters
    ----------
    attack : at the greatest strength at which the monitor stayed silent.
    alarms : share of blocks with an alarm at that strength.
    retained : secret bits under it, as a share of the honest link's.
    """

    attack: Attack
    alarms: float
    retained: float


def secret_bits(seen: Observables, settings: Settings, eve: float = 0.0) -> float:
    """Return the secret bits of a block, with reconciliation at an efficiency of 1.16.

    Parameters
    ----------
    eve : share of the sifted key that she holds and no count shows.
    """
    sifted = seen.detected.sum(axis=1)
    if not sifted.all():
        return 0.0
    leak = RECONCILIATION * binary_entropy(seen.qber(0)) * float(sifted[0]) + eve * float(sifted[0])
    if settings.protocol == "e91":
        exact = bbm92(int(sifted[0]), int(sifted[1]), int(seen.errors[1].sum()), settings, leak).exact
    else:
        counts = Counts.of(seen.detected[0].tolist(), seen.detected[1].tolist(), seen.errors[1].tolist())
        exact = lim2014(counts, settings, leak).exact
    return max(0.0, exact)


def worst(
    model: MonitorModel,
    condition: Condition,
    *,
    seed: int,
    blocks: int = BLOCKS,
    steps: int = 5,
    names: Sequence[str] = PHYSICAL,
) -> list[Outcome]:
    """Return what each attack leaves of the honest rate, the worst first.

    Parameters
    ----------
    blocks : tried at each strength.
    steps : of the search for the greatest strength, by bisection on a logarithmic scale.
    """
    run = Run(condition, seed)
    honest = [run.block() for _ in range(blocks)]
    for seen in honest[: blocks // 2]:
        run.reference.learn(read(seen, condition.link, condition.settings))
    rate = float(np.mean([secret_bits(seen, condition.settings) for seen in honest]))
    possible = [name for name in names if condition.settings.protocol in KINDS[name].protocols]
    found = [_highest_silent(model, run, name, rate, blocks, steps) for name in possible]
    return sorted(found, key=lambda outcome: outcome.retained)


def _highest_silent(
    model: MonitorModel, run: Run, name: str, rate: float, blocks: int, steps: int
) -> Outcome:
    """Search between a strength that cannot be seen and one that must be."""
    full = separation(Attack(name, 1e-3), run.link, run.settings, run.pulses)
    top = min(1.0, REACH * VISIBLE / max(full / 1e-3, 1e-9))
    low, high = np.log(top / 40), np.log(top)
    best = Outcome(attack=Attack(name, 0.0), alarms=0.0, retained=1.0)
    for step in range(steps):
        middle = high if step == 0 else (low + high) / 2
        tried = _try(model, deepcopy(run), Attack(name, float(np.exp(middle))), rate, blocks)
        if not tried.alarms:
            best, low = tried, middle
            if step == 0:
                break
        else:
            high = middle
    return best


def _try(model: MonitorModel, run: Run, attack: Attack, rate: float, blocks: int) -> Outcome:
    """Attack block after block; blocks without alarm become part of what is usual, as they would."""
    eve = eve_knows(attack, run.link, run.settings) if attack.name in SIDE_CHANNELS else 0.0
    alarms, bits = 0, 0.0
    for _ in range(blocks):
        seen = run.block(attack)
        reading = read(seen, run.condition.link, run.settings)
        if model.judge(run.reference.deviations(reading)[np.newaxis]).flagged[0]:
            alarms += 1
            run.reference.pass_over()
            continue
        run.reference.learn(reading)
        bits += secret_bits(seen, run.settings, eve)
    return Outcome(attack=attack, alarms=alarms / blocks, retained=bits / blocks / rate)
