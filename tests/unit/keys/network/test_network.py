from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwarden.core.errors import ConfigError, InputError, KeySupplyError, UsageError
from qwarden.core.keysupplies.preshared import PreSharedPool
from qwarden.keys.network import Laboratory, NoRoute, Relay, deliver, load_plan, route
from qwarden.keys.network.relay import Carried, LinkDown, Parcel, cost, document

SQUARE = (("a", "b"), ("b", "d"), ("a", "c"), ("c", "d"))


@dataclass
class Net:
    """Nodes that share keys, and a wire that a test may meddle with."""

    folder: Path
    edges: tuple[tuple[str, str], ...] = SQUARE
    pool_bytes: int = 4096
    wire: Callable[[str, str, bytes], list[bytes]] = lambda here, there, frame: [frame]
    pools: dict[str, PreSharedPool] = field(default_factory=dict)
    relays: dict[str, Relay] = field(default_factory=dict)
    arrived: dict[str, list[Carried]] = field(default_factory=dict)
    passed: list[tuple[str, str, bytes]] = field(default_factory=list)
    cut: set[frozenset[str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        for name in sorted({end for edge in self.edges for end in edge}):
            self.pools[name] = PreSharedPool(self.folder / name, name)
            self.arrived[name] = []
            self.relays[name] = Relay(name, self.pools[name], self._sender(name), self.arrived[name].append)
        for a, b in self.edges:
            shared = secrets.token_bytes(self.pool_bytes)
            self.pools[a].add(b, shared)
            self.pools[b].add(a, shared)

    def _sender(self, here: str) -> Callable[[str, bytes], None]:
        def send(there: str, frame: bytes) -> None:
            if frozenset((here, there)) in self.cut:
                raise LinkDown((here, there), "the link is cut")
            self.passed.append((here, there, frame))
            for one in self.wire(here, there, frame):
                self.relays[there].receive(here, one)

        return send

    def links(self) -> dict[tuple[str, str], int]:
        both = [pair for edge in self.edges for pair in (edge, edge[::-1])]
        return {(a, b): self.pools[a].available(b) for a, b in both}

    def deliver(self, start: str, goal: str, bits: int = 256) -> Carried:
        return deliver(self.relays, self.links, start, goal, bits)


def test_a_key_reaches_the_other_end_and_no_wire_carries_it(tmp_path: Path) -> None:
    net = Net(tmp_path)
    sent = net.deliver("a", "d")
    (came,) = net.arrived["d"]
    assert sent == came
    assert len(sent.key) == 32
    assert len(sent.way) == 3
    for _, _, frame in net.passed:
        assert sent.key not in frame
        assert sent.key.hex().encode() not in frame
    hidden = [Parcel.decode(frame)[0].hidden for _, _, frame in net.passed]
    assert len(set(hidden)) == 2
    assert sent.key.hex() not in str(document(sent)) + repr(sent)


def test_each_link_pays_a_pad_and_a_tag_and_nobody_else_pays(tmp_path: Path) -> None:
    net = Net(tmp_path)
    before = net.links()
    way = net.deliver("a", "d", 512).way
    spent = {ends: before[ends] - left for ends, left in net.links().items()}
    assert spent == {ends: cost(512) if ends in set(itertools.pairwise(way)) else 0 for ends in before}
    for a, b in itertools.pairwise(way):
        drawn = [e for e in net.pools[a].record(b) if e["did"] == "draw"]
        fetched = [e for e in net.pools[b].record(a) if e["did"] == "fetch"]
        assert [(e["part"], e["first"], e["bytes"]) for e in drawn] == sorted(
            ((e["part"], e["first"], e["bytes"]) for e in fetched), key=lambda e: e[1]
        )


def test_a_cut_link_is_gone_around_with_another_key(tmp_path: Path) -> None:
    net = Net(tmp_path)
    first = net.deliver("a", "d")
    net.cut.add(frozenset(first.way[:2]))
    second = net.deliver("a", "d")
    assert second.way != first.way
    assert second.key != first.key
    net.cut.add(frozenset(second.way[1:]))
    with pytest.raises(NoRoute, match="failed"):
        net.deliver("a", "d")
    assert [one.key for one in net.arrived["d"]] == [first.key, second.key]


def test_a_link_without_key_is_gone_around_until_no_way_is_left(tmp_path: Path) -> None:
    net = Net(tmp_path, pool_bytes=256)  # each end of a link can pay twice for 256 bits
    ways = [net.deliver("a", "d").way for _ in range(4)]
    assert {way[1] for way in ways} == {"b", "c"}
    with pytest.raises(NoRoute):
        net.deliver("a", "d")
    assert len({one.key for one in net.arrived["d"]}) == 4


def test_a_parcel_is_taken_once_and_only_as_it_was_sent(tmp_path: Path) -> None:
    for change in (
        lambda frame: [frame, frame],
        lambda frame: [frame[:-3] + bytes([frame[-3] ^ 1]) + frame[-2:]],
        lambda frame: [bytes([frame[0] ^ 1]) + frame[1:]],
        lambda frame: [frame.replace(b'"way":["a","b","d"]', b'"way":["a","b","c"]')],
        lambda frame: [frame[:40]],
        lambda frame: [b""],
    ):
        edges = (("a", "b"), ("b", "d"))
        net = Net(tmp_path / str(id(change)), edges=edges)
        net.wire = lambda here, there, frame, change=change: change(frame) if here == "a" else [frame]
        with pytest.raises(InputError):
            net.deliver("a", "d")
        # What was sent may still come, if nothing of it was taken; once.
        with suppress(InputError):
            net.relays["b"].receive("a", net.passed[0][2])
        with pytest.raises(InputError):
            net.relays["b"].receive("a", net.passed[0][2])
        assert len(net.arrived["d"]) <= 1


def test_nobody_can_send_a_parcel_over_a_link_that_is_not_its_own(tmp_path: Path) -> None:
    net = Net(tmp_path)
    net.deliver("a", "d")
    here, there, frame = net.passed[0]
    other = next(name for name in net.relays if name not in (here, there))
    with pytest.raises((InputError, KeySupplyError)):
        net.relays[there].receive(other, frame)
    for way in (("a",), ("b", "a"), ("a", "b", "a")):
        with pytest.raises(UsageError):
            net.relays["a"].originate(way, 256)
    for bits in (0, -8, 12):
        with pytest.raises(UsageError):
            net.relays["a"].originate(("a", "b"), bits)
    for ends in (("a", "a"), ("a", "x")):
        with pytest.raises(UsageError):
            net.deliver(*ends)


names = st.sampled_from("abcdef")


@given(
    st.dictionaries(
        st.tuples(names, names).filter(lambda ends: ends[0] != ends[1]), st.integers(0, 5), max_size=20
    ),
    st.integers(1, 5),
)
def test_the_route_is_the_shortest_and_among_those_the_widest(
    links: dict[tuple[str, str], int], bits: int
) -> None:
    graph = nx.DiGraph()
    graph.add_nodes_from("abcdef")
    graph.add_edges_from(ends for ends, left in links.items() if left >= bits)
    way = route(links, "a", "f", bits)
    if not nx.has_path(graph, "a", "f"):
        assert way == ()
        return
    every = list(nx.all_shortest_paths(graph, "a", "f"))
    width = max(min(links[edge] for edge in itertools.pairwise(one)) for one in every)
    assert list(way) in every
    assert min(links[edge] for edge in itertools.pairwise(way)) == width


PLAN = """\
nodes = ["a", "b", "c", "d"]
links = [{ends = ["a", "b"]}, {ends = ["b", "d"], attack = "cut"}, {ends = ["a", "c"]}, {ends = ["c", "d"]}]
"""


def test_a_laboratory_of_four_nodes_goes_around_the_link_that_was_cut(tmp_path: Path) -> None:
    (tmp_path / "net.toml").write_text(PLAN)
    laboratory = Laboratory(plan=load_plan(tmp_path / "net.toml"), folder=tmp_path / "nodes")
    secret = laboratory.exchange()
    assert secret["b-d"] == 0
    assert all(bits > 1000 for link, bits in secret.items() if link != "b-d")
    sent, came = laboratory.deliver("a", "d", 256)
    assert sent.key == came.key
    assert sent.way == ("a", "c", "d")
    laboratory.cut("a", "c")
    with pytest.raises(NoRoute):
        laboratory.deliver("a", "d", 4096)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("nodes = 1\nlinks = []", "nodes"),
        ("nodes = [", "TOML"),
        ('nodes = ["a"]\nlinks = [{ends = ["a", "x"]}]', "two different nodes"),
        ('nodes = ["a", "b"]\nlinks = [{ends = ["a", "b"]}, {ends = ["b", "a"]}]', "same ends"),
        ('nodes = ["a", "b"]\nlinks = [{ends = ["a", "b"], attack = "magic"}]', "magic"),
        ('nodes = ["a", "b"]\nlinks = [{ends = ["a", "b"], distance_km = -1.0}]', "distance_km"),
    ],
)
def test_a_file_that_describes_no_network_is_refused(text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "net.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=problem):
        load_plan(path)
    with pytest.raises(ConfigError):
        load_plan(tmp_path / "missing.toml")
