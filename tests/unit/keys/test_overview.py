from __future__ import annotations

import json
import secrets
from pathlib import Path

import pytest

from qwarden.cli.render_links import links_table, state_line
from qwarden.core.keysupplies.preshared import PreSharedPool
from qwarden.core.store import open_store
from qwarden.keys.events import KeyBlock, LinkAlarm
from qwarden.keys.kme.records import Provenance
from qwarden.keys.kme.renewal import ARTICLE_S
from qwarden.keys.kme.store import KeyStore
from qwarden.keys.overview import LinkState, links
from qwarden.keys.party.site import POOLS, STORE, open_site, own_master


def block(time: float, *, accepted: bool = True, bits: int = 1000, link: str = "a-b") -> KeyBlock:
    return KeyBlock(
        time=time, link=link, block=secrets.token_hex(16), accepted=accepted,
        reason="" if accepted else "too many errors", attempt=1, protocol="e91", qber=0.03, sifted_bits=4000,
        leak_bits=700, secret_bits=bits if accepted else 0, epsilon=1e-10, origin="simulated", qber_z=0.02,
        qber_x=0.04, chsh=2.7,
    )  # fmt: skip


def test_a_home_tells_what_its_events_pools_and_store_hold(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.append(
        [block(100.0), block(110.0), block(115.0, accepted=False), block(120.0), block(1, link="x-y")]
    )
    store.append(
        [LinkAlarm(time=115.0, link="a-b", block="", cause="too bright", tampered=False, done="stopped")]
    )
    PreSharedPool(tmp_path / POOLS, "a").add("b", secrets.token_bytes(640))
    with open_site(tmp_path, "a", own_master(tmp_path)) as site:
        site.deliver(
            Provenance(block="1", peer="b", origin="simulated", method="bbm92", epsilon=1e-10), bytes(3200)
        )
        found = {state.link: state for state in links(store, tmp_path)}
        ours = found["a-b"]
        assert (ours.accepted, ours.aborted, ours.alarms, ours.cause) == (3, 1, 1, "too bright")
        # 2,000 bits came in the 20 seconds after the first block was there.
        assert ours.bits_per_s == pytest.approx(100.0)
        assert (ours.qber_z, ours.qber_x, ours.chsh) == (0.02, 0.04, 2.7)
        assert (ours.keys, ours.tags) == (50, 10)
        with KeyStore(tmp_path / STORE, "a", site.vault) as held:
            assert ours.renewal == held.pools()[0].renewed + ARTICLE_S
            # While another has it open, the keys are not known, and nothing else is lost.
            assert links(store, tmp_path)[0].accepted == 3
    assert found["x-y"] == LinkState(
        link="x-y", accepted=1, qber_z=0.02, qber_x=0.04, chsh=2.7, last_block=1.0, origin="simulated"
    )
    told = json.loads(state_line(list(found.values())))
    assert told["links"][0]["bits_per_s"] == pytest.approx(100.0)
    shown = links_table(list(found.values()), 130.0)
    assert "too bright" in shown
    assert "10 s ago" in shown
    assert "2.700" in shown
    store.close()


def test_a_home_without_links_says_so(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    assert links(store, tmp_path) == []
    assert "no link" in links_table([], 0.0)
    store.close()
