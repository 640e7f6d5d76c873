"""The engine's figures: how exact it is, and how fast beside its peers."""

from __future__ import annotations

from qwarden.core.bench import run_bench
from qwarden.core.measure import Bench, Measured, Resources, measure


@measure(
    "engine.exactness",
    definition="Largest absolute difference to Qiskit over states, expectation values, gradients and "
    "fidelity kernels of random circuits on 1 to 8 qubits.",
    units={"max_abs_diff": "1"},
)
def exactness(bench: Bench) -> Measured:  # noqa: ARG001
    """Compare with Qiskit on random circuits."""
    found = run_bench("engine/exactness.py")
    return Measured(
        values={"max_abs_diff": found["max_abs_diff"]},
        data=f"random circuits, generator bench/engine/exactness.py, seed {found['seed']}, "
        f"qiskit {found['versions']['qiskit']}",
        seeds=[found["seed"]],
        n=found["circuits"],
    )


@measure(
    "engine.kernel_vs_pennylane",
    definition="Time of PennyLane (broadcast states, then one GEMM) over ours for the whole fidelity "
    "kernel of a ZZ feature map, n=1000, q=8: one process, one thread, warm, fresh data each repeat.",
    units={"ratio": "1"},
)
def kernel_vs_pennylane(bench: Bench) -> Measured:
    """Pair with PennyLane in its own environment."""
    found = run_bench("engine/kernel_vs_pennylane.py", python=bench.peer("pennylane"))
    return Measured(
        values={"ratio": found["ratio"]},
        data=f"uniform features, ours {found['ours_ms']:.4g} ms, peer {found['peer_ms']:.4g} ms, "
        f"{_versions(found)}",
        n=found["repeats"],
        resources=_resources(found),
    )


@measure(
    "engine.qnn_step_vs_pennylane",
    definition="Time of PennyLane's best interface (torch or jax) over ours for one training step, ZZ "
    "encoding and RealAmplitudes reps 3, q=6, batch 256, float64, encoding included on both sides.",
    units={"ratio": "1"},
)
def qnn_step_vs_pennylane(bench: Bench) -> Measured:
    """Pair with PennyLane in its own environment."""
    found = run_bench("engine/qnn_step_vs_pennylane.py", python=bench.peer("pennylane"))
    return Measured(
        values={"ratio": found["ratio"]},
        data=f"uniform features, ours {found['ours_ms']:.4g} ms, peer {found['peer_ms']:.4g} ms, "
        f"{_versions(found)}",
        n=found["repeats"],
        resources=_resources(found),
    )


def _versions(found: dict[str, dict[str, str]]) -> str:
    return ", ".join(f"{name} {version}" for name, version in found["versions"].items())


def _resources(found: dict[str, int]) -> Resources:
    return Resources(
        qubits=found["qubits"], depth=found["depth"], two_qubit_gates=found["two_qubit_gates"], shots=None
    )
