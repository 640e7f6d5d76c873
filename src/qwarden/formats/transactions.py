"""What a protocol said within a flow: a DNS query, an HTTP request, a TLS handshake, as a sensor logs it.

Zeek's dns.log, http.log and ssl.log and Suricata's events `dns`, `http` and `tls` tell it apart from the
flow, and name the flow: by `uid`, by `flow_id`. No model sees it; it stands beside a finding and is looked
up in lists of indicators.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

FIELDS: Final = {
    "dns": ("query", "type", "rcode", "answers"),
    "http": ("method", "host", "uri", "user_agent", "status"),
    "tls": ("sni", "version", "ja3", "validation"),
}
"""What is kept of each protocol, in this order; several answers stand apart by commas."""

LONGEST: Final = 255
"""Characters of a value that are kept: as many as a name in DNS has (RFC 1035 section 2.3.4)."""

LONGEST_ID: Final = 32


def is_value(name: str, text: str) -> bool:
    """Return whether a field may hold `text`: any, but a status has three digits (RFC 9110 section 15)."""
    return name != "status" or (len(text) == 3 and text.isascii() and text.isdecimal())


Said = tuple[str, tuple[tuple[str, str], ...]]
"""The protocol, and its values by name: what two transactions that are alike have in common."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction.

    Attributes
    ----------
    flow_id : what the sensor calls the flow.
    protocol : a key of `FIELDS`.
    values : those that are known, by name, in the order of `FIELDS`; printable, at most `LONGEST` characters.
    """

    flow_id: str
    protocol: str
    values: tuple[tuple[str, str], ...]

    @property
    def said(self) -> Said:
        """What was said, whichever flow it was."""
        return self.protocol, self.values


def first_of_each(transactions: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the first transaction of each protocol, of those in a finding's context."""
    found: dict[str, Mapping[str, Any]] = {}
    for told in transactions:
        found.setdefault(str(told["protocol"]), told)
    return found


def names_of(said: Said) -> Iterable[str]:
    """Yield the names and addresses that a transaction speaks of, as lists of indicators spell them.

    >>> list(names_of(("http", (("host", "Evil.Example:8080"), ("uri", "/a")))))
    ['evil.example']
    >>> list(names_of(("dns", (("query", "a.example."), ("answers", "b.example,192.0.2.1")))))
    ['a.example', 'b.example', '192.0.2.1']
    """
    values = dict(said[1])
    host = values.get("host", "")
    if host.startswith("["):  # RFC 3986 section 3.2.2
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    for name in (values.get("query"), values.get("sni"), host, *values.get("answers", "").split(",")):
        if name and (plain := name.strip().rstrip(".").lower()):
            yield plain


def transaction_text(told: Mapping[str, Any]) -> str:
    """Return a transaction in words, from its document in a finding's context.

    >>> transaction_text({"protocol": "dns", "query": "a.example", "type": "A", "answers": "::1", "flows": 2})
    'DNS a.example A, answers ::1, in 2 flows'
    >>> transaction_text({"protocol": "tls", "sni": "a.example", "ja3": "00ff", "flows": 1})
    'TLS a.example, ja3 00ff'
    """
    protocol = str(told["protocol"])
    shown = " ".join(str(told[name]) for name in FIELDS[protocol] if name in told and name not in _LABELS)
    parts = [shown] if shown else []
    parts += [f"{label} {told[name]}" for name, label in _LABELS.items() if name in told]
    if told["flows"] > 1:
        parts.append(f"in {told['flows']:,} flows")
    return f"{protocol.upper()} {', '.join(parts)}"


_LABELS: Final = {"answers": "answers", "user_agent": "user agent", "ja3": "ja3", "validation": "certificate"}
"""Values that would not be understood without being named."""
