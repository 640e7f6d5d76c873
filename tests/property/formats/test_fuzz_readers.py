"""Damaged captures and logs: no crash, no hang, bounded memory, and every record accounted for."""

import resource
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.formats import craft

from qwarden.core.errors import UnreadableError
from qwarden.formats import FLOW, MeterSettings, open_capture
from qwarden.formats.accounting import SourceReport
from qwarden.formats.flows import Flows
from qwarden.formats.sandbox.wire import check_flows

from .mutate import TABLES, eve_seeds, log_mutants, mutants, options, seeds, table_seeds, zeek_seeds

INPUTS = 5_000
LOGS = 1_500
ROWS = 400
"""Damaged captures, damaged logs of each kind, damaged tables of each kind: 10^4 and more."""


JOINED = ("nfdump", "vpc", "azure")
"""Formats of which several lines may be one flow."""
COUNTED_OUT = frozenset({"nfdump", "mapped"})
"""Kinds that a caller names, so that none is refused."""


def check(data: bytes, flows: Flows, report: SourceReport) -> None:
    """Whatever the input was: the books balance, and the flows could be real."""
    if report.is_log:
        check_log(data, flows, report)
        return
    counts = report.packets
    assert counts.read == counts.metered + counts.other + counts.unread + counts.malformed + counts.truncated
    assert report.flows_read == len(flows)
    assert (flows["packets_out"] + flows["packets_in"]).sum() == counts.metered
    assert report.problems_total >= len(report.problems)
    assert counts.malformed + counts.truncated <= report.problems_total
    check_flows(flows)


def check_log(data: bytes, flows: Flows, report: SourceReport) -> None:
    counts = report.lines
    assert counts.read == counts.flows + counts.alerts + counts.other + counts.comments + counts.malformed
    assert report.flows_read == len(flows) <= counts.flows
    if not report.format.startswith(JOINED):
        assert report.flows_read == counts.flows
    assert counts.malformed <= report.problems_total
    assert flows["seq"].tolist() == list(range(len(flows)))
    assert report.packets.read == 0
    if "gzip" not in report.format and report.format != "azure":
        assert counts.read == data.count(b"\n") + (not data.endswith(b"\n"))
    check_flows(flows, logged=True)


@pytest.mark.parametrize("good", [zeek_seeds, eve_seeds])
def test_good_logs_are_good(good: Callable[[], list[bytes]]) -> None:
    for data in good():
        flows, report = craft.read(data)
        check(data, flows, report)
        assert (report.problems, report.lines.malformed) == ([], 0)
        assert report.lines.flows >= 3


@pytest.mark.parametrize("kind", ["zeek", "eve"])
def test_damaged_logs(kind: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seen = {"malformed": 0, "flows": 0, "refused": 0, "other": 0}
    for data in log_mutants(kind, 0, LOGS):
        flows, report = craft.read(data)
        check(data, flows, report)
        seen["malformed"] += report.lines.malformed > 0
        seen["flows"] += len(flows) > 0
        seen["refused"] += not report.is_log
        seen["other"] += report.lines.other + report.lines.comments > 0
    assert min(seen.values()) > LOGS // 100, seen
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100 * 1024, f"memory grew by {grown} KiB"


@pytest.mark.parametrize("kind", TABLES)
def test_good_tables_are_good(kind: str) -> None:
    for data in table_seeds(kind):
        flows, report = craft.read(data, **options(kind))
        check(data, flows, report)
        assert (report.format, report.problems, report.lines.malformed) == (kind, [], 0)
        assert report.lines.flows + report.lines.alerts + report.lines.other >= 2


@pytest.mark.parametrize("kind", TABLES)
def test_damaged_tables(kind: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seen = {"malformed": 0, "read": 0, "refused": kind in COUNTED_OUT}
    for data in log_mutants(kind, 0, ROWS):
        flows, report = craft.read(data, MeterSettings(max_flows=8), **options(kind))
        check(data, flows, report)
        seen["malformed"] += report.lines.malformed > 0
        seen["read"] += report.lines.flows + report.lines.alerts + report.lines.other > 0
        seen["refused"] += not report.is_log
    assert min(seen.values()) > 0, seen
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100 * 1024, f"memory grew by {grown} KiB"


def test_good_captures_are_good() -> None:
    for data in seeds():
        flows, report = craft.read(data)
        check(data, flows, report)
        assert report.packets.malformed == report.packets.truncated == 0
        assert report.packets.metered >= 6


@pytest.mark.parametrize("part", range(4))
def test_damaged_captures(part: int) -> None:
    """In this process, where a crash would end the test run and a leak would show."""
    settings = MeterSettings(max_flows=8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seen = {"malformed": 0, "truncated": 0, "problems": 0}
    for data in mutants(part, INPUTS // 4):
        flows, report = craft.read(data, settings)
        check(data, flows, report)
        # No input makes more of itself: a record takes 12 bytes at least (gzip is unpacked first).
        assert report.packets.read <= len(data) or "gzip" in report.format
        seen["malformed"] += report.packets.malformed > 0
        seen["truncated"] += report.packets.truncated > 0
        seen["problems"] += report.problems_total > 0
    # The mutations bite, in every way.
    assert min(seen.values()) > INPUTS // 4 // 50
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100 * 1024, f"memory grew by {grown} KiB"


def test_damaged_input_through_the_reading_process(tmp_path: Path) -> None:
    """The same through the front door: the parent believes every honest message."""
    path = tmp_path / "damaged"
    settings = MeterSettings(max_flows=8)
    tables = [data for kind in TABLES if kind not in COUNTED_OUT for data in log_mutants(kind, 99, 6)]
    for data in mutants(99, 40) + log_mutants("zeek", 99, 20) + log_mutants("eve", 99, 20) + tables:
        path.write_bytes(data)
        with open_capture(path, settings) as reader:
            try:
                batches = [batch.flows for batch in reader]
            except UnreadableError:
                batches = []
                assert not reader.report.usable
            assert sum(map(len, batches)) == reader.report.flows_read
        here, report = craft.read(data, settings)
        assert (report.packets, report.flows_read) == (reader.report.packets, reader.report.flows_read)
        assert report.lines == reader.report.lines
        assert here.dtype == FLOW
