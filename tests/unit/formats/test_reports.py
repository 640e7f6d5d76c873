"""Reports on flows that have not ended: when they come, what they say, and that they change nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qwarden.core.errors import UsageError
from qwarden.formats import MeterSettings, open_capture
from qwarden.formats.flows import END_EVICTED, NOT_YET_AGAIN, NOT_YET_FIRST, Flows

from . import craft
from .craft import ACK, FIN, RST, SYN
from .test_meter import back, datagram, out

AGES = (2.0, 30.0)


def read(
    path: Path, records: list[tuple[float, bytes]], *ages: float, max_flows: int = 64
) -> tuple[Flows, Flows]:
    path.write_bytes(craft.pcap(records))
    settings = MeterSettings(max_flows=max_flows, report_after_s=ages)
    with open_capture(path, settings) as reader:
        batches = list(reader)
    assert reader.report.flows_read == sum(batch.flows.size for batch in batches)
    flows, reports = (np.concatenate([getattr(b, part) for b in batches]) for part in ("flows", "reports"))
    return flows, reports


def told(reports: Flows) -> list[tuple[int, int, int]]:
    """Number, packets and kind of each report."""
    return [(int(r["seq"]), int(r["packets_out"] + r["packets_in"]), int(r["end_reason"])) for r in reports]


def test_a_lasting_flow_is_reported_at_each_age_if_there_is_news(tmp_path: Path) -> None:
    lasting = [(t, datagram(0)) for t in (0.0, 1.0, 5.0, 40.0)]
    clock = [(t, datagram(1)) for t in (2.5, 31.0)]
    _, reports = read(tmp_path / "x.pcap", sorted(lasting + clock), *AGES)
    # At 2.5 s, two packets; at 31 s a third; the other flow at 5 s, and at 40 s again.
    assert told(reports) == [
        (0, 2, NOT_YET_FIRST), (1, 1, NOT_YET_FIRST), (0, 3, NOT_YET_AGAIN), (1, 2, NOT_YET_AGAIN)
    ]  # fmt: skip


def test_a_silent_flow_is_reported_once(tmp_path: Path) -> None:
    records = [(0.0, datagram(0)), *[(float(t), datagram(1)) for t in range(1, 50)]]
    _, reports = read(tmp_path / "x.pcap", records, *AGES)
    assert [r for r in told(reports) if r[0] == 0] == [(0, 1, NOT_YET_FIRST)]


def test_a_connection_is_reported_when_it_closes(tmp_path: Path) -> None:
    records = [
        (0.0, out(SYN)), (0.1, back(SYN | ACK)), (0.2, out(FIN | ACK)), (0.3, back(FIN | ACK)),
        (0.4, out(ACK)), (0.5, out(SYN, sport=5000)), (0.6, back(RST | ACK, dport=5000)), (30.0, datagram(0)),
    ]  # fmt: skip
    flows, reports = read(tmp_path / "x.pcap", records, *AGES)
    assert told(reports) == [(0, 4, NOT_YET_FIRST), (1, 2, NOT_YET_FIRST)]
    assert reports["tcp_state"].tolist() == flows["tcp_state"][:2].tolist()


def test_a_connection_reported_before_closes_again(tmp_path: Path) -> None:
    records = [
        (0.0, out(SYN)), (0.1, back(SYN | ACK)), (3.0, out(ACK, data=b"x")), (4.0, back(RST)),
        (30.0, datagram(0)),
    ]  # fmt: skip
    _, reports = read(tmp_path / "x.pcap", records, *AGES)
    assert told(reports) == [(0, 2, NOT_YET_FIRST), (0, 4, NOT_YET_AGAIN)]


def test_what_a_cut_leaves_is_a_flow_of_its_own(tmp_path: Path) -> None:
    records = [(float(t), datagram(0)) for t in range(0, 320, 5)]
    flows, reports = read(tmp_path / "x.pcap", records, *AGES)
    assert flows.size == 2
    assert [(seq, kind) for seq, _, kind in told(reports)] == [
        (0, NOT_YET_FIRST), (0, NOT_YET_AGAIN), (1, NOT_YET_FIRST)
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_reports_change_no_flow_and_come_when_due(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    flags = [SYN, ACK, ACK, ACK, FIN | ACK, RST]
    records = []
    now = 0.0
    for _ in range(3000):
        now += float(rng.exponential(0.2))
        sport = 4000 + int(rng.integers(60))
        flag = flags[rng.integers(len(flags))]
        way = out if rng.random() < 0.6 else back
        frame = way(flag, sport=sport) if way is out else back(flag, dport=sport)
        records.append((now, frame if rng.random() < 0.7 else datagram(int(rng.integers(40)))))
    few = int(rng.choice([16, 64]))
    plain, none = read(tmp_path / "a.pcap", records, max_flows=few)
    flows, reports = read(tmp_path / "b.pcap", records, *AGES, max_flows=few)
    assert none.size == 0
    assert np.array_equal(plain.view(np.uint8), flows.view(np.uint8))
    whole = {int(f["seq"]): f for f in flows}
    first = set()
    for report in reports:
        seq, final = int(report["seq"]), whole[int(report["seq"])]
        assert (report["end_reason"] == NOT_YET_FIRST) == (seq not in first)
        first.add(seq)
        assert report["start_ns"] >= final["start_ns"]
        assert report["end_ns"] <= final["end_ns"]
        assert report["packets_out"] <= final["packets_out"]
    # Whoever was not evicted, and ended long before the clock did, was reported.
    before = flows["end_ns"].max() - 62_000_000_000
    due = flows[(flows["end_reason"] != END_EVICTED) & (flows["end_ns"] < before)]
    assert set(due["seq"].tolist()) <= first
    assert due.size > 15


@pytest.mark.parametrize("ages", [(0.0,), (2.0, 1.0), (1.0, 2.0, 3.0, 4.0, 5.0), (float("nan"),)])
def test_ages_that_make_no_sense_are_refused(ages: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="report_after_s"):
        MeterSettings(report_after_s=ages)
