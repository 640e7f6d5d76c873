"""Comparison of the product's flows with the reference meter's rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from qwarden.formats.flows import FLOW, Flows

from .reference_meter import Record, ReferenceMeter


def assert_same_flows(flows: Flows, rows: list[dict[str, Any]]) -> None:
    """Assert that every column of every flow agrees."""
    assert len(flows) == len(rows)
    assert not rows or set(rows[0]) == set(FLOW.names or ())
    for name in FLOW.names or ():
        expected = [row[name] for row in rows]
        if FLOW[name].kind == "f":
            np.testing.assert_allclose(flows[name], expected, rtol=1e-8, atol=1e-9, err_msg=name)
        else:
            assert flows[name].tolist() == expected, name


def reference(records: Iterable[Record], **timeouts: float) -> ReferenceMeter:
    """The reference meter, fed."""
    meter = ReferenceMeter(**timeouts)
    for record in records:
        meter.take(*record)
    return meter
