from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from qwarden.core.errors import InputError
from qwarden.detect import training
from qwarden.detect.build import Labelled
from qwarden.detect.training import CALIBRATE, HOLD_OUT, TRAIN, split
from qwarden.formats.flows import FLOW


def capture(benign: int, attacks: dict[str, list[int]]) -> Labelled:
    """A capture of benign flows, with attacks of so many flows each at its end."""
    labels, numbers = ["benign"] * benign, [0] * benign
    for kind, sizes in attacks.items():
        for size in sizes:
            number = max(numbers) + 1
            labels += [kind] * size
            numbers += [number] * size
    rows = np.arange(len(labels), dtype=float)[:, None]
    return Labelled(np.zeros(len(labels), FLOW), rows, np.array(labels, "U16"), np.array(numbers))


def test_every_flow_has_one_use_and_attacks_stay_whole() -> None:
    captures = [capture(200, {"beacon": [3, 4], "guessing": [5]}), capture(100, {"beacon": [2], "scan": [9]})]
    parts = split(captures, 0)
    assert len(parts.use) == len(parts.data.labels) == 200 + 12 + 100 + 11
    assert len(np.unique(parts.data.attacks)) == 1 + 5  # numbered through all captures
    for number in np.unique(parts.data.attacks)[1:]:
        assert len(set(parts.use[parts.data.attacks == number])) == 1
    assert not (parts.use[parts.data.attacks > 0] == CALIBRATE).any()


def test_the_parts_have_their_shares() -> None:
    parts = split([capture(1000, {"beacon": [1] * 30, "guessing": [1] * 30})], 1)
    benign = parts.use[parts.data.attacks == 0]
    assert np.bincount(benign).tolist() == [600, 200, 200]
    for kind in ("beacon", "guessing"):
        assert np.bincount(parts.use[parts.data.labels == kind]).tolist() == [20, 0, 10]


def test_neighbours_in_time_share_a_part() -> None:
    use = split([capture(1000, {"beacon": [1] * 3})], 2).use[:1000]
    assert (np.diff(use) != 0).sum() < training.SPANS


def test_many_captures_are_split_as_wholes() -> None:
    captures = [capture(20 + at, {"beacon": [1]}) for at in range(10)]
    parts = split(captures, 3)
    place = np.concatenate([np.full(len(part.labels), at) for at, part in enumerate(captures)])
    benign = parts.data.attacks == 0
    uses = [set(parts.use[benign & (place == at)]) for at in range(10)]
    assert sorted(len(use) for use in uses) == [1] * 10
    assert [sum(use == {part} for use in uses) for part in (TRAIN, CALIBRATE, HOLD_OUT)] == [6, 2, 2]
    assert "by capture" in parts.how


def test_the_seed_decides_the_split() -> None:
    captures = [capture(500, {"beacon": [2] * 9})]
    assert (split(captures, 5).use == split(captures, 5).use).all()
    assert (split(captures, 5).use != split(captures, 6).use).any()


def test_too_little_of_a_kind_is_refused_with_what_is_lacking() -> None:
    where = [Path("mine.pcap")]
    with pytest.raises(InputError, match="no attack to train on"):
        training._check(split([capture(5000, {})], 0), where, 0.01)
    with pytest.raises(InputError, match="no attack to judge by"):
        training._check(split([capture(5000, {"beacon": [10]})], 0), where, 0.01)
    with pytest.raises(InputError, match=r"20 benign flows.* budget 0\.01 needs 99"):
        training._check(split([capture(100, {"beacon": [1, 1, 1]})], 0), where, 0.01)
    training._check(split([capture(500, {"beacon": [1, 1, 1]})], 0), where, 0.01)


def test_auc_is_scikit_learns_with_ties() -> None:
    rng = np.random.default_rng(0)
    scores, attack = rng.integers(0, 9, 300).astype(float), rng.random(300) < 0.3
    assert training._auc(scores, attack) == pytest.approx(roc_auc_score(attack, scores), abs=1e-12)
