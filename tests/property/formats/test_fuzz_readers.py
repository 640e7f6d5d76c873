"""Damaged captures: no crash, no hang, bounded memory, and every record accounted for."""

import resource
from pathlib import Path

import pytest
from tests.unit.formats import craft

from qwarden.core.errors import UnreadableError
from qwarden.formats import FLOW, MeterSettings, open_capture
from qwarden.formats.accounting import SourceReport
from qwarden.formats.flows import Flows
from qwarden.formats.sandbox.wire import check_flows

from .mutate import mutants, seeds

INPUTS = 10_000


def check(data: bytes, flows: Flows, report: SourceReport) -> None:
    """Whatever the input was: the books balance, and the flows could be real."""
    counts = report.packets
    assert counts.read == counts.metered + counts.other + counts.unread + counts.malformed + counts.truncated
    assert report.flows_read == len(flows)
    assert (flows["packets_out"] + flows["packets_in"]).sum() == counts.metered
    assert report.problems_total >= len(report.problems)
    assert counts.malformed + counts.truncated <= report.problems_total
    check_flows(flows)


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


def test_damaged_captures_through_the_reading_process(tmp_path: Path) -> None:
    """The same through the front door: the parent believes every honest message."""
    path = tmp_path / "damaged.pcap"
    settings = MeterSettings(max_flows=8)
    for data in mutants(99, 60):
        path.write_bytes(data)
        with open_capture(path, settings) as reader:
            try:
                batches = [batch.flows for batch in reader]
            except UnreadableError:
                batches = []
                assert reader.report.packets.metered + reader.report.packets.other == 0
            assert sum(map(len, batches)) == reader.report.flows_read
        here, report = craft.read(data, settings)
        assert (report.packets, report.flows_read) == (reader.report.packets, reader.report.flows_read)
        assert here.dtype == FLOW
