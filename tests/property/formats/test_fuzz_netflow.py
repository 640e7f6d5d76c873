"""Damaged datagrams: no crash, no hang, bounded memory, and every record accounted for."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.formats import craft
from tests.unit.formats.listeners import exporter as x

from qwarden.core.errors import UnreadableError
from qwarden.formats import FLOW, open_capture
from qwarden.formats.accounting import SourceReport
from qwarden.formats.flows import Flows
from qwarden.formats.sandbox.wire import check_flows

from .netflow_mutants import datagrams, mutants

STREAMS = 2_500
"""Of four datagrams on average, most of them damaged."""


def check(data: bytes, flows: Flows, report: SourceReport) -> None:
    """Whatever the input was: the books balance, and the flows could be real."""
    counts = report.records
    parts = counts.templates + counts.options + counts.other + counts.malformed + counts.undecodable
    assert counts.read == counts.flows + parts
    assert report.flows_read == len(flows) <= counts.flows
    # No input makes more of itself: a record takes a byte at least.
    assert counts.read <= len(data)
    assert counts.datagrams * 16 <= len(data)
    assert counts.lost >= 0 <= counts.lost_datagrams
    assert counts.malformed <= report.problems_total
    # Packets of records are those of flows, none made and none lost.
    check_flows(flows, logged=True)


def test_good_datagrams_are_good() -> None:
    flows, report = craft.read(x.stream(*datagrams()))
    check(b"." * 10_000, flows, report)
    assert report.records.malformed == report.records.undecodable == report.records.lost == 0
    assert report.records.flows == 11


@pytest.mark.parametrize("part", range(4))
def test_damaged_datagrams(part: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seen = {"malformed": 0, "flows": 0, "undecodable": 0, "other": 0, "templates": 0}
    for data in mutants(part, STREAMS // 4):
        flows, report = craft.read(data)
        check(data, flows, report)
        for name in seen:
            seen[name] += getattr(report.records, name) > 0
    assert min(seen.values()) > STREAMS // 4 // 50, seen
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100 * 1024, f"memory grew by {grown} KiB"


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_any_bytes_at_all(contents: list[bytes]) -> None:
    """Versions are put in front, or nearly all would be of an unknown one."""
    told = [b"\0" + bytes([version]) + content for content in contents for version in (5, 9, 10)]
    data = x.stream(*told)
    check(data, *craft.read(data))


def test_damaged_datagrams_through_the_reading_process(tmp_path: Path) -> None:
    """The same through the front door: the parent believes every honest message."""
    path = tmp_path / "damaged"
    for data in mutants(99, 60):
        path.write_bytes(data)
        with open_capture(path) as reader:
            try:
                batches = [batch.flows for batch in reader]
            except UnreadableError:
                batches = []
                assert not reader.report.usable
            assert sum(map(len, batches)) == reader.report.flows_read
        here, report = craft.read(data)
        assert report.records == reader.report.records
        assert here.dtype == FLOW
