"""Findings as syslog messages: RFC 5424, with the figures as structured data.

The structured data stand under ``qwarden@32473``. 32473 is the enterprise number kept for documentation
(RFC 5612): we have none of our own, and the standard wants one.

Source: RFC 5424 section 6 (the ABNF), section 6.3.3 (escaping), section 6.4 (BOM).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from qwarden.formats.writers.fields import VERSION, flow_community_id, percent, text, title, zulu

FACILITIES: Final = {
    "kern": 0, "user": 1, "mail": 2, "daemon": 3, "auth": 4, "syslog": 5, "lpr": 6, "news": 7, "uucp": 8,
    "cron": 9, "authpriv": 10, "ftp": 11, "ntp": 12, "audit": 13, "alert": 14, "clock": 15,
    **{f"local{n}": 16 + n for n in range(8)},
}  # fmt: skip
"""RFC 5424 section 6.2.1, table 1."""

SEVERITY: Final = {"critical": 2, "high": 3, "medium": 4, "low": 5, "info": 6}
"""RFC 5424 section 6.2.1, table 2: critical, error, warning, notice, informational."""

_MSGID: Final = {"opened": "FINDING-OPENED", "closed": "FINDING-CLOSED", "whole": "FINDING"}
_SD_ID: Final = "qwarden@32473"
_NIL: Final = "-"
_BOM: Final = b"\xef\xbb\xbf"
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def syslog_message(
    finding: Mapping[str, Any],
    state: str = "whole",
    sensor: str | None = None,
    *,
    facility: str = "auth",
    process: int | None = None,
    content: str | None = None,
    limit: int | None = None,
) -> bytes:
    """Return the syslog message of a finding.

    Parameters
    ----------
    finding, state, sensor : as of `eve_alert`; the sensor is the HOSTNAME.
    facility : one of `FACILITIES`.
    process : the PROCID.
    content : the message's text, on one line; by default a sentence for people.
    limit : most octets of the message; its text is cut there, at a character, never its structured data.
    """
    priority = FACILITIES[facility] * 8 + SEVERITY[finding["severity"]]
    head = " ".join(
        (
            f"<{priority}>1",
            zulu(float(finding["time"])),
            _name(sensor, 255),
            "qwarden",
            _name(None if process is None else str(process), 128),
            _MSGID[state],
            _structured("origin", {"software": "qwarden", "swVersion": VERSION}) + _figures(finding),
        )
    ).encode()
    shown = _CONTROL.sub(" ", sentence(finding) if content is None else content)
    octets = shown.encode(errors="replace")
    mark = b"" if shown.isascii() else _BOM
    if limit is not None:
        octets = _cut(octets, limit - len(head) - 1 - len(mark))
    return head + b" " + mark + octets if octets else head


def sentence(finding: Mapping[str, Any]) -> str:
    """Return a finding in one sentence."""
    port = "" if finding["dst_port"] is None else f" port {finding['dst_port']}"
    return (
        f"{title(finding)} from {finding['src_ip']} to {finding['dst_ip']}{port} ({finding['proto']}), "
        f"{finding['flows']} flows, threat score {percent(float(finding['threat_score']))} %: {text(finding)}"
    )


def _figures(finding: Mapping[str, Any]) -> str:
    return _structured(
        _SD_ID,
        {
            "id": finding["id"],
            "kind": finding["kind"],
            "severity": finding["severity"],
            "technique": finding["technique"],
            "threatScore": finding["threat_score"],
            "twinScore": finding["twin_score"],
            "src": finding["src_ip"],
            "srcPort": finding.get("src_port"),
            "dst": finding["dst_ip"],
            "dstPort": finding["dst_port"],
            "proto": finding["proto"],
            "communityId": flow_community_id(finding),
            "flows": finding["flows"],
            "packets": finding["packets"],
            "bytes": finding["bytes"],
            "start": zulu(float(finding["start"])),
            "end": zulu(float(finding["end"])),
        },
    )


def _structured(id: str, values: Mapping[str, object]) -> str:
    known = [f' {name}="{_escape(str(value))}"' for name, value in values.items() if value not in (None, "")]
    return f"[{id}{''.join(known)}]"


def _escape(value: str) -> str:
    return re.sub(r'(["\\\]])', r"\\\1", _CONTROL.sub(" ", value))


def _name(text: str | None, most: int) -> str:
    """Return what the grammar takes as a name: printable ASCII without spaces, or the nil value."""
    return re.sub(r"[^\x21-\x7e]", "", text or "")[:most] or _NIL


def _cut(octets: bytes, most: int) -> bytes:
    return octets if len(octets) <= most else octets[: max(most, 0)].decode(errors="ignore").encode()
