"""How fast links are simulated, beside a peer."""

from __future__ import annotations

from qwarden.core.bench import run_bench
from qwarden.core.measure import Bench, Measured, measure


@measure(
    "keys.pulses_vs_sequence",
    definition="Our simulated pulses a second of BB84 over SeQUeNCe's, one thread of each, in turns, "
    "processor time: 1 km, receivers of efficiency 0.1, 0.5 photons a pulse, dead time, and of ours "
    "afterpulses; per_pulse follows every photon of every pulse, count_exact draws the clicks only. Medians "
    "of the repeats' ratios.",
    units={"per_pulse": "1", "count_exact": "1"},
)
def pulses_vs_sequence(bench: Bench) -> Measured:
    """Pair with SeQUeNCe in its own environment."""
    found = run_bench("keys/pulses_vs_sequence.py", "--peer", str(bench.peer("sequence")))
    pulses = found["pulses"]
    return Measured(
        values={name: found[name] for name in ("per_pulse", "count_exact")},
        data=f"simulated link of 1 km, {pulses['per_pulse']:,}, {pulses['count_exact']:,} and "
        f"{pulses['sequence']:,} pulses a repeat, SeQUeNCe {found['sequence']}",
        seeds=range(found["seed"], found["seed"] + found["repeats"]),
        n=found["repeats"],
    )
