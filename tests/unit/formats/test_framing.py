"""Framing: the same packets come out of every form a capture can take."""

import gzip
import struct

import numpy as np
import pytest

from . import craft
from .craft import ACK, SYN

PACKETS = [
    (10.0, craft.frame4(craft.tcp(4000, 80, SYN), 6)),
    (
        10.25,
        craft.ethernet(craft.ipv4(craft.tcp(80, 4000, SYN | ACK), 6, craft.SERVER, craft.CLIENT), 0x0800),
    ),
    (11.5, craft.frame4(craft.tcp(4000, 80, ACK, b"GET /"), 6)),
]


def in_blocks(*, big: bool = False, ticks: int = 1_000_000, options: bytes = b"") -> bytes:
    data = craft.section(big=big) + craft.interface(options=options, big=big)
    for seconds, packet in PACKETS:
        data += craft.enhanced(packet, round(seconds * ticks), big=big)
    return data


FORMS = {
    "little endian, microseconds": craft.pcap(PACKETS),
    "big endian, microseconds": craft.pcap(PACKETS, big=True),
    "little endian, nanoseconds": craft.pcap(PACKETS, nano=True),
    "big endian, nanoseconds": craft.pcap(PACKETS, big=True, nano=True),
    "pcapng": in_blocks(),
    "pcapng, big endian": in_blocks(big=True),
    "pcapng, nanoseconds": in_blocks(ticks=10**9, options=craft.option(9, b"\x09") + craft.option(0, b"")),
    "pcapng, picoseconds": in_blocks(ticks=10**12, options=craft.option(9, b"\x0c")),
    "pcapng, whole seconds of 2**-20": in_blocks(ticks=2**20, options=craft.option(9, b"\x94")),
    "pcapng, 2**-40": in_blocks(ticks=2**40, options=craft.option(9, b"\xa8")),
    "gzip": gzip.compress(craft.pcap(PACKETS)),
    "gzip of pcapng": gzip.compress(in_blocks()),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_every_form_gives_the_same_flow(form: str, piece: int) -> None:
    flows, report = craft.read(FORMS[form], piece=piece)
    assert report.complete
    assert report.problems == []
    assert (report.packets.read, report.packets.metered, len(flows)) == (3, 3, 1)
    flow = flows[0]
    assert (flow["start_ns"], flow["end_ns"]) == (10_000_000_000, 11_500_000_000)
    assert (flow["packets_out"], flow["packets_in"], flow["payload_out"]) == (2, 1, 5)


def test_formats_are_named() -> None:
    names = {form: craft.read(data)[1].format for form, data in FORMS.items()}
    assert names["big endian, nanoseconds"] == "pcap"
    assert names["pcapng, big endian"] == "pcapng"
    assert names["gzip"] == "pcap+gzip"
    assert names["gzip of pcapng"] == "pcapng+gzip"


def test_gzip_members_follow_one_another() -> None:
    data = FORMS["pcapng"]
    members = gzip.compress(data[:50]) + gzip.compress(b"") + gzip.compress(data[50:]) + bytes(512)
    for piece in (1, 1 << 20):
        flows, report = craft.read(members, piece=piece)
        assert (len(flows), report.packets.read, report.problems) == (1, 3, [])


def test_sections_and_interfaces_have_their_own_ways() -> None:
    """Two sections of either byte order; in the second, raw IP in nanoseconds with a clock offset."""
    second = craft.interface(link=113, big=True)
    second += craft.interface(
        link=101,
        options=craft.option(9, b"\x09", big=True) + craft.option(14, struct.pack(">q", 100), big=True),
        big=True,
    )
    raw = PACKETS[2][1][14:]
    data = in_blocks() + craft.section(big=True) + second + craft.enhanced(raw, 12_000_000_001, 1, big=True)
    flows, report = craft.read(
        data, craft.MeterSettings(idle_timeout_s=200, active_timeout_s=1000, max_flows=8)
    )
    assert (report.packets.metered, len(flows)) == (4, 1)
    assert flows[0]["end_ns"] == 112_000_000_001


def test_a_negative_clock_offset_moves_time_back() -> None:
    options = craft.option(14, struct.pack("<q", -4))
    flows, _ = craft.read(
        craft.section() + craft.interface(options=options) + craft.enhanced(PACKETS[0][1], 10**7)
    )
    assert flows[0]["start_ns"] == 6_000_000_000


@pytest.mark.parametrize("resolution", [0, 3, 30, 127, 0x80, 0xFF])
def test_any_resolution_and_time_stay_in_range(resolution: int) -> None:
    data = craft.section() + craft.interface(options=craft.option(9, bytes([resolution])))
    stamps = (0, 1, 2**63, 2**64 - 1)
    for stamp in stamps:
        flows, report = craft.read(data + craft.enhanced(PACKETS[0][1], stamp))
        unit = 2 ** (resolution & 127) if resolution & 128 else 10 ** (resolution & 127)
        expected = min(stamp * 10**9 // unit, 2**62 - 1)
        got = int(flows[0]["start_ns"])
        # Held at the top in whole seconds; exact to a nanosecond's rounding below.
        assert abs(got - expected) <= (10**9 if expected > 2**61 else 1)
        assert report.packets.metered == 1


def test_simple_and_obsolete_packet_blocks() -> None:
    data = craft.section() + craft.interface(snaplen=60) + craft.old_packet(PACKETS[0][1], 10_000_000)
    data += craft.simple(PACKETS[1][1]) + craft.simple(PACKETS[2][1][:60], wirelen=1000)
    flows, report = craft.read(data)
    assert (report.packets.metered, report.problems, len(flows)) == (3, [], 1)
    # A simple packet block has no time: it takes that of the packet before.
    assert (flows[0]["start_ns"], flows[0]["end_ns"]) == (10_000_000_000, 10_000_000_000)


def test_a_section_forgets_the_time_of_the_one_before() -> None:
    first = craft.section() + craft.interface() + craft.enhanced(PACKETS[0][1], 10_000_000)
    second = craft.section() + craft.interface() + craft.simple(PACKETS[1][1])
    flows, _ = craft.read(first + second)
    assert flows[0]["start_ns"] == 0


def test_unknown_blocks_are_skipped_at_any_length() -> None:
    padding = craft.block(0xBAD, bytes(9 << 20)) + craft.block(5, b"") + craft.block(10, b"secrets!")
    data = craft.section() + padding + craft.interface() + padding
    for _, packet in PACKETS:
        data += craft.enhanced(packet, 10**7) + padding
    flows, report = craft.read(data)
    assert (report.packets.metered, report.problems, len(flows)) == (3, [], 1)


def test_options_behind_a_packet_and_odd_options_are_harmless() -> None:
    comment = craft.option(1, b"hello") + craft.option(0, b"")
    overrun = struct.pack("<HH", 9, 60000)
    data = (
        craft.section()
        + craft.interface(options=overrun)
        + craft.enhanced(PACKETS[0][1], 10**7, options=comment)
    )
    flows, report = craft.read(data)
    assert (report.packets.metered, report.problems) == (1, [])
    assert flows[0]["start_ns"] == 10_000_000_000


def test_a_packet_of_an_interface_of_unread_link_type_is_unread() -> None:
    data = craft.section() + craft.interface() + craft.interface(link=105)
    data += craft.enhanced(PACKETS[0][1], 10**7) + craft.enhanced(b"beacon", 10**7, 1) * 3
    flows, report = craft.read(data)
    assert (report.packets.read, report.packets.metered, report.packets.unread, len(flows)) == (4, 1, 3, 1)
    assert len(report.problems) == 1
    assert report.problems[0].startswith("packet 2, byte ")
    assert "link type 105" in report.problems[0]


def test_packets_longer_than_their_capture_count_by_their_headers() -> None:
    packet = craft.frame4(craft.tcp(4000, 80, ACK, b"x" * 1000), 6)
    flows, report = craft.read(craft.pcap([(1, packet[:60])], wirelens={0: len(packet)}))
    assert report.packets.metered == 1
    assert (flows[0]["bytes_out"], flows[0]["payload_out"]) == (1040, 1000)


def test_frame_check_sequence_bits_do_not_hide_the_link_type() -> None:
    data = bytearray(craft.pcap(PACKETS))
    data[20:24] = struct.pack("<I", 4 << 28 | 0x0400_0000 | 1)
    assert craft.read(bytes(data))[1].packets.metered == 3


def test_many_packets_cross_many_buffers() -> None:
    """Records of uneven length lie across every buffer's edge; none is lost or read twice."""
    rng = np.random.default_rng(3)
    sizes = rng.integers(0, 1400, 9000)
    records = [
        (i / 1000, craft.frame4(craft.udp(5000, 6000, bytes(int(n))), 17)) for i, n in enumerate(sizes)
    ]
    flows, report = craft.read(craft.pcap(records), piece=1_000_003)
    assert (report.packets.metered, len(flows)) == (9000, 1)
    assert flows[0]["payload_out"] == sizes.sum()
