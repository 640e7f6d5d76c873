"""The monitor: what it sees, what it does not, how fast it is, and what an attacker who knows it leaves."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from qwarden.core.bench import run_bench
from qwarden.core.measure import Bench, Measured, measure
from qwarden.keys.link import Link, Settings
from qwarden.keys.monitor.adaptive import worst
from qwarden.keys.monitor.model import MonitorModel, load_shipped, one_sided
from qwarden.keys.monitor.training import DRIFTING, HELD_OUT, PHYSICAL, Condition, Rows, simulate_rows
from qwarden.keys.monitor.twins import largest
from qwarden.keys.monitor.visibility import VISIBLE
from qwarden.keys.optimise import optimise
from qwarden.keys.party.block import Terms
from qwarden.keys.physics import KINDS, Attack
from qwarden.keys.simulate import simulate

HONEST_SEED, HONEST_RUNS = 31, 330
ATTACK_SEED, ATTACKED_RUNS = 32, 135
DRIFT_SEED: Final = 33
ADAPTIVE_SEED: Final = 34
OVER_FIBRE: Final = tuple(name for name, kind in KINDS.items() if kind.hostile and kind.visible != ("tags",))
SPLIT: Final = (
    "by link: training seeds 11 to 13, held out 31 to 34; other distances, block sizes and strengths as well"
)


@measure(
    "keys.monitor_detection",
    definition="detection: share of attacked blocks that raise an alarm, over attacks that are "
    "physically visible: intercept-resend, photon-number splitting, blinding, time shift, "
    "Trojan horse, jamming, cut, of any strength at which an ideal test, which knows attack "
    "and strength, sees at least 99 % of blocks at 0.1 % false alarms "
    "(keys.monitor.visibility); on links, distances, block sizes and strengths that were not "
    "trained on, one attacked block after one to four honest ones. false_alarm: share of "
    "honest blocks that raise one, drifting links among them. Twin: gradient boosting on the "
    "same rows; decoy-bound test, largest deviation and CUSUM beside it, all with the same "
    "budget of 0.1 % on the same calibration blocks.",
    units={"detection": "1", "false_alarm": "1"},
    article={"detection": 0.985},
    long=True,
)
def monitor_detection(bench: Bench) -> Measured:
    """Simulate held-out links and judge their blocks by the shipped model."""
    model = load_shipped()
    honest = simulate_rows(
        HELD_OUT, seed=HONEST_SEED, runs=HONEST_RUNS, honest=8, attacked=0, progress=bench.progress
    )
    attacked = simulate_rows(
        HELD_OUT, seed=ATTACK_SEED, runs=ATTACKED_RUNS, honest=0, attacked=14, progress=bench.progress
    )
    shown = attacked.take(attacked.separations >= VISIBLE)
    seen, false = model.judge(shown.deviations), model.judge(honest.deviations)
    return Measured(
        values={"detection": float(seen.flagged.mean()), "false_alarm": float(false.flagged.mean())},
        data=f"simulated links, seeds {HONEST_SEED} and {ATTACK_SEED}: {len(honest)} honest blocks, "
        f"{len(shown)} of {len(attacked)} attacked blocks visible. By attack: "
        f"{_by_attack(shown, seen.flagged)}. Other twins: {_other_twins(model, shown, honest)}",
        split=SPLIT,
        seeds=[HONEST_SEED, ATTACK_SEED],
        n=len(shown) + len(honest),
        configurations_tried=model.figures["configurations"],
        ci95={"detection": _interval(seen.flagged), "false_alarm": _interval(false.flagged)},
        twin={
            "detection": float(model.twin_flags(shown.deviations).mean()),
            "false_alarm": float(model.twin_flags(honest.deviations).mean()),
        },
        resources=model.resources,
    )


def _other_twins(model: MonitorModel, shown: Rows, honest: Rows) -> str:
    """Return detection and false alarms of the twins that are no estimators, and of the unentangled one."""
    scores = {
        "largest": (largest(one_sided(shown.deviations)), largest(one_sided(honest.deviations))),
        "cusum": (shown.cusum, honest.cusum),
        "bound": (shown.bound, honest.bound),
    }
    said = [
        f"{name} {np.mean(strange > limit):.4f} / {np.mean(usual > limit):.4f}"
        for name, (strange, usual) in scores.items()
        for limit in [model.thresholds[name]]
    ]
    for name in ("development", "unentangled"):
        found = model.figures[name]
        said.append(f"{name} (on development links) {found['detection']:.4f} / {found['false_alarm']:.4f}")
    return ", ".join(said)


def _by_attack(shown: Rows, flagged: npt.NDArray[np.bool_]) -> str:
    return ", ".join(
        f"{name} {flagged[shown.attacks == name].mean():.3f}"
        for name in PHYSICAL
        if (shown.attacks == name).any()
    )


def _interval(flagged: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927)."""
    n, share, z = len(flagged), float(np.mean(flagged)), 1.96
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    return max(0.0, centre - half), min(1.0, centre + half)


@measure(
    "keys.monitor_ms",
    definition="Wall time of one thread for the monitor to judge a block of a million bits by its "
    "observables, quantum members and twin; median.",
    units={"p50": "ms"},
)
def monitor_ms(bench: Bench) -> Measured:  # noqa: ARG001
    """Time it in a process of its own."""
    found = run_bench("keys/monitor.py")
    return Measured(
        values={"p50": found["inspect_ms"]},
        data=f"simulated link of 50 km, seed {found['seed']}",
        seeds=[found["seed"]],
        n=found["inspected"],
        resources=load_shipped().resources,
    )


@measure(
    "keys.alert_ms",
    definition="Wall time from the last message of reconciliation or post-mortem of an irregular block "
    "of a million bits, until both ends have dropped it and the alarm is committed to the "
    "store on disk; verification, observables and monitor included; median.",
    units={"p50": "ms"},
    article={"p50": 15},
)
def alert_ms(bench: Bench) -> Measured:  # noqa: ARG001
    """Attack a link between two ends and time each alarm."""
    found = run_bench("keys/monitor.py")
    return Measured(
        values={"p50": found["alert_ms"]},
        data=f"simulated link of 50 km under four attacks, seed {found['seed']}",
        seeds=[found["seed"]],
        n=found["alarms"],
    )


@measure(
    "keys.bits_retained",
    definition="Secret bits that the ends keep under an attacker who knows the monitor and, of all "
    "physical attacks, makes the one that costs most at the greatest strength at which eight "
    "blocks in a row raise no alarm; as a share of the honest link's finite-key bits at the same "
    "budget of false alarms, less what side channels tell him; mean over links of 10, 30 and "
    "50 km with the settings best for them, blocks of a million bits (after arXiv 2603.03502).",
    units={"share": "1"},
    long=True,
)
def bits_retained(bench: Bench) -> Measured:
    """Search the greatest silent strength of each attack on each link."""
    model = load_shipped()
    done = bench.checkpoint.load()
    links = adaptive_links()
    with bench.progress.task("adaptive attacker", len(links)) as task:
        for number, condition in enumerate(links):
            name = f"{condition.link.distance_km:g} km"
            if name not in done:
                found = worst(model, condition, seed=ADAPTIVE_SEED * 100 + number)
                done[name] = [[str(one.attack), one.alarms, one.retained] for one in found]
                bench.checkpoint.save(done)
            task.advance(1)
    least = {name: float(rows[0][2]) for name, rows in done.items()}  # type: ignore[index,arg-type]
    said = "; ".join(
        f"{name} {rows[0][0]} leaves {float(rows[0][2]):.3f}"  # type: ignore[index,arg-type]
        for name, rows in done.items()
    )
    return Measured(
        values={"share": float(np.mean(list(least.values())))},
        data=f"simulated links, seed {ADAPTIVE_SEED}; the costliest attacks: {said}",
        split=SPLIT,
        seeds=[ADAPTIVE_SEED],
        n=len(links) * len(PHYSICAL),
    )


def adaptive_links() -> list[Condition]:
    """Return the links on which the adaptive attacker is tried, with the settings best for them."""
    return [
        Condition(link=link, settings=optimise(link, Settings(), looks=1500).settings)
        for link in (Link(distance_km=km) for km in (10.0, 30.0, 50.0))
    ]


@measure(
    "keys.visible",
    definition="undetectable_listed: 1 if each attack that is listed as bounded only (KINDS, no "
    "observable) raises no more alarms at full strength than one block in twenty, and each of"
    " the others is seen at full strength in at least 99 % of blocks: by the monitor, or by "
    "the tags of the classical channel. drift_alarms: share of blocks of drifting held-out "
    "links (misalignment up by 0.3 or 1 % a block, some wandering besides) that raise an "
    "alarm.",
    units={"undetectable_listed": "1", "drift_alarms": "1"},
    long=True,
)
def visible(bench: Bench) -> Measured:
    """Try each attack at full strength, and drift at its strongest."""
    model = load_shipped()
    drifting = simulate_rows(
        DRIFTING, seed=DRIFT_SEED, runs=120, honest=8, attacked=0, progress=bench.progress
    )
    alarms = model.judge(drifting.deviations).flagged
    full = simulate_rows(
        replace(DRIFTING, strengths=(1.0,), ramps=(0.0,)), seed=DRIFT_SEED + 1000, runs=25, honest=0,
        attacked=len(OVER_FIBRE), names=OVER_FIBRE, progress=bench.progress,
    )  # fmt: skip
    seen = model.judge(full.deviations).flagged
    rates = {name: float(seen[full.attacks == name].mean()) for name in OVER_FIBRE}
    listed = all(rate >= 0.99 if KINDS[name].visible else rate <= 0.05 for name, rate in rates.items())
    return Measured(
        values={
            "undetectable_listed": float(listed and _tags_fail()),
            "drift_alarms": float(alarms.mean()),
        },
        data=f"simulated links, seeds {DRIFT_SEED} and {DRIFT_SEED + 1000}; bounded only: "
        + ", ".join(name for name in OVER_FIBRE if not KINDS[name].visible)
        + "; seen at full strength: "
        + ", ".join(f"{name} {rate:.2f}" for name, rate in rates.items()),
        split=SPLIT,
        seeds=[DRIFT_SEED, DRIFT_SEED + 1000],
        n=len(drifting) + len(full),
        ci95={"drift_alarms": _interval(alarms)},
    )


def _tags_fail() -> bool:
    """Say whether a man in the middle is noticed although nothing in the photons shows him."""
    terms = Terms(settings=Settings(protocol="e91", block_bits=12_000, key_basis=0.7, eps_sec=1e-8))
    done = simulate(Link(distance_km=5), terms, attack=Attack("mitm"), seed=DRIFT_SEED, at_most=1)
    return all(one.alarm and not one.block.accepted for one in done.attempts)
