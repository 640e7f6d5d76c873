"""A flow written as a line of a log is read back as it was, whatever it is."""

import ipaddress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.formats import craft, logs

from qwarden.formats.flows import TCP_STATES, split_address

COUNTS = ("orig_bytes", "resp_bytes", "orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes")
counts = st.one_of(st.none(), st.integers(0, 5), st.integers(0, 10**15 - 1))
ports = st.integers(0, 65535)
nanoseconds = st.integers(0, 4 * 10**18)
pairs = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)),
    st.tuples(st.ip_addresses(v=6), st.ip_addresses(v=6)),
)


def seconds(ns: int) -> str:
    return f"{ns // 10**9}.{ns % 10**9:09}"


@st.composite
def connections(draw: st.DrawFn) -> dict[str, Any]:
    src, dst = draw(pairs)
    tcp = draw(st.booleans())
    return {
        "ts": seconds(draw(nanoseconds)),
        "id.orig_h": str(src), "id.orig_p": draw(ports), "id.resp_h": str(dst), "id.resp_p": draw(ports),
        "proto": "tcp" if tcp else "udp",
        "duration": draw(st.one_of(st.none(), st.integers(0, 10**14).map(seconds))),
        "conn_state": draw(st.sampled_from(TCP_STATES)),
        **{name: draw(counts) for name in COUNTS},
    }  # fmt: skip


def exact(text: str | None) -> int:
    """Nanoseconds by another road: through the fraction's digits."""
    if text is None:
        return 0
    whole, part = text.split(".")
    return int(whole + part)


@given(
    st.lists(connections(), min_size=1, max_size=8),
    st.sampled_from("\t|\x01"),
    st.sampled_from(["-", "", "(none)"]),
)
def test_a_connection_comes_back(records: list[dict[str, Any]], separator: str, unset: str) -> None:
    data = logs.tsv(records, separator=separator, unset=unset)
    flows, report = craft.read(data)
    assert (report.problems, len(flows)) == ([], len(records))
    for record, flow in zip(records, flows, strict=True):
        start = exact(record["ts"])
        assert int(flow["start_ns"]) == start
        assert int(flow["end_ns"]) == start + exact(record["duration"])
        for end, side in (("orig", "src"), ("resp", "dst")):
            address = record[f"id.{end}_h"]
            assert (int(flow[f"{side}_hi"]), int(flow[f"{side}_lo"])) == split_address(address)
            assert flow["ip_version"] == ipaddress.ip_address(address).version
            assert flow[f"{side}_port"] == record[f"id.{end}_p"]
        tcp = record["proto"] == "tcp"
        assert flow["proto"] == (6 if tcp else 17)
        assert flow["tcp_state"] == (TCP_STATES.index(record["conn_state"]) if tcp else -1)
        for end, way in (("orig", "out"), ("resp", "in")):
            packets, seen = record[f"{end}_pkts"], record[f"{end}_ip_bytes"]
            assert flow[f"packets_{way}"] == (-1 if packets is None else packets)
            assert flow[f"bytes_{way}"] == (-1 if seen is None else seen)
            payload = record[f"{end}_bytes"]
            if packets == 0:
                payload = 0
            elif payload is not None and seen is not None and payload > seen:
                payload = None  # more than was seen
            assert flow[f"payload_{way}"] == (-1 if payload is None else payload)


@given(nanoseconds, st.integers(-14 * 60, 14 * 60), st.integers(0, 9))
def test_stamps_of_every_zone_and_precision(ns: int, offset: int, digits: int) -> None:
    """Written by the calendar of another library."""
    import numpy as np

    from qwarden.formats.readers.fields import stamp

    ns -= ns % 10 ** (9 - digits)
    if ns + offset * 60 * 10**9 < 0:
        return
    local = np.datetime64(ns + offset * 60 * 10**9, "ns")
    text = str(local)[: 19 + (digits and digits + 1)]
    sign, minutes = "-" if offset < 0 else "+", abs(offset)
    assert stamp(f"{text}{sign}{minutes // 60:02}{minutes % 60:02}") == ns
    assert stamp(f"{text}{sign}{minutes // 60:02}:{minutes % 60:02}") == ns


@given(st.integers(0, 4 * 10**15))
def test_a_time_of_microseconds_survives_its_way_through_a_float(us: int) -> None:
    """As Zeek writes times in JSON: six digits, read by any parser as binary fractions."""
    from qwarden.formats.readers.fields import float_nanoseconds

    assert float_nanoseconds(float(f"{us // 10**6}.{us % 10**6:06}")) == us * 1000
