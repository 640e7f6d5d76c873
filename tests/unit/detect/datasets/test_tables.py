from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from qwarden.core.errors import InputError
from qwarden.detect.datasets.tables import (
    as_numbers,
    first_of_each,
    read_content,
    read_csv,
    refuse_disagreement,
    split_fields,
)

HERE = Path("some.csv")


def test_gzip_and_plain_hold_the_same_content(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"a,b\n1,2\n")
    (tmp_path / "packed").write_bytes(gzip.compress(b"a,b\n1,2\n"))
    assert read_content(tmp_path / "plain") == read_content(tmp_path / "packed") == b"a,b\n1,2\n"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes(gzip.compress(b"a" * 999)[:-9])
    for name in ("cut", "absent"):
        with pytest.raises(InputError, match=f"{name}: cannot be read"):
            read_content(tmp_path / name)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_byte_order_mark_and_line_ends_are_not_part_of_a_field(mark: bytes, end: bytes) -> None:
    found = read_csv(HERE, mark + b"id,name" + end + b"1,x" + end + b"2,y" + end, ("id", "name"))
    assert found.rows() == [("1", "x"), ("2", "y")]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "line 1: expected 2 columns, found 0"),
        (b"id\n1\n", "line 1: expected 2 columns, found 1"),
        (b"id,name,more\n", "line 1: expected 2 columns, found 3"),
        (b"id,nmae\n1,x\n", "line 1: column 2: expected name, found 'nmae'"),
        (b"id,name\n", "has a header and no rows"),
        (b"id,name\n1,x\n2\n", "line 3: expected 2 columns, found 1"),
        (b"id,name\n1,x,\n", "line 2: expected 2 columns, found 3"),
        (b"id,name\n1,\xff\n", "byte 10: is not UTF-8 text"),
    ],
)
def test_what_is_no_such_table_is_refused(content: bytes, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        read_csv(HERE, content, ("id", "name"))
    assert str(caught.value) == f"{HERE}: {problem}"


def test_fields_and_numbers_are_what_python_reads() -> None:
    lines = ["0,1e3,x", "2.5,7,y"]
    table = as_numbers(HERE, split_fields(HERE, lines, ("a", "b", "c")), ("a", "b"))
    expected = [line.split(",") for line in lines]
    assert table["a"].to_list() == [float(row[0]) for row in expected]
    assert table["b"].to_list() == [float(row[1]) for row in expected]
    assert table["c"].to_list() == ["x", "y"]


@pytest.mark.parametrize("field", ["", "many", "-1", "inf", "nan", "0x1"])
def test_a_field_that_is_no_number_of_0_or_more_is_named(field: str) -> None:
    with pytest.raises(InputError) as caught:
        as_numbers(HERE, pl.DataFrame({"a": ["1", field]}), ["a"], first_line=2)
    assert str(caught.value) == f"{HERE}: line 3: a: expected a number of 0 or more, found {field!r}"


def test_label_and_name_must_agree() -> None:
    names = pl.Series("attack", ["none", "worm", "none"])
    refuse_disagreement(HERE, names, "none", pl.Series("label", ["0", "1", "0"]))
    for flags, line in ((["0", "1", "1"], 4), (["0", "0", "0"], 3), (["2", "1", "0"], 2)):
        with pytest.raises(InputError, match=f"line {line}: label: expected 0"):
            refuse_disagreement(HERE, names, "none", pl.Series("label", flags))


def test_the_first_of_equal_rows_is_marked() -> None:
    numbers = np.random.default_rng(3).integers(0, 4, (200, 3))
    marked = first_of_each(pl.DataFrame(numbers, schema=["a", "b", "c"], orient="row"))
    seen: set[tuple[int, ...]] = set()
    for row, mark in zip(map(tuple, numbers.tolist()), marked, strict=True):
        assert mark == (row not in seen)
        seen.add(row)
