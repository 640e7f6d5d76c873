"""Pair the engine with its peers, and write versions and ratios as a page of the documentation.

Every script below ``bench/engine`` named here times both sides in one process, on one thread, warm, with
fresh data each repeat, and checks first that both find the same numbers. Each runs with the Python of its
peer's environment, ``QWARDEN_PEERS/NAME/bin/python``; a peer that is not installed is named as such.

``python bench/benchmarks.py docs/benchmarks.md`` (`make bench`)
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwarden.core.bench import ROOT, run_bench

HEAD = """# Benchmarks: the engine beside its peers

Written by `make bench` (`bench/benchmarks.py`). One process, one thread, warm, fresh data each repeat, both
sides in turns; CPU time of the process, medians; float64 unless it says otherwise. Before anything is timed,
both sides' numbers are compared: the last column is their largest difference. A ratio is the peer's time
over ours, repeat by repeat; of each table **the strongest use of any peer stands first**. Milliseconds
depend on the machine and on what else it does: read the ratios.
"""


@dataclass(frozen=True)
class Pairing:
    """One script: what it compares, and in whose environment."""

    peer: str
    script: str


@dataclass(frozen=True)
class Table:
    """Pairings on one task."""

    title: str
    text: str
    pairings: tuple[Pairing, ...]


TABLES = (
    Table(
        "Kernel matrix",
        "From a matrix of data to the whole fidelity kernel; ZZ feature map, 2 repetitions, linear.",
        (
            Pairing("pennylane", "kernel_vs_pennylane.py"),
            Pairing("squlearn", "kernel_vs_squlearn.py"),
            Pairing("qiskit-machine-learning", "kernel_vs_qiskit_ml.py"),
        ),
    ),
    Table(
        "QNN training step",
        "From fresh data and labels to the loss and its gradient by the weights: ZZ feature map, "
        "RealAmplitudes (3 repetitions, linear), <Z_0>, mean squared error, the encoding included.",
        (
            Pairing("pennylane", "qnn_step_vs_pennylane.py"),
            Pairing("tensorcircuit", "qnn_step_vs_tensorcircuit.py"),
        ),
    ),
)


def main() -> None:
    """Run every pairing that is installed, and write the page."""
    parser = argparse.ArgumentParser(description="pair the engine with its peers")
    parser.add_argument("page", type=Path)
    page = parser.parse_args().page
    peers = Path(os.environ.get("QWARDEN_PEERS") or ROOT / ".peers")
    found: dict[Pairing, dict[str, Any]] = {}
    for pairing in (pairing for table in TABLES for pairing in table.pairings):
        python = peers / pairing.peer / "bin" / "python"
        if python.exists():
            say(pairing.script)
            found[pairing] = run_bench(f"engine/{pairing.script}", python=python.absolute())
        else:
            say(f"{pairing.script}: {pairing.peer} is not installed below {peers}")
    say("states_share.py")
    states = run_bench("engine/states_share.py")
    say("score_us.py")
    score = run_bench("engine/score_us.py")
    parts = [HEAD, *(peer_table(table, found) for table in TABLES), own_rates(states, found), latency(score)]
    page.write_text("\n".join([*parts, versions([states, *found.values()])]), encoding="utf-8")
    say(f"written: {page}")


def say(text: str) -> None:
    """Report progress."""
    print(text, file=sys.stderr)


def peer_table(table: Table, found: dict[Pairing, dict[str, Any]]) -> str:
    """Render every use of every peer, the strongest first."""
    rows = []
    for document in (found[pairing] for pairing in table.pairings if pairing in found):
        for use, times in document["uses"].items():
            rows.append(
                (
                    times["ratio"],
                    f"| {use} | {document['n']} | {document['qubits']} | {document['ours_ms']:.3g} "
                    f"| {times['ms']:.4g} | **{times['ratio']:.3g}** | {times['quartiles'][0]:.3g} to "
                    f"{times['quartiles'][1]:.3g} | {document['max_abs_diff']:.0e} |",
                )
            )
    lines = [f"## {table.title}\n", f"{table.text}\n"]
    if rows:
        lines += [
            "| peer | rows | qubits | ours, ms | peer, ms | ratio | quartiles | difference |",
            "|---|---|---|---|---|---|---|---|",
            *(row for _, row in sorted(rows)),
            "",
        ]
    missing = sorted({pairing.peer for pairing in table.pairings if pairing not in found})
    if missing:
        lines += [f"Not installed: {', '.join(missing)}.\n"]
    return "\n".join(lines)


def own_rates(states: dict[str, Any], found: dict[Pairing, dict[str, Any]]) -> str:
    """Render our floating-point rates beside that of the machine's matrix products."""
    lines = [
        "## Beside the machine's own matrix products\n",
        "Our floating-point operations a second over the rate of a 1024 x 1024 float64 product in the same "
        "process. Operations are counted from the algorithm (`bench/engine/_flops.py`): of states every "
        "addition and multiplication, a sine or cosine as one; of kernels the states and the three real "
        "products of the upper triangle; of steps the states and the two products with the ansatz's "
        "matrix.\n",
        "| task | rows | qubits | time | GFLOP/s | gemm GFLOP/s | share |",
        "|---|---|---|---|---|---|---|",
    ]
    for qubits, own in states["by_qubits"].items():
        lines.append(
            f"| states | {states['n']} | {qubits} | {own['us_a_state']:.3g} us a state | {own['gflops']:.3g} "
            f"| {own['gemm_gflops']:.3g} | {own['share']:.2f} |"
        )
    for pairing, document in found.items():
        rate = document["our_flops"] / (document["ours_ms"] * 1e6)
        lines.append(
            f"| {'kernel' if 'kernel' in pairing.script else 'QNN step'}, beside {pairing.peer} "
            f"| {document['n']} | {document['qubits']} | {document['ours_ms']:.3g} ms | {rate:.3g} "
            f"| {document['gemm_gflops']:.3g} | {rate / document['gemm_gflops']:.2f} |"
        )
    return "\n".join([*lines, ""])


def latency(score: dict[str, Any]) -> str:
    """Render how long one row takes."""
    return (
        "## One row\n\n"
        f"A feature row of {score['columns']} columns to log-odds, {score['qubits']} qubits, a hybrid "
        f"classifier's `decision_function`, one row a call, wall time: median "
        f"**{score['median_us']:.3g} us**, 99th percentile {score['p99_us']:.3g} us; "
        f"the compiled call alone {score['call_us']:.3g} us.\n"
    )


def versions(documents: list[dict[str, Any]]) -> str:
    """Render what was compared with what."""
    known: dict[str, str] = {}
    for document in documents:
        known |= document["versions"]
    return "## Versions\n\n" + ", ".join(f"{name} {known[name]}" for name in sorted(known)) + ".\n"


if __name__ == "__main__":
    main()
