"""Canonical JSON and events, for any content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from hypothesis import given, settings
from hypothesis import strategies as st

from qwarden.core.events import Event
from qwarden.core.files import canonical_json

text = st.text(st.characters(exclude_categories=["Cs"]))
finite = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers() | finite | text
values = st.recursive(scalars, lambda v: st.lists(v) | st.dictionaries(text, v), max_leaves=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Anything(Event):
    room: ClassVar[str] = "test"
    kind: ClassVar[str] = "json_anything"

    words: tuple[str, ...]
    number: float
    count: int | None
    rest: Mapping[str, Any]


@given(values)
def test_canonical_json_says_what_was_meant(value: Any) -> None:
    data = canonical_json(value)
    assert json.loads(data) == value
    assert canonical_json(json.loads(data)) == data


@given(st.dictionaries(text, scalars, min_size=2), st.randoms())
def test_the_order_of_keys_does_not_matter(value: dict[str, Any], random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert canonical_json(dict(items)) == canonical_json(value)


@given(finite, st.lists(text).map(tuple), finite, st.none() | st.integers(), st.dictionaries(text, values))
@settings(max_examples=40)
def test_events_come_back(
    time: float, words: tuple[str, ...], number: float, count: int | None, rest: dict[str, Any]
) -> None:
    event = Anything(time=time, words=words, number=number, count=count, rest=rest)
    written = event.to_json()
    assert Event.from_json(written) == event
    assert written.encode() == canonical_json(json.loads(written))
