"""What the comparisons with PennyLane share: one thread, the same circuits on both sides, fair timing."""

from __future__ import annotations

import os

# Before any numerical library is loaded. Both sides get one thread and, where the system can say so, one
# and the same core.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import importlib.metadata  # noqa: E402
import statistics  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Mapping  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

Task = Callable[[Any], Any]


def interleaved(
    ours: Task, peers: Mapping[str, Task], data: Callable[[int], Any], repeats: int, runs: int
) -> dict[str, list[float]]:
    """Return milliseconds a run, for us and every peer in turns, repeat by repeat.

    A repeat is `runs` runs one after the other, as in a training loop, each with fresh data. CPU time of
    the process: what other processes do meanwhile does not count. Two warm-up rounds, which compile, are
    not counted.
    """
    tasks = {"qwarden": ours, **peers}
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for repeat in range(-2, repeats):
        for name, task in tasks.items():
            given = [data(runs * repeat + run) for run in range(runs)]
            begin = time.process_time()
            for one in given:
                task(one)
            if repeat >= 0:
                times[name].append((time.process_time() - begin) * 1e3 / runs)
    return times


def document(
    times: Mapping[str, list[float]], worst: float, versions: tuple[str, ...], **facts: Any
) -> dict[str, Any]:
    """Return the figures: ours, the best peer's, and the median of the ratios repeat by repeat."""
    peers = {name: statistics.median(values) for name, values in times.items() if name != "qwarden"}
    best = min(peers, key=lambda name: peers[name])
    ratios = [peer / own for peer, own in zip(times[best], times["qwarden"], strict=True)]
    return {
        "ratio": round(statistics.median(ratios), 2),
        "ratio_quartiles": [round(float(q), 2) for q in np.quantile(ratios, [0.25, 0.75])],
        "ours_ms": round(statistics.median(times["qwarden"]), 3),
        "peer_ms": round(peers[best], 3),
        "peer": best,
        "peers_ms": {name: round(value, 3) for name, value in peers.items()},
        "max_abs_diff": worst,
        **facts,
        "repeats": len(ratios),
        "versions": {name: importlib.metadata.version(name) for name in ("numpy", "numba", *versions)},
        "python": sys.version.split()[0],
    }


def zz_map(qml: Any, X: Any, qubits: int, *, fused: bool) -> None:
    """Queue the ZZ feature map (2 repetitions, linear) in PennyLane; wire i is qubit ``qubits - 1 - i``.

    PennyLane's wire 0 is the most significant bit, ours is the least: counting wires backwards gives the
    same basis order. `fused` uses one IsingZZ instead of CNOT, PhaseShift, CNOT: equal but for a phase
    of the whole state, and fewer gates for PennyLane.
    """
    wires = list(range(qubits))[::-1]
    for _ in range(2):
        for q, wire in enumerate(wires):
            qml.Hadamard(wire)
            qml.PhaseShift(2.0 * X[:, q], wire)
        for q in range(qubits - 1):
            angle = 2.0 * (np.pi - X[:, q]) * (np.pi - X[:, q + 1])
            pair = [wires[q], wires[q + 1]]
            if fused:
                qml.IsingZZ(angle, pair)
            else:
                qml.CNOT(pair)
                qml.PhaseShift(angle, pair[1])
                qml.CNOT(pair)
