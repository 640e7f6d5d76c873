"""Packets are cut by the rule, whatever the capture: the plain reference meter says which are whose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.property.formats.test_meter_reference import capture, streams
from tests.unit.formats import craft
from tests.unit.formats.cutting import cut
from tests.unit.formats.reference_meter import Packet, ReferenceMeter, pcap_records

from qwarden.formats import MeterSettings

from .mutate import mutants


class Keeper(ReferenceMeter):
    """Keeps each packet with its number among all records, and what its flow is known by."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[tuple[int, Packet, Any]] = []

    def meter(self, packet: Packet) -> None:
        super().meter(packet)
        self.kept.append((self.counts["read"] - 1, packet, self.known_by(packet)))

    def known_by(self, packet: Packet) -> Any:
        """The key without an ICMP exchange's identifier, which flows do not keep."""
        ends, proto, exchange = self.key(packet)
        return ends, proto, exchange[:2] if isinstance(exchange, tuple) else exchange


@given(streams, st.data())
def test_the_packets_of_flows_are_cut_and_no_others(
    stream: list[tuple[float, bytes]], draw: st.DataObject
) -> None:
    content = capture(stream)
    records = list(pcap_records(content))
    keeper = Keeper()
    for record in records:
        keeper.take(*record)
    keeper.finish()
    theirs = sorted(keeper.done, key=lambda flow: flow.seq)
    flows, _ = craft.read(content)
    picked = draw.draw(st.lists(st.booleans(), min_size=len(theirs), max_size=len(theirs)))
    spans = []
    for flow, wanted in zip(theirs, picked, strict=True):
        times = [packet.ns for _, packet in flow.packets]
        if wanted:
            spans.append((keeper.known_by(flow.packets[0][1]), min(times), max(times)))
    expected = [
        number
        for number, packet, key in keeper.kept
        if any(key == ends and first <= packet.ns <= last for ends, first, last in spans)
    ]
    found, report = cut(content, flows[np.array(picked, bool)])
    assert found == [records[number] for number in expected]
    assert report.packets.read == len(records)
    own = sum(len(flow.packets) for flow, wanted in zip(theirs, picked, strict=True) if wanted)
    assert len(found) >= own


@given(streams, st.integers(1, 2000))
def test_all_flows_are_all_packets(stream: list[tuple[float, bytes]], piece: int) -> None:
    content = capture(stream)
    keeper = Keeper()
    for record in pcap_records(content):
        keeper.take(*record)
    records = list(pcap_records(content))
    found, report = cut(content, craft.read(content)[0], piece)
    assert found == [records[number] for number, _, _ in keeper.kept]
    assert len(found) == report.packets.metered


@pytest.mark.parametrize("seed", range(4))
def test_damaged_captures_are_cut_as_they_are_read(seed: int) -> None:
    """No crash, the same books, and every packet of a flow that was read."""
    for data in mutants(seed, 300):
        flows, read = craft.read(data, MeterSettings(max_flows=8))
        if read.is_log or not read.format:
            continue
        found, report = cut(data, flows)
        assert len(found) == read.packets.metered
        assert report.packets == read.packets
        assert (report.problems, report.complete) == (read.problems, read.complete)
