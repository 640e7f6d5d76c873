"""The same seed is the same bytes, on every machine.

A change of the generator changes these sums on purpose: write the new ones down, and retrain the
shipped model.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from qwarden.detect.scenario import write_scenario

SUMS = {
    1: (
        "41123551b65983f5d38ffd918ceb40e8acec4d0708c53e6c097504210398d9ea",
        "8bb431a6eece20285e5e5f78570a60271bf2d0c2ae7e02d78c1ea65f377fb49e",
    ),
    2: (
        "64a3a4668bc6f197e5b8289750d86b1cedda53fc7ca127c4160f3859c331d2d7",
        "ef40f6a9870befbb38283d4c273e09f34a3e9a69e47a3c3d85ce610564fefd81",
    ),
}


@pytest.mark.parametrize("seed", SUMS)
def test_bytes_of_a_seed(tmp_path: Path, seed: int) -> None:
    summary = write_scenario(tmp_path / "x.pcap", seed, duration_s=180, hosts=8)
    found = tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in (summary.path, summary.labels))
    assert found == SUMS[seed]
