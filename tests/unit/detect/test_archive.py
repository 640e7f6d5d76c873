"""What the archive keeps is what was scored, and a search finds what a plain look through it finds."""

from __future__ import annotations

import errno
import ipaddress
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from qwarden.core.errors import InputError, UsageError
from qwarden.core.files import atomic_write
from qwarden.detect import archive
from qwarden.detect.archive import (
    Archived,
    FlowArchive,
    Query,
    replay,
    search,
    source_id,
    source_path,
    sources,
)
from qwarden.detect.behaviours import KINDS
from qwarden.detect.model import Scores
from qwarden.detect.scored import Scored
from qwarden.formats.flows import FLOW, Flows, join_address, split_address, unknown_flows

ADDRESSES = ["10.0.0.1", "10.0.0.200", "10.1.0.1", "192.0.2.7", "2001:db8::1", "2001:db8:0:1::9", "fe80::1"]


def piece(rng: np.random.Generator, source: Path, n: int, first: int = 0) -> Scored:
    flows = unknown_flows(n)
    flows["seq"] = np.arange(first, first + n)
    for side in ("src", "dst"):
        halves = [split_address(ADDRESSES[at]) for at in rng.integers(len(ADDRESSES), size=n)]
        flows[f"{side}_hi"], flows[f"{side}_lo"] = np.array(halves, np.uint64).T
    flows["src_port"], flows["dst_port"] = rng.integers(1024, 1030, n), rng.choice([-1, 22, 443], n)
    flows["proto"] = rng.choice([6, 17], n)
    flows["start_ns"] = rng.integers(0, 1000, n) * 1_000_000_000
    flows["end_ns"] = np.sort(flows["start_ns"] + rng.integers(0, 60, n) * 1_000_000_000)
    flows["start_ns"] = np.minimum(flows["start_ns"], flows["end_ns"])
    flows["iat_mean_out"] = rng.random(n)
    named = rng.integers(-1, len(KINDS), n)
    ones, threat = np.ones(n), rng.random(n)
    return Scored(
        str(source), 0, flows, np.zeros((n, 3)), named, Scores(ones, threat, ones, ones), rng.random(n) < 0.2
    )


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    path = tmp_path / "a.pcap"
    path.write_bytes(b"stands for a capture")
    return path


def same(one: Flows, other: Flows) -> bool:
    return one.tobytes() == other.tobytes()


def test_what_was_scored_comes_back_in_its_order(
    tmp_path: Path, capture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_A_FILE", 100)
    rng = np.random.default_rng(0)
    pieces = [piece(rng, capture, 70, at * 70) for at in range(5)]
    keeper = FlowArchive(tmp_path / "home", 64)
    for each in pieces:
        keeper.scored(each)
    keeper.ended(str(capture))
    (id,) = sources(tmp_path / "home")
    back = list(replay(tmp_path / "home", id))
    assert len(back) == 3
    assert same(np.concatenate([b.flows for b in back]), np.concatenate([p.flows for p in pieces]))
    assert np.array_equal(
        np.concatenate([b.behaviours for b in back]), np.concatenate([p.named for p in pieces])
    )
    assert np.array_equal(np.concatenate([b.told for b in back]), np.concatenate([p.told for p in pieces]))
    assert np.array_equal(
        np.concatenate([b.threat for b in back]), np.concatenate([p.scores.threat for p in pieces])
    )
    assert source_path(tmp_path / "home", id) == capture


@pytest.mark.parametrize(
    "query",
    [
        Query(), Query(addresses=("10.0.0.0/24",)), Query(source="2001:db8::/48"), Query(port=22),
        Query(destination="192.0.2.7"), Query(addresses=("10.0.0.1", "::/0")), Query(kind="beacon"),
        Query(port=1025, proto=17), Query(since=200, until=300), Query(told=True, source="10.0.0.0/8"),
        Query(source="fe80::1", port=443),
    ],
)  # fmt: skip
def test_a_search_finds_what_a_plain_look_finds(tmp_path: Path, capture: Path, query: Query) -> None:
    rng = np.random.default_rng(1)
    kept = piece(rng, capture, 900)
    keeper = FlowArchive(tmp_path / "home", 64)
    keeper.scored(kept)
    keeper.ended(str(capture))

    def fits(at: int) -> bool:
        flow = kept.flows[at]
        src, dst = (
            ipaddress.ip_address(join_address(flow[f"{s}_hi"], flow[f"{s}_lo"])) for s in ("src", "dst")
        )
        nets = [ipaddress.ip_network(n) for n in query.addresses]
        return (
            all(src in n or dst in n for n in nets)
            and (query.source is None or src in ipaddress.ip_network(query.source))
            and (query.destination is None or dst in ipaddress.ip_network(query.destination))
            and query.port in (None, flow["src_port"], flow["dst_port"])
            and query.proto in (None, flow["proto"])
            and (query.since is None or flow["end_ns"] >= query.since * 1e9)
            and (query.until is None or flow["start_ns"] <= query.until * 1e9)
            and (query.kind is None or (kept.named[at] >= 0 and KINDS[kept.named[at]] == query.kind))
            and (not query.told or bool(kept.told[at]))
        )

    expected = {int(kept.flows["seq"][at]) for at in range(900) if fits(at)}
    found = search(tmp_path / "home", query)
    assert set(found.flows["seq"].tolist()) == expected
    assert (np.diff(found.flows["start_ns"]) >= 0).all()
    assert len(expected) > 0
    few = search(tmp_path / "home", query, limit=3)
    assert same(few.flows, found.flows[:3])
    by_id = search(tmp_path / "home", Query(ids=tuple(found.ids()[:5])))
    assert sorted(by_id.ids()) == sorted(found.ids()[:5])


def test_a_source_read_again_takes_its_own_place(tmp_path: Path, capture: Path) -> None:
    rng = np.random.default_rng(2)
    for n in (50, 30):
        keeper = FlowArchive(tmp_path / "home", 64)
        keeper.scored(piece(rng, capture, n))
        keeper.ended(str(capture))
    assert search(tmp_path / "home", Query()).flows.size == 30
    capture.write_bytes(b"another capture of that name")
    keeper = FlowArchive(tmp_path / "home", 64)
    keeper.scored(piece(rng, capture, 20))
    keeper.ended(str(capture))
    assert search(tmp_path / "home", Query()).flows.size == 50


def test_one_capture_at_two_paths_is_one_source(tmp_path: Path) -> None:
    rng, home = np.random.default_rng(6), tmp_path / "home"
    content = rng.bytes(5 << 20)
    for name in ("a.pcap", "copy.pcap"):
        (tmp_path / name).write_bytes(content)
        keeper = FlowArchive(home, 64)
        keeper.scored(piece(rng, tmp_path / name, 40))
        keeper.ended(str(tmp_path / name))
    assert search(home, Query()).flows.size == 40
    (id,) = sources(home)
    assert source_path(home, id) == tmp_path / "copy.pcap"
    for other in (b"x" + content[1:], content[:-1] + b"x", content + b"x"):
        (tmp_path / "copy.pcap").write_bytes(other)
        assert source_id(str(tmp_path / "copy.pcap")) != id
    assert source_id(str(tmp_path)) != source_id(str(tmp_path))


def test_flows_kept_without_a_score_are_found(tmp_path: Path, capture: Path) -> None:
    rng, home = np.random.default_rng(7), tmp_path / "home"
    other = tmp_path / "b.pcap"
    other.write_bytes(b"another")
    for path in (capture, other):
        keeper = FlowArchive(home, 64)
        keeper.scored(piece(rng, path, 20))
        keeper.ended(str(path))
    (file,) = (home / "flows" / source_id(str(capture))).glob("*.parquet")
    pl.read_parquet(file).drop("threat").write_parquet(file)
    found = search(home, Query())
    assert np.isnan(found.threat).sum() == 20
    (old,) = replay(home, source_id(str(capture)))
    assert np.isnan(old.threat).all()


def test_what_was_cut_off_can_be_read_and_is_replaced(
    tmp_path: Path, capture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_A_FILE", 10)
    rng = np.random.default_rng(3)
    FlowArchive(tmp_path / "home", 64).scored(piece(rng, capture, 40))  # and never ended
    assert search(tmp_path / "home", Query()).flows.size == 40
    keeper = FlowArchive(tmp_path / "home", 64)
    keeper.scored(piece(rng, capture, 25))
    keeper.ended(str(capture))
    assert search(tmp_path / "home", Query()).flows.size == 25


def test_the_oldest_go_past_the_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    keeper = FlowArchive(tmp_path / "home", 1)
    for name in "abcdefgh":
        path = tmp_path / name
        path.write_bytes(name.encode())
        keeper.scored(piece(rng, path, 8000))
        keeper.ended(str(path))
    kept = sum(f.stat().st_size for f in (tmp_path / "home" / "flows").glob("*/*.parquet"))
    assert kept <= 1 << 20
    names = {source_path(tmp_path / "home", id).name for id in sources(tmp_path / "home")}
    assert "h" in names
    assert "a" not in names


def test_bad_questions_and_damage_are_named(tmp_path: Path, capture: Path) -> None:
    home = tmp_path / "home"
    assert search(home, Query()).flows.size == 0
    for query in (Query(source="10.0.0.0/99"), Query(kind="nonsense"), Query(ids=("7",))):
        with pytest.raises(UsageError):
            search(home, query)
    with pytest.raises(UsageError, match="has no source"):
        source_path(home, "0123456789ab")
    keeper = FlowArchive(home, 64)
    keeper.scored(piece(np.random.default_rng(5), capture, 5))
    keeper.ended(str(capture))
    (path,) = (home / "flows").glob("*/*.parquet")
    path.write_bytes(b"PAR1 damaged")
    with pytest.raises(InputError, match=r"000000\.parquet"):
        search(home, Query())


def test_columns_of_the_archive_are_those_of_a_flow() -> None:
    assert isinstance(Archived(np.empty(0, FLOW), *(np.empty(0) for _ in range(4))), Archived)
    assert not {"behaviour", "told", "threat", "source"} & set(FLOW.names or ())


def test_a_disk_that_takes_no_more_costs_the_flows_and_nothing_else(
    tmp_path: Path, capture: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(archive, "_A_FILE", 50)
    rng, home = np.random.default_rng(1), tmp_path / "home"
    room = [3]  # what is written: about the source, then two files of flows, then nothing

    def write(path: Path, data: bytes) -> None:
        room[0] -= 1
        if room[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        atomic_write(path, data)

    monkeypatch.setattr(archive, "atomic_write", write)
    keeper = FlowArchive(home, 64)
    for at in range(5):
        keeper.scored(piece(rng, capture, 60, at * 60))
    keeper.ended(str(capture))
    assert [record.message for record in caplog.records] == [
        f"{capture}: its flows are not kept, and not found again: No space left on device"
    ]
    assert list((home / "flows").iterdir()) == []
    room[0] = 2
    other = tmp_path / "b.pcap"
    other.write_bytes(b"another")
    keeper.scored(piece(rng, other, 20))
    keeper.ended(str(other))
    assert search(home, Query()).flows.size == 20
