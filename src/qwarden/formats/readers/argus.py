"""Lines of Argus flow records as `ra` writes them with a delimiter (``.binetflow``), to rows.

Sources: ra(1), ``-Z b`` and OUTPUT FORMAT; ``ArgusPrintState``, ``ArgusGetTCPStatus`` and
``ArgusPrintDirection`` of its ``argus_util.c``. A record is a flow of both directions. The state of TCP is
either the flags seen each way (``FSPA_FSPA``) or a word (``CON``, ``REQ``). Argus counts bytes of the link
layer where it saw one, and does not say whether it did. Labels are never read.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from qwarden.formats.flows import PROTO_ARP, UNKNOWN
from qwarden.formats.readers.columns import Columns, Numbers, blame
from qwarden.formats.readers.fields import (
    LATEST_NS,
    Malformed,
    address,
    hardware,
    nanoseconds,
    protocol,
    stamp,
    wrong,
)
from qwarden.formats.readers.payload import payload_of
from qwarden.formats.readers.rows import COMMENT, NO_FLAGS, OTHER, Row
from qwarden.formats.readers.tcpflags import (
    ACK,
    FIN,
    PSH,
    RST,
    STATES,
    SYN,
    URG,
    carries_nothing,
    flag_counts,
    flag_state,
)

_TCP, _UDP, _ICMP, _ICMPV6, _SCTP = 6, 17, 1, 58, 132
_WITH_PORTS: Final = (_TCP, _UDP, _SCTP, 33, 136)
_PRIVILEGED: Final = 1024
_LINK: Final = 18  # Ethernet with a VLAN tag
_PROTOCOLS: Final = {
    "arp": PROTO_ARP, "rtp": _UDP, "rtcp": _UDP, "udt": _UDP, "ipnip": 4, "ospf": 89, "ipv6-icmp": _ICMPV6,
}  # fmt: skip
_NOT_IP: Final = frozenset({"llc", "man", "rarp", "ipx/spx", "ether", "isis", "loop", "lldp", "stp", "wlan"})

_WANTED: Final = (
    "StartTime", "Dur", "LastTime", "Proto", "SrcAddr", "Sport", "Dir", "DstAddr", "Dport", "State",
    "TotPkts", "SrcPkts", "DstPkts", "TotBytes", "SrcBytes", "DstBytes", "SAppBytes", "DAppBytes",
    "SrcMac", "sVid",
)  # fmt: skip
_NEEDED: Final = ("StartTime", "Proto", "SrcAddr", "DstAddr")

_LETTERS: Final = {"F": FIN, "S": SYN, "R": RST, "P": PSH, "A": ACK, "U": URG, "E": 0, "C": 0, "7": 0, "8": 0}

# Service names that ra prints for ports unless it is told not to (-n).
_SERVICES: Final = {
    "ftp-data": 20, "ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "domain": 53, "bootps": 67, "bootpc": 68,
    "tftp": 69, "http": 80, "kerberos": 88, "pop3": 110, "sunrpc": 111, "ntp": 123, "epmap": 135,
    "netbios-ns": 137, "netbios-dgm": 138, "netbios-ssn": 139, "imap2": 143, "imap": 143, "snmp": 161,
    "snmp-trap": 162, "bgp": 179, "ldap": 389, "https": 443, "microsoft-ds": 445, "submission": 587,
    "syslog": 514, "ldaps": 636, "imaps": 993, "pop3s": 995, "ms-sql-s": 1433, "mysql": 3306,
    "ms-wbt-server": 3389, "rdp": 3389, "sip": 5060, "xmpp-client": 5222, "mdns": 5353, "postgresql": 5432,
    "http-alt": 8080, "isakmp": 500, "ssdp": 1900,
}  # fmt: skip

_SIDE = tuple[int, int]
"""Packets and bytes of one way."""


class ArgusReader:
    """Reads lines; header lines tell it what the columns are."""

    unfinished = ""

    def __init__(self) -> None:
        self._columns = Columns(_WANTED, _NEEDED)
        self._counts = Numbers({"": UNKNOWN, "-": UNKNOWN})

    def read(self, line: bytes) -> Row | str:
        """Return the row of a flow, or what else the line is.

        Raises
        ------
        Malformed : it cannot be parsed.
        """
        text = line.decode("utf-8", "replace").rstrip("\r")
        if not text or text.isspace():
            return COMMENT
        if text.startswith("#"):
            return COMMENT
        if not self._columns.ready or "StartTime" in text:
            if self._columns.take_header(text):
                return COMMENT
            if not self._columns.ready:
                raise Malformed("no header before it says what its columns are")
        cells = self._columns.cells(text)
        name = cells[3].strip().lower()
        if name in _NOT_IP or ":" in name:
            return OTHER
        try:
            return self._row(cells, name)
        except ValueError:
            raise self._blame(cells) from None

    def _row(self, cells: tuple[str, ...], name: str) -> Row:
        (
            start_text, lasted, last, _, src_text, sport, way, dst_text, dport, state,
            packets, src_packets, dst_packets, seen, src_seen, dst_seen, src_app, dst_app, mac, vlan,
        ) = cells  # fmt: skip
        count = self._counts.__getitem__
        start = _moment(start_text)
        end = _moment(last) if last and not lasted else start + (nanoseconds(lasted.strip()) if lasted else 0)
        if not start <= end <= LATEST_NS:
            raise Malformed("the flow ends before it starts, or after the year 2116")
        src, dst = address(src_text.strip()), address(dst_text.strip())
        if src[2] != dst[2]:
            raise Malformed("the addresses are of two IP versions")
        version, number = src[2], _PROTOCOLS.get(name, UNKNOWN)
        if number < 0:
            number = _ICMPV6 if name == "icmp" and version == 6 else protocol(name)
        if number == PROTO_ARP:
            version = 0
        packets_out, packets_in = _split(count(packets), count(src_packets), count(dst_packets))
        bytes_out, bytes_in = _split(count(seen), count(src_seen), count(dst_seen))
        if packets_in < 0 and packets_out < 0:
            packets_out, packets_in = _fewest(count(packets), bytes_out, bytes_in)
        out, back = (packets_out, bytes_out), (packets_in, bytes_in)
        kind, code = _icmp(sport, dport) if number in (_ICMP, _ICMPV6) else (UNKNOWN, UNKNOWN)
        ports = (_port(sport), _port(dport)) if number in _WITH_PORTS else (UNKNOWN, UNKNOWN)
        arrow = way.split()[-1] if way.strip() else "->"
        tcp = number == _TCP
        flags = _flags(state.strip()) if tcp else (UNKNOWN, UNKNOWN)
        apps = count(src_app), count(dst_app)
        swapped = _turned(arrow, ports, flags, tcp or number == _UDP)
        if swapped:
            src, dst, ports, flags, apps, out, back = (
                dst,
                src,
                ports[::-1],
                flags[::-1],
                apps[::-1],
                back,
                out,
            )
        number_of_state = UNKNOWN
        if tcp:
            number_of_state, flags = _tcp(state.strip(), arrow, flags, out, back)
        told = flag_counts(flags[0]) + flag_counts(flags[1]) if tcp else NO_FLAGS + NO_FLAGS
        return (
            start, end, src[0], src[1], dst[0], dst[1], version, number, *ports, kind, code,
            UNKNOWN if swapped else hardware(mac.strip()), _vlan(vlan), number_of_state,
            out[0], back[0], out[1], back[1],
            _payload(apps[0], out, version, number, flags[0]),
            _payload(apps[1], back, version, number, flags[1]),
            *told,
        )  # fmt: skip

    def _blame(self, cells: tuple[str, ...]) -> Malformed:
        whole = (self._counts.__getitem__, "a whole number")
        any_text = (str, "a text")
        return blame(
            _WANTED,
            cells,
            (
                (_moment, "a date and time, or seconds"),
                (lambda text: text and nanoseconds(text.strip()), "seconds"),
                (lambda text: text and _moment(text), "a date and time, or seconds"),
                any_text,
                (lambda text: address(text.strip()), "an address"),
                any_text,
                any_text,
                (lambda text: address(text.strip()), "an address"),
                any_text,
                any_text,
                *(whole,) * 8,
                any_text,
                any_text,
            ),
        )


@lru_cache(maxsize=1 << 12)
def _moment(text: str) -> int:
    """Return a time as ra prints it: a date, or seconds since the epoch."""
    text = text.strip()
    return stamp(text.replace("/", "-", 2)) if "/" in text or "-" in text else nanoseconds(text)


def _split(total: int, src: int, dst: int) -> _SIDE:
    """Return what each way had, of three numbers that may be unknown."""
    if total >= 0 and src >= 0 and dst < 0:
        dst = total - src
    elif total >= 0 and dst >= 0 and src < 0:
        src = total - dst
    if (total >= 0 and max(src, dst) > total) or min(src, dst) < UNKNOWN:
        raise Malformed(f"one way has more than both have: {max(src, dst)} of {total}")
    return src, dst


def _fewest(total: int, bytes_out: int, bytes_in: int) -> _SIDE:
    """Return the packets of each way where only their sum is told, as far as bytes make it certain."""
    if bytes_in == 0:
        return total, 0
    if bytes_out == 0:
        return 0, total
    return (1, 1) if total == 2 and bytes_in > 0 and bytes_out > 0 else (UNKNOWN, UNKNOWN)


def _port(text: str) -> int:
    """Return a port: decimal, hexadecimal, or the name of a service; `UNKNOWN` for other names."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        number = int(text) if len(text) <= 5 else 1 << 16
    elif text[:2] in ("0x", "0X"):
        number = _hexadecimal(text)
    else:
        return _SERVICES.get(text.rstrip("*").lower(), UNKNOWN)
    if number > 0xFFFF:
        raise wrong("a port", text, "at most 65535")
    return number


def _hexadecimal(text: str) -> int:
    digits = text[2:]
    if not 1 <= len(digits) <= 4 or not digits.isalnum():
        raise wrong("a port", text, "at most 65535")
    try:
        return int(digits, 16)
    except ValueError:
        raise wrong("a port", text, "a hexadecimal number") from None


def _icmp(sport: str, dport: str) -> tuple[int, int]:
    """Return type and code: the bytes of a hexadecimal Sport, the lower one is the type; else decimal."""
    sport, dport = sport.strip(), dport.strip()
    if sport[:2] in ("0x", "0X"):
        both = _hexadecimal(sport)
        return both & 0xFF, both >> 8
    kind, code = (
        int(text) if text.isascii() and text.isdecimal() and len(text) < 4 else -1 for text in (sport, dport)
    )
    return (kind, code if 0 <= code <= 0xFF else UNKNOWN) if 0 <= kind <= 0xFF else (UNKNOWN, UNKNOWN)


def _vlan(text: str) -> int:
    text = text.strip()
    plain = text.isascii() and text.isdecimal() and len(text) <= 4
    return int(text) if plain and int(text) <= 0xFFF else UNKNOWN


@lru_cache(maxsize=1 << 12)
def _flags(state: str) -> tuple[int, int]:
    """Return the flags that a state like ``FSPA_SPA`` names; `UNKNOWN` of a word."""
    out, underscore, back = state.partition("_")
    if not underscore or not set(out + back) <= _LETTERS.keys():
        return UNKNOWN, UNKNOWN
    first, second = (sum(_LETTERS[letter] for letter in set(side)) for side in (out, back))
    return first, second


def _turned(arrow: str, ports: tuple[int, int], flags: tuple[int, int], ported: bool) -> bool:
    """Whether the destination is who began.

    ``<-`` says so; where no SYN showed who did (``?``, and whatever is not TCP), the port does, as in the
    meter: one below 1024 responds to one from there up.
    """
    if arrow in ("<-", "<|", "<o"):
        return True
    asked = "?" in arrow
    if not ported or (not asked and flags[0] >= 0 and flags[0] & SYN):
        return False
    if min(ports) >= 0 and (asked or arrow == "<->") and (ports[0] < _PRIVILEGED) != (ports[1] < _PRIVILEGED):
        return ports[0] < _PRIVILEGED
    return arrow == "<?"


_WORDS: Final = {"REQ": "S0", "ACC": "S1", "EST": "S1", "CON": "S1", "CLO": "SF", "FIN": "SF"}


def _tcp(
    state: str, arrow: str, flags: tuple[int, int], out: _SIDE, back: _SIDE
) -> tuple[int, tuple[int, int]]:
    """Return the connection's state, and the flags that are known by it."""
    if flags[0] >= 0:
        if not flags[0] | flags[1]:
            return UNKNOWN, (UNKNOWN, UNKNOWN)
        return STATES[flag_state(*flags, back[0])], flags
    if state in STATES:  # tables made from Zeek's logs
        return STATES[state], flags
    alone = back == (0, 0) or back[0] == 0
    if "?" in arrow:
        return STATES["OTH"], flags
    if state == "REQ" and back[0] <= 0:
        return STATES["S0"], (SYN, 0 if alone else UNKNOWN)
    if state == "RST":
        if alone:
            return STATES["RSTOS0"], flags
        return (STATES["REJ"] if (out[0], back[0]) == (1, 1) else UNKNOWN), flags
    if alone:  # what timed out, or was begun, and had no answer
        return (STATES["S0"] if state in ("TIM", "INT", "REQ") else UNKNOWN), flags
    word = _WORDS.get(state)
    return (UNKNOWN if word is None or state == "REQ" else STATES[word]), flags


def _payload(told: int, way: _SIDE, version: int, number: int, flags: int) -> int:
    packets, seen = way
    if told >= 0:
        return told
    if number == _TCP and packets >= 0 and carries_nothing(flags, packets):
        return 0
    return payload_of(seen, packets, version, number, _LINK)
