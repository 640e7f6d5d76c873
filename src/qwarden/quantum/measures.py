"""The engine's figures: how exact it is, and how fast beside its peers."""

from __future__ import annotations

from typing import Any

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
    return _ratio(run_bench("engine/kernel_vs_pennylane.py", python=bench.peer("pennylane")))


@measure(
    "engine.kernel_vs_qiskit_ml",
    definition="Time of qiskit-machine-learning's FidelityStatevectorKernel over ours for the whole fidelity "
    "kernel of a ZZ feature map, n=500, q=8, the matrices equal to 1e-9: one process, one thread, warm, "
    "fresh data each repeat.",
    units={"ratio": "1"},
)
def kernel_vs_qiskit_ml(bench: Bench) -> Measured:
    """Pair with qiskit-machine-learning in its own environment."""
    python = bench.peer("qiskit-machine-learning")
    return _ratio(run_bench("engine/kernel_vs_qiskit_ml.py", python=python))


@measure(
    "engine.qnn_step_vs_pennylane",
    definition="Time of PennyLane's best interface (torch or jax) over ours for one training step, ZZ "
    "encoding and RealAmplitudes reps 3, q=6, batch 256, float64, encoding included on both sides.",
    units={"ratio": "1"},
)
def qnn_step_vs_pennylane(bench: Bench) -> Measured:
    """Pair with PennyLane in its own environment."""
    return _ratio(run_bench("engine/qnn_step_vs_pennylane.py", python=bench.peer("pennylane")))


@measure(
    "engine.exactness_f32",
    definition="Largest absolute difference between fidelity kernels of states kept and multiplied in "
    "float32 and in float64, over ZZ and re-uploading maps on 2 to 10 qubits, near copies among the rows.",
    units={"max_abs_diff": "1"},
)
def exactness_f32(bench: Bench) -> Measured:  # noqa: ARG001
    """Compare our two precisions."""
    found = run_bench("engine/exactness_f32.py")
    return Measured(
        values={"max_abs_diff": found["max_abs_diff"]},
        data=f"uniform features, {found['n']} rows a kernel, {_versions(found)}",
        seeds=[found["seed"]],
        n=found["kernels"],
    )


@measure(
    "engine.states_share",
    definition="Floating-point operations of our state algorithm a second (counted from the algorithm, a "
    "sine or cosine as one; ZZ feature map, 2 repetitions, linear, q=8, angles and writing included in the "
    "time) over the rate of a 1024 x 1024 float64 matrix product in the same process on the same thread.",
    units={"share": "1"},
)
def states_share(bench: Bench) -> Measured:  # noqa: ARG001
    """Measure states and matrix products in turns."""
    found = run_bench("engine/states_share.py")
    return Measured(
        values={"share": found["share"]},
        data=f"uniform features, {found['n']} rows, {found['us_a_state']:.4g} us and "
        f"{found['flops_a_state']} operations a state, gemm {found['gemm_gflops']:.4g} GFLOP/s, "
        f"{_versions(found)}",
        seeds=[found["seed"]],
        n=found["repeats"],
        resources=_resources(found),
    )


@measure(
    "engine.score_us",
    definition="Wall time from one feature row to its log-odds, q=6: a hybrid classifier's "
    "decision_function, one row a call, the check of its input included, preparing raw features not.",
    units={"median": "us"},
)
def score_us(bench: Bench) -> Measured:  # noqa: ARG001
    """Score fresh rows one by one."""
    found = run_bench("engine/score_us.py")
    return Measured(
        values={"median": found["median_us"]},
        data=f"normal features, {found['columns']} columns, p99 {found['p99_us']:.4g} us, "
        f"compiled call alone {found['call_us']:.4g} us, {_versions(found)}",
        seeds=[found["seed"]],
        n=found["n"],
        resources=_resources(found),
    )


@measure(
    "engine.noise_vs_aer",
    definition="Largest absolute difference to Qiskit Aer's density_matrix method over density matrices, and "
    "expectation values as read, of random circuits on 1 to 10 qubits under random noise models "
    "(depolarising, amplitude and phase damping, alone and together, with read-out errors).",
    units={"max_abs_diff": "1"},
)
def noise_vs_aer(bench: Bench) -> Measured:  # noqa: ARG001
    """Compare with Aer on random circuits and noise models."""
    found = run_bench("engine/noise_vs_aer.py")
    return Measured(
        values={"max_abs_diff": found["max_abs_diff"]},
        data=f"random circuits and noise models, generator bench/engine/noise_vs_aer.py, "
        f"seed {found['seed']}, {_versions(found)}",
        seeds=[found["seed"]],
        n=found["circuits"],
    )


@measure(
    "engine.primal_rows",
    definition="Rows a second trained in the primal, from feature rows (angles and states included) to the "
    "squared-hinge machine of the fidelity kernel, gradient 1e-4 of the first: q=4, n=1e6, one thread, CPU "
    "time, the best of the repeats.",
    units={"rows_per_s": "1/s"},
)
def primal_rows(bench: Bench) -> Measured:  # noqa: ARG001
    """Train on a million generated rows."""
    found = run_bench("engine/primal_rows.py")
    hinge = found["losses"]["squared_hinge"]
    return Measured(
        values={"rows_per_s": found["rows_per_s"]},
        data=f"normal features, labels of a random observable, {found['flipped']:.0%} flipped, generator "
        f"bench/engine/primal_rows.py, seed {found['seed']}, {found['n']} rows, accuracy on fresh rows "
        f"{hinge['accuracy']}, {_versions(found)}",
        split="fresh rows of the same generator",
        seeds=[found["seed"]],
        n=found["repeats"],
        resources=_resources(found),
    )


def _ratio(found: dict[str, Any]) -> Measured:
    """Return what a comparison with a peer found."""
    return Measured(
        values={"ratio": found["ratio"]},
        data=f"uniform features, ours {found['ours_ms']:.4g} ms, {found['peer']} {found['peer_ms']:.4g} ms, "
        f"{_versions(found)}",
        seeds=[found["seed"]],
        n=found["repeats"],
        resources=_resources(found),
    )


def _versions(found: dict[str, dict[str, str]]) -> str:
    return ", ".join(f"{name} {version}" for name, version in found["versions"].items())


def _resources(found: dict[str, int]) -> Resources:
    return Resources(
        qubits=found["qubits"], depth=found["depth"], two_qubit_gates=found["two_qubit_gates"], shots=None
    )
