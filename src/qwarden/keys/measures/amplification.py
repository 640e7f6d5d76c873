"""How fast a reconciled key becomes a secret one."""

from __future__ import annotations

from qwarden.core.bench import run_bench
from qwarden.core.measure import Bench, Measured, measure


@measure(
    "keys.amplify_s",
    definition="Wall time of one thread for privacy amplification of 1,000,000 reconciled bits to 500,000 "
    "secret ones by a Toeplitz matrix; median of the runs. Every bit was compared with a product in "
    "integers.",
    units={"seconds": "s"},
)
def amplify(bench: Bench) -> Measured:  # noqa: ARG001
    """Time it, and recompute all bits by bitwise operations."""
    found = run_bench("keys/amplify.py")
    return Measured(
        values={"seconds": found["seconds"]},
        data=f"random bits, seed {found['seed']}",
        seeds=[found["seed"]],
        n=found["runs"],
    )
