"""Invariants of the physical layer, for any link, settings and attack."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwarden.core.errors import InputError
from qwarden.keys._random import alias_table
from qwarden.keys.link import Link, Settings
from qwarden.keys.observables import Observables, observe_both
from qwarden.keys.physics import KINDS, Attack, read_padova, transmit
from qwarden.keys.physics.medium import media
from qwarden.keys.physics.pair_tables import pair_chances
from qwarden.keys.physics.tables import event_chances

chance = st.floats(0, 1)
links = st.builds(
    Link,
    distance_km=st.floats(0, 150),
    receiver_efficiency=st.floats(1e-3, 1),
    dark_count=st.sampled_from([0.0, 1e-7, 1e-3, 0.2, 1.0]),
    afterpulse=chance,
    misalignment=chance,
    dead_time_s=st.sampled_from([0.0, 1e-9, 2.5e-8, 1e-3]),
    drift_per_block=st.sampled_from([0.0, 0.3]),
    visibility=chance,
    pair_rate=chance,
)


@st.composite
def protocols(draw: st.DrawFn) -> Settings:
    signal = draw(st.floats(0.05, 1.5))
    decoy = signal * draw(st.floats(0.05, 0.9))
    return Settings(
        protocol=draw(st.sampled_from(["bb84", "e91"])),
        intensities=(signal, decoy, decoy * draw(st.sampled_from([0.0, 1e-3, 0.05]))),
        key_basis=draw(st.floats(0.01, 0.99)),
        test_share=draw(st.floats(0, 0.9)),
    )


attacks = st.none() | st.builds(Attack, st.sampled_from(sorted(KINDS)), chance)


@given(links, protocols(), attacks)
@settings(max_examples=60)
def test_what_can_happen_adds_up_to_one(link: Link, agreed: Settings, attack: Attack | None) -> None:
    if attack is not None and agreed.protocol not in KINDS[attack.name].protocols:
        attack = None
    for part in media(link, agreed, attack, 1000, wander=0.1)[::8]:
        if agreed.protocol == "bb84":
            table = event_chances(agreed, part.medium)
            assert table.sum(axis=(2, 4, 5, 6))[:, 0, 0] == pytest.approx(
                np.array(agreed.probabilities) * agreed.key_basis**2
            )
        else:
            table = pair_chances(link, agreed, part.medium)
        assert table.sum() == pytest.approx(1, abs=1e-9)
        assert (table >= 0).all()


@given(
    links,
    protocols(),
    attacks,
    st.integers(1, 3000),
    st.sampled_from(["counts", "pulses"]),
    st.integers(0, 99),
)
@settings(max_examples=120)
def test_blocks_are_sound(
    link: Link, agreed: Settings, attack: Attack | None, pulses: int, engine: str, seed: int
) -> None:
    if attack is not None and agreed.protocol not in KINDS[attack.name].protocols:
        attack = None
    block = transmit(link, agreed, attack=attack, pulses=pulses, seed=seed, engine=engine)

    assert 0 <= block.misalignment <= 1
    for end in (block.alice, block.bob):
        assert end.pulses == pulses
        assert ((end.index >= 0) & (end.index < pulses)).all()
        assert (np.diff(end.index) > link.dead_gates).all()
        assert (end.bit <= 1).all()
    assert (block.bob.slot < 16).all()
    if agreed.protocol == "bb84":
        assert np.array_equal(block.alice.index, block.bob.index)
        assert block.sent.sum() == pulses
        cells = block.alice.basis.astype(int) * 3 + block.alice.intensity
        assert (np.bincount(cells, minlength=6).reshape(2, 3) <= block.sent).all()
    seen = observe_both(agreed.protocol, block.alice, block.bob, block.telemetry)
    assert seen.histogram.sum() == block.bob.index.size
    assert Observables.from_json(seen.to_json()).to_json() == seen.to_json()


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=70).filter(lambda weights: sum(weights) > 1e-3))
def test_an_alias_table_holds_its_weights(weights: list[float]) -> None:
    given_weights = np.array(weights)
    least, other = alias_table(given_weights)
    held = np.zeros(least.size)
    kept = least.astype(float) / 2.0**52
    np.add.at(held, np.arange(least.size), kept)
    np.add.at(held, other, 1 - kept)

    assert held[: given_weights.size] / least.size == pytest.approx(
        given_weights / given_weights.sum(), abs=1e-12
    )
    assert np.allclose(held[given_weights.size :], 0, atol=1e-12)


recorded = st.binary(max_size=40) | st.binary(min_size=1, max_size=20).map(
    lambda data: len(data).to_bytes(8, "big") + data
)


@given(st.tuples(recorded, recorded, recorded))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: tuple[bytes, bytes, bytes]
) -> None:
    folder = tmp_path_factory.mktemp("recording")
    paths = [folder / name for name in ("alice", "bob", "decoy")]
    for path, data in zip(paths, content, strict=True):
        path.write_bytes(data)
    try:
        blocks = list(read_padova(*paths, pulses_per_block=1000))
    except InputError:
        return
    assert sum(alice.bit.size for alice, _ in blocks) == 4 * (len(content[0]) - 8 * len(blocks))


@given(st.lists(st.integers(0, 2), min_size=1, max_size=60).map(lambda s: s + [0] * (-len(s) % 4)), st.data())
def test_recordings_come_back(
    tmp_path_factory: pytest.TempPathFactory, states: list[int], data: st.DataObject
) -> None:
    outcomes = data.draw(st.lists(st.integers(0, 3), min_size=len(states), max_size=len(states)))
    folder = tmp_path_factory.mktemp("recording")
    paths = []
    for name, symbols in (("alice", states), ("bob", outcomes), ("decoy", [0] * len(states))):
        packed = bytes(
            sum(s << 2 * i for i, s in enumerate(symbols[at : at + 4])) for at in range(0, len(symbols), 4)
        )
        paths.append(folder / name)
        paths[-1].write_bytes(len(packed).to_bytes(8, "big") + packed)
    ((alice, bob),) = read_padova(*paths, pulses_per_block=1000)

    assert (alice.basis + 2 * alice.bit).tolist() == states
    assert (bob.basis + 2 * bob.bit).tolist() == outcomes
