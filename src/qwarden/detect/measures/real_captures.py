"""Which real captures there are, what is in them, and whether flow statistics can show it at all.

The public captures of Zeek's and Suricata's own tests (``pcaps``) and the data set of another detector,
Slips, with the evidence that its tests state (``slips-dataset``). What is in a capture was settled from their
descriptions, before anything was measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_ONE_PACKET: Final = "one exploit packet within an ordinary exchange"


@dataclass(frozen=True, slots=True, kw_only=True)
class RealCapture:
    """One capture, log or folder of logs.

    Attributes
    ----------
    path : below the folder of real data.
    holds : what its makers say is in it.
    seen_by : what of it flow statistics show; empty if nothing.
    kinds : right names of a finding about it.
    source, port : who does it, and against which port, where that is stated.
    stated : the evidence stands in ``slips-dataset/SOURCE.txt``.
    why_not : why flows cannot show it.
    """

    path: str
    holds: str
    seen_by: str = ""
    kinds: tuple[str, ...] = ()
    source: str = ""
    port: int | None = None
    stated: bool = False
    why_not: str = ""


ATTACKS: Final = (
    RealCapture(
        path="pcaps/attack/zeek__ssh__sshguess.pcap", holds="SSH password guessing",
        seen_by="11 sessions alike in 70 s", kinds=("guessing",), source="192.168.56.1", port=22,
    ),
    RealCapture(
        path="pcaps/attack/zeek__ftp__bruteforce.pcap", holds="FTP password guessing",
        seen_by="30 sessions alike in 59 s", kinds=("guessing",), source="192.168.56.1", port=21,
    ),
    RealCapture(
        path="pcaps/attack/sv__dcerpc__zerologon__input.pcap", holds="Zerologon (CVE-2020-1472)",
        seen_by="21 pairs of sessions alike in 8 s", kinds=("guessing",), source="172.16.0.10",
    ),
    RealCapture(
        path="pcaps/attack/sv__dhcp-request-flood__test.pcap", holds="DHCP request flood",
        seen_by="10,000 messages at once", kinds=("dhcp_flood",),
    ),
    RealCapture(
        path="pcaps/attack/zeek__dhcp__dhcp_flood.pcap", holds="DHCP flood",
        seen_by="100 messages/s of 250 clients", kinds=("dhcp_flood",),
    ),
    RealCapture(
        path="pcaps/attack/sv__ipv6-evasion__ipv6-rsmurf__rsmurf6.pcap", holds="IPv6 rsmurf",
        seen_by="1,000 echoes in 8 ms, from and to a group address", kinds=("flood_icmp",),
    ),
    RealCapture(
        path="pcaps/attack/sv__ipv6-evasion__ipv6-dos-with-ext-headers-5__denial6-5.pcap",
        holds="IPv6 denial of service with extension headers", seen_by="15,800 packets/s one way",
        kinds=("flood_icmp", "flood_ip"), source="2001:db8:1::2",
    ),
    RealCapture(
        path="pcaps/attack/sv__ipv6-evasion__ipv6-covert-dstopts__covert_send6.pcap",
        holds="covert channel in destination options", seen_by="1,384 B of extension headers a packet",
        kinds=("covert_channel",),
    ),
    RealCapture(
        path="pcaps/attack/sv__issue-3341-tcphdr-01__urgent11_cve_2019_12260.pcap", holds="URGENT/11",
        why_not=_ONE_PACKET,
    ),
    RealCapture(path="pcaps/attack/zeek__smb__SMBGhost.pcap", holds="SMBGhost", why_not=_ONE_PACKET),
    RealCapture(
        path="pcaps/attack/zeek__tls__heartbleed.pcap", holds="Heartbleed",
        why_not="4.6 times as much out as in on 443, which benign uploads show, too",
    ),
    RealCapture(
        path="pcaps/attack/zeek__tls__heartbleed-encrypted.pcap", holds="Heartbleed after the handshake",
        why_not=_ONE_PACKET,
    ),
    RealCapture(
        path="pcaps/attack/zeek__tls__heartbleed-encrypted-success.pcap",
        holds="Heartbleed after the handshake, answered", why_not=_ONE_PACKET,
    ),
    RealCapture(
        path="slips-dataset/test2-malicious.binetflow.gz", holds="an infected telephone",
        seen_by="a connection of an hour (3,581 s) to a port of its own", kinds=("long_connection",),
        stated=True,
    ),
    RealCapture(
        path="slips-dataset/test3-mixed.binetflow.gz", holds="scan of remote desktops",
        seen_by="28 hosts on port 3389", kinds=("scan_horizontal",), source="46.166.151.160", port=3389,
        stated=True,
    ),
    RealCapture(
        path="slips-dataset/test4-malicious.binetflow.gz", holds="scan of cameras",
        seen_by="64 hosts on port 81", kinds=("scan_horizontal",), source="192.168.2.12", port=81,
        stated=True,
    ),
    RealCapture(
        path="slips-dataset/test6-malicious.suricata.json.gz", holds="slow port scan",
        seen_by="481 ports in a day, at most 9 in any 300 s", kinds=("scan_vertical",),
        source="193.46.255.92", stated=True,
    ),
    RealCapture(
        path="slips-dataset/port-scans/horizontal/conn.log.gz", holds="scan of web servers",
        seen_by="10 hosts on port 80", kinds=("scan_horizontal",), source="10.0.2.112", port=80, stated=True,
    ),
    RealCapture(
        path="slips-dataset/port-scans/vertical/conn.log.gz", holds="port scan",
        seen_by="42 ports of one host", kinds=("scan_vertical",), source="192.168.1.9", stated=True,
    ),
    RealCapture(
        path="slips-dataset/test11-portscan.binetflow.gz", holds="port scan", seen_by="20 ports of one host",
        kinds=("scan_vertical",), source="10.8.0.69", stated=True,
    ),
    RealCapture(
        path="slips-dataset/test13-malicious-dhcpscan-zeek-dir", holds="search for free addresses over DHCP",
        seen_by="10 leases asked for at once (dhcp.log)", kinds=("address_probing", "dhcp_flood"),
        stated=True,
    ),
    RealCapture(
        path="slips-dataset/test9-mixed-zeek-dir", holds="another protocol than HTTP on port 80",
        why_not="needs the name of the protocol, which Zeek's `service` and Suricata's `app_proto` tell",
    ),
    RealCapture(
        path="slips-dataset/test10-mixed-zeek-dir", holds="another protocol than TLS on port 443",
        why_not="needs the name of the protocol",
    ),
    RealCapture(
        path="slips-dataset/test14-malicious-zeek-dir", holds="SMTP guessing, a GRE tunnel, a download",
        why_not="the connections behind it are not in the log; smtp.log, tunnel.log and http.log tell it",
    ),
    RealCapture(
        path="slips-dataset/test15-malicious-zeek-dir", holds="changing SSH clients, a known JA3",
        why_not="software.log and ssl.log tell it",
    ),
    RealCapture(
        path="slips-dataset/test16-malicious-zeek-dir", holds="ARP outside the local network",
        why_not="arp.log alone, one line",
    ),
)  # fmt: skip

BENIGN: Final = (
    *(
        RealCapture(path=f"pcaps/benign/{name}.pcap", holds=holds)
        for name, holds in (
            ("zeek__wikipedia", "browsing"),
            ("zeek__http__206_example_a", "download in ranges"),
            ("zeek__ssh__ssh", "SSH sessions"),
            ("zeek__smb__smb3_multichannel", "SMB 3 over several channels"),
            ("zeek__quic__chromium-115.0.5790.110-google-de-fragmented", "browsing over QUIC"),
            ("zeek__ftp__cwd-navigation", "FTP"),
            ("zeek__tls__tls-1.2-stream-keylog", "TLS 1.2"),
            ("zeek__dce-rpc__mapi", "Exchange"),
            ("sv__rfb-protocol-3.8__04-vnc-openwall-3.8", "VNC"),
            ("sv__pop3__input", "mail"),
            ("sv__http-body-inspect__http-aptget-ids-02-s2", "packages over HTTP"),
        )
    ),
    RealCapture(path="slips-dataset/test1-malicious.nfdump", holds="no evidence expected"),
)

DAYS: Final = {
    "report": "zeek-labelled-stratosphere/008-zeek-mixed/data/conn.log.labeled.gz",
    "development": "zeek-labelled-stratosphere/010-zeek-mixed/data/conn.log.labeled.gz",
}
"""A day each of two PCs on the Internet. Their benign direction, what the PC itself began, is benign traffic;
what came in is not. Conditions and thresholds were set while looking at one and are reported on the other."""
