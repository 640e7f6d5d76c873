"""Requests of ETSI GS QKD 014 read strictly, and its answers: data formats of clause 6, no transport.

A request that the standard does not allow is a `Refusal` with the status code and, where the standard gives
one, the very message of the standard.

Source: ETSI GS QKD 014 V1.1.1 (2019-02), clause 6.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from qwarden.core.errors import QwardenError, UsageError
from qwarden.core.files import Json
from qwarden.keys.kme.records import ORIGINS, Delivered

SIZE_OF_8: Final = "size shall be a multiple of 8"  # clause 6.2
MANDATORY_UNSUPPORTED: Final = "not all extension_mandatory parameters are supported"  # clause 6.2
MANDATORY_UNMET: Final = "not all extension_mandatory request options could be met"  # clause 6.2
NOT_FOUND: Final = "one or more keys specified are not found on KME"  # clause 6.4

ORIGIN: Final = "qwarden_origin"
"""Extension: where the raw key comes from; in `extension_mandatory` it asks for keys of this origin alone."""

SIZE_MOST: Final = 1 << 16
NUMBER_MOST: Final = 1024
SAES_MOST: Final = 64

_SAE_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}")
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DIGITS: Final = re.compile(r"[0-9]{1,9}")
_EXTENSIONS: Final = ("extension_mandatory", "extension_optional")


class Refusal(QwardenError):  # noqa: N818 - it is an answer
    """A request is answered with an error of the standard.

    Parameters
    ----------
    status : HTTP status code: 400, 401 or 503.
    message, details : go into the error's data format, clause 6.5.
    """

    def __init__(self, status: int, message: str, details: Sequence[Mapping[str, Json]] = ()) -> None:
        self.status, self.message, self.details = status, message, tuple(details)
        super().__init__(f"{status}: {message}")

    def document(self) -> Json:
        """Return the error data format, clause 6.5."""
        if not self.details:
            return {"message": self.message}
        return {"message": self.message, "details": list(self.details)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What this KME gives.

    Parameters
    ----------
    key_size : bits of a key when none are asked for.
    min_key_size, max_key_size : bits, multiples of 8.
    max_key_per_request : keys.
    max_sae_id_count : additional slave applications.

    Raises
    ------
    UsageError
        A value is out of its range.
    """

    key_size: int = 256
    min_key_size: int = 64
    max_key_size: int = 4096
    max_key_per_request: int = 128
    max_sae_id_count: int = 8

    def __post_init__(self) -> None:
        sizes = (self.min_key_size, self.key_size, self.max_key_size)
        if any(size % 8 for size in sizes) or not 8 <= sizes[0] <= sizes[1] <= sizes[2] <= SIZE_MOST:
            rule = f"multiples of 8 from 8 to {SIZE_MOST} with min_key_size <= key_size <= max_key_size"
            raise UsageError(f"key_size: expected {rule}")
        if not 1 <= self.max_key_per_request <= NUMBER_MOST:
            raise UsageError(f"max_key_per_request: expected 1 to {NUMBER_MOST}")
        if not 0 <= self.max_sae_id_count <= SAES_MOST:
            raise UsageError(f"max_sae_id_count: expected 0 to {SAES_MOST}")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRequest:
    """Key request data format, clause 6.2.

    Parameters
    ----------
    number, size : keys, and bits of each.
    additional : further slave applications.
    origin : asked for as mandatory; None: any.
    """

    number: int
    size: int
    additional: tuple[str, ...] = ()
    origin: str | None = None


def sae_id(text: str) -> str:
    """Return an application's id; raises `Refusal` (400) if it is none."""
    if not _SAE_ID.fullmatch(text):
        raise Refusal(400, "malformed SAE ID")
    return text


def uuid(value: object) -> str:
    """Return a key's id in lower case; raises `Refusal` (400) if it is none."""
    if not isinstance(value, str) or not _UUID.fullmatch(value.lower()):
        raise Refusal(400, "key_ID: expected a UUID")
    return value.lower()


def from_query(query: Mapping[str, str], limits: Limits) -> KeyRequest:
    """Read the URI parameters of a GET request: number and size alone."""
    if unknown := sorted(query.keys() - {"number", "size"}):
        raise Refusal(400, f"unknown parameter {unknown[0][:40]!r}; use POST for others than number and size")
    values = {name: _digits(name, text) for name, text in query.items()}
    return _checked(values, limits)


def from_body(body: bytes, limits: Limits) -> KeyRequest:
    """Read the body of a POST request."""
    return _checked(json_object(body) if body.strip() else {}, limits)


def key_ids_from_query(query: Mapping[str, str]) -> list[str]:
    """Read the URI parameter of a GET request: one key id."""
    if set(query) != {"key_ID"}:
        raise Refusal(400, "expected one parameter, key_ID")
    return [uuid(query["key_ID"])]


def key_ids_from_body(body: bytes, limits: Limits) -> list[str]:
    """Read key ids, clause 6.4."""
    document = json_object(body)
    _only(document, {"key_IDs", "key_IDs_extension"})
    entries = document.get("key_IDs")
    if not isinstance(entries, list) or not entries:
        raise Refusal(400, "key_IDs: expected a list that is not empty")
    if len(entries) > limits.max_key_per_request:
        raise Refusal(400, f"key_IDs: at most {limits.max_key_per_request} in one request")
    ids = []
    for entry in entries:
        if not isinstance(entry, dict):
            raise Refusal(400, "key_IDs: expected objects with key_ID")
        _only(entry, {"key_ID", "key_ID_extension"})
        ids.append(uuid(entry.get("key_ID")))
    if len(set(ids)) != len(ids):
        raise Refusal(400, "key_IDs: a key_ID occurs twice")
    return ids


def container(delivered: Sequence[Delivered]) -> Json:
    """Return a key container, clause 6.3; each key says where it comes from."""
    return {
        "keys": [
            {
                "key_ID": one.id,
                "key": base64.b64encode(one.key).decode(),
                "key_extension": {ORIGIN: one.origin, "qwarden_epsilon": one.epsilon},
            }
            for one in delivered
        ]
    }


def _checked(values: Mapping[str, Any], limits: Limits) -> KeyRequest:
    _only(values, {"number", "size", "additional_slave_SAE_IDs", *_EXTENSIONS})
    number = _whole("number", values.get("number", 1))
    size = _whole("size", values.get("size", limits.key_size))
    if not 1 <= number <= limits.max_key_per_request:
        raise Refusal(400, f"number: expected 1 to {limits.max_key_per_request}")
    if size % 8:
        raise Refusal(400, SIZE_OF_8)
    if not limits.min_key_size <= size <= limits.max_key_size:
        raise Refusal(400, f"size: expected {limits.min_key_size} to {limits.max_key_size} bits")
    additional = values.get("additional_slave_SAE_IDs", [])
    if not isinstance(additional, list) or not all(isinstance(name, str) for name in additional):
        raise Refusal(400, "additional_slave_SAE_IDs: expected a list of strings")
    if len(additional) > limits.max_sae_id_count:
        raise Refusal(400, f"additional_slave_SAE_IDs: at most {limits.max_sae_id_count}")
    for name in _EXTENSIONS:
        given = values.get(name, [])
        if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
            raise Refusal(400, f"{name}: expected a list of objects")
    return KeyRequest(
        number=number,
        size=size,
        additional=tuple(dict.fromkeys(sae_id(name) for name in additional)),
        origin=_origin(values.get("extension_mandatory", [])),
    )


def _origin(mandatory: Sequence[Mapping[str, Any]]) -> str | None:
    wanted = {name: value for one in mandatory for name, value in one.items()}
    if unknown := sorted(wanted.keys() - {ORIGIN}):
        named = [{"extension_mandatory_unsupported": f"{name[:80]} is not supported"} for name in unknown]
        raise Refusal(400, MANDATORY_UNSUPPORTED, named[:8])
    if ORIGIN not in wanted:
        return None
    origin = wanted[ORIGIN]
    if not isinstance(origin, str) or origin not in ORIGINS:
        raise Refusal(400, MANDATORY_UNMET)
    return origin


def json_object(body: bytes) -> dict[str, Any]:
    """Read a body strictly: UTF-8, no name twice, no NaN; raises `Refusal` (400)."""
    try:
        document = json.loads(body.decode(), object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, "the body is no JSON") from error
    if not isinstance(document, dict):
        raise Refusal(400, "the body is no JSON object")
    return document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a name occurs twice")
    return document


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _only(values: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(values.keys() - known):
        raise Refusal(400, f"unknown item {unknown[0][:40]!r}")


def _whole(name: str, value: object) -> int:
    if type(value) is not int:
        raise Refusal(400, f"{name}: expected a whole number")
    return value


def _digits(name: str, text: str) -> int:
    if not _DIGITS.fullmatch(text):
        raise Refusal(400, f"{name}: expected a whole number")
    return int(text)
