"""What the lists say to arrays of flows is what they say to each flow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qwarden.core.lists import IGNORE, Lists, Scope, Subject
from qwarden.core.store import Store, open_store
from qwarden.detect.behaviours import KINDS, NO_BEHAVIOUR
from qwarden.detect.exceptions import hidden, silenced
from qwarden.formats.flows import Flows, join_address, split_address, unknown_flows

ADDRESSES = ["10.0.0.1", "10.9.9.9", "192.0.2.1", "192.0.2.200", "2001:db8::1", "2001:db9::1", "::1"]
SCOPES = [
    Scope(network="10.0.0.0/16"),
    Scope(network="192.0.2.1", port=443),
    Scope(port=53),
    Scope(network="2001:db8::/32", kind="beacon"),
    Scope(network="10.9.0.0/16", kind="scan_vertical", port=443),
    Scope(kind="dead_c2"),
    Scope(network="::/0", kind="exfiltration"),
    Scope(user="ada"),
    Scope(source="10.0.0.0/8", kind="beacon"),
    Scope(source="192.0.2.1", destination="2001:db8::/32"),
    Scope(destination="10.9.9.9", port=443),
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path)
    yield opened
    opened.close()


def random_flows(rng: np.random.Generator, count: int) -> Flows:
    flows = unknown_flows(count)
    for side in ("src", "dst"):
        halves = [split_address(ADDRESSES[at]) for at in rng.integers(len(ADDRESSES), size=count)]
        flows[f"{side}_hi"], flows[f"{side}_lo"] = np.array(halves, np.uint64).T
    flows["dst_port"] = rng.choice([-1, 53, 443, 8080], count)
    flows["end_ns"] = rng.integers(0, 20, count) * 500_000_000
    return flows


@pytest.mark.parametrize("seed", range(20))
def test_masks_agree_with_the_lists_flow_by_flow(store: Store, seed: int) -> None:
    rng = np.random.default_rng(seed)
    lists = Lists(store)
    for scope in rng.choice(np.array(SCOPES, object), rng.integers(0, 5), replace=False):
        expires = None if rng.random() < 0.5 else float(rng.integers(0, 10))
        lists.add(IGNORE, scope, reason="test", author="ada", expires=expires)
    flows = random_flows(rng, 60)
    named = rng.integers(NO_BEHAVIOUR, len(KINDS), 60)
    rules = lists.rules(IGNORE)
    seen = []
    for flow, at in zip(flows, named, strict=True):
        addresses = tuple(join_address(flow[f"{side}_hi"], flow[f"{side}_lo"]) for side in ("src", "dst"))
        port = None if flow["dst_port"] < 0 else int(flow["dst_port"])
        plain = Subject(source=addresses[0], destination=addresses[1], port=port)
        told = replace(plain, kind=KINDS[at] if at >= 0 else None)
        time = flow["end_ns"] / 1e9
        seen.append([lists.match(IGNORE, subject, at=time) is not None for subject in (plain, told)])
    plain_mask, told_mask = np.array(seen).T
    assert (hidden(flows, rules) == plain_mask).all()
    assert ((hidden(flows, rules) | silenced(flows, named, rules)) == told_mask).all()


def test_a_kind_is_silenced_and_nothing_else(store: Store) -> None:
    lists = Lists(store)
    lists.add(IGNORE, Scope(kind="beacon"), reason="test", author="ada")
    flows = unknown_flows(len(KINDS))
    named = np.arange(len(KINDS))
    rules = lists.rules(IGNORE)
    assert [KINDS[at] for at in np.flatnonzero(silenced(flows, named, rules))] == ["beacon"]
    assert not hidden(flows, rules).any()
