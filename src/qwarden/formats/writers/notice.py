"""Notices: what is told of a finding, when, and in which format."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, runtime_checkable

from qwarden.core.events import Event
from qwarden.formats.writers.cef import cef_line
from qwarden.formats.writers.ecs import ecs_alert
from qwarden.formats.writers.eve import eve_alert
from qwarden.formats.writers.ocsf import ocsf_finding
from qwarden.formats.writers.stix import stix_bundle, stix_objects
from qwarden.formats.writers.syslog import sentence

State = Literal["opened", "closed", "whole"]
"""A finding that opens and grows, one that was told before and has ended, one that is told only once."""

EVENTS: Final = {"opened": "finding.opened", "closed": "finding.closed", "whole": "finding"}


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell.

    Parameters
    ----------
    id : of the event it comes from: a receiver that has seen it need not look again.
    state : where the finding stands.
    finding : its document.
    """

    id: str
    state: State
    finding: Mapping[str, Any]


def notice_of(event: Event) -> Notice | None:
    """Return what a stored event has to tell: an alert opens a finding, its own event closes it.

    It goes by room, kind and content, not by class: events of a room that is not loaded are told as well.
    """
    if event.room != "detect" or event.kind not in ("alert", "finding"):
        return None
    if event.kind == "alert":
        finding = event.body()["finding"]
        assert isinstance(finding, Mapping)
        return Notice(event.id, "opened", finding)
    if isinstance(event, _Documented):
        return Notice(event.id, "closed", event.document())
    body = event.body()
    body.pop("evidence", None)
    kind = {"id": event.id, "time": event.time, "kind": body.pop("behaviour")}
    return Notice(event.id, "closed", {**kind, **body, "technique": body["technique"] or None})


@runtime_checkable
class _Documented(Protocol):
    """A finding's event of the room that made it."""

    def document(self) -> dict[str, Any]:
        """Return the finding's document."""


def own_document(finding: Mapping[str, Any], state: State, id: str = "") -> dict[str, Any]:
    """Return a finding in our own form: what happened to it, and its document."""
    return {"event": EVENTS[state], "id": id or finding["id"], "time": finding["time"], "finding": finding}


def encode(form: str, notice: Notice, sensor: str | None) -> str:
    """Return a notice in a format, one line of text.

    Parameters
    ----------
    form : one of `FORMATS`.
    notice : what to tell.
    sensor : the name of this machine, where the format has a field for it.
    """
    return FORMATS[form](notice, sensor)


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, allow_nan=False)


FORMATS: Final[Mapping[str, Callable[[Notice, str | None], str]]] = {
    "own": lambda n, _: _json(own_document(n.finding, n.state, n.id)),
    "eve": lambda n, sensor: _json(eve_alert(n.finding, n.state, sensor)),
    "ecs": lambda n, sensor: _json(ecs_alert(n.finding, n.state, sensor)),
    "ocsf": lambda n, sensor: _json(ocsf_finding(n.finding, n.state, sensor)),
    "stix": lambda n, _: _json(stix_bundle(stix_objects(n.finding, n.state))),
    "cef": lambda n, sensor: cef_line(n.finding, n.state, sensor),
    "text": lambda n, _: sentence(n.finding),
}
"""Ways to write a finding on one line."""
