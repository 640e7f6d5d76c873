"""How fast detection is: flows scored, alerts stored, packets beside a peer's."""

from __future__ import annotations

from qwarden.core.bench import run_bench
from qwarden.core.measure import Bench, Measured, measure


@measure(
    "detect.throughput",
    definition="Flows scored a second of one core's time, from canonical flows in order of their end to "
    "threat scores: feature rows with host windows, names of behaviours, and the scores of the quantum "
    "members and of their twin, in pieces of 8,192. quantum_flows_per_s: without the twin's scores; "
    "features_flows_per_s: without any. Median of the runs; reader, findings and store are not part of it.",
    units={"flows_per_s": "flows/s", "quantum_flows_per_s": "flows/s", "features_flows_per_s": "flows/s"},
)
def throughput(bench: Bench) -> Measured:  # noqa: ARG001
    """Time flows of the traffic range."""
    found = run_bench("detect/throughput.py")
    return Measured(
        values={name: found[name] for name in ("flows_per_s", "quantum_flows_per_s", "features_flows_per_s")},
        data=f"traffic range, {found['flows']} flows, model {found['model']}",
        seeds=range(found["seed"], found["seed"] + found["ranges"]),
        n=found["runs"],
    )


@measure(
    "detect.alert_ms",
    definition="Wall time from a flow's last packet, written into a pipe, to its alert committed to the "
    "store on disk, at 1,000 TCP flows/s that close: sandboxed reading process, meter, early lane, scores, "
    "finding. An alert's flow is the one that opened its finding; the first 3 s are not counted.",
    units={"p50": "ms", "p99": "ms"},
    article={"p50": 10},
)
def alert_ms(bench: Bench) -> Measured:  # noqa: ARG001
    """Feed a pipe as time goes by."""
    found = run_bench("detect/alert.py")
    return Measured(
        values={"p50": found["p50_ms"], "p99": found["p99_ms"]},
        data=f"generated packets, {found['flows']} flows, bench/detect/alert.py, seed {found['seed']}, "
        f"model {found['model']}",
        seeds=[found["seed"]],
        n=found["alerts"],
    )


@measure(
    "detect.rate_vs_nfstream",
    definition="Our packets a second over nfstream's, from a pcap file to flow statistics: the same file, "
    "all processes on one core, in turns, nfstream with statistical_analysis and without deep packet "
    "inspection; median of the repeats' ratios.",
    units={"ratio": "1"},
)
def rate_vs_nfstream(bench: Bench) -> Measured:
    """Pair with nfstream in its own environment."""
    found = run_bench("detect/rate_vs_nfstream.py", "--peer", str(bench.peer("nfstream")))
    return Measured(
        values={"ratio": found["ratio"]},
        data=f"generated capture, {found['packets']} packets, nfstream {found['nfstream']}",
        seeds=[found["seed"]],
        n=found["repeats"],
    )
