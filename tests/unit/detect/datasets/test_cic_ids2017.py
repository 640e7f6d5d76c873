from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from qwarden.core.errors import InputError
from qwarden.detect.datasets.cic_ids2017 import CIC_COLUMNS, CIC_LEAKS, read_cic_ids2017

COLUMNS = (*CIC_LEAKS[:6], "Protocol", "Timestamp", *CIC_COLUMNS[1:], "Label", "Attempted Category")


def row(label: str = "BENIGN", day: int = 3, **values: str) -> dict[str, str]:
    """Return a flow by column, 2 in every feature that is not given."""
    own = dict.fromkeys(COLUMNS, "2")
    own["Timestamp"] = f"2017-07-0{day} 11:57:41.826651"
    return {**own, "Label": label, **{name.replace("_", " "): value for name, value in values.items()}}


def write(folder: Path, *flows: dict[str, str]) -> Path:
    path = folder / "day.csv"
    lines = [",".join(COLUMNS), *(",".join(flow[name] for name in COLUMNS) for flow in flows)]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def write_parquet(folder: Path, *flows: dict[str, str], **kinds: pl.DataType) -> Path:
    path = folder / "days.parquet"
    table = pl.DataFrame({name: [flow[name] for flow in flows] for name in COLUMNS})
    numbers = [name for name in COLUMNS if name not in {*CIC_LEAKS, "Label"}]
    table = table.with_columns(pl.col(numbers).cast(pl.Float64)).cast(dict(kinds))
    table.with_columns(extra=pl.lit("A")).write_parquet(path)
    return path


def test_columns_are_named_and_what_leaks_is_gone(tmp_path: Path) -> None:
    path = write(tmp_path, row(), row("DoS Hulk", 5, Flow_Duration="7.5"))
    found = read_cic_ids2017(path)
    assert tuple(found.table.columns) == CIC_COLUMNS
    assert not set(CIC_LEAKS) & set(found.table.columns)
    assert found.days.tolist() == ["2017-07-03", "2017-07-05"]
    assert found.rows().tolist() == [[2.0] * 82, [2.0, 7.5, *[2.0] * 80]]
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (found.not_finite, found.negative) == ({}, {})


def test_an_attempt_that_sent_nothing_is_no_attack(tmp_path: Path) -> None:
    flows = [row(), row("Bot"), row("Bot - Attempted")]
    assert read_cic_ids2017(write(tmp_path, *flows)).attacks.tolist() == [0, 1, 0]


@pytest.mark.parametrize("value", ["Infinity", "inf", "-inf", "NaN", ""])
def test_what_is_not_finite_is_unknown_and_counted(tmp_path: Path, value: str) -> None:
    flows = [row(), row(**{"Flow Bytes/s": value}), row(**{"Flow Bytes/s": value, "Idle Max": "inf"})]
    found = read_cic_ids2017(write(tmp_path, *flows))
    assert found.not_finite == {"Flow Bytes/s": 2, "Idle Max": 1}
    assert found.negative == {}
    assert np.isnan(found.rows()).sum() == 3
    assert np.isnan(found.table["Flow Bytes/s"].to_numpy()).tolist() == [False, True, True]


def test_an_overflowed_counter_is_unknown_and_counted_but_no_icmp_is_not(tmp_path: Path) -> None:
    flows = [row(Fwd_Header_Length="-26296", ICMP_Code="-1"), row(ICMP_Code="-2")]
    found = read_cic_ids2017(write(tmp_path, *flows))
    assert found.negative == {"Fwd Header Length": 1, "ICMP Code": 1}
    assert found.table["ICMP Code"].to_list()[0] == -1.0
    assert np.isnan(found.rows()).sum() == 2


def test_parquet_is_the_same_table(tmp_path: Path) -> None:
    flows = [row(), row("Heartbleed", 5, Flow_Duration="inf", Idle_Min="-3")]
    plain, packed = (
        read_cic_ids2017(write(tmp_path, *flows)),
        read_cic_ids2017(write_parquet(tmp_path, *flows)),
    )
    assert packed.table.equals(plain.table, null_equal=True)
    assert (packed.not_finite, packed.negative) == (plain.not_finite, plain.negative)
    assert packed.labels.tolist() == plain.labels.tolist()
    assert packed.days.tolist() == plain.days.tolist()


def test_a_parquet_file_is_known_by_its_rows_whoever_wrote_it(tmp_path: Path) -> None:
    path = write_parquet(tmp_path, row(), row("Bot", Idle_Max="7.5"))
    expected = hashlib.sha256()
    table = pl.read_parquet(path)
    for name in table.columns:
        expected.update(f"{name} {table.schema[name]}\n".encode())
        for value in table[name]:
            expected.update(f"{value}\n".encode() if isinstance(value, str) else struct.pack("<d", value))
    assert read_cic_ids2017(path).sha256 == expected.hexdigest()
    other = tmp_path / "other.parquet"
    table.write_parquet(other, compression="uncompressed")
    assert other.read_bytes() != path.read_bytes()
    assert read_cic_ids2017(other).sha256 == expected.hexdigest()
    changed = write_parquet(tmp_path, row(), row("Bot", Idle_Max="7.25"))
    assert read_cic_ids2017(changed).sha256 != expected.hexdigest()


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"Idle Max": "soon"}, "line 3: Idle Max: expected a number, found 'soon'"),
        ({"Timestamp": "3/7"}, "line 3: Timestamp: expected YYYY-MM-DD hh:mm:ss, found '3/7'"),
        ({"Label": ""}, "line 3: Label: expected a name, found ''"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named_with_its_column(tmp_path: Path, values: dict[str, str], problem: str) -> None:
    path = write(tmp_path, row(), row(**values))
    with pytest.raises(InputError) as caught:
        read_cic_ids2017(path)
    assert str(caught.value) == f"{path}: {problem}"


def test_a_parquet_file_without_a_column_or_broken_is_refused(tmp_path: Path) -> None:
    whole = write_parquet(tmp_path, row(), row())
    lacking = tmp_path / "lacking.parquet"
    pl.read_parquet(whole).drop("Idle Max").write_parquet(lacking)
    numbers = tmp_path / "numbers.parquet"
    pl.read_parquet(whole).with_columns(Label=pl.lit(0)).write_parquet(numbers)
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(whole.read_bytes()[:-40])
    for path, problem in (
        (lacking, "expected a column 'Idle Max', found none"),
        (numbers, "Label: expected text, found Int32"),
        (broken, "cannot be read"),
    ):
        with pytest.raises(InputError, match=problem):
            read_cic_ids2017(path)


@pytest.mark.data
def test_the_real_file_has_three_days_and_five_overflows(data_dir: Path) -> None:
    found = read_cic_ids2017(data_dir / "cic-ids2017-improved" / "cicids2017_mon_wed.parquet")
    days, counts = np.unique(found.days, return_counts=True)
    assert dict(zip(days.tolist(), counts.tolist(), strict=True)) == {
        "2017-07-03": 1_838, "2017-07-04": 8_365, "2017-07-05": 20_411,
    }  # fmt: skip
    assert found.not_finite == {}
    assert found.negative == {"Fwd Header Length": 1, "Bwd Header Length": 4}
    assert set(found.labels[found.days == "2017-07-03"].tolist()) == {"BENIGN"}
