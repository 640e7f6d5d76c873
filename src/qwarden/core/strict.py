"""JSON to typed Python and back, strictly: a value of the wrong type is an error, never a guess.

Dataclasses become objects, tuples and lists become arrays, enumerations their values. Coming back, the
field's annotation says what to expect.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any, Literal, NamedTuple, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from qwarden.core.files import Json

T = TypeVar("T")


class Mismatch(ValueError):  # noqa: N818 - it is the finding, not a failure of the program
    """A value is not what its annotation says; `place` is the dotted path to it."""

    def __init__(self, place: str, problem: str) -> None:
        self.place, self.problem = place, problem
        super().__init__(f"{place}: {problem}" if place else problem)


def to_json(value: object) -> Json:
    """Turn a value into what JSON can hold.

    Raises
    ------
    TypeError
        JSON has no such value (bytes, a NumPy scalar other than float64, a key that is no string).
    """
    if value is None or isinstance(value, str | int | float):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"a JSON key must be a string, not {key!r}")
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return to_json(value.value)
    raise TypeError(f"JSON has no {type(value).__name__}: {value!r}")


def from_json(kind: type[T], value: Json, place: str = "") -> T:
    """Build a dataclass from a JSON object.

    Raises
    ------
    Mismatch
        A field is missing, unknown, or of another type; the error says which.
    """
    if not isinstance(value, Mapping):
        raise Mismatch(place, f"expected an object, found {_name(value)}")
    hints, required = shape(kind)
    prefix = f"{place}." if place else ""
    for key in value:
        if key not in hints:
            raise Mismatch(f"{prefix}{key}", f"{kind.__name__} has no such field")
    for key in sorted(required):
        if key not in value:
            raise Mismatch(f"{prefix}{key}", "is missing")
    return kind(**{key: _typed(hints[key], item, f"{prefix}{key}") for key, item in value.items()})


class Shape(NamedTuple):
    """What a dataclass is made of."""

    types: Mapping[str, Any]
    required: frozenset[str]


_SHAPES: dict[type, Shape] = {}


def shape(kind: type) -> Shape:
    """Return the annotations of a dataclass's fields, and which fields have no default."""
    if kind not in _SHAPES:
        hints = get_type_hints(kind)
        members = fields(kind)
        _SHAPES[kind] = Shape(
            types={f.name: hints[f.name] for f in members},
            required=frozenset(
                f.name for f in members if f.default is MISSING and f.default_factory is MISSING
            ),
        )
    return _SHAPES[kind]


def _typed(hint: Any, value: Json, place: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin is Literal:
        if not any(value == choice and type(value) is type(choice) for choice in arguments):
            raise Mismatch(place, f"expected one of {', '.join(map(repr, arguments))}, found {value!r}")
        return value
    if origin in (Union, types.UnionType):
        return _any_of(arguments, value, place)
    if origin in (tuple, list, Sequence):
        return _array(origin, arguments, value, place)
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise Mismatch(place, f"expected an object, found {_name(value)}")
        return {key: _typed(arguments[1], item, f"{place}.{key}") for key, item in value.items()}
    if isinstance(hint, type):
        return _scalar_or_object(hint, value, place)
    raise TypeError(f"{place}: fields of type {hint!r} are not supported")


def _scalar_or_object(hint: type, value: Json, place: str) -> Any:
    if is_dataclass(hint):
        return from_json(hint, value, place)
    if issubclass(hint, Enum):
        try:
            return hint(value)
        except ValueError:
            expected = ", ".join(repr(member.value) for member in hint)
            raise Mismatch(place, f"expected one of {expected}, found {value!r}") from None
    if hint is float and type(value) is int:  # JSON may write 5 for 5.0
        return float(value)
    if hint in (str, int, float, bool, types.NoneType):
        if type(value) is hint:
            return value
        raise Mismatch(place, f"expected {_TYPE_NAMES[hint]}, found {_name(value)}")
    raise TypeError(f"{place}: fields of type {hint!r} are not supported")


def _any_of(choices: Sequence[Any], value: Json, place: str) -> Any:
    problems = []
    for choice in choices:
        try:
            return _typed(choice, value, place)
        except Mismatch as mismatch:
            if mismatch.place != place:  # the right shape, wrong inside: say where
                raise
            problems.append(mismatch.problem)
    raise Mismatch(place, "; or ".join(problems))


def _array(origin: Any, arguments: Sequence[Any], value: Json, place: str) -> Any:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise Mismatch(place, f"expected an array, found {_name(value)}")
    if origin is tuple and arguments[-1] is not Ellipsis:
        if len(value) != len(arguments):
            raise Mismatch(place, f"expected {len(arguments)} items, found {len(value)}")
        items = [
            _typed(hint, item, f"{place}[{i}]")
            for i, (hint, item) in enumerate(zip(arguments, value, strict=True))
        ]
    else:
        items = [_typed(arguments[0], item, f"{place}[{i}]") for i, item in enumerate(value)]
    return items if origin is list else tuple(items)


_TYPE_NAMES: dict[type, str] = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    types.NoneType: "null",
}


def _name(value: Json) -> str:
    if isinstance(value, Mapping):
        return "an object"
    return _TYPE_NAMES.get(cast(type, type(value)), "an array")
