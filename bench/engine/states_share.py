"""States a second as a share of what this machine's matrix products could do.

The share is the floating-point operations of our state algorithm (counted by `_flops`, angles and the writing
of the states included in the time) a second, over the rate of a 1024 x 1024 float64 matrix product measured
in turns with it, in the same process on the same thread. ZZ feature map, 2 repetitions, linear; fresh data.

Prints one JSON document. ``python states_share.py [--rows 1000] [--repeats 25] [--seed 0]``
"""

from __future__ import annotations

import argparse
import json
import statistics
from typing import Any

import _peers
import numpy as np
from _flops import state_flops

from qwarden.quantum import LocalBackend, zz_feature_map

QUBITS = (4, 6, 8, 10)


def measure(rows: int = 1000, repeats: int = 25, seed: int = 0) -> dict[str, Any]:
    """Return microseconds a state and the share, by number of qubits."""
    by_qubits = {str(qubits): share(qubits, rows, repeats, seed) for qubits in QUBITS}
    chosen = zz_feature_map(8, 2, "linear")
    return {
        **by_qubits["8"],
        "qubits": 8,
        "depth": chosen.depth,
        "two_qubit_gates": chosen.two_qubit_gates,
        "n": rows,
        "repeats": repeats,
        "seed": seed,
        "by_qubits": by_qubits,
        "versions": _peers.versions(),
    }


def share(qubits: int, rows: int, repeats: int, seed: int) -> dict[str, float]:
    """Return the figures of one size."""
    feature_map, backend = zz_feature_map(qubits, 2, "linear"), LocalBackend()
    a, b = np.random.default_rng(seed).normal(size=(2, 1024, 1024))
    product = np.empty_like(a)
    times = _peers.interleaved(
        lambda X: backend.states(feature_map, feature_map.angles(X)),
        {"gemm": lambda _: np.matmul(a, b, out=product)},
        _peers.uniform_rows(rows, qubits, seed), repeats, runs=2,
    )  # fmt: skip
    flops = state_flops(feature_map)
    rates = [2 * 1024**3 / (ms * 1e6) for ms in times["gemm"]]
    ours = [rows * flops / (ms * 1e6) for ms in times["qwarden"]]
    return {
        "share": round(statistics.median(own / rate for own, rate in zip(ours, rates, strict=True)), 4),
        "us_a_state": round(1e3 * statistics.median(times["qwarden"]) / rows, 4),
        "flops_a_state": flops,
        "gflops": round(statistics.median(ours), 2),
        "gemm_gflops": round(statistics.median(rates), 2),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="states a second as a share of the gemm rate")
    for name, default in (("rows", 1000), ("repeats", 25), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    print(json.dumps(measure(**vars(parser.parse_args())), indent=2))
