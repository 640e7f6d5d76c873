from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from qwarden.core.measure import Checkpoint, Resources
from qwarden.detect.protocols.seeds import TWIN, each_seed, summary


def test_a_stopped_run_goes_on_with_the_seed_it_was_at(tmp_path: Path) -> None:
    asked: list[int] = []

    def measure(seed: int) -> dict[str, float]:
        asked.append(seed)
        if asked == [3, 5]:
            raise KeyboardInterrupt
        return {"double": 2 * seed, f"{TWIN}double": np.float64(seed)}

    checkpoint = Checkpoint(tmp_path / "kept" / "checkpoint.json", "commit")
    with pytest.raises(KeyboardInterrupt):
        each_seed("some", measure, (3, 5, 4), checkpoint)
    found = each_seed("some", measure, (3, 5, 4), checkpoint)
    assert asked == [3, 5, 5, 4]
    assert found == {"double": [6.0, 10.0, 8.0], "twin double": [3.0, 5.0, 4.0]}


def test_means_have_intervals_and_the_twins_stand_apart() -> None:
    own = [0.90, 0.92, 0.97]
    found = summary(
        {"accuracy": own, f"{TWIN}accuracy": [0.5, 0.7, 0.9]},
        data="some",
        split="none",
        seeds=(0, 1, 2),
        n=9,
        configurations_tried=4,
        resources=Resources(qubits=2, depth=3, two_qubit_gates=1),
    )
    assert found.values == pytest.approx({"accuracy": 0.93})
    assert found.twin == pytest.approx({"accuracy": 0.7})
    assert found.ci95 is not None
    assert list(found.ci95) == ["accuracy"]
    assert found.ci95["accuracy"] == pytest.approx(stats.t.interval(0.95, 2, np.mean(own), stats.sem(own)))
