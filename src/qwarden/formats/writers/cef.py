"""Findings in the Common Event Format: one line of text that older SIEMs read, sent by syslog.

Source: ArcSight Common Event Format, implementation standard, revision 26 (header and extension, escaping).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from qwarden.formats.writers.fields import PRODUCT, VERSION, flow_community_id, milliseconds, text, title

_SEVERITY: Final = {"info": 1, "low": 3, "medium": 5, "high": 8, "critical": 10}
_EVENT: Final = {"opened": "opened", "closed": "closed", "whole": "found"}


def cef_line(finding: Mapping[str, Any], state: str = "whole", sensor: str | None = None) -> str:
    """Return the CEF line of a finding; parameters as of `eve_alert`."""
    header = ("CEF:0", PRODUCT, PRODUCT, VERSION, str(finding["kind"]), title(finding))
    extension: dict[str, object] = {
        "externalId": finding["id"],
        "act": _EVENT[state],
        "rt": milliseconds(float(finding["time"])),
        "start": milliseconds(float(finding["start"])),
        "end": milliseconds(float(finding["end"])),
        "src": finding["src_ip"],
        "spt": finding.get("src_port"),
        "dst": finding["dst_ip"],
        "dpt": finding["dst_port"],
        "proto": str(finding["proto"]).upper(),
        "cnt": finding["flows"],
        "dvchost": sensor,
        "cs1Label": "technique" if finding["technique"] else None,
        "cs1": finding["technique"] or None,
        "cs2Label": "communityId" if flow_community_id(finding) else None,
        "cs2": flow_community_id(finding),
        "cfp1Label": "threatScore",
        "cfp1": finding["threat_score"],
        "cfp2Label": "twinScore",
        "cfp2": finding["twin_score"],
        "msg": text(finding),
    }
    known = " ".join(f"{name}={_value(str(v))}" for name, v in extension.items() if v is not None)
    head = "|".join(_header(part) for part in header)
    return f"{head}|{_SEVERITY[finding['severity']]}|{known}"


def _header(part: str) -> str:
    return _one_line(part).replace("\\", "\\\\").replace("|", "\\|")


def _value(value: str) -> str:
    return "\\n".join(part.replace("\\", "\\\\").replace("=", "\\=") for part in value.splitlines())


def _one_line(part: str) -> str:
    return " ".join(part.splitlines())
