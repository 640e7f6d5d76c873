"""Figures and addresses in words, for people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

from qwarden.detect import counted


def number(value: float) -> str:
    """Return a count with separators.

    >>> number(12345)
    '12,345'
    """
    return f"{value:,}"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun.

    >>> plural(1, "flow"), plural(2000, "flow")
    ('1 flow', '2,000 flows')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def size(count: float) -> str:
    """Return bytes in the unit that suits them.

    >>> size(912), size(48_100), size(3_250_000)
    ('912 B', '48.1 kB', '3.2 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def span(seconds: float) -> str:
    """Return a length of time.

    >>> span(0.4), span(75), span(5400)
    ('0.4 s', '1 min 15 s', '1 h 30 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def moment(seconds: float) -> str:
    """Return a time of day with its date, UTC.

    >>> moment(0)
    '1970-01-01 00:00:00'
    """
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def day_and_time(seconds: float) -> tuple[str, str]:
    """Return a date and a time of day, UTC.

    >>> day_and_time(0)
    ('1970-01-01', '00:00:00')
    """
    day, _, time = moment(seconds).partition(" ")
    return day, time


def sentence(words: str) -> str:
    """Return words with a capital at their start, the rest as it is.

    >>> sentence("port scan of one host"), sentence("TCP SYN flood"), sentence("")
    ('Port scan of one host', 'TCP SYN flood', '')
    """
    return words[:1].upper() + words[1:]


def source_of(finding: Mapping[str, Any]) -> str:
    """Return who it came from.

    >>> source_of({"sources": 1, "src_ip": "10.0.0.1"}), source_of({"sources": 40, "src_ip": "10.0.0.1"})
    ('10.0.0.1', '40 sources')
    """
    return str(finding["src_ip"]) if finding["sources"] == 1 else f"{counted(finding['sources'])} sources"


def target_of(finding: Mapping[str, Any]) -> str:
    """Return what it was aimed at.

    >>> target_of({"destinations": 1, "dst_ip": "::1", "dst_port": 22, "ports": 1})
    '[::1]:22'
    """
    port = finding["dst_port"]
    if finding["destinations"] == 1:
        address = str(finding["dst_ip"])
        if port is not None:
            address = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        target = address
    else:
        target = f"{counted(finding['destinations'])} hosts" + (f", port {port}" if port is not None else "")
    if finding["ports"] > 1 and port is None:
        target += f", {counted(finding['ports'])} ports"
    return target


def rarity(p_value: float) -> str:
    """Return a p-value as odds, to two figures.

    >>> rarity(1 / 50_000), rarity(0.0357), rarity(0.8)
    ('1 in 50,000', '1 in 28', '8 in 10')
    """
    if p_value > 0.1:
        return f"{round(10 * p_value)} in 10"
    odds = 1 / max(p_value, 1e-12)
    digits = 10 ** max(0, math.floor(math.log10(odds)) - 1)
    return f"1 in {round(odds / digits) * digits:,}"


def evidence(p_value: float) -> float:
    """Return orders of magnitude of rarity, -log10 p.

    >>> evidence(0.001)
    3.0
    """
    return -math.log10(min(max(p_value, 1e-12), 1.0)) + 0.0


def last_part(path: str) -> str:
    """Return what a source is called, without the folders it lies in.

    >>> last_part("/var/pcap/monday.pcap")
    'monday.pcap'
    """
    return PurePath(path).name or path


def technique_page(technique: str) -> str:
    """Return where MITRE ATT&CK describes a technique.

    >>> technique_page("T1110.001")
    'https://attack.mitre.org/techniques/T1110/001/'
    """
    return f"https://attack.mitre.org/techniques/{technique.replace('.', '/')}/"
