"""The detection room's figures."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from qwarden.core.bench import run_bench
from qwarden.core.measure import Bench, Measured, Resources, measure

SCENARIO_SEEDS: Final = tuple(range(101, 111))
"""Seeds on which `detect.scenario` reports; neither training, calibration nor selection saw them."""


@measure(
    "detect.flow_rate",
    definition="Packets a second from a pcap file to flow statistics (the canonical flow) on one core, "
    "the sandboxed reading process included; median of the runs.",
    units={"packets_per_s": "packets/s"},
)
def flow_rate(bench: Bench) -> Measured:  # noqa: ARG001
    """Time the reader on a generated capture."""
    found = run_bench("formats/flow_rate.py")
    return Measured(
        values={"packets_per_s": found["packets_per_s"]},
        data=f"generated capture, {found['packets']} packets in {found['flows']} flows, seed {found['seed']}",
        seeds=[found["seed"]],
        n=found["runs"],
    )


@measure(
    "detect.latency_ms",
    definition="Wall time from one flow's feature row to its threat score and its twin's, model warm, "
    "one thread; every row scored by itself.",
    units={"median": "ms", "p99": "ms"},
)
def latency_ms(bench: Bench) -> Measured:  # noqa: ARG001
    """Time single rows of a scenario."""
    found = run_bench("detect/latency.py")
    return Measured(
        values={"median": found["median_ms"], "p99": found["p99_ms"]},
        data=f"traffic range, seed {found['seed']}",
        seeds=[found["seed"]],
        n=found["rows"],
        twin={"median": found["twin_median_ms"]},
        resources=Resources(**found["resources"]),
    )


@measure(
    "detect.scenario",
    definition="Recall: share of the range's attacks for which a finding of the same kind names a source "
    "(of a flood: the victim). False: findings that fit no attack, a 1,000 benign conversations.",
    units={
        "recall": "1",
        "false_per_1000": "findings/1000",
        "misnamed": "findings",
        "named_only_false": "findings/1000",
    },
)
def scenario(bench: Bench) -> Measured:
    """Detect in scenarios of unseen seeds, through the path of any capture."""
    from qwarden.detect import build
    from qwarden.detect.evaluation import Verdicts, judge_capture
    from qwarden.detect.scenario import write_scenario
    from qwarden.detect.shipped import load_default_model

    model, twin = load_default_model(), load_default_model().twin()
    verdicts, twins, unscored = Verdicts(), Verdicts(), Verdicts()
    with (
        tempfile.TemporaryDirectory() as folder,
        bench.progress.task("scenario", len(SCENARIO_SEEDS)) as task,
    ):
        for seed in SCENARIO_SEEDS:
            capture = Path(folder) / f"{seed}.pcap"
            write_scenario(capture, seed)
            judge_capture(model, capture, verdicts)
            judge_capture(twin, capture, twins)
            judge_capture(model, capture, unscored, fpr=1 - 1e-12)
            capture.unlink()
            task.advance(1)
    trained = _runs((*build.TRAINING_SEEDS, *build.LONG_TRAINING_SEEDS))
    calibrated = _runs((*build.CALIBRATION_SEEDS, *build.LONG_CALIBRATION_SEEDS))
    return Measured(
        values={
            "recall": verdicts.recall,
            "false_per_1000": verdicts.false_per_1000,
            "misnamed": verdicts.misnamed,
            "named_only_false": unscored.false_per_1000,
        },
        data="traffic range, generator qwarden.detect.scenario",
        split=f"by seed: trained on {trained}, calibrated on {calibrated}, settings chosen on "
        f"{_runs(build.SELECTION_SEEDS)} and {_runs(build.DEVELOPMENT_SEEDS)}; budget {model.budget:g}",
        seeds=SCENARIO_SEEDS,
        n=verdicts.attacks,
        configurations_tried=build.CONFIGURATIONS_TRIED,
        ci95={"recall": _wilson(verdicts.found, verdicts.attacks)},
        twin={"recall": twins.recall, "false_per_1000": twins.false_per_1000, "misnamed": twins.misnamed},
        resources=model.resources(),
    )


@measure(
    "detect.nsl_kdd_random",
    definition="Share of test rows told right, normal or attack, by quantum neural networks alone (three of "
    "different seeds, mean log-odds), on random splits of NSL-KDD; mean over the splits. Unentangled: the "
    "same networks without two-qubit gates. A random split says nothing about new attacks.",
    units={"accuracy": "1", "unentangled": "1"},
    long=True,
    article={"accuracy": 0.96},
)
def nsl_kdd_random(bench: Bench) -> Measured:
    """Train and test on five random splits."""
    from qwarden.detect.protocols.nsl_kdd_random import measure_random_split

    return measure_random_split(bench.data("nsl-kdd/KDDTrain+.txt.gz"), bench.checkpoint, bench.progress)


def _runs(seeds: Sequence[int]) -> str:
    """Return ascending seeds as text, runs of neighbours as ``first-last``.

    >>> _runs((1, 2, 3, 7, 9, 10))
    '1-3, 7-7, 9-10'
    """
    firsts = [seed for seed in seeds if seed - 1 not in seeds]
    lasts = [seed for seed in seeds if seed + 1 not in seeds]
    return ", ".join(f"{first}-{last}" for first, last in zip(firsts, lasts, strict=True))


def _wilson(hits: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927)."""
    z = 1.959963984540054
    share, spread = hits / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = z * np.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return float(middle - half), float(middle + half)
