"""Loopback families, tunnels by their outer flow, and link types that are refused by name."""

import struct

import dpkt
import numpy as np
import pytest

from qwarden.core.errors import UnreadableError
from qwarden.formats import open_capture
from qwarden.formats.flows import join_address
from qwarden.formats.readers.links import LINKS, link_name, unread_link

from . import craft
from .craft import ACK, SYN

SEGMENT = craft.tcp(4000, 80, SYN)
PACKET4, PACKET6 = craft.ipv4(SEGMENT, 6), craft.ipv6(SEGMENT, 6)


@pytest.mark.parametrize("family", [10, 24, 28, 30])
@pytest.mark.parametrize("form", ["<I", ">I"])
@pytest.mark.parametrize("big", [False, True])
def test_ipv6_families_in_either_byte_order(family: int, form: str, big: bool) -> None:
    """The family's byte order is that of the machine that captured, whatever the file's is."""
    flows, report = craft.read(craft.pcap([(1, struct.pack(form, family) + PACKET6)], link=0, big=big))
    assert (report.packets.metered, len(flows)) == (1, 1)
    assert (flows[0]["ip_version"], flows[0]["bytes_out"]) == (6, len(PACKET6))


def test_other_families_are_other_traffic() -> None:
    appletalk = [(1, struct.pack("<I", 16) + bytes(40)), (2, struct.pack(">I", 7) + bytes(40))]
    _, report = craft.read(craft.pcap(appletalk, link=0))
    assert (report.packets.read, report.packets.other, report.problems) == (2, 2, [])
    # OpenBSD's header is in network byte order only.
    _, report = craft.read(craft.pcap([(1, struct.pack("<I", 2) + PACKET4)], link=108))
    assert (report.packets.other, report.packets.metered) == (1, 0)


@pytest.mark.parametrize("link", [0, 108])
def test_a_cut_loopback_header_is_malformed(link: int) -> None:
    _, report = craft.read(craft.pcap([(1, b"\0\0\0"), (2, b"\0\0\0\2" + PACKET4)], link=link))
    assert (report.packets.malformed, report.packets.metered) == (1, 1)
    assert "link-layer header is cut" in report.problems[0]


GRE = struct.pack(">HH", 0, 0x0800)


@pytest.mark.parametrize(
    ("outer", "proto", "inner"),
    [
        (4, 47, GRE + PACKET4),
        (4, 47, struct.pack(">HHII", 0x3000, 0x6558, 7, 1) + craft.ethernet(PACKET4, 0x0800)),
        (6, 47, GRE + PACKET4),
        (4, 4, PACKET4),
        (4, 41, PACKET6),
        (6, 4, PACKET4),
        (6, 41, PACKET6),
    ],
)
def test_a_tunnel_is_one_flow_of_its_outer_addresses(outer: int, proto: int, inner: bytes) -> None:
    """Whatever runs inside; both ways, and dpkt says the same of the outer packet."""
    build = craft.ipv4 if outer == 4 else craft.ipv6
    ends = ("10.9.0.1", "10.9.0.2") if outer == 4 else ("2001:db8:9::1", "2001:db8:9::2")
    there = build(inner, proto, *ends)
    back = build(inner + bytes(8), proto, ends[1], ends[0])
    ethertype = 0x0800 if outer == 4 else 0x86DD
    records = [(t, craft.ethernet(packet, ethertype)) for t, packet in ((1, there), (2, back), (3, there))]
    flows, report = craft.read(craft.pcap(records))
    assert (report.packets.metered, report.problems, len(flows)) == (3, [], 1)
    flow = flows[0]
    assert (
        join_address(flow["src_hi"], flow["src_lo"]),
        join_address(flow["dst_hi"], flow["dst_lo"]),
    ) == ends
    assert (flow["proto"], flow["src_port"], flow["dst_port"], flow["tcp_state"]) == (proto, -1, -1, -1)
    assert (flow["packets_out"], flow["packets_in"]) == (2, 1)
    assert (flow["bytes_out"], flow["bytes_in"]) == (2 * len(there), len(back))
    assert (flow["payload_out"], flow["payload_in"]) == (2 * len(inner), len(inner) + 8)
    told = dpkt.ethernet.Ethernet(records[0][1]).data
    assert (told.p if outer == 4 else told.nxt) == flow["proto"]


def test_two_tunnels_of_two_kinds_are_two_flows() -> None:
    records = [
        (1, craft.ethernet(craft.ipv4(GRE + PACKET4, 47), 0x0800)),
        (2, craft.ethernet(craft.ipv4(PACKET4, 4), 0x0800)),
        (3, craft.ethernet(craft.ipv4(craft.tcp(4000, 80, ACK), 6), 0x0800)),
    ]
    flows, _ = craft.read(craft.pcap(records))
    assert sorted(flows["proto"].tolist()) == [4, 6, 47]


@pytest.mark.parametrize(
    ("link", "name"),
    [
        (9, "PPP"),
        (105, "IEEE 802.11"),
        (127, "IEEE 802.11 with radiotap header"),
        (187, "Bluetooth HCI H4"),
        (189, "USB of Linux"),
        (227, "CAN of Linux (SocketCAN)"),
        (248, "SCTP"),
        (253, "Linux Netlink"),
        (155, "private use"),
        (999, "unknown"),
    ],
)
def test_a_link_type_that_is_not_read_is_refused_with_number_and_name(
    link: int, name: str, tmp_path: object
) -> None:
    path = tmp_path / "other.pcap"  # type: ignore[operator]
    path.write_bytes(craft.pcap([(1, PACKET4)], link=link))
    with pytest.raises(UnreadableError) as caught, open_capture(path) as reader:
        list(reader)
    assert f"link type {link} ({name}) is not read" in str(caught.value)
    blocks = craft.section() + craft.interface(link=link) + craft.enhanced(PACKET4)
    assert f"link type {link} ({name}) is not read" in craft.read(blocks)[1].problems[0]


def test_what_is_read_is_named_as_read() -> None:
    assert set(LINKS) == {0, 1, 101, 108, 113, 228, 229, 276}
    for link, name in LINKS.items():
        assert link_name(link) == name
        assert f"{name} ({link})" in unread_link(105)
    # Every number that is read gives a flow: the table and the walker agree.
    prefix = {0: b"\2\0\0\0", 1: craft.ethernet(b"", 0x0800), 108: b"\0\0\0\2", 113: bytes(14) + b"\x08\0"}
    prefix |= {276: b"\x08\0" + bytes(18)}
    for link in LINKS:
        packet = PACKET6 if link == 229 else prefix.get(link, b"") + PACKET4
        flows, report = craft.read(craft.pcap([(1, packet)], link=link))
        assert (report.packets.metered, np.unique(flows["dst_port"]).tolist()) == (1, [80]), link
