"""The evasion protocol: its split, its columns, and every figure of it on a small file of made-up rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qwarden.core.errors import QwardenError
from qwarden.core.measure import REGISTRY, Checkpoint
from qwarden.detect.adversarial_training import SecondOpinionSettings
from qwarden.detect.datasets.nsl_kdd import NSL_KDD_COLUMNS, NslKdd, read_nsl_kdd
from qwarden.detect.measures import adversarial as measures
from qwarden.detect.protocols import adversarial
from qwarden.detect.protocols.adversarial import NSL_KDD_MUTABILITY, Arena, arena, rate_above
from qwarden.detect.protocols.seeds import TWIN

SMALL = SecondOpinionSettings(
    qubits=3, layers=2, steps=60, latent=2, depth=2, compression_steps=30, iterations=15, components=2,
    attacked=60, queries=(10,), crossed_queries=(10,), disguised=40, rounds=1, union_queries=5,
)  # fmt: skip


def made_up(count: int) -> str:
    """Attacks are rejected more often, and send less; their counts tell them, and can be changed."""
    rng, lines = np.random.default_rng(0), []
    for _ in range(count):
        attack = rng.random() < 0.45
        values = dict.fromkeys(NSL_KDD_COLUMNS, "0")
        values["protocol_type"], values["service"] = "tcp", "http"
        values["flag"] = "REJ" if rng.random() < (0.3 if attack else 0.1) else "SF"
        values["src_bytes"] = str(rng.poisson(20 if attack else 250))
        values["count"] = str(int(rng.integers(100, 300) if attack else rng.integers(1, 40)))
        values["dst_host_count"] = str(int(rng.integers(0, 256)))
        values["rerror_rate"] = f"{rng.random() * (1 if attack else 0.6):.2f}"
        lines.append(",".join([*values.values(), "satan" if attack else "normal", "20"]))
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "KDD.txt"
    path.write_text(made_up(900))
    return path


@pytest.fixture(scope="module")
def data(path: Path) -> NslKdd:
    return read_nsl_kdd(path)


@pytest.fixture(scope="module")
def ground(data: NslKdd) -> Arena:
    return arena(data, 0, SMALL, attacked=40)


def test_fourteen_columns_can_be_changed_and_three_of_them_only_grow() -> None:
    names = np.array(NSL_KDD_COLUMNS)
    assert set(names[NSL_KDD_MUTABILITY.grows]) == {"duration", "src_bytes", "dst_bytes"}
    assert NSL_KDD_MUTABILITY.moves.sum() == 11
    fixed = set(names[NSL_KDD_MUTABILITY.fixed])
    assert {"protocol_type", "service", "flag"} <= fixed
    assert {name for name in NSL_KDD_COLUMNS if name.endswith("error_rate")} <= fixed
    assert set(NSL_KDD_COLUMNS[6:22]) <= fixed  # land to is_guest_login: content


def test_evaluation_rows_are_a_quarter_of_each_class() -> None:
    attack = (np.arange(1000) % 5 == 0).astype(np.int64)
    marked = adversarial.evaluation_rows(attack)
    assert (marked[attack == 1].sum(), marked[attack == 0].sum()) == (50, 200)


def test_rows_serve_for_one_thing_only(data: NslKdd, ground: Arena) -> None:
    apart = adversarial.evaluation_rows(data.attacks)
    inside = {row.tobytes() for row in data.rows()[apart]}
    outside = {row.tobytes() for row in data.rows()[~apart]}
    parts = [
        {row.tobytes() for row in part}
        for part in (ground.attacks, ground.donors, ground.normals, ground.calibration)
    ]
    assert parts[0] | parts[1] | parts[2] <= inside
    assert parts[3] <= outside
    assert len(set.union(*parts)) == sum(map(len, parts)) == 40 + sum(map(len, parts[1:]))


def test_the_union_flags_what_either_flags(ground: Arena) -> None:
    rows = np.concatenate([ground.attacks, ground.normals])
    victim = ground.victim_alone()(rows) >= 0
    both = victim | ground.opinion.flag(rows, adversarial.OPINION_FPR)
    np.testing.assert_array_equal(ground.union(ground.opinion)(rows) >= 0, both)
    assert adversarial.OPINION_FPR + adversarial.VICTIM_FPR <= 0.05


def test_rate_above_counts() -> None:
    normals = np.arange(100.0)
    assert rate_above(normals, np.array([0.0, 94.0, 96.0, 200.0]), 0.05) == 0.5
    with pytest.raises(QwardenError, match="no attack evaded"):
        rate_above(normals, np.zeros(0), 0.05)


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("detect.adversarial_static", adversarial.static_figures),
        ("detect.adversarial_adaptive", adversarial.adaptive_figures),
    ],
)
def test_figures_are_those_of_the_measure(ground: Arena, name: str, figures) -> None:  # type: ignore[no-untyped-def]
    found = figures(ground, queries=60)
    units = next(m for m in REGISTRY if m.name == name).units
    assert {key for key in found if not key.startswith(TWIN)} == set(units)
    assert {key.removeprefix(TWIN) for key in found if key.startswith(TWIN)} <= set(units)
    assert all(0.0 <= value <= 1.0 for value in found.values())
    if "evasion_30" in found:
        for side in ("", TWIN, "unentangled_", "victim_"):
            assert found[f"{side}missed_without_attack"] <= found[f"{side}evasion_30"]


def test_a_measure_joins_the_seeds(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adversarial, "ROWS", 900)
    keys = measures.adversarial_hopskipjump.__name__, "detect.adversarial_hopskipjump"
    units = next(m for m in REGISTRY if m.name == keys[1]).units
    found = adversarial.measure_seeds(
        path,
        keys[0],
        lambda seed: {**dict.fromkeys(units, seed / 10), f"{TWIN}evasion": 0.5},
        60,
        Checkpoint(tmp_path / "kept" / "x.json", "commit"),
    )
    assert found.values == pytest.approx(dict.fromkeys(units, 0.2))
    assert found.twin == {"evasion": 0.5}
    assert found.n == 300
    assert found.seeds == adversarial.SEEDS
