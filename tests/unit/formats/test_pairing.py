"""Records of one direction to flows of both: who began, what ended, what joins, and what does not."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from qwarden.formats import MeterSettings
from qwarden.formats.flows import TCP_STATES, Flows, join_address
from qwarden.formats.readers.pairing import Pairing
from qwarden.formats.readers.rows import OneWay, Row, to_flows
from qwarden.formats.readers.tcpflags import ACK, FIN, PSH, RST, SYN

A, B = (0, 0xFFFF0A000001), (0, 0xFFFF0A000002)
S = 1_000_000_000
SETTINGS = MeterSettings()


def out(start: float, end: float, packets: int = 1, size: int = 60, flags: int = -1, **more: Any) -> OneWay:
    """A record from A:40000 to B:80."""
    ends = (*A, more.pop("sport", 40000)), (*B, more.pop("dport", 80))
    return OneWay(
        round(start * S), round(end * S), *ends, 4, more.pop("proto", 6), packets, size, flags, **more
    )


def back(start: float, end: float, packets: int = 1, size: int = 60, flags: int = -1, **more: Any) -> OneWay:
    """A record the other way."""
    record = out(start, end, packets, size, flags, **more)
    return replace(record, src=record.dst, dst=record.src)


def paired(*records: OneWay, pairing: Pairing | None = None) -> Flows:
    pairing = pairing or Pairing(SETTINGS)
    rows: list[Row] = []
    for record in records:
        rows += pairing.add(record)
    rows += pairing.rest()
    assert pairing.held == 0
    return to_flows(rows, 0)


def state(flow: np.void) -> str:
    return "-" if flow["tcp_state"] < 0 else TCP_STATES[flow["tcp_state"]]


def test_two_directions_are_one_flow() -> None:
    [flow] = paired(out(1, 3, 6, 900, SYN | ACK | PSH | FIN), back(1.5, 4, 5, 50_000, SYN | ACK | PSH | FIN))
    assert (int(flow["start_ns"]), int(flow["end_ns"])) == (1 * S, 4 * S)
    assert (flow["packets_out"], flow["packets_in"], flow["bytes_out"], flow["bytes_in"]) == (
        6,
        5,
        900,
        50_000,
    )
    assert (state(flow), flow["src_port"], flow["dst_port"]) == ("SF", 40000, 80)
    assert flow["syn_out"] == flow["fin_in"] == 1
    assert 49_500 < flow["payload_in"] < 50_000


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("there", "here"),
    [
        # Who sent first, of two SYNs.
        (out(1, 2, flags=SYN | ACK), back(1.001, 2, flags=SYN | ACK)),
        # A SYN without ACK, whatever the clocks say.
        (out(1, 1, flags=SYN), back(0.999, 1, flags=RST | ACK)),
        # The same moment, or no SYN: the port below 1024.
        (out(1, 2, flags=SYN | ACK), back(1, 2, flags=SYN | ACK)),
        (out(1, 2, flags=PSH | ACK), back(0.5, 2, flags=PSH | ACK)),
        (out(1, 2), back(0.5, 2)),
        # No port below 1024: who sent first, or the smaller one serves.
        (out(0.5, 2, dport=8080), back(1, 2, dport=8080)),
        (out(1, 2, dport=8080), back(1, 2, dport=8080)),
        (out(0.5, 2, sport=8080, dport=9090), back(1, 2, sport=8080, dport=9090)),
        # A known beginning.
        (out(1, 2, sport=80, dport=40000, begun=True), back(1, 2, sport=80, dport=40000)),
    ],
)
def test_who_began(there: OneWay, here: OneWay, turned: bool) -> None:
    records = (here, there) if turned and not there.begun else (there, here)
    [flow] = paired(*records)
    assert join_address(flow["src_hi"], flow["src_lo"]) == "10.0.0.1"


def test_what_is_unanswered_has_nothing_back_unless_nobody_looked() -> None:
    [flow] = paired(out(1, 4, 3, 180, SYN))
    assert (state(flow), flow["packets_in"], flow["payload_out"], flow["syn_out"]) == ("S0", 0, 0, 3)
    [flow] = paired(out(1, 4, 3, 180, SYN), pairing=Pairing(SETTINGS, both_ways=False))
    assert (state(flow), flow["packets_in"], flow["bytes_in"], flow["rst_in"]) == ("-", -1, -1, -1)
    [flow] = paired(back(1, 1, 1, 40, RST | ACK))  # an answer whose question was lost
    assert (join_address(flow["src_hi"], flow["src_lo"]), flow["packets_out"], state(flow)) == (
        "10.0.0.1",
        0,
        "OTH",
    )
    # What is not yet counted is unknown both ways.
    [flow] = paired(out(1, 1, -1, -1, begun=True, proto=17))
    assert (flow["packets_out"], flow["packets_in"]) == (-1, -1)


def test_without_flags_sizes_tell_what_failed() -> None:
    for records, expected in (
        ((out(1, 4, 3, 180),), "S0"),
        ((out(1, 4, 3, 180), back(1, 4, 3, 120)), "REJ"),
        ((out(1, 1, 1, 60), back(1, 1, 1, 60)), "-"),  # a SYN+ACK
        ((out(1, 4, 3, 400),), "-"),
        ((out(1, 4, 9, 4000), back(1, 4, 9, 4000)), "-"),
        ((out(1, 4, 20, 4249, rejected=True),), "S0"),
    ):
        [flow] = paired(*records)
        assert state(flow) == expected, records


def test_gaps_and_lengths() -> None:
    assert len(paired(out(0, 1), out(62, 63))) == 2  # idle for more than 60 s
    assert len(paired(out(0, 1), out(60, 63))) == 1
    pieces = [out(at, at + 59, 10, 4000) for at in range(0, 600, 60)]
    flows = paired(*pieces)
    assert len(flows) == 2  # cut after 300 s
    assert flows["packets_out"].tolist() == [50, 50]
    # The other direction may be told in one piece, however long.
    flows = paired(out(0, 1800, 10), back(1, 1799, 9))
    assert (len(flows), flows["packets_in"].tolist()) == (1, [9])


def test_a_new_syn_after_the_end_is_a_new_flow() -> None:
    tries = [record for at in range(3) for record in (out(at, at, flags=SYN), back(at, at, flags=RST | ACK))]
    flows = paired(*tries)
    assert [state(flow) for flow in flows] == ["REJ"] * 3
    assert len(paired(out(0, 0, flags=SYN), out(1, 1, flags=SYN))) == 1  # retransmitted


def test_others_do_not_join() -> None:
    for other in ({"proto": 17}, {"sport": 40001}, {"observer": "eni-2"}, {"rejected": True}):
        assert len(paired(out(0, 1), back(0, 1, **other))) == 2, other
    assert len(paired(out(0, 1), back(0, 1, vlan=7))) == 1


def test_icmp_pairs_by_type() -> None:
    plain = {"sport": -1, "dport": -1, "proto": 1}
    ask, answer = out(0, 1, 5, 420, kind=8, code=0, **plain), back(0, 1, 5, 420, kind=0, code=0, **plain)
    [flow] = paired(ask, answer)
    assert (flow["icmp_type"], flow["packets_out"], flow["packets_in"], flow["payload_out"]) == (8, 5, 5, 280)
    [flow] = paired(replace(answer, start=1, end=2), replace(ask, start=0, end=1))
    assert (join_address(flow["src_hi"], flow["src_lo"]), flow["icmp_type"]) == ("10.0.0.1", 8)
    assert len(paired(ask, replace(answer, kind=3, code=1))) == 2


def test_waiting_is_bounded_in_time_and_number() -> None:
    pairing = Pairing(SETTINGS, patience_s=60)
    assert pairing.add(out(0, 1)) == []
    assert pairing.until(61 * S) == []
    assert len(pairing.until(62 * S)) == 1
    file = Pairing(SETTINGS)
    file.add(out(0, 1))
    file.add(out(0, 1, sport=1))
    file.add(back(0, 1, sport=1))  # both ways: 60 s will do
    file.add(out(0, 1, flags=SYN, sport=2))
    file.add(back(0, 1, flags=RST, sport=2))  # closed: 5 s
    assert [len(file.until(at * S)) for at in (6, 7, 61, 62, 301, 302)] == [0, 1, 0, 1, 0, 1]
    small = Pairing(MeterSettings(max_flows=10))
    rows = [row for at in range(50) for row in small.add(out(0, 1, sport=at))]
    assert (len(rows), small.held, small.evicted) == (40, 10, 40)


def test_a_time_from_nowhere_does_not_stop_the_pairing() -> None:
    far = out(4e9, 4e9, sport=9)
    pairs = [record for at in range(5) for record in (out(at, at, sport=at), back(at, at, sport=at))]
    flows = paired(far, *pairs)
    assert (len(flows), sorted(flows["packets_in"].tolist())) == (6, [0, 1, 1, 1, 1, 1])
