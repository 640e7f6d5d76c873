"""How fast keys come from a key management entity."""

from __future__ import annotations

from qwarden.core.bench import run_bench
from qwarden.core.measure import Bench, Measured, measure


@measure(
    "keys.kme_rps",
    definition="Keys of 256 bits a second that one entity delivers over ETSI GS QKD 014 on mutual TLS to 16 "
    "clients, connections kept alive, one key a request; both entities and the clients are processes of this "
    "machine. A key counts when the other entity holds it too and both have it on disk (fsync); every key is "
    "then fetched there and compared, and none may come twice. Median of the runs.",
    units={"keys_per_s": "1/s"},
)
def kme_rps(bench: Bench) -> Measured:  # noqa: ARG001
    """Start both entities, ask them from 16 clients, and compare what the other end gives."""
    found = run_bench("keys/kme.py")
    return Measured(
        values={"keys_per_s": found["keys_per_s"]},
        data=f"random bits; {found['keys']} keys compared, {found['clients']} clients",
        n=len(found["rates"]),
    )
