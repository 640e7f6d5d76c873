"""Events: the only thing rooms say to each other.

A room subclasses `Event` with its own typed fields and two class variables that name it::

    @dataclass(frozen=True, slots=True, kw_only=True)
    class PortOpened(Event):
        room: ClassVar[str] = "detect"
        kind: ClassVar[str] = "port_opened"
        port: int

Subclasses register themselves, so that `Event.from_json` gives back what `to_json` wrote. An event of a
kind this version does not know comes back as an `UnknownEvent` and loses nothing. A stored kind
lives long: a field added later needs a default, and a field renamed needs a migration.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from json.encoder import encode_basestring
from typing import Any, ClassVar

from qwarden.core import strict
from qwarden.core.clock import uuid7
from qwarden.core.errors import InputError
from qwarden.core.files import Json, canonical_text

_KINDS: dict[tuple[str, str], type[Event]] = {}

SHORT = 8
"""Characters of a short id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened.

    Parameters
    ----------
    id : UUID of version 7; made on the spot if not given.
    time : when, in traffic time: seconds since the epoch.
    """

    room: ClassVar[str]
    kind: ClassVar[str]

    id: str = field(default_factory=uuid7)
    time: float

    def __init_subclass__(cls) -> None:
        if {"room", "kind"} <= cls.__dict__.keys() and isinstance(cls.__dict__["kind"], str):
            _register(cls)

    def __post_init__(self) -> None:
        object.__setattr__(self, "time", float(self.time))

    @property
    def short_id(self) -> str:
        """The id as shown to people: the start of its last group, which is random.

        The start of the whole id is its time, the same for all events of a minute.
        """
        return self.id.rpartition("-")[2][:SHORT]

    def body(self) -> dict[str, Json]:
        """Return the fields that the room added, as JSON values."""
        values: dict[str, Json] = {}
        for name in _own_fields(type(self)):
            value = getattr(self, name)
            values[name] = value if type(value) in _SCALARS else strict.to_json(value)
        return values

    def to_json(self) -> str:
        """Write the event in canonical JSON: ``{"body":{...},"id":...,"kind":...,"room":...,"time":...}``.

        Raises
        ------
        TypeError, ValueError
            A field holds what JSON cannot (an unknown number is None, never NaN).
        """
        return compose(self.id, self.time, self.room, self.kind, canonical_text(self.body()))

    @staticmethod
    def from_json(text: str | bytes) -> Event:
        """Read what `to_json` wrote, as an object of the class registered for its room and kind.

        Raises
        ------
        InputError
            The text is no event, or a field is missing, unknown or of the wrong type.

        Examples
        --------
        >>> text = '{"body":{"x":1},"id":"0190-a","kind":"new","room":"later","time":5.0}'
        >>> event = Event.from_json(text)
        >>> event.kind, event.body(), event.to_json() == text
        ('new', {'x': 1}, True)
        """
        return _read(text)


_COMMON = frozenset({"id", "time", "room", "kind"})
_SCALARS = frozenset({str, int, float, bool, type(None)})
_OWN: dict[type, tuple[str, ...]] = {}


def _own_fields(cls: type) -> tuple[str, ...]:
    if cls not in _OWN:
        _OWN[cls] = tuple(name for name in strict.shape(cls).types if name not in _COMMON)
    return _OWN[cls]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownEvent(Event):
    """An event of a kind this version does not know, kept whole."""

    # What every other class states of itself, this one carries.
    room: str  # type: ignore[misc]
    kind: str  # type: ignore[misc]
    content: Mapping[str, Json]

    def body(self) -> dict[str, Json]:
        """Return the body as it was read."""
        return dict(self.content)


def compose(id: str, time: float, room: str, kind: str, body: str) -> str:
    """Put an event's canonical JSON together from its parts; `body` is canonical JSON already."""
    # By hand, since every event stored passes here; the tests hold it to `canonical_json`.
    if not math.isfinite(time):
        raise ValueError(f"event {id}: its time is {time}")
    return (
        f'{{"body":{body},"id":{encode_basestring(id)},"kind":{encode_basestring(kind)},'
        f'"room":{encode_basestring(room)},"time":{float(time)!r}}}'
    )


def from_parts(id: str, time: float, room: str, kind: str, body: str) -> Event:
    """Build the event of the registered class from its stored parts; see `Event.from_json`."""
    place = f"event {id}"
    try:
        content = json.loads(body)
    except ValueError as error:
        raise InputError(place, f"body: is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(place, "body: expected an object")
    known = _KINDS.get((room, kind))
    if known is None:
        return UnknownEvent(id=id, time=time, room=room, kind=kind, content=content)
    if clash := _COMMON & content.keys():
        raise InputError(place, f"body: must not hold {', '.join(sorted(clash))}")
    try:
        return strict.from_json(known, {"id": id, "time": time, **content})
    except strict.Mismatch as mismatch:
        raise InputError(place, f"expected {room}.{kind}: {mismatch.problem}", mismatch.place) from mismatch


def _read(text: str | bytes) -> Event:
    try:
        parts = strict.from_json(_Parts, json.loads(text))
    except strict.Mismatch as mismatch:
        raise InputError("event", mismatch.problem, mismatch.place) from mismatch
    except ValueError as error:
        raise InputError("event", f"is no JSON: {error}") from error
    return from_parts(parts.id, parts.time, parts.room, parts.kind, canonical_text(parts.body))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    id: str
    time: float
    room: str
    kind: str
    body: Mapping[str, Any]


def _register(cls: type[Event]) -> None:
    key = (cls.__dict__["room"], cls.__dict__["kind"])
    other = _KINDS.get(key)
    # `slots=True` builds the class a second time: the same name again is no clash.
    if other is not None and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
        raise TypeError(f"event {key[0]}.{key[1]} is registered by {other.__qualname__} already")
    _KINDS[key] = cls


def registered() -> Mapping[tuple[str, str], type[Event]]:
    """Return the event classes known so far, by (room, kind)."""
    return dict(_KINDS)
