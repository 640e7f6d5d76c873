"""Whatever an application sends is a request or a refusal by the standard, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from qwarden.core.files import canonical_json
from qwarden.keys.kme.requests import (
    KeyRequest,
    Limits,
    Refusal,
    from_body,
    from_query,
    key_ids_from_body,
    key_ids_from_query,
)  # fmt: skip

NAMES = st.sampled_from(
    ["number", "size", "additional_slave_SAE_IDs", "extension_mandatory", "extension_optional", "key_IDs",
     "key_ID", "qwarden_origin", "x"]
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
LIMITS = Limits()


def allowed(request: KeyRequest) -> bool:
    return (
        1 <= request.number <= LIMITS.max_key_per_request
        and LIMITS.min_key_size <= request.size <= LIMITS.max_key_size
        and request.size % 8 == 0
        and len(request.additional) <= LIMITS.max_sae_id_count
        and request.origin in (None, "vendor", "imported", "simulated")
    )


def outcome(read: Callable[[], Any]) -> Any:
    """What was read, or a refusal by the standard, which can be sent."""
    try:
        return read()
    except Refusal as found:
        refusal = found
    assert refusal.status == 400
    assert json.loads(canonical_json(refusal.document()))["message"]
    return None


@given(st.dictionaries(NAMES, JSON, max_size=6) | JSON)
def test_any_json(document: Any) -> None:
    body = json.dumps(document).encode()
    request = outcome(lambda: from_body(body, LIMITS))
    assert request is None or allowed(request)
    ids = outcome(lambda: key_ids_from_body(body, LIMITS))
    assert ids is None or len(set(ids)) == len(ids) > 0


@given(st.binary(max_size=200))
def test_any_bytes(body: bytes) -> None:
    request = outcome(lambda: from_body(body, LIMITS))
    assert request is None or request == KeyRequest(number=1, size=256)
    assert outcome(lambda: key_ids_from_body(body, LIMITS)) is None


@given(st.dictionaries(NAMES, st.text(max_size=40), max_size=3))
def test_any_query(query: dict[str, str]) -> None:
    request = outcome(lambda: from_query(query, LIMITS))
    assert request is None or allowed(request)
    ids = outcome(lambda: key_ids_from_query(query))
    assert ids is None or len(ids) == 1
