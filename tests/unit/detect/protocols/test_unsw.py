from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from qwarden.detect.datasets.unsw_nb15 import UNSW_COLUMNS, UNSW_TEXT, UnswNb15
from qwarden.detect.protocols import unsw


def some(rows: int, seed: int = 0) -> UnswNb15:
    """Return random rows, in which nothing tells an attack."""
    rng = np.random.default_rng(seed)
    table = pl.DataFrame({name: rng.integers(0, 50, rows).astype(float) for name in UNSW_COLUMNS})
    table = table.with_columns(pl.col(UNSW_TEXT).cast(pl.Int64).cast(pl.String))
    families = np.where(rng.random(rows) < 0.5, "Normal", "Worms").astype(np.str_)
    return UnswNb15(table, families, "0" * 64)


def test_a_split_takes_every_row_once_and_another_seed_another_way() -> None:
    split, other = unsw.random_split(30_000, 1), unsw.random_split(30_000, 2)
    assert [len(part) for part in split] == [19_000, 1_000, 10_000]
    assert (np.sort(np.concatenate(split)) == np.arange(30_000)).all()
    assert set(split.test.tolist()) != set(other.test.tolist())


def test_equal_groups_of_values_share_a_code_and_others_do_not() -> None:
    data = some(300)
    rows = unsw.inputs(data)
    assert rows.shape == (300, 42 + len(unsw.NAMES) + len(unsw.BINNED))
    for at, group in enumerate(unsw.NAMES):
        code = rows[:, 42 + at]
        values = [tuple(row) for row in data.table.select(group).rows()]
        assert len(set(code)) == len(set(values)) == len(set(zip(code, values, strict=True)))


def test_columns_of_unseen_rows_do_not_depend_on_what_else_is_transformed_or_on_labels_of_them() -> None:
    data = some(600)
    rows, attack = unsw.inputs(data), data.attacks
    columns = unsw.Columns(seed=0)
    columns.fit_transform(rows[:400], attack[:400])
    whole = columns.transform(rows[400:])
    assert np.array_equal(columns.transform(rows[450:460]), whole[50:60])


def test_log_odds_of_training_rows_tell_nothing_of_their_own_labels() -> None:
    data = some(3000)
    rows, attack = unsw.inputs(data), data.attacks
    train = unsw.Columns(seed=0).fit_transform(rows, attack)
    signs = 2 * attack - 1
    odds = train[:, -len(unsw.NAMES) - len(unsw.BINNED) :]
    # Labels are random. Codes of two amounts hardly repeat, so a row's own label would show at once.
    assert np.abs(np.corrcoef(odds.T, signs)[-1, :-1]).max() < 0.12


def test_a_bin_holds_the_log_odds_of_its_training_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unsw, "BINS", 4)
    data = some(4000)
    at = UNSW_COLUMNS.index("dur")
    data.table.replace_column(at, pl.Series("dur", np.arange(4000.0)))
    attack = ((np.arange(4000) // 1000) % 2).astype(np.int64)
    columns = unsw.Columns(seed=0)
    rows = unsw.inputs(data)
    columns.fit_transform(rows, attack)
    dur = columns.transform(rows)[:, -len(unsw.BINNED)]
    # Quarters without attacks, with, without, with: that is not monotone, and a quantile curve is.
    assert [len(set(quarter)) for quarter in dur.reshape(4, 1000).tolist()] == [1, 1, 1, 1]
    assert np.array_equal(dur > 0, attack == 1)
