from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl

from qwarden.detect.datasets.unsw_nb15 import UNSW_COLUMNS, UNSW_TEXT, UnswNb15
from qwarden.detect.protocols import families, unsw

BEHIND = len(families.RELATIONS) + len(families.NORMAL_NAMES)


def some(rows: int, seed: int = 0) -> UnswNb15:
    """Return random rows, in which nothing tells an attack."""
    rng = np.random.default_rng(seed)
    table = pl.DataFrame({name: rng.integers(0, 9, rows).astype(float) for name in UNSW_COLUMNS})
    table = table.with_columns(pl.col(UNSW_TEXT).cast(pl.Int64).cast(pl.String))
    return UnswNb15(table, np.where(rng.random(rows) < 0.5, "Normal", "Worms").astype(np.str_), "0" * 64)


def test_inputs_are_those_of_the_known_attacks_then_ratios_then_names() -> None:
    data = some(300)
    rows = families.family_inputs(data)
    assert np.array_equal(rows[:, :-BEHIND], unsw.inputs(data))
    sent, answered = data.table["sbytes"].to_numpy(), data.table["dbytes"].to_numpy()
    np.testing.assert_allclose(np.exp(rows[:, -BEHIND]), (sent + 1) / (answered + 1))
    trip = families.RELATIONS.index(("synack", "ackdat"))
    both = data.table.select("synack", "ackdat").to_numpy()
    np.testing.assert_allclose(np.exp(rows[:, trip - BEHIND]), (both[:, 0] + 1e-5) / (both[:, 1] + 1e-5))


def test_an_unseen_row_counts_the_normal_training_rows_of_its_name() -> None:
    data = some(600)
    rows, attack = families.family_inputs(data), data.attacks
    columns = families.FamilyColumns(seed=0)
    columns.fit_transform(rows[:400], attack[:400])
    found = columns.transform(rows[400:])[:, -len(families.NORMAL_NAMES)]
    names = data.table.select(families.NORMAL_NAMES[0]).rows()
    normals = Counter(name for name, bad in zip(names[:400], attack[:400], strict=True) if not bad)
    counts = np.array([normals[name] for name in names[400:]])
    # Standardised logarithms: the same order, and ties where counts tie.
    assert np.array_equal(np.unique(counts, return_inverse=True)[1], np.unique(found, return_inverse=True)[1])


def test_attacks_among_the_training_rows_do_not_count() -> None:
    data = some(600)
    rows, attack = families.family_inputs(data), data.attacks
    relabelled = rows.copy()
    relabelled[attack == 1, -1] = -1.0
    unseen = rows[:50]
    first, second = families.FamilyColumns(seed=0), families.FamilyColumns(seed=0)
    first.fit_transform(rows, attack)
    second.fit_transform(relabelled, attack)
    assert np.array_equal(np.argsort(first.transform(unseen)[:, -1], kind="stable"),
                          np.argsort(second.transform(unseen)[:, -1], kind="stable"))  # fmt: skip


def test_counts_of_training_rows_tell_nothing_of_their_own_labels() -> None:
    data = some(3000)
    rows, attack = families.family_inputs(data), data.attacks
    trained = families.FamilyColumns(seed=0).fit_transform(rows, attack)[:, -len(families.NORMAL_NAMES) :]
    # Labels are random. A row that counted itself would show in names that hardly repeat.
    assert np.abs(np.corrcoef(trained.T, attack)[-1, :-1]).max() < 0.1
