from __future__ import annotations

from pathlib import Path

import pytest

from qwarden.core.bus import open_bus
from qwarden.core.events import Event
from qwarden.core.store import open_store
from qwarden.keys.events import KeyBlock, LinkAlarm
from qwarden.keys.link import Link, Settings
from qwarden.keys.party.block import Terms
from qwarden.keys.physics import Attack, parse
from qwarden.keys.simulate import simulate

PAIRS = Terms(settings=Settings(protocol="e91", block_bits=12_000, key_basis=0.7, eps_sec=1e-8))
NEAR = Link(distance_km=5)


def silent(_: object) -> str:
    return ""


def test_a_quiet_link_gives_keys_at_the_first_attempt() -> None:
    told: list[Event] = []
    done = simulate(NEAR, PAIRS, blocks=3, seed=5, inspect=silent, publish=told.append)
    document = done.to_json()
    assert document["accepted"] == 3
    assert document["aborted"] == 0
    assert done.secret_bits == document["secret_bits"] > 3000
    blocks = [event for event in told if isinstance(event, KeyBlock)]
    assert [block.attempt for block in blocks] == [1, 1, 1]
    assert all(block.accepted and block.origin == "simulated" for block in blocks)
    assert sum(block.secret_bits for block in blocks) == done.secret_bits


def test_the_same_seed_gives_the_same_photons() -> None:
    first, second = (simulate(NEAR, PAIRS, seed=7, inspect=silent).attempts[0].block for _ in range(2))
    assert first.qber == second.qber
    assert first.detected is not None
    assert second.detected is not None
    assert first.detected.tolist() == second.detected.tolist()
    third = simulate(NEAR, PAIRS, seed=8, inspect=silent).attempts[0].block
    assert third.qber != first.qber


def test_full_interception_gives_nothing_and_gives_up_loudly(tmp_path: Path) -> None:
    with_store = open_store(tmp_path)
    bus = open_bus(with_store)
    done = simulate(
        NEAR, PAIRS, attack=parse("intercept-resend"), seed=5, inspect=silent, publish=bus.publish
    )
    assert done.secret_bits == 0
    assert [one.attempt for one in done.attempts] == [1, 2, 3]
    steps = [event.body()["step"] for event in with_store.events(room="core", kind="backtrack_step")]
    assert steps[0] == "exhausted"
    assert steps.count("undone") == 3
    with_store.close()


def test_a_retry_looks_closer_and_succeeds_when_the_attack_ends() -> None:
    def first_only(block: int) -> Attack | None:
        return parse("intercept-resend:0.5") if block == 0 else None

    done = simulate(NEAR, PAIRS, attack=first_only, seed=5, inspect=silent)
    assert [one.block.accepted for one in done.attempts] == [False, True]
    first, second = (one.block.detected for one in done.attempts)
    assert first is not None
    assert second is not None
    assert second[0].sum() > 1.8 * first[0].sum()  # a longer block
    assert second[1].sum() / second[0].sum() > first[1].sum() / first[0].sum()  # more of it checked


def test_a_man_in_the_middle_is_told_by_the_tags() -> None:
    told: list[Event] = []
    done = simulate(NEAR, PAIRS, attack=parse("mitm"), seed=5, inspect=silent, publish=told.append)
    assert done.secret_bits == 0
    alarms = [event for event in told if isinstance(event, LinkAlarm)]
    assert len(alarms) == 3
    assert all(alarm.tampered and "tag" in alarm.cause for alarm in alarms)


def test_a_monitor_that_alarms_stops_the_block_and_is_quoted() -> None:
    told: list[Event] = []
    done = simulate(NEAR, PAIRS, seed=5, inspect=lambda seen: "light from outside", publish=told.append)
    assert done.secret_bits == 0
    assert {one.alarm for one in done.attempts} == {"light from outside"}
    assert {event.cause for event in told if isinstance(event, LinkAlarm)} == {"light from outside"}


@pytest.mark.parametrize("attack", ["pns", "intercept-resend:1"])
def test_decoys_leave_no_key_under_attack(attack: str) -> None:
    terms = Terms(settings=Settings(block_bits=300_000))
    done = simulate(Link(), terms, attack=parse(attack), seed=5, inspect=silent, at_most=1)
    assert done.secret_bits == 0
    honest = simulate(Link(), terms, seed=5, inspect=silent, at_most=1)
    assert honest.secret_bits > 10_000
