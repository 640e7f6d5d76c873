"""The header walker: link types, tags, options, fragments, extension headers, and what breaks them."""

import struct

import pytest

from qwarden.formats.flows import PROTO_ARP, split_address

from . import craft
from .compare import assert_same_flows, reference
from .craft import ACK, SYN
from .reference_meter import pcap_records

SEGMENT = craft.tcp(4000, 80, SYN)
PACKET4 = craft.ipv4(SEGMENT, 6)
PACKET6 = craft.ipv6(SEGMENT, 6)
COOKED1 = struct.pack(">HHH", 0, 1, 6) + bytes.fromhex("0200000000010000")
COOKED2 = struct.pack(">HIHBB", 0, 3, 1, 0, 6) + bytes.fromhex("0200000000010000")


def only(packet: bytes, link: int = 1) -> object:
    """The flow of a capture of one packet."""
    flows, report = craft.read(craft.pcap([(1, packet)], link=link))
    assert (report.packets.metered, report.problems, len(flows)) == (1, [], 1)
    return flows[0]


@pytest.mark.parametrize(
    ("link", "packet", "mac", "vlan"),
    [
        (1, craft.ethernet(PACKET4, 0x0800), 0x020000000001, -1),
        (1, craft.ethernet(PACKET4, 0x0800, [(0x8100, 5)]), 0x020000000001, 5),
        (1, craft.ethernet(PACKET4, 0x0800, [(0x88A8, 7), (0x8100, 9)]), 0x020000000001, 9),
        (
            1,
            craft.ethernet(PACKET4, 0x0800, [(0x9100, 7), (0x9100, 8), (0x8100, 0xF00A)]),
            0x020000000001,
            10,
        ),
        (1, craft.ethernet(b"\xaa\xaa\x03\0\0\0\x08\0" + PACKET4, 60), 0x020000000001, -1),
        (113, COOKED1 + b"\x08\0" + PACKET4, 0x020000000001, -1),
        (113, COOKED1 + b"\x81\0\0\x04\x08\0" + PACKET4, 0x020000000001, 4),
        (276, b"\x08\0" + COOKED2 + PACKET4, 0x020000000001, -1),
        (101, PACKET4, -1, -1),
        (228, PACKET4, -1, -1),
        (0, b"\2\0\0\0" + PACKET4, -1, -1),
        (0, b"\0\0\0\2" + PACKET4, -1, -1),
        (108, b"\0\0\0\2" + PACKET4, -1, -1),
    ],
)
def test_ipv4_over_every_link(link: int, packet: bytes, mac: int, vlan: int) -> None:
    flow = only(packet, link)
    assert (flow["src_mac"], flow["vlan"], flow["ip_version"]) == (mac, vlan, 4)
    assert (flow["src_hi"], flow["src_lo"]) == split_address(craft.CLIENT)
    assert (flow["dst_hi"], flow["dst_lo"]) == split_address(craft.SERVER)
    assert (flow["src_port"], flow["dst_port"], flow["proto"]) == (4000, 80, 6)
    assert (flow["bytes_out"], flow["payload_out"], flow["ttl_out"], flow["ttl_in"]) == (40, 0, 64, -1)


@pytest.mark.parametrize(
    ("link", "packet"),
    [
        (1, craft.ethernet(PACKET6, 0x86DD)),
        (1, craft.ethernet(PACKET6, 0x86DD, [(0x8100, 5)])),
        (113, COOKED1 + b"\x86\xdd" + PACKET6),
        (276, b"\x86\xdd" + COOKED2 + PACKET6),
        (101, PACKET6),
        (229, PACKET6),
    ],
)
def test_ipv6_over_every_link(link: int, packet: bytes) -> None:
    flow = only(packet, link)
    assert (flow["src_hi"], flow["src_lo"]) == split_address(craft.CLIENT6)
    assert (flow["dst_hi"], flow["dst_lo"]) == split_address(craft.SERVER6)
    assert (flow["ip_version"], flow["src_port"], flow["dst_port"], flow["bytes_out"]) == (6, 4000, 80, 60)


@pytest.mark.parametrize(
    "packet",
    [
        craft.ethernet(bytes(46), 0x88CC),  # LLDP
        craft.ethernet(b"\x42\x42\x03" + bytes(43), 38),  # spanning tree
        craft.ethernet(b"\xaa\xaa\x03\0\0\x0c\x20\0" + bytes(40), 48),  # CDP: another organisation's SNAP
        craft.ethernet(bytes(46), 0x8847),
        craft.ethernet(struct.pack(">HHBBH", 1, 0x86DD, 6, 16, 1) + bytes(44), 0x0806),
    ],
)
def test_neither_ip_nor_arp_is_other(packet: bytes) -> None:
    flows, report = craft.read(craft.pcap([(1, packet)]))
    assert (len(flows), report.packets.other, report.packets.malformed, report.problems) == (0, 1, 0, [])


def test_ethernet_padding_is_not_payload() -> None:
    flow = only(craft.frame4(craft.udp(5000, 6000, b"abc"), 17) + bytes(15))
    assert (flow["bytes_out"], flow["payload_out"]) == (31, 3)


def test_ipv4_options_count_as_extension() -> None:
    flow = only(craft.frame4(SEGMENT, 6, options=b"\x94\x04\0\0" * 3))
    assert (flow["ext_header_bytes"], flow["bytes_out"], flow["src_port"]) == (12, 52, 4000)


def test_tcp_options_are_header() -> None:
    flow = only(craft.frame4(craft.tcp(1, 2, ACK, b"data", options=b"\x01" * 12), 6))
    assert (flow["bytes_out"], flow["payload_out"]) == (56, 4)


def test_total_length_zero_means_offload() -> None:
    flow = only(craft.frame4(craft.tcp(4000, 80, ACK, b"x" * 3000), 6, total=0))
    assert (flow["bytes_out"], flow["payload_out"]) == (3040, 3000)
    flow = only(craft.frame6(craft.tcp(4000, 80, ACK, b"x" * 3000), 6, length=0))
    assert (flow["bytes_out"], flow["payload_out"]) == (3060, 3000)


def extension(upper: bytes, following: int, words: int = 0) -> bytes:
    return bytes([following, words]) + bytes(6 + 8 * words) + upper


@pytest.mark.parametrize("kind", [0, 43, 60, 135])
def test_extension_headers_are_stepped_over(kind: int) -> None:
    inner = extension(extension(SEGMENT, 6, 2), 60)
    flow = only(craft.frame6(inner, kind))
    assert (flow["proto"], flow["dst_port"], flow["ext_header_bytes"], flow["payload_out"]) == (6, 80, 32, 0)
    assert flow["bytes_out"] == 40 + 32 + 20


@pytest.mark.parametrize("make", [craft.frame4, craft.frame6])
def test_authentication_header_is_stepped_over(make: object) -> None:
    flow = only(make(bytes([6, 4]) + bytes(22) + SEGMENT, 51))  # type: ignore[operator]
    assert (flow["proto"], flow["dst_port"], flow["ext_header_bytes"]) == (6, 80, 24)


@pytest.mark.parametrize("proto", [50, 47, 59, 132, 253])
def test_other_protocols_have_no_ports(proto: int) -> None:
    for packet in (craft.frame4(bytes(24), proto), craft.frame6(bytes(24), proto)):
        flow = only(packet)
        assert (flow["proto"], flow["src_port"], flow["dst_port"], flow["payload_out"]) == (proto, -1, -1, 24)
        assert (flow["tcp_state"], flow["syn_out"], flow["icmp_type"]) == (-1, -1, -1)


def test_fragments_belong_to_the_flow_of_the_first() -> None:
    segment = craft.udp(5000, 6000, bytes(3000))
    pieces = [(0, 1480), (1480, 1480), (2960, 48)]
    records = [
        (1 + i / 10, craft.frame4(segment[at : at + n], 17, ident=9, offset=at, more=i < 2))
        for i, (at, n) in enumerate(pieces)
    ]
    flows, report = craft.read(craft.pcap(records))
    assert (len(flows), report.packets.metered) == (1, 3)
    assert (flows[0]["fragments"], flows[0]["dst_port"], flows[0]["packets_out"]) == (3, 6000, 3)
    assert flows[0]["payload_out"] == 3000
    # Without the first, the ports stay unknown.
    flows, _ = craft.read(craft.pcap(records[1:]))
    assert (len(flows), flows[0]["src_port"], flows[0]["dst_port"], flows[0]["fragments"]) == (1, -1, -1, 2)


@pytest.mark.parametrize(("late", "known"), [(30.0, True), (30.5, False)])
def test_a_fragment_that_trails_for_long_is_of_another_datagram(late: float, known: bool) -> None:
    """Identifications come around again."""
    segment = craft.udp(5000, 6000, bytes(100))
    records = [
        (1.0, craft.frame4(segment[:56], 17, ident=9, more=True)),
        (1.0 + late, craft.frame4(segment[56:], 17, ident=9, offset=56)),
    ]
    flows, _ = craft.read(craft.pcap(records))
    assert len(flows) == (1 if known else 2)
    assert flows[-1]["dst_port"] == (6000 if known else -1)


def test_tcp_fragments_without_a_header_leave_the_flags_unknown() -> None:
    flow = only(craft.frame4(bytes(64), 6, offset=800))
    assert (flow["tcp_state"], flow["syn_out"], flow["ack_in"], flow["packets_out"]) == (-1, -1, -1, 1)


def fragment6(data: bytes, offset: int, more: bool, following: int = 17, ident: int = 5) -> bytes:
    return struct.pack(">BBHI", following, 0, offset | more, ident) + data


def test_ipv6_fragments() -> None:
    segment = craft.udp(5000, 6000, bytes(1000))
    # The first fragment hides the ports behind a destination header; the second names that header.
    first = craft.frame6(fragment6(extension(segment[:800], 17), 0, True, 60), 44)
    second = craft.frame6(fragment6(segment[800:], 808, False, 60), 44)
    flows, _ = craft.read(craft.pcap([(1, first), (1.1, second)]))
    assert (len(flows), flows[0]["proto"], flows[0]["dst_port"], flows[0]["fragments"]) == (1, 17, 6000, 2)
    assert flows[0]["payload_out"] == 1000
    assert flows[0]["ext_header_bytes"] == 24
    whole = only(craft.frame6(fragment6(segment, 0, False), 44))
    assert (whole["fragments"], whole["dst_port"]) == (0, 6000)


def test_fragments_of_many_datagrams_need_bounded_memory() -> None:
    """More first fragments than the table holds: the newest are still known."""
    segment = craft.udp(5000, 6000, bytes(100))
    records = []
    for n in range(40_000):
        source = f"10.1.{n >> 8}.{n & 255}"
        records.append((1.0, craft.frame4(segment[:56], 17, src=source, ident=n & 0xFFFF, more=True)))
    records.append((1.0, craft.frame4(segment[56:], 17, src=source, ident=n & 0xFFFF, offset=56)))
    flows, _ = craft.read(craft.pcap(records), craft.MeterSettings(max_flows=50_000))
    assert len(flows) == 40_000
    assert flows[-1]["packets_out"] == 2


def test_icmp_pairs_by_identifier() -> None:
    def ping(kind: int, ident: int, back: bool) -> bytes:
        ends = {"src": craft.SERVER, "dst": craft.CLIENT} if back else {}
        return craft.frame4(craft.icmp(kind, ident=ident, data=b"abcd"), 1, **ends)

    records = [
        (1, ping(8, 1, False)),
        (1.1, ping(0, 1, True)),
        (1.2, ping(8, 2, False)),
        (1.3, ping(13, 1, False)),
    ]
    records += [(1.4, ping(14, 1, True)), (1.5, ping(3, 1, True)), (1.6, ping(3, 99, True))]
    flows, _ = craft.read(craft.pcap(records))
    seen = [(f["icmp_type"], f["icmp_code"], f["packets_out"], f["packets_in"]) for f in flows]
    assert seen == [(8, 0, 1, 1), (8, 0, 1, 0), (13, 0, 1, 1), (3, 0, 2, 0)]
    assert (flows[0]["src_port"], flows[0]["dst_port"], flows[0]["payload_out"]) == (-1, -1, 4)


def test_icmpv6_echo_pairs() -> None:
    records = [
        (1, craft.frame6(craft.icmp(128, ident=3), 58)),
        (2, craft.frame6(craft.icmp(129, ident=3), 58, src=craft.SERVER6, dst=craft.CLIENT6)),
        (3, craft.frame6(craft.icmp(135), 58)),
    ]
    flows, _ = craft.read(craft.pcap(records))
    assert [(f["icmp_type"], f["packets_out"], f["packets_in"]) for f in flows] == [(128, 1, 1), (135, 1, 0)]


def test_arp_request_and_reply_are_one_flow() -> None:
    records = [
        (1, craft.ethernet(craft.arp(1), 0x0806)),
        (1.5, craft.ethernet(craft.arp(2, craft.SERVER, craft.CLIENT), 0x0806)),
        (2, craft.ethernet(craft.arp(1, craft.CLIENT, "10.0.0.3"), 0x0806)),
        (3, craft.ethernet(craft.arp(3), 0x0806)),
    ]
    flows, _ = craft.read(craft.pcap(records))
    assert [(f["icmp_type"], f["packets_out"], f["packets_in"]) for f in flows] == [
        (1, 1, 1),
        (1, 1, 0),
        (3, 1, 0),
    ]
    assert (flows[0]["proto"], flows[0]["ip_version"], flows[0]["bytes_out"]) == (PROTO_ARP, 0, 28)
    assert (flows[0]["dst_hi"], flows[0]["dst_lo"]) == split_address(craft.SERVER)


def patched(packet: bytes, at: int, value: int) -> bytes:
    return packet[:at] + bytes([value]) + packet[at + 1 :]


FRAME4, FRAME6 = craft.frame4(SEGMENT, 6), craft.frame6(SEGMENT, 6)
MALFORMED = {
    "no bytes": b"",
    "link header cut": FRAME4[:10],
    "tag cut": craft.ethernet(PACKET4, 0x0800, [(0x8100, 5)])[:17],
    "IPv4 header cut": FRAME4[:30],
    "IPv4 version 5": patched(FRAME4, 14, 0x55),
    "IPv4 header of 16 bytes": patched(FRAME4, 14, 0x44),
    "IPv4 options cut": patched(FRAME4[:40], 14, 0x4F),
    "IPv4 total below header": craft.frame4(SEGMENT, 6, total=19),
    "IPv4 announced as IPv6": craft.ethernet(PACKET4, 0x86DD),
    "IPv6 header cut": FRAME6[:50],
    "TCP header cut": FRAME4[:50],
    "TCP header beyond the IP length": craft.frame4(SEGMENT, 6, total=36),
    "TCP header of 16 bytes": patched(FRAME4, 46, 0x40),
    "TCP header longer than its segment": patched(FRAME4, 46, 0xF0),
    "UDP header cut": craft.frame4(craft.udp(1, 2)[:6], 17),
    "UDP length of 7": craft.frame4(struct.pack(">HHHH", 1, 2, 7, 0), 17),
    "ICMP header cut": craft.frame4(b"\x08\0", 1),
    "echo without identifier": craft.frame4(b"\x08\0\0\0", 1),
    "extension header beyond the packet": craft.frame6(bytes([6, 255]) + bytes(30), 0),
    "fragment header cut": craft.frame6(bytes(4), 44),
    "authentication header beyond the packet": craft.frame6(bytes([6, 200]) + bytes(30), 51),
    "ARP cut": craft.ethernet(craft.arp(1)[:20], 0x0806),
    "ARP with long hardware addresses": craft.ethernet(patched(craft.arp(1), 4, 255), 0x0806),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_packets_are_counted_with_their_place(name: str) -> None:
    good = FRAME4
    flows, report = craft.read(craft.pcap([(1, good), (2, MALFORMED[name]), (3, good)]))
    counts = report.packets
    assert (counts.read, counts.metered, counts.malformed, counts.other) == (3, 2, 1, 0)
    assert [(flow["packets_out"]) for flow in flows] == [2]
    assert len(report.problems) == 1
    assert report.problems[0].startswith(f"packet 2, byte {24 + 16 + len(good)}: ")


def test_every_cut_of_every_packet_is_judged_as_the_reference_judges_it() -> None:
    """To the byte: the last header byte that is missing makes a packet malformed."""
    chain = extension(extension(SEGMENT, 6, 2), 60)
    whole = [
        FRAME4,
        craft.frame4(SEGMENT, 6, options=b"\x01" * 8),
        craft.frame4(craft.udp(1, 2, b"abc"), 17),
        craft.frame4(craft.icmp(8), 1),
        craft.frame4(craft.icmp(3), 1),
        craft.frame4(bytes([6, 4]) + bytes(22) + SEGMENT, 51),
        craft.frame6(chain, 0),
        craft.frame6(fragment6(craft.udp(1, 2), 0, True), 44),
        craft.frame6(craft.icmp(135), 58),
        craft.ethernet(craft.arp(1), 0x0806, [(0x88A8, 1), (0x8100, 2)]),
        craft.ethernet(b"\xaa\xaa\x03\0\0\0\x08\0" + PACKET4, 60),
    ]
    for packet in whole:
        for cut in range(1, len(packet) + 1):
            data = craft.pcap([(1, packet[:cut])], wirelens={0: len(packet)})
            flows, report = craft.read(data)
            meter = reference(pcap_records(data))
            counts = report.packets
            judged = {"metered": counts.metered, "other": counts.other, "malformed": counts.malformed}
            assert judged == {name: meter.counts[name] for name in judged}, (packet.hex(), cut)
            assert_same_flows(flows, meter.finish())


def test_an_absurd_length_on_the_wire_is_not_believed() -> None:
    packet = craft.frame4(craft.tcp(4000, 80, ACK, b"x" * 100), 6, total=0)
    for wirelen, expected in ((262_144, 262_130), (262_145, 140), (0xFFFFFFFF, 140), (0, 140)):
        flows, _ = craft.read(craft.pcap([(1, packet)], wirelens={0: wirelen}))
        assert flows[0]["bytes_out"] == expected
