"""What the comparisons share: one thread, the same circuits on both sides, fair timing, our own rates."""

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

from _flops import state_flops  # noqa: E402

from qwarden.quantum import LocalBackend, PauliSum, real_amplitudes, zz_feature_map  # noqa: E402

Task = Callable[[Any], Any]


def interleaved(
    ours: Task, peers: Mapping[str, Task], data: Callable[[int], Any], repeats: int, runs: int
) -> dict[str, list[float]]:
    """Return milliseconds a run, for us and every peer in turns, repeat by repeat.

    A repeat is `runs` runs one after the other, as in a training loop, each with fresh data, after one run
    that is not counted: whoever ran before has emptied the caches. CPU time of the process: what other
    processes do meanwhile does not count. A first round, which compiles, is not counted.
    """
    tasks = {"qwarden": ours, **peers}
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for repeat in range(-1, repeats):
        for name, task in tasks.items():
            warm, *given = [data((runs + 1) * repeat + run) for run in range(runs + 1)]
            task(warm)
            begin = time.process_time()
            for one in given:
                task(one)
            if repeat >= 0:
                times[name].append((time.process_time() - begin) * 1e3 / runs)
    return times


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python, of what the engine stands on, and of `packages`."""
    found = {name: importlib.metadata.version(name) for name in ("numpy", "numba", *packages)}
    return {"python": sys.version.split()[0], **found}


def gemm_gflops(kind: Any = np.float64, size: int = 1024, repeats: int = 7) -> float:
    """Return this machine's rate of matrix products in this process, on this thread."""
    generator = np.random.default_rng(0)
    a, b = (generator.normal(size=(size, size)).astype(kind) for _ in range(2))
    out = np.empty((size, size), kind)
    times = []
    for _ in range(repeats + 1):
        begin = time.process_time()
        np.matmul(a, b, out=out)
        times.append(time.process_time() - begin)
    return 2e-9 * size**3 / statistics.median(times[1:])


def document(
    times: Mapping[str, list[float]], worst: float, packages: tuple[str, ...], **facts: Any
) -> dict[str, Any]:
    """Return the figures: ours, every use of a peer's, and the best of them once more as *the* ratio.

    A ratio is the median of the ratios repeat by repeat.
    """
    uses = {name: against(values, times["qwarden"]) for name, values in times.items() if name != "qwarden"}
    best = min(uses, key=lambda name: uses[name]["ms"])
    return {
        "ratio": uses[best]["ratio"],
        "ours_ms": round(statistics.median(times["qwarden"]), 3),
        "peer_ms": uses[best]["ms"],
        "peer": best,
        "uses": uses,
        "max_abs_diff": worst,
        "gemm_gflops": round(gemm_gflops(), 1),
        **facts,
        "repeats": len(times["qwarden"]),
        "versions": versions(*packages),
    }


def against(peer: list[float], ours: list[float]) -> dict[str, Any]:
    """Return a peer's time, and its ratio to ours with quartiles."""
    ratios = [theirs / own for theirs, own in zip(peer, ours, strict=True)]
    return {
        "ms": round(statistics.median(peer), 3),
        "ratio": round(statistics.median(ratios), 2),
        "quartiles": [round(float(q), 2) for q in np.quantile(ratios, [0.25, 0.75])],
    }


def kernel_facts(feature_map: Any, rows: int) -> dict[str, Any]:
    """Return what a comparison of whole kernels tells of the task, our own operations included.

    Of the kernel, the three real products of the upper triangle count (see `qwarden.quantum._fidelity`).
    """
    products = 3 * rows * (rows + 1) * feature_map.dimension
    return {
        "n": rows,
        "qubits": feature_map.qubits,
        "depth": feature_map.depth,
        "two_qubit_gates": feature_map.two_qubit_gates,
        "our_flops": rows * state_flops(feature_map) + products,
    }


def uniform_rows(rows: int, qubits: int, seed: int) -> Callable[[int], Any]:
    """Return fresh uniform features in [0, pi) for each repeat."""
    return lambda repeat: np.random.default_rng([seed, repeat + 1000]).uniform(0, np.pi, (rows, qubits))


class QNNStep:
    """One training step of a QNN: from fresh data and labels to the loss and its gradient by the weights.

    ZZ feature map (2 repetitions, linear), RealAmplitudes (3 repetitions, linear), <Z_0>, mean squared
    error, float64, the encoding of the data included.
    """

    def __init__(self, rows: int, qubits: int, seed: int) -> None:
        self.rows, self.qubits, self.seed = rows, qubits, seed
        self.feature_map = zz_feature_map(qubits, 2, "linear")
        self.ansatz = real_amplitudes(qubits, 3, "linear")
        self._backend, self._readout = LocalBackend(), [PauliSum.z(0)]

    def data(self, repeat: int) -> Any:
        """Return features, labels and weights."""
        generator = np.random.default_rng([self.seed, repeat + 1000])
        X = generator.uniform(0, np.pi, (self.rows, self.qubits))
        labels = generator.choice([-1.0, 1.0], self.rows)
        return X, labels, generator.uniform(0, 2 * np.pi, self.ansatz.columns)

    def ours(self, given: Any) -> Any:
        """Return our loss and gradient."""
        X, y, weights = given
        encoded = self._backend.states(self.feature_map, self.feature_map.angles(X))
        E, pullback = self._backend.expectations_and_pullback(
            self.ansatz, weights[None], self._readout, encoded
        )
        error = E[:, 0] - y
        return np.mean(error**2), pullback(2 / len(y) * error[:, None])[0]

    def largest_difference(self, peers: Mapping[str, Task]) -> float:
        """Return how far any peer's loss or gradient is from ours; more than 1e-10 ends the run."""
        given = self.data(-1)
        value, gradient = self.ours(given)
        worst = 0.0
        for peer in peers.values():
            peer_value, peer_gradient = peer(given)
            worst = max(worst, abs(value - peer_value), float(np.abs(gradient - peer_gradient).max()))
        if worst > 1e-10:
            raise SystemExit(f"loss or gradient differ by {worst}")
        return worst

    def facts(self) -> dict[str, Any]:
        """Return what a comparison tells of the task.

        Of our operations count the states and the two real products with the ansatz's matrix, of which
        <Z_0> needs half the columns; the sweeps that make that matrix are left out.
        """
        whole, dimension = self.feature_map + self.ansatz, self.feature_map.dimension
        products = 2 * 2 * (2 * self.rows) * dimension * dimension // 2
        return {
            "n": self.rows,
            "qubits": self.qubits,
            "depth": whole.depth,
            "two_qubit_gates": whole.two_qubit_gates,
            "our_flops": self.rows * state_flops(self.feature_map) + products,
            "seed": self.seed,
        }


def largest_kernel_difference(ours: Task, peers: Mapping[str, Task], X: Any, limit: float) -> float:
    """Return how far any peer's kernel is from ours; more than `limit` ends the run."""
    own = ours(X)
    worst = max(float(np.abs(own - np.asarray(peer(X))).max()) for peer in peers.values())
    if worst > limit:
        raise SystemExit(f"the kernels differ by {worst}")
    return worst


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
