"""The sample of corrected CIC-IDS2017 that is measured on, made of the draws that are public.

Two draws by class are public, of up to 5,000 and 2,500 flows each. The sample has all of the first and what
only the second one has, Monday to Wednesday, in order of time.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Final

import polars as pl

from qwarden.core.errors import InputError

SAMPLE: Final = "cicids2017_mon_wed.parquet"

DAYS: Final = ("2017-07-03", "2017-07-04", "2017-07-05")

CONTENT_SHA256: Final = "aacb09c22611c470595d2685ecc266e38b907b22cf5a4b4afe3da1132b92ef0a"
"""Of the sample's rows (`content_sha256`): the file's own bytes depend on who writes Parquet."""


def build_cic_sample(parts: Path) -> bytes:
    """Return the sample as a Parquet file.

    Parameters
    ----------
    parts : folders ``A`` (5,000 a class) and ``B`` (2,500 a class) of the draws' CSV files.

    Raises
    ------
    InputError
        The rows are not those that the figures stand on.
    """
    first, second = (_draw(parts / which) for which in ("A", "B"))
    only = second.join(first, on=first.columns, how="anti", nulls_equal=True)
    both = [first.with_columns(source_sample=pl.lit("A")), only.with_columns(source_sample=pl.lit("B"))]
    sample = (
        pl.concat(both)
        .filter(pl.col("Timestamp").str.slice(0, 10).is_in(DAYS))
        .sort("Timestamp", maintain_order=True)
    )
    found = content_sha256(sample)
    if found != CONTENT_SHA256:
        raise InputError(SAMPLE, f"came out with rows of SHA-256 {found}; expected {CONTENT_SHA256}")
    file = io.BytesIO()
    sample.write_parquet(file, compression="zstd")
    return file.getvalue()


def content_sha256(table: pl.DataFrame) -> str:
    """Return the SHA-256 of a table's columns, whatever file they are kept in.

    Names with their types; then by column the values, 8 bytes each and little-endian, text with a line feed
    behind each value.
    """
    digest = hashlib.sha256()
    for name in table.columns:
        column = table[name]
        digest.update(f"{name} {column.dtype}\n".encode())
        if column.dtype == pl.String:
            digest.update("".join(f"{text}\n" for text in column).encode())
        else:
            kind = "<i8" if column.dtype == pl.Int64 else "<f8"
            digest.update(column.to_numpy().astype(kind).tobytes())
    return digest.hexdigest()


def _draw(folder: Path) -> pl.DataFrame:
    """Read a draw, one file a class, in order of name."""
    tables = [pl.read_csv(path, infer_schema_length=None) for path in sorted(folder.glob("*.csv"))]
    return pl.concat(tables, how="vertical_relaxed")
