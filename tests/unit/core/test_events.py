from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import ClassVar

import pytest

from qwarden.core.errors import InputError
from qwarden.core.events import Event, UnknownEvent, from_parts, registered
from qwarden.core.files import canonical_json


@dataclass(frozen=True, slots=True)
class Cause:
    feature: str
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting(Event):
    room: ClassVar[str] = "test"
    kind: ClassVar[str] = "events_sighting"

    where: str
    causes: tuple[Cause, ...] = ()
    score: float | None = None


SIGHTING = Sighting(time=1700000000.25, where='"é"\n\u2028', causes=(Cause("bytes", 0.5),), score=None)


def parts(event: Event) -> dict[str, object]:
    loaded = json.loads(event.to_json())
    assert isinstance(loaded, dict)
    return loaded


def test_round_trip() -> None:
    assert Event.from_json(SIGHTING.to_json()) == SIGHTING
    assert type(Event.from_json(SIGHTING.to_json().encode())) is Sighting


def test_text_is_canonical() -> None:
    assert SIGHTING.to_json().encode() == canonical_json(json.loads(SIGHTING.to_json()))
    assert parts(SIGHTING) == {
        "id": SIGHTING.id,
        "time": 1700000000.25,
        "room": "test",
        "kind": "events_sighting",
        "body": {"where": '"é"\n\u2028', "causes": [{"feature": "bytes", "weight": 0.5}], "score": None},
    }


@pytest.mark.parametrize(
    ("body", "problem"), [("{", "body: is no JSON"), ("[1]", "body: expected an object")]
)
def test_a_stored_body_that_is_none_is_named(body: str, problem: str) -> None:
    with pytest.raises(InputError, match=f"event 0190: {problem}"):
        from_parts("0190", 1.0, "test", "events_sighting", body)


def test_an_event_is_frozen_and_has_slots() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SIGHTING.where = "elsewhere"  # type: ignore[misc]
    assert not hasattr(SIGHTING, "__dict__")


def test_an_unknown_kind_loses_nothing() -> None:
    text = canonical_json(parts(SIGHTING) | {"kind": "from_the_future", "body": {"new": [1, {"x": None}]}})
    event = Event.from_json(text)
    assert isinstance(event, UnknownEvent)
    assert (event.room, event.kind, event.id) == ("test", "from_the_future", SIGHTING.id)
    assert event.to_json().encode() == text


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"time": "now"}, "time: expected a number"),
        ({"id": None}, "id: expected a string"),
        ({"extra": 1}, "extra"),
        ({"body": []}, "body: expected an object"),
        ({"body": {}}, "where: .*is missing"),
        ({"body": {"where": 5}}, "where: .*expected a string, found an integer"),
        ({"body": {"where": "x", "colour": "red"}}, "colour: .*no such field"),
        ({"body": {"where": "x", "id": "y"}}, "must not hold id"),
    ],
)
def test_a_wrong_event_is_named(change: dict[str, object], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        Event.from_json(json.dumps(parts(SIGHTING) | change))


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_what_is_no_event_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        Event.from_json(text)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_an_unknown_number_must_be_none(bad: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        Sighting(time=1.0, where="", score=bad).to_json()
    with pytest.raises(ValueError, match="time"):
        Sighting(time=bad, where="").to_json()


def test_ids_are_made_and_short_ones_are_their_random_end() -> None:
    first, second = Sighting(time=1, where=""), Sighting(time=1, where="")
    assert first.id < second.id
    assert first.id[24:32] == first.short_id != second.short_id


def test_a_class_registers_once() -> None:
    assert registered()["test", "events_sighting"] is Sighting
    with pytest.raises(TypeError, match="registered by Sighting already"):

        @dataclass(frozen=True, slots=True, kw_only=True)
        class Other(Event):
            room: ClassVar[str] = "test"
            kind: ClassVar[str] = "events_sighting"
