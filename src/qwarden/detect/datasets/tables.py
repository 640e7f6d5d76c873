"""What the readers of data sets share: text in, checked columns out, the first wrong field named."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from qwarden.core.errors import InputError


def read_content(path: Path) -> bytes:
    """Return the bytes of a file, or of what its gzip holds.

    Raises
    ------
    InputError
        It cannot be read.
    """
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(path, f"cannot be read: {getattr(error, 'strerror', None) or error}") from error


def split_fields(
    path: Path, lines: Sequence[str], columns: Sequence[str], first_line: int = 1
) -> pl.DataFrame:
    """Cut lines at their commas into named columns of text; `first_line` is the number of the first one.

    Raises
    ------
    InputError
        A line has more fields than there are columns, or fewer.
    """
    text = pl.DataFrame({"line": lines}, schema={"line": pl.String})
    commas = text["line"].str.count_matches(",", literal=True)
    refuse_first(path, commas != len(columns) - 1, f"expected {len(columns)} columns", commas + 1, first_line)
    fields = text["line"].str.split_exact(",", len(columns) - 1).struct.rename_fields(list(columns))
    return fields.struct.unnest()


def read_csv(path: Path, content: bytes, columns: Sequence[str]) -> pl.DataFrame:
    """Read comma-separated text without quotes whose header, perhaps after a byte order mark, is `columns`.

    Raises
    ------
    InputError
        It is no such text, its header differs, or it has no rows.
    """
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(path, "is not UTF-8 text", f"byte {error.start}") from error
    header = lines[0].split(",") if lines else []
    for number, (name, expected) in enumerate(zip(header, columns, strict=False), 1):
        if name != expected:
            raise InputError(path, f"column {number}: expected {expected}, found {name[:40]!r}", "line 1")
    if len(header) != len(columns):
        raise InputError(path, f"expected {len(columns)} columns, found {len(header)}", "line 1")
    if len(lines) == 1:
        raise InputError(path, "has a header and no rows")
    return split_fields(path, lines[1:], columns, first_line=2)


def refuse_first(path: Path, wrong: pl.Series, expected: str, found: pl.Series, first_line: int = 1) -> None:
    """Raise `InputError` for the first row that is `wrong`, with what was `found` in it."""
    at = wrong.arg_max()
    if at is not None and wrong[at]:
        raise InputError(path, f"{expected}, found {found[at]!r}", f"line {at + first_line}")


def as_numbers(path: Path, table: pl.DataFrame, names: Sequence[str], first_line: int = 1) -> pl.DataFrame:
    """Turn columns of text into float64.

    Raises
    ------
    InputError
        A field is no finite number of 0 or more.
    """
    parsed = table.with_columns(pl.col(names).cast(pl.Float64, strict=False))
    for name in names:
        wrong = ~(parsed[name].is_finite() & (parsed[name] >= 0)).fill_null(value=False)
        refuse_first(path, wrong, f"{name}: expected a number of 0 or more", table[name], first_line)
    return parsed


def refuse_disagreement(
    path: Path, attack: pl.Series, normal: str, flag: pl.Series, first_line: int = 2
) -> None:
    """Raise `InputError` where a row's `flag`, 0 or 1, and the name of its `attack` contradict each other."""
    refuse_first(path, ~flag.is_in(["0", "1"]), f"{flag.name}: expected 0 or 1", flag, first_line)
    says = f"{flag.name}: expected 0 where {attack.name} is {normal} and 1 elsewhere"
    refuse_first(path, (flag == "0") != (attack == normal), says, flag, first_line)


def first_of_each(table: pl.DataFrame) -> npt.NDArray[np.bool_]:
    """Mark the first of every group of equal rows, (n,).

    >>> first_of_each(pl.DataFrame({"a": [1, 1, 2, 1], "b": [0, 0, 0, 1]})).tolist()
    [True, False, True, True]
    """
    return table.select(pl.struct(pl.all()).is_first_distinct()).to_series().to_numpy()
