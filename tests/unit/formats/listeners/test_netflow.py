"""Datagrams of flow exporters to flows; every message is built here byte by byte from the standards."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from qwarden.formats.accounting import RecordCounts, SourceReport
from qwarden.formats.flows import TCP_STATES, Flows, join_address
from qwarden.formats.listeners.netflow import templates as bounds
from qwarden.formats.listeners.netflow.sessions import Loss, Session
from tests.unit.formats import craft
from tests.unit.formats.listeners import exporter as x

MS = 1_000_000
NAMED: list[x.Field] = [(371, 0xFFFF)]
"""A user's name, of variable length."""
BORN_MS = x.WHEN * 1000 - 10_000
"""Start of an exporter whose messages say 10 s of uptime."""


def read(*datagrams: bytes | tuple[str, bytes] | tuple[float, str, bytes]) -> tuple[Flows, SourceReport]:
    flows, report = craft.read(x.stream(*datagrams))
    check(flows, report)
    return flows, report


def check(flows: Flows, report: SourceReport) -> None:
    counts = report.records
    assert counts.read == (
        counts.flows
        + counts.templates
        + counts.options
        + counts.other
        + counts.malformed
        + counts.undecodable
    )
    assert report.flows_read == len(flows) <= counts.flows
    assert report.format == "netflow"


def counts(**told: int) -> RecordCounts:
    return RecordCounts(**told)


def ends(flow: Flows) -> tuple[str, int, str, int]:
    return (
        join_address(flow["src_hi"], flow["src_lo"]), int(flow["src_port"]),
        join_address(flow["dst_hi"], flow["dst_lo"]), int(flow["dst_port"]),
    )  # fmt: skip


# Version 5


def test_two_records_of_version_5_are_one_flow() -> None:
    there = x.v5_record(packets=6, octets=700, first=1000, last=3000, flags=0x1B)
    back = x.v5_record("10.0.0.2", "10.0.0.1", 80, 40000, packets=5, octets=4000, first=1010, last=3010)
    [flow], report = read(x.v5([there, back]))
    assert ends(flow) == ("10.0.0.1", 40000, "10.0.0.2", 80)
    assert (flow["start_ns"], flow["end_ns"]) == ((BORN_MS + 1000) * MS, (BORN_MS + 3010) * MS)
    assert (flow["packets_out"], flow["bytes_out"], flow["packets_in"], flow["bytes_in"]) == (6, 700, 5, 4000)
    assert (flow["proto"], flow["ip_version"], TCP_STATES[flow["tcp_state"]]) == (6, 4, "SF")
    assert (flow["fin_out"], flow["rst_out"], flow["syn_in"]) == (1, 0, 1)
    assert report.records == counts(datagrams=1, read=2, flows=2)
    assert report.problems == []


def test_uptime_wraps_and_the_header_has_nanoseconds() -> None:
    record = x.v5_record(first=0xFFFFFFFF - 4999, last=2000)  # 5 s before the wrap, 2 s behind it
    [flow], _ = read(x.v5([record], uptime=3000, nanos=250_000_000))
    now_ms = x.WHEN * 1000 + 250
    assert flow["start_ns"] == (now_ms - 8000) * MS
    assert flow["end_ns"] == (now_ms - 1000) * MS


def test_a_clock_that_runs_ahead_a_little_is_believed_and_nonsense_is_not() -> None:
    ahead = x.v5_record(first=9000, last=10_003)
    later = x.v5_record(first=9000, last=10_000 + 3_601_000)
    reverse = x.v5_record(first=9001, last=9000)
    flows, report = read(x.v5([ahead, later, reverse]))
    assert [int(flow["end_ns"]) for flow in flows] == [(x.WHEN * 1000 + 3) * MS]
    assert report.records.malformed == 2
    assert "more than an hour after it was exported" in report.problems[0]
    assert report.problems[1].endswith("the flow ends before it starts")
    assert report.problems[0].startswith("datagram 1, 192.0.2.1 port 9000: ")


def test_sampling_is_noted_and_counts_stay_as_they_are() -> None:
    [flow], report = read(x.v5([x.v5_record(proto=17, packets=3, octets=300)], sampling=0x4000 | 100))
    assert (flow["packets_out"], flow["bytes_out"]) == (3, 300)
    assert report.records.sampled == 1
    [problem] = report.problems
    assert "one packet in 100; counts are as exported, not scaled up" in problem


@pytest.mark.parametrize(
    ("datagram", "flows", "malformed", "why"),
    [
        (x.v5([x.v5_record()], count=3), 1, 1, "ends within record 2 of 3"),
        (x.v5([x.v5_record()] * 2, count=1), 1, 1, "48 bytes follow the last of 1 records"),
        (x.v5([x.v5_record()])[:-1], 0, 1, "ends within record 1 of 1"),
        (x.v5([])[:23], 0, 1, "has 23 bytes; its header alone has 24"),
        (x.v5([x.v5_record()], nanos=10**9), 0, 1, "unix_nsecs"),
        (b"", 0, 0, ""),
        (b"\0", 0, 1, "has 1 bytes; expected NetFlow 5 or 9, or IPFIX"),
        (b"\0\7" + bytes(60), 0, 1, "is of version 7"),
        (b"GET / HTTP/1.1\r\n", 0, 1, "is of version 18245"),
    ],
)
def test_what_is_wrong_with_version_5(datagram: bytes, flows: int, malformed: int, why: str) -> None:
    found, report = read(datagram, x.v5([x.v5_record(sport=1)], sequence=1))
    assert len(found) == flows + 1
    if datagram:
        assert report.records.malformed == malformed
        assert why in report.problems[0]
    assert report.records.datagrams == 2


# Version 9


def test_a_template_and_its_data_in_one_datagram_with_padding() -> None:
    data = x.flowset(256, x.plain() + x.plain(sport=40001), pad=2)
    flows, report = read(x.v9(x.templates9(x.template(256, x.PLAIN)), data))
    assert [ends(flow)[1] for flow in flows] == [40000, 40001]
    assert flows["start_ns"].tolist() == [(BORN_MS + 1000) * MS] * 2
    assert report.records == counts(datagrams=1, read=3, flows=2, templates=1)


def test_data_that_come_before_their_template_wait_for_it() -> None:
    data = x.v9(x.flowset(300, x.plain(first=500)), uptime=4000, sequence=1)
    template = x.v9(x.templates9(x.template(300, x.PLAIN)), uptime=9000, sequence=2, when=x.WHEN + 5)
    [flow], report = read((0, "192.0.2.1", data), (5, "192.0.2.1", template))
    # By the clock of the message that brought them, not of the one that explained them.
    assert flow["start_ns"] == (x.WHEN * 1000 - 3500) * MS
    assert report.records == counts(datagrams=2, read=2, flows=1, templates=1)


def test_data_whose_template_never_comes_are_undecodable() -> None:
    _, report = read(x.v9(x.flowset(300, x.plain())), x.v9(x.flowset(301, x.plain()), sequence=1))
    assert report.records == counts(datagrams=2, read=2, undecodable=2)
    assert report.problems == ["data came without their template; counted by sets as undecodable"]


def test_data_do_not_wait_for_ever() -> None:
    data, template = x.v9(x.flowset(300, x.plain())), x.v9(x.templates9(x.template(300, x.PLAIN)), sequence=1)
    flows, report = read((0, "192.0.2.1", data), (601, "192.0.2.1", template))
    assert len(flows) == 0
    assert report.records == counts(datagrams=2, read=2, templates=1, undecodable=1)


def test_a_template_that_is_not_repeated_is_forgotten() -> None:
    template = x.v9(x.templates9(x.template(300, x.PLAIN)))
    late = x.v9(x.flowset(300, x.plain()), sequence=1, when=x.WHEN + 5401)
    _, report = read((0, "192.0.2.1", template), (5401, "192.0.2.1", late))
    assert report.records == counts(datagrams=2, read=2, templates=1, undecodable=1)


def test_templates_are_their_exporters_and_their_domains() -> None:
    mine = x.templates9(x.template(256, x.PLAIN))
    other = x.templates9(x.template(256, [(x.SRC_4, 4), (x.DST_4, 4), (x.IN_PKTS, 2), (x.PROTOCOL, 1)]))
    short = x.ip4("10.9.9.9") + x.ip4("10.8.8.8") + struct.pack(">HB", 9, 17)
    flows, report = read(
        ("192.0.2.1", x.v9(mine)),
        ("192.0.2.2", x.v9(other)),
        ("192.0.2.1", x.v9(other, source=8)),
        ("192.0.2.1", x.v9(x.flowset(256, x.plain(proto=17)), sequence=1)),
        ("192.0.2.2", x.v9(x.flowset(256, short, pad=1), sequence=1)),
        ("192.0.2.1", x.v9(x.flowset(256, short), source=8, sequence=1)),
        ("2001:db8::9", x.v9(x.flowset(256, short))),
    )
    packets = sorted(int(flow["packets_out"]) for flow in flows)
    assert packets == [5, 18]  # the two alike are pieces of one flow
    assert report.records == counts(datagrams=7, read=7, templates=3, flows=3, undecodable=1)


def test_a_template_is_replaced_by_the_next_of_its_number() -> None:
    swapped = [x.PLAIN[1], x.PLAIN[0], *x.PLAIN[2:]]
    flows, _ = read(
        x.v9(x.templates9(x.template(256, x.PLAIN)), x.flowset(256, x.plain(proto=17))),
        x.v9(
            x.templates9(x.template(256, swapped)), x.flowset(256, x.plain(proto=17, sport=41000)), sequence=1
        ),
    )
    assert {ends(flow)[0] for flow in flows} == {"10.0.0.1", "10.0.0.2"}


def test_what_an_exporter_says_of_itself() -> None:
    """Sampling by options: 34 and 35, and those of RFC 5477; the flows after it are marked."""
    options = x.options9(257, [(1, 4)], [(34, 4), (35, 1)])
    told = x.flowset(257, struct.pack(">IIB", 1, 64, 2), pad=3)
    data = x.flowset(256, x.plain(proto=17))
    _, report = read(
        x.v9(x.templates9(x.template(256, x.PLAIN)), data), x.v9(options, told, sequence=1),
        x.v9(data, sequence=2),
    )  # fmt: skip
    assert report.records == counts(datagrams=3, read=5, flows=2, templates=2, options=1, sampled=1)
    assert "one packet in 64" in report.problems[0]
    options = x.options10(257, [(149, 4)], [(305, 4), (306, 4)])
    told = x.flowset(257, struct.pack(">III", 7, 2, 18))
    _, report = read(x.ipfix(options, told))
    assert "one packet in 10" in report.problems[0]


@pytest.mark.parametrize(
    ("sets", "why"),
    [
        (b"\0\0\0", ""),
        (b"\0\0\1", "the message ends within a set's header"),
        (b"\0\0\0\1\0\0", "set 0 has length 1; expected 4 to 6"),
        (x.flowset(300, b"")[:2] + b"\0\xff", "set 300 has length 255; expected 4 to 4"),
        (x.flowset(17, b"abcd"), "set id 17 is reserved"),
        (x.templates9(x.template(255, x.PLAIN)), "a template has number 255; expected 256 or more"),
        (x.templates9(x.template(256, x.PLAIN)[:-2]), "a template ends before its fields do"),
        (x.templates9(x.template(256, [(1, 0), (2, 0)])), "template 256: its records have no bytes"),
        (x.templates9(x.template(256, [(1, 0xFFFF)])), "variable length, which version 9 has not"),
        (x.templates9(struct.pack(">HH", 256, 1025)), "has 1025 fields; expected at most 1024"),
        (x.flowset(1, struct.pack(">HHH", 256, 3, 4)), "lengths 3 and 4 are no multiples of 4"),
    ],
)
def test_what_is_wrong_with_version_9(sets: bytes, why: str) -> None:
    good = x.v9(x.templates9(x.template(400, x.PLAIN)), x.flowset(400, x.plain()), sequence=1)
    flows, report = read(x.v9(sets), good)
    assert len(flows) == 1
    assert report.records.malformed == (1 if why else 0)
    if why:
        assert why in report.problems[0]


# IPFIX


def test_ipfix_with_everything_that_version_9_has_not() -> None:
    """Fields of variable length, of an enterprise, of reduced size; the same values all the same."""
    fields: list[x.Field] = [
        (x.SRC_6, 16), (x.DST_6, 16), (12345, 0xFFFF, 9), (x.SRC_PORT, 2), (x.DST_PORT, 2), (x.PROTOCOL, 1),
        (17, 3, 6871), (x.IN_PKTS, 3), (x.IN_BYTES, 5), (371, 0xFFFF), (x.START_NS, 8), (x.END_NS, 8),
    ]  # fmt: skip
    ntp = (x.WHEN - 20 + 2_208_988_800) << 32

    def record(sport: int, long: bytes) -> bytes:
        name = bytes([len(long)]) + long if len(long) < 255 else b"\xff" + struct.pack(">H", len(long)) + long
        return (
            x.ip6("2001:db8::1") + x.ip6("2001:db8::2") + b"\3abc" + struct.pack(">HHB", sport, 53, 17)
            + b"xyz" + (7).to_bytes(3, "big") + (1 << 33).to_bytes(5, "big") + name
            + struct.pack(">QQ", ntp | 1 << 31, ntp + (1 << 32))
        )  # fmt: skip

    data = x.flowset(999, record(5353, b"") + record(5354, b"y" * 300) + record(5355, b"z"))
    flows, report = read(x.ipfix(x.templates10(x.template(999, fields)), data))
    assert [ends(flow) for flow in flows] == [
        ("2001:db8::1", port, "2001:db8::2", 53) for port in (5353, 5354, 5355)
    ]
    assert set(flows["packets_out"]) == {7}
    assert set(flows["bytes_out"]) == {1 << 33}
    assert set(flows["start_ns"]) == {(x.WHEN - 20) * 10**9 + 500_000_000}
    assert set(flows["end_ns"]) == {(x.WHEN - 19) * 10**9}
    assert set(flows["ip_version"]) == {6}
    assert report.records == counts(datagrams=1, read=4, flows=3, templates=1)


def test_a_biflow_is_both_ways_of_rfc_5103() -> None:
    fields: list[x.Field] = [
        *x.MODERN,
        (x.IN_PKTS, 4, x.REVERSE),
        (x.IN_BYTES, 4, x.REVERSE),
        (x.TCP_FLAGS, 1, x.REVERSE),
    ]
    record = x.modern(flags=0x02, packets=1, octets=60) + struct.pack(">IIB", 1, 40, 0x14)
    [flow], report = read(x.ipfix(x.templates10(x.template(256, fields)), x.flowset(256, record)))
    assert (flow["packets_in"], flow["bytes_in"], TCP_STATES[flow["tcp_state"]]) == (1, 40, "REJ")
    assert (flow["start_ns"], flow["end_ns"]) == ((x.WHEN * 1000 - 9000) * MS, (x.WHEN * 1000 - 8000) * MS)
    assert report.records.flows == 1


def test_a_biflow_whose_source_is_the_responder_is_turned() -> None:
    fields: list[x.Field] = [*x.MODERN, (x.IN_PKTS, 4, x.REVERSE), (x.IN_BYTES, 4, x.REVERSE), (239, 1)]
    record = x.modern("10.0.0.2", "10.0.0.1", 50001, 50000, proto=17, packets=3, octets=333)
    record += struct.pack(">IIB", 4, 444, 2)
    [flow], _ = read(x.ipfix(x.templates10(x.template(256, fields)), x.flowset(256, record)))
    assert (flow["packets_out"] + flow["packets_in"], flow["bytes_out"] + flow["bytes_in"]) == (7, 777)
    source = flow["packets_out"] if ends(flow)[0] == "10.0.0.1" else flow["packets_in"]
    assert source == 4


def test_a_firewall_counts_initiator_and_responder() -> None:
    fields: list[x.Field] = [
        (x.SRC_4, 4), (x.DST_4, 4), (x.SRC_PORT, 2), (x.DST_PORT, 2), (x.PROTOCOL, 1), (231, 4), (232, 4),
        (298, 4), (299, 4), (233, 1), (x.START_MS, 8), (323, 8),
    ]  # fmt: skip
    ends_ = x.ip4("10.0.0.1") + x.ip4("10.0.0.2") + struct.pack(">HHB", 40000, 443, 6)
    when = struct.pack(">QQ", x.WHEN * 1000 - 5000, x.WHEN * 1000 - 1000)
    created = ends_ + struct.pack(">IIIIB", 0, 0, 0, 0, 1) + when
    ended = ends_ + struct.pack(">IIIIB", 800, 9000, 8, 9, 2) + when
    [flow], report = read(x.v9(x.templates9(x.template(256, fields)), x.flowset(256, created + ended)))
    assert (flow["bytes_out"], flow["bytes_in"], flow["packets_out"], flow["packets_in"]) == (800, 9000, 8, 9)
    assert flow["end_ns"] - flow["start_ns"] == 4_000_000_000
    assert report.records == counts(datagrams=1, read=3, templates=1, flows=1, other=1)


def test_uptimes_of_ipfix_are_counted_from_the_start_that_options_tell() -> None:
    options = x.options10(257, [(149, 4)], [(x.INIT_MS, 8)])
    init_ms = x.WHEN * 1000 - (1 << 32) - 60_000  # its clock has wrapped a minute ago
    told = x.flowset(257, struct.pack(">IQ", 7, init_ms))
    data = x.flowset(256, x.plain(first=0xFFFFFFFF - 999, last=59_000))
    [flow], _ = read(x.ipfix(x.templates10(x.template(256, x.PLAIN)), options, told, data))
    assert flow["start_ns"] == (x.WHEN * 1000 - 61_000) * MS
    assert flow["end_ns"] == (x.WHEN * 1000 - 1000) * MS


@pytest.mark.parametrize(
    ("fields", "values", "start", "end"),
    [
        ([(150, 4), (151, 4)], struct.pack(">II", x.WHEN - 9, x.WHEN - 2), -9e9, -2e9),
        ([(x.START_US, 8), (x.END_US, 8)],
         struct.pack(">IIII", x.WHEN - 9 + 2208988800, 1 << 31, x.WHEN - 8 + 2208988800, 0), -8.5e9, -8e9),
        ([(158, 4), (159, 4)], struct.pack(">II", 3_000_000, 1_500), -3e9, -1.5e6),
        ([(x.START_MS, 8), (161, 4)], struct.pack(">QI", x.WHEN * 1000 - 4000, 2500), -4e9, -1.5e9),
        ([(x.END_MS, 8), (162, 4)], struct.pack(">QI", x.WHEN * 1000 - 4000, 2500), -4.0025e9, -4e9),
        ([(323, 8)], struct.pack(">Q", x.WHEN * 1000 - 77), -77e6, -77e6),
        ([], b"", 0, 0),
    ],
    ids=["seconds", "microseconds", "deltas", "duration", "duration back", "observed", "none"],
)  # fmt: skip
def test_times_in_all_forms(fields: list[x.Field], values: bytes, start: float, end: float) -> None:
    ends_: list[x.Field] = [(x.SRC_4, 4), (x.DST_4, 4), (x.PROTOCOL, 1), (x.IN_PKTS, 1), *fields]
    record = x.ip4("10.0.0.1") + x.ip4("10.0.0.2") + bytes([17, 1]) + values
    [flow], _ = read(x.ipfix(x.templates10(x.template(256, ends_)), x.flowset(256, record)))
    assert (flow["start_ns"] - x.WHEN * 10**9, flow["end_ns"] - x.WHEN * 10**9) == (start, end)


def test_icmp_in_every_place_where_exporters_put_it() -> None:
    here: list[x.Field] = [(x.SRC_4, 4), (x.DST_4, 4), (x.PROTOCOL, 1), (x.IN_PKTS, 1)]
    record = x.ip4("10.0.0.1") + x.ip4("10.0.0.2") + bytes([1, 1])
    for fields, values in (
        ([(x.ICMP_TYPE, 2)], struct.pack(">H", 3 << 8 | 1)),
        ([(176, 1), (177, 1)], bytes([3, 1])),
        ([(x.SRC_PORT, 2), (x.DST_PORT, 2)], struct.pack(">HH", 0, 3 << 8 | 1)),
    ):
        [flow], _ = read(
            x.ipfix(x.templates10(x.template(256, [*here, *fields])), x.flowset(256, record + values))
        )
        assert (flow["icmp_type"], flow["icmp_code"], flow["src_port"], flow["dst_port"]) == (3, 1, -1, -1)


def test_one_template_for_both_versions_of_ip() -> None:
    fields: list[x.Field] = [
        (x.SRC_4, 4),
        (x.DST_4, 4),
        (x.SRC_6, 16),
        (x.DST_6, 16),
        (x.PROTOCOL, 1),
        (x.IN_PKTS, 1),
    ]
    four = x.ip4("10.0.0.1") + x.ip4("10.0.0.2") + bytes(32) + bytes([17, 1])
    six = bytes(8) + x.ip6("fe80::1") + x.ip6("fe80::2") + bytes([17, 1])
    flows, _ = read(x.ipfix(x.templates10(x.template(256, fields)), x.flowset(256, four + six)))
    assert [(flow["ip_version"], ends(flow)[0]) for flow in flows] == [(4, "10.0.0.1"), (6, "fe80::1")]


def test_records_that_are_no_flows_are_other() -> None:
    counters = x.template(256, [(10, 4), (1, 8), (2, 8)])  # of an interface
    translation = x.template(257, [(x.SRC_4, 4), (225, 4), (230, 1)])
    listed = x.template(258, [(x.SRC_4, 4), (291, 0xFFFF)])
    flows, report = read(
        x.ipfix(
            x.templates10(counters, translation, listed), x.flowset(256, bytes(40)),
            x.flowset(257, bytes(9) * 3, pad=1), x.flowset(258, bytes(4) + b"\2ab" + bytes(4) + b"\0"),
        )
    )  # fmt: skip
    assert len(flows) == 0
    assert report.records == counts(datagrams=1, read=10, templates=3, other=7)


def test_a_withdrawal_over_udp_is_ignored() -> None:
    """RFC 7011, 8.4: anyone could forge it."""
    flows, report = read(
        x.ipfix(x.templates10(x.template(256, x.MODERN))),
        x.ipfix(x.templates10(x.template(256, [])), x.templates10(x.template(2, []))),
        x.ipfix(x.flowset(256, x.modern())),
    )
    assert len(flows) == 1
    assert report.records == counts(datagrams=3, read=4, templates=3, flows=1)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (x.ipfix(length=15), "the message's length is 15; the datagram has 16 bytes"),
        (x.ipfix(length=17), "the message's length is 17; the datagram has 16 bytes"),
        (x.ipfix() + b"more", "4 bytes follow the message"),
        (x.ipfix(x.flowset(3, struct.pack(">HHH", 256, 2, 3))), "has 3 scopes in 2 fields"),
        (x.ipfix(x.templates10(x.template(256, NAMED)), x.flowset(256, b"\xff")), "ends before its"),
        (x.ipfix(x.templates10(x.template(256, NAMED)), x.flowset(256, b"\5abcd")), "ends before its"),
        (x.ipfix(x.templates10(struct.pack(">HHHH", 256, 1, 0x8001, 4))), "a template ends before"),
        (
            x.ipfix(x.templates10(x.template(256, [*x.PLAIN[:4], (4, 2), *x.PLAIN[6:]])),
                    x.flowset(256, x.plain()[:12] + b"\1\0" + x.plain()[14:])),
            "protocolIdentifier is '256'; expected at most 255",
        ),
        (
            x.ipfix(x.templates10(x.template(256, [(x.SRC_4, 4), (x.DST_4, 4), (x.IN_PKTS, 8)])),
                    x.flowset(256, bytes(8) + b"\xff" * 8)),
            "packetDeltaCount is '18446744073709551615'; expected a whole number up to 9007199254740992",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_ipfix(message: bytes, why: str) -> None:
    good = x.ipfix(x.templates10(x.template(400, x.MODERN)), x.flowset(400, x.modern()))
    flows, report = read(message, good)
    assert len(flows) == 1
    assert report.records.malformed == 1
    assert why in report.problems[0]


# What comes in, and what went missing


def test_tags_that_are_wrong_are_malformed_datagrams() -> None:
    good = x.stream(x.v5([x.v5_record()]))
    other = x.pdu(b"abc").replace(b"cflow\0\0\0", b"http\0\0\0\0")
    endless = struct.pack("<IIII", x.WHEN, 0, 4, 4) + struct.pack(">HH", 12, 90)
    flows, report = craft.read(good + other + endless)
    check(flows, report)
    assert (len(flows), report.records.malformed, report.records.datagrams) == (1, 2, 3)
    assert "the record holds 'http'; expected NetFlow" in report.problems[0]
    assert "longer than the record" in report.problems[1]


def test_the_end_of_the_file_cuts_a_datagram() -> None:
    flows, report = craft.read(x.stream(x.v5([x.v5_record()]), x.v5([x.v5_record()]))[:-1])
    check(flows, report)
    assert report.records == counts(datagrams=2, read=2, flows=1, malformed=1)
    assert report.problems == [f"datagram 2, byte {24 + 16 + 40 + 72}: cut by the end of the file"]
    flows, report = craft.read(x.stream(x.v5([x.v5_record()])) + struct.pack("<IIII", 1, 1, 1 << 20, 1 << 20))
    assert (len(flows), report.records.malformed, report.complete) == (1, 1, False)


@pytest.mark.parametrize("piece", [1, 7, 100])
def test_the_pieces_in_which_bytes_come_do_not_matter(piece: int) -> None:
    datagrams = [
        x.v9(x.templates9(x.template(256, x.PLAIN)), x.flowset(256, x.plain(sport=at))) for at in range(9)
    ]
    whole, report = craft.read(x.stream(*datagrams))
    pieces, again = craft.read(x.stream(*datagrams), piece=piece)
    assert whole.tobytes() == pieces.tobytes()
    assert report == again


def test_flows_are_let_go_while_nothing_comes() -> None:
    """A minute of heartbeats, and no datagram: the pair is handed out before the stream ends."""
    data = x.stream(x.v5([x.v5_record(proto=17)])) + x.beat(30) + x.beat(59)
    batches, _ = craft.read_batches(data, piece=len(data))
    assert [batch.flows.size for batch in batches if batch.flows.size] == [1]
    early = craft.read_batches(data + x.beat(61) + x.beat(100), piece=16)[0]
    late = craft.read_batches(data, piece=16)[0]
    # In pieces of 16 bytes every record is a batch of its own: the flow comes with a heartbeat.
    assert [batch.flows.size for batch in early[-3:]] == [0, 0, 0]
    assert [batch.flows.size for batch in late[-2:]] == [1, 0]


def test_gaps_of_sequence_numbers_are_lost_records() -> None:
    one = [x.v5_record(proto=17)]
    _, report = read(x.v5(one * 3), x.v5(one, sequence=3), x.v5(one, sequence=10), x.v5(one * 2, sequence=5))
    assert (report.records.lost, report.records.lost_datagrams) == (4, 0)
    datagrams = [x.v9(sequence=number) for number in (7, 8, 12, 13)]
    _, report = read(*datagrams)
    assert (report.records.lost, report.records.lost_datagrams) == (0, 3)
    template = x.templates10(x.template(256, x.MODERN))
    data = [x.flowset(256, x.modern() * n) for n in (2, 3, 4)]
    _, report = read(x.ipfix(template, data[0]), x.ipfix(data[1], sequence=2), x.ipfix(data[2], sequence=9))
    assert report.records.lost == 4


def test_restarts_and_wraps_are_no_losses() -> None:
    one = [x.v5_record(proto=17)]
    numbers = (0xFFFFFFFE, 0xFFFFFFFF, 0, 1, 500_000_000, 500_000_001, 0, 1)
    _, report = read(*(x.v5(one, sequence=number) for number in numbers))
    assert report.records.lost == 0


@pytest.mark.parametrize(
    ("version", "unit", "number_of"),
    [
        (10, "records", lambda before, records, flows: before[0]),
        (10, "flows", lambda before, records, flows: before[1]),
        (10, "records", lambda before, records, flows: before[0] + records),
        (10, "flows", lambda before, records, flows: before[1] + flows),
        (9, "datagrams", lambda before, records, flows: before[2]),
        (9, "records", lambda before, records, flows: before[0]),
    ],
    ids=["RFC 7011", "no options", "with itself", "with itself, no options", "RFC 3954", "records"],
)
def test_whatever_an_exporter_numbers_what_is_missing_shows(
    version: int, unit: str, number_of: Callable[[list[int], int, int], int]
) -> None:
    """The same messages, numbered in each of the ways that are met; one of 40 is left out."""
    session, loss = Session((b"\1\2\3\4", 1), version, 0), Loss()
    before = [0, 0, 0]  # records, flows, datagrams
    expected = (0, 0)
    for at in range(40):
        records = 3 + at * 7 % 11
        flows = records - (at % 5 == 0)
        number = number_of(before, records, flows)
        if at == 20:
            expected = {"records": (records, 0), "flows": (flows, 0), "datagrams": (0, 1)}[unit]
        else:
            loss.take(session, number, records, flows)
        before = [before[0] + records, before[1] + flows, before[2] + 1]
    lost, datagrams = loss.of(session)
    assert (lost, datagrams) == expected


# Floods


def test_a_flood_of_templates_is_bounded_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MOST_TEMPLATES", 50)
    flood = [x.v9(x.templates9(x.template(256 + at, x.PLAIN)), sequence=at) for at in range(60)]
    kept = x.v9(x.flowset(256 + 59, x.plain()), x.flowset(256, x.plain()), sequence=60)
    flows, report = read(*flood, kept)
    assert len(flows) == 1
    assert report.records == counts(datagrams=61, read=62, templates=60, flows=1, undecodable=1)
    assert "too many templates; those unused longest are forgotten" in report.problems[0]


def test_fields_of_all_templates_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MOST_FIELDS", 3000)
    many: list[x.Field] = [(5, 1)] * 1000
    templates = bounds.Templates()
    for at in range(10):
        key = (Session((b"\1\2\3\4", 1), 9, 0), 256 + at)
        templates.put(key, bounds.Template(tuple(bounds.Field(*each) for each in many)), 0)
    assert (templates.evicted, templates._fields) == (7, 3000)


def test_a_flood_of_data_without_templates_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MOST_WAITING_SETS", 20)
    data = [x.v9(x.flowset(256 + at % 30, x.plain(sport=at + 1)), sequence=at) for at in range(100)]
    template = x.v9(x.templates9(*(x.template(256 + at, x.PLAIN) for at in range(30))), sequence=100)
    flows, report = read(*data, template)
    assert sorted(ends(flow)[1] for flow in flows) == list(range(81, 101))
    assert report.records == counts(datagrams=101, read=130, templates=30, flows=20, undecodable=80)
    monkeypatch.setattr(bounds, "MOST_WAITING_BYTES", 5 * len(x.plain()))
    flows, _ = read(*data, template)
    assert len(flows) == 5


def test_exporters_beyond_number_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    from qwarden.formats.listeners.netflow import sessions

    monkeypatch.setattr(sessions, "MOST_SESSIONS", 10)
    _, report = read(*((f"192.0.2.{at}", x.v5([x.v5_record()])) for at in range(20)))
    assert report.records.flows == 20
    assert any("too many sessions" in problem for problem in report.problems)


def test_a_wrong_clock_is_said_once() -> None:
    _, report = read(*[x.v5([x.v5_record()], when=x.WHEN - 3600, sequence=at) for at in range(3)])
    assert report.problems == [
        "datagram 1, 192.0.2.1 port 9000: its clock differs from ours by -3600 s; flows have its time"
    ]
