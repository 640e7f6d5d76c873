"""Link types by number: which are read, and what the others are called.

A capture names its link layer by a number of https://www.tcpdump.org/linktypes.html. One that is not
read is refused with its number and its name, so that it is plain what was captured.
"""

from __future__ import annotations

from typing import Final

NULL, ETHERNET, RAW_IP, LOOP, COOKED_V1, RAW_IPV4, RAW_IPV6, COOKED_V2 = 0, 1, 101, 108, 113, 228, 229, 276

LINKS: Final = {
    NULL: "BSD loopback",
    ETHERNET: "Ethernet",
    RAW_IP: "raw IP",
    LOOP: "OpenBSD loopback",
    COOKED_V1: "Linux cooked v1",
    RAW_IPV4: "raw IPv4",
    RAW_IPV6: "raw IPv6",
    COOKED_V2: "Linux cooked v2",
}
"""The link types that are read."""

_UNREAD: Final = {
    2: "experimental Ethernet", 3: "AX.25", 6: "IEEE 802.5 token ring", 7: "ARCNET", 8: "SLIP", 9: "PPP",
    10: "FDDI", 12: "raw IP of old systems", 50: "PPP in HDLC framing", 51: "PPPoE",
    99: "Symantec firewall", 100: "ATM, RFC 1483", 102: "SLIP of BSD/OS", 103: "PPP of BSD/OS",
    104: "Cisco HDLC", 105: "IEEE 802.11", 106: "classical IP over ATM", 107: "frame relay",
    109: "OpenBSD encapsulation", 114: "LocalTalk", 117: "OpenBSD packet filter log",
    119: "IEEE 802.11 with Prism header", 122: "IP over Fibre Channel", 123: "SunATM",
    127: "IEEE 802.11 with radiotap header", 129: "ARCNET of Linux", 138: "IP over IEEE 1394",
    139: "SS7 MTP2 with header", 140: "SS7 MTP2", 141: "SS7 MTP3", 142: "SS7 SCCP", 143: "DOCSIS",
    144: "Linux IrDA", 163: "IEEE 802.11 with AVS header", 165: "BACnet MS/TP", 166: "PPP of pppd",
    169: "GPRS LLC", 177: "Linux LAPD", 182: "multi-link frame relay", 187: "Bluetooth HCI H4",
    189: "USB of Linux", 192: "per-packet information", 195: "IEEE 802.15.4 with FCS", 197: "ERF",
    201: "Bluetooth HCI H4 with direction", 202: "AX.25 with KISS header", 203: "LAPD",
    204: "PPP with direction", 205: "Cisco HDLC with direction", 206: "frame relay with direction",
    209: "IPMB of Linux", 210: "FlexRay", 211: "MOST", 212: "LIN", 215: "IEEE 802.15.4 with PHY header",
    220: "USB of Linux, memory-mapped", 224: "Fibre Channel FC-2", 225: "Fibre Channel FC-2 with delimiters",
    226: "Solaris ipnet", 227: "CAN of Linux (SocketCAN)", 230: "IEEE 802.15.4 without FCS", 231: "D-Bus",
    235: "DVB common interface", 236: "3GPP TS 27.010 multiplexer", 239: "Linux netfilter log",
    240: "netANALYZER", 241: "netANALYZER, transparent", 242: "IP over InfiniBand",
    243: "MPEG-2 transport stream", 245: "NFC LLCP", 247: "InfiniBand", 248: "SCTP",
    249: "USB of Windows (USBPcap)", 250: "serial line of RTAC", 251: "Bluetooth Low Energy",
    253: "Linux Netlink", 254: "Bluetooth of Linux (monitor)", 255: "Bluetooth BR/EDR baseband",
    256: "Bluetooth Low Energy with PHY header", 257: "PROFIBUS", 258: "Apple PKTAP", 259: "EPON",
    260: "IPMI trace", 261: "Z-Wave R1/R2", 262: "Z-Wave R3", 264: "ISO 14443", 266: "USB of macOS",
    268: "SDLC", 270: "LoRaTap", 271: "Linux vsock", 272: "Nordic Bluetooth Low Energy sniffer",
    273: "DOCSIS 3.1", 274: "Ethernet mPacket", 275: "DisplayPort AUX", 280: "VPP dispatch trace",
    281: "Ethernet with Broadcom switch tag", 283: "IEEE 802.15.4 with TAP header",
    284: "Ethernet with Marvell switch tag", 285: "Ethernet with Marvell extended switch tag",
    288: "USB 2.0", 289: "ATSC link layer", 290: "Windows event trace",
}  # fmt: skip


def link_name(link: int) -> str:
    """Return what a link type is called.

    >>> link_name(127), link_name(1), link_name(4711), link_name(150)
    ('IEEE 802.11 with radiotap header', 'Ethernet', 'unknown', 'private use')
    """
    if 147 <= link <= 162:
        return "private use"
    return LINKS.get(link) or _UNREAD.get(link, "unknown")


def unread_link(link: int) -> str:
    """Return the problem of a link type that is not read."""
    known = ", ".join(f"{name} ({number})" for number, name in sorted(LINKS.items()))
    return f"link type {link} ({link_name(link)}) is not read; expected {known}"
