"""How fast two processes make secret bits of sifted ones."""

from __future__ import annotations

from qwarden.core.bench import run_bench
from qwarden.core.measure import Bench, Measured, measure


@measure(
    "keys.chain_mbps",
    definition="Sifted bits a second on their way to secret ones at both ends, blocks of 1,000,000 over "
    "50 km: two processes with a loopback socket between them, one core and one thread each, from the "
    "apparatus's records in memory to equal secret keys: sifting, estimation, Cascade (lean), verification, "
    "amplification, tags; one block after the other, wall time until the later end has its key. Median of "
    "the blocks.",
    units={"mbit_per_s": "Mbit/s"},
)
def chain(bench: Bench) -> Measured:  # noqa: ARG001
    """Run both ends in processes of their own."""
    found = run_bench("keys/chain.py")
    return Measured(
        values={"mbit_per_s": found["mbit_per_s"]},
        data=f"simulated link, seed {found['seed']}: QBER {found['qber']:.2%}, {found['secret_bits']:,} "
        f"secret bits a block; slowest {found['slowest']:.2f}, fastest {found['fastest']:.2f} Mbit/s; "
        f"processor time of both ends {found['processor_s']:.2f} s a block",
        seeds=range(found["seed"], found["seed"] + found["runs"] + 1),
        n=found["runs"],
    )
