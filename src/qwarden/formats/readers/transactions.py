"""What the sensors' logs say of protocols, to transactions.

Sources: Zeek's ``base/protocols/{dns,http,ssl}/main.zeek``, ``policy/protocols/ssl/validate-certs.zeek`` and
the JA3 package; Suricata's user guide, EVE JSON format, event types dns (of versions 1 to 3), http and tls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from qwarden.formats.readers.fields import short
from qwarden.formats.transactions import FIELDS, LONGEST, LONGEST_ID, Transaction, is_value

_ZEEK: Final = {
    "dns": ("dns", ("query", "qtype_name", "rcode_name", "answers")),
    "http": ("http", ("method", "host", "uri", "user_agent", "status_code")),
    "ssl": ("tls", ("server_name", "version", "ja3", "validation_status")),
}
"""Protocol of each log, and the fields that tell what `FIELDS` name, in their order."""

ZEEK_LOGS: Final = frozenset(_ZEEK)
EVE_EVENTS: Final = frozenset({"dns", "http", "tls"})

_MOST_ANSWERS: Final = 64


def flow_name(value: object) -> str:
    """Return what a sensor calls a flow, as text; empty if it is no such name.

    >>> flow_name("CHLXQF2OBY4onAR0Ug"), flow_name(2232403389523415), flow_name("a b"), flow_name(None)
    ('CHLXQF2OBY4onAR0Ug', '2232403389523415', '', '')
    """
    if type(value) is str:
        return value if value.isalnum() and value.isascii() and len(value) <= LONGEST_ID else ""
    return str(value) if type(value) is int and 0 <= value < 1 << 64 else ""


def zeek_transaction(name: str, record: Mapping[str, Any]) -> Transaction | None:
    """Return what a record of one of `ZEEK_LOGS` says; None if it is nothing, or of no flow."""
    protocol, fields = _ZEEK[name]
    return _transaction(record.get("uid"), protocol, [record.get(field) for field in fields])


def eve_transaction(kind: str, event: Mapping[str, Any]) -> Transaction | None:
    """Return what one of `EVE_EVENTS` says; None if it is nothing, or of no flow."""
    told = event.get(kind)
    if not isinstance(told, dict):
        return None
    if kind == "dns":
        values = _eve_dns(told)
    elif kind == "http":
        names = ("http_method", "hostname", "url", "http_user_agent", "status")
        values = [told.get(name) for name in names]
    else:
        ja3 = told.get("ja3")
        hashed = ja3.get("hash") if isinstance(ja3, dict) else None
        values = [told.get("sni"), told.get("version"), hashed, None]
    return _transaction(event.get("flow_id"), kind, values)


def _eve_dns(told: Mapping[str, Any]) -> list[object]:
    """Return query, type, code and answers, wherever this version of the event has them."""
    queries = told.get("queries")
    asked = queries[0] if isinstance(queries, list) and queries and isinstance(queries[0], dict) else told
    answers = told.get("answers")
    found: list[object] = []
    if isinstance(answers, list):
        found = [answer.get("rdata") for answer in answers[:_MOST_ANSWERS] if isinstance(answer, dict)]
    elif isinstance(grouped := told.get("grouped"), dict):
        found = [data for some in grouped.values() if isinstance(some, list) for data in some]
    elif told.get("rdata"):
        found = [told["rdata"]]
    return [asked.get("rrname"), asked.get("rrtype"), told.get("rcode"), found]


def _transaction(flow_id: object, protocol: str, values: Sequence[object]) -> Transaction | None:
    name = flow_name(flow_id)
    if not name:
        return None
    texts = zip(FIELDS[protocol], map(_text, values), strict=True)
    known = tuple((field, text) for field, text in texts if text and is_value(field, text))
    return Transaction(name, protocol, known) if known else None


def _text(value: object) -> str:
    """Return a value as text fit for a terminal; empty if it is of another kind."""
    if isinstance(value, list):
        value = ",".join(item for item in value[:_MOST_ANSWERS] if isinstance(item, str))
    elif type(value) is int and 0 <= value <= 999:  # a status
        value = str(value)
    return "" if value == "(empty)" else short(value, LONGEST)
