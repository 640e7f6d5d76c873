"""Cascade beside its literature: the study's efficiencies, ours at larger keys, speed beside a peer's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from qwarden.core.bench import ROOT, run_bench
from qwarden.core.errors import UnavailableError
from qwarden.core.measure import Bench, Measured, measure
from qwarden.keys.reconciliation import cascade, efficiency

QBERS: Final = (0.01, 0.02, 0.03, 0.05, 0.10)
STUDY: Final = {
    "original": (1.142955, 1.159373, 1.173635, 1.184570, 1.208883),
    "biconf": (1.100911, 1.090437, 1.086472, 1.093421, 1.111410),
    "yanetal": (1.095344, 1.084399, 1.078022, 1.076706, 1.092452),
    "option3": (1.111204, 1.100226, 1.090777, 1.105863, 1.127947),
    "option8": (1.159806, 1.130985, 1.141050, 1.109861, 1.222440),
}
"""Efficiency at each of `QBERS`, keys of 10,000 bits, 10,000 runs: cascade-cpp, study/data/papers."""

STUDY_BITS, STUDY_RUNS = 10_000, 10_000
LARGE_BITS, LARGE_RUNS = 100_000, 300
SEED = 5


@measure(
    "keys.cascade_f",
    definition="Bits disclosed over n h(QBER), every parity counted as often as it is told. max_deviation: "
    "largest difference of a mean from cascade-cpp's study over its five variants and QBER 1, 2, 3, 5 and "
    "10 %, n = 1e4, 10,000 runs a cell, as there. f_n1e5: the largest mean over the same QBERs at n = 1e5, "
    "300 runs, of the variant for which it is least, of all seven. frame_error_worst: largest share of keys "
    "that stay unequal, over all those cells.",
    units={"max_deviation": "1", "f_n1e5": "1", "frame_error_worst": "1"},
    long=True,
)
def cascade_f(bench: Bench) -> Measured:
    """Run every cell, from where a stop left off."""
    cells = [
        *((variant, qber, STUDY_BITS, STUDY_RUNS) for variant in STUDY for qber in QBERS),
        *((variant, qber, LARGE_BITS, LARGE_RUNS) for variant in cascade.VARIANTS for qber in QBERS),
    ]
    done: dict[str, Any] = bench.checkpoint.load()
    with bench.progress.task("Cascade", len(cells)) as task:
        for variant, qber, bits, runs in cells:
            name = f"{variant} {qber} {bits}"
            if name not in done:
                f, unequal = _cell(variant, qber, bits, runs)
                done[name] = {"f": f, "frame_error": unequal}
                bench.checkpoint.save(done)
            task.advance(1, name)
    deviations = [
        abs(done[f"{variant} {qber} {STUDY_BITS}"]["f"] - published)
        for variant, row in STUDY.items()
        for qber, published in zip(QBERS, row, strict=True)
    ]
    large = [
        max(done[f"{variant} {qber} {LARGE_BITS}"]["f"] for qber in QBERS) for variant in cascade.VARIANTS
    ]
    return Measured(
        values={
            "max_deviation": max(deviations),
            "f_n1e5": min(large),
            "frame_error_worst": max(cell["frame_error"] for cell in done.values()),
        },
        data="uniform keys, independent errors; cascade-cpp, study/data/papers",
        seeds=[SEED],
        n=sum(runs for *_, runs in cells),
        configurations_tried=len(cascade.VARIANTS),
    )


def _cell(variant: str, qber: float, bits: int, runs: int) -> tuple[float, float]:
    """Return the mean efficiency at the nominal QBER, and the share of keys that stay unequal."""
    leak = unequal = 0
    for run, (right, wrong) in enumerate(_keys(variant, qber, bits, runs)):
        found = cascade.locally(right, wrong, qber, seed=run, variant=variant)
        leak += found.leak_bits
        unequal += not np.array_equal(found.bits, right)
    return efficiency(leak / runs, bits, qber), unequal / runs


def _keys(variant: str, qber: float, bits: int, runs: int) -> Iterator[tuple[Any, Any]]:
    generator = np.random.default_rng([SEED, bits, round(1e4 * qber), list(cascade.VARIANTS).index(variant)])
    for _ in range(runs):
        right = generator.integers(0, 2, bits, dtype=np.uint8)
        yield right, right ^ (generator.random(bits, dtype=np.float32) < np.float32(qber)).view(np.uint8)


@measure(
    "keys.cascade_vs_python",
    definition="Our speed over cascade-python's, keys of 10,000 bits, the same keys, variants original, "
    "biconf, yanetal and option3 at QBER 1, 2, 3 and 5 %, both ends in one process on one core, in turns; "
    "CPU time. The least of the cells' ratios of medians.",
    units={"ratio": "1"},
)
def cascade_vs_python(bench: Bench) -> Measured:  # noqa: ARG001
    """Pair with a checkout of cascade-python."""
    found = run_bench("keys/cascade_vs_python.py", "--peer", str(_checkout("cascade-python")))
    return Measured(
        values={"ratio": found["ratio"]},
        data=f"uniform keys, independent errors; cascade-python {found['peer']}",
        seeds=[found["seed"]],
        n=found["runs"],
    )


def _checkout(name: str) -> Path:
    """Return a peer that is a git checkout, no package: ``QWARDEN_PEERS/name``, or that below ``.peers``."""
    found = Path(os.environ.get("QWARDEN_PEERS") or ROOT / ".peers") / name
    if not found.exists():
        raise UnavailableError(found, f"is missing; clone {name} there, or set QWARDEN_PEERS to where it is")
    return found.absolute()
