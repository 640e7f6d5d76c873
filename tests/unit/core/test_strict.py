from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

import pytest

from qwarden.core.strict import Mismatch, from_json, to_json


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True)
class Inner:
    n: int


@dataclass(frozen=True)
class Outer:
    text: str
    number: float
    flag: bool
    maybe: int | None
    pair: tuple[int, str]
    many: tuple[Inner, ...]
    level: Literal["low", "high"]
    colour: Colour
    table: Mapping[str, Sequence[float]]
    anything: Any = None


GOOD = Outer(
    "t", 1.5, True, None, (1, "b"), (Inner(1), Inner(2)), "low", Colour.RED, {"k": (0.5,)}, [None, {"x": 1}]
)


def test_round_trip() -> None:
    assert from_json(Outer, to_json(GOOD)) == GOOD


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        ("text", 5, "expected a string, found an integer"),
        ("number", "1.5", "expected a number, found a string"),
        ("number", True, "expected a number, found true or false"),
        ("flag", 1, "expected true or false, found an integer"),
        ("maybe", "x", "expected an integer, found a string; or expected null"),
        ("pair", [1], "expected 2 items, found 1"),
        ("pair", [1, 2], r"pair\[1\]: expected a string"),
        ("many", {"n": 1}, "expected an array, found an object"),
        ("many", "ab", "expected an array, found a string"),
        ("many", [{"n": 1}, {"n": 1.0}], r"many\[1\].n: expected an integer, found a number"),
        ("many", [{}], r"many\[0\].n: is missing"),
        ("many", [{"n": 1, "m": 2}], r"many\[0\].m: Inner has no such field"),
        ("level", "middle", "expected one of 'low', 'high', found 'middle'"),
        ("colour", "blue", "expected one of 'red', found 'blue'"),
        ("table", [], "expected an object, found an array"),
        ("table", {"k": ["x"]}, r"table.k\[0\]: expected a number"),
    ],
)
def test_a_wrong_value_is_named(place: str, value: object, problem: str) -> None:
    content = to_json(GOOD)
    assert isinstance(content, dict)
    with pytest.raises(Mismatch, match=problem) as caught:
        from_json(Outer, content | {place: value})
    assert caught.value.place.startswith(place)


def test_a_whole_number_serves_as_a_float() -> None:
    content = to_json(GOOD)
    assert isinstance(content, dict)
    number = from_json(Outer, content | {"number": 2}).number
    assert (number, type(number)) == (2.0, float)


def test_a_default_may_be_left_out_and_a_list_is_no_object() -> None:
    content = to_json(GOOD)
    assert isinstance(content, dict)
    del content["anything"]
    assert from_json(Outer, content).anything is None
    with pytest.raises(Mismatch, match="expected an object, found an array"):
        from_json(Outer, [])


@pytest.mark.parametrize("value", [b"bytes", {1: 2}, {1, 2}, [object()]])
def test_what_json_has_not_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        to_json(value)


def test_a_field_type_without_a_rule_is_the_programmers_error() -> None:
    @dataclass
    class Odd:
        when: complex
        where: type[int]

    for content in ({"when": 1, "where": 1}, {"where": 1, "when": 1}):
        with pytest.raises(TypeError, match="are not supported"):
            from_json(Odd, content)
