from __future__ import annotations

import json

import pytest

from qwarden.core.events import Event, UnknownEvent
from qwarden.detect import Alert, Finding
from qwarden.formats.writers.notice import FORMATS, Notice, encode, notice_of

from .samples import FINDINGS, finding


def stored(**changes: object) -> Finding:
    document = finding(**changes)
    document["behaviour"] = document.pop("kind")
    document["technique"] = document["technique"] or ""
    return Finding(**document)


@pytest.mark.parametrize("technique", ["T1046", None])
def test_a_findings_event_is_told_as_its_document(technique: str | None) -> None:
    event = stored(technique=technique)
    notice = notice_of(event)
    assert notice == Notice(event.id, "closed", event.document())


def test_an_alert_is_told_as_the_finding_it_opened() -> None:
    alert = Alert(id="019b0000-0000-7000-8000-000000000001", time=5.0, finding_id="x", finding=finding())
    assert notice_of(alert) == Notice(alert.id, "opened", finding())


def test_events_of_a_room_that_is_not_loaded_are_told_as_well() -> None:
    event = stored()
    unknown = UnknownEvent(
        id=event.id,
        time=event.time,
        room="detect",
        kind="finding",
        content=json.loads(event.to_json())["body"],
    )
    assert notice_of(unknown) == notice_of(event)


def test_other_events_have_nothing_to_tell() -> None:
    other = Event.from_json('{"body":{},"id":"0190-a","kind":"drifted","room":"detect","time":5.0}')
    assert notice_of(other) is None


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_one_line_and_encodable(form: str) -> None:
    for sample in FINDINGS.values():
        line = encode(form, Notice("id", "whole", sample), "sensor-1")
        assert line
        if form not in ("text", "cef"):
            assert json.loads(line)
            assert "\n" not in line


def test_own_form() -> None:
    document = json.loads(encode("own", Notice("event-id", "opened", finding()), None))
    assert document == {
        "event": "finding.opened", "id": "event-id", "time": 1_767_600_000.25, "finding": finding(),
    }  # fmt: skip
