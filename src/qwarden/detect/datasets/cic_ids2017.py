"""CIC-IDS2017, corrected: CICFlowMeter's statistics and a label, checked as they are read.

CICFlowMeter divides by durations of zero and lets counters overflow. Such values are nan here, the sign of
the unknown in this house, and `CicIds2017.not_finite` and `negative` count them by column.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from qwarden.core.errors import InputError
from qwarden.detect.datasets.cic_sample import content_sha256
from qwarden.detect.datasets.tables import read_content, read_csv, refuse_first

F64 = npt.NDArray[np.float64]

CIC_COLUMNS: Final = (
    "Protocol", "Flow Duration", "Total Fwd Packet", "Total Bwd packets", "Total Length of Fwd Packet",
    "Total Length of Bwd Packet", "Fwd Packet Length Max", "Fwd Packet Length Min", "Fwd Packet Length Mean",
    "Fwd Packet Length Std", "Bwd Packet Length Max", "Bwd Packet Length Min", "Bwd Packet Length Mean",
    "Bwd Packet Length Std", "Flow Bytes/s", "Flow Packets/s", "Flow IAT Mean", "Flow IAT Std",
    "Flow IAT Max", "Flow IAT Min", "Fwd IAT Total", "Fwd IAT Mean", "Fwd IAT Std", "Fwd IAT Max",
    "Fwd IAT Min", "Bwd IAT Total", "Bwd IAT Mean", "Bwd IAT Std", "Bwd IAT Max", "Bwd IAT Min",
    "Fwd PSH Flags", "Bwd PSH Flags", "Fwd URG Flags", "Bwd URG Flags", "Fwd RST Flags", "Bwd RST Flags",
    "Fwd Header Length", "Bwd Header Length", "Fwd Packets/s", "Bwd Packets/s", "Packet Length Min",
    "Packet Length Max", "Packet Length Mean", "Packet Length Std", "Packet Length Variance",
    "FIN Flag Count", "SYN Flag Count", "RST Flag Count", "PSH Flag Count", "ACK Flag Count",
    "URG Flag Count", "CWR Flag Count", "ECE Flag Count", "Down/Up Ratio", "Average Packet Size",
    "Fwd Segment Size Avg", "Bwd Segment Size Avg", "Fwd Bytes/Bulk Avg", "Fwd Packet/Bulk Avg",
    "Fwd Bulk Rate Avg", "Bwd Bytes/Bulk Avg", "Bwd Packet/Bulk Avg", "Bwd Bulk Rate Avg",
    "Subflow Fwd Packets", "Subflow Fwd Bytes", "Subflow Bwd Packets", "Subflow Bwd Bytes",
    "FWD Init Win Bytes", "Bwd Init Win Bytes", "Fwd Act Data Pkts", "Fwd Seg Size Min", "Active Mean",
    "Active Std", "Active Max", "Active Min", "Idle Mean", "Idle Std", "Idle Max", "Idle Min", "ICMP Code",
    "ICMP Type", "Total TCP Flow Time",
)  # fmt: skip
"""The 82 features that are kept, in the order of the file."""

CIC_LEAKS: Final = (
    "id", "Flow ID", "Src IP", "Src Port", "Dst IP", "Dst Port", "Timestamp", "Attempted Category",
)  # fmt: skip
"""Columns that are dropped: who, when and in which row tells the label without looking at the flow."""

CIC_ABSENT: Final = ("ICMP Code", "ICMP Type")
"""Columns where -1 stands for what a flow has not."""

_FILE: Final = (*CIC_LEAKS[:6], "Protocol", "Timestamp", *CIC_COLUMNS[1:], "Label", "Attempted Category")

BENIGN: Final = "BENIGN"
ATTEMPTED: Final = " - Attempted"


@dataclass(frozen=True, slots=True)
class CicIds2017:
    """Flows of CIC-IDS2017 with corrected labels.

    Attributes
    ----------
    table : the features by name, float64; nan where CICFlowMeter's value means nothing.
    labels : (n,) ``BENIGN``, the name of an attack, or that and ``- Attempted``.
    days : (n,) the date on which the flow began, ``2017-07-03`` (a Monday) to ``2017-07-07``.
    not_finite : values that were infinite, not a number or absent, by column.
    negative : values below zero, by column: counters that overflowed, clocks that went back.
    sha256 : of the whole file, uncompressed; of a Parquet file, of its rows (`content_sha256`).

    Source: Sharafaldin, Lashkari & Ghorbani 2018, "Toward generating a new intrusion detection dataset";
    Liu, Engelen, Lynar, Essam & Joosen 2022, "Error prevalence in NIDS datasets".
    """

    table: pl.DataFrame
    labels: npt.NDArray[np.str_]
    days: npt.NDArray[np.str_]
    not_finite: dict[str, int]
    negative: dict[str, int]
    sha256: str

    @property
    def attacks(self) -> npt.NDArray[np.int64]:
        """1 for an attack, 0 for benign flows and for attempts that never sent anything harmful, (n,)."""
        benign = (self.labels == BENIGN) | np.strings.endswith(self.labels, ATTEMPTED)
        attacks: npt.NDArray[np.int64] = (~benign).astype(np.int64)
        return attacks

    def rows(self) -> F64:
        """Return the features as (n, 82), nan for unknown ones."""
        return np.ascontiguousarray(self.table.to_numpy())


def read_cic_ids2017(path: Path) -> CicIds2017:
    """Read corrected flows of CIC-IDS2017: a day's CSV, gzip of it, or a Parquet file of the same columns.

    Raises
    ------
    InputError
        The file cannot be read, lacks a column, or has a row that cannot be: file, line and column are named.
        The lines of a Parquet file are counted as if it were the CSV.
    """
    content = read_content(path)
    if content[:4] == b"PAR1":
        whole = _parquet(path, content)
        # Parquet's own bytes depend on who writes them; what the figures stand on is the rows.
        table, sha256 = whole.select(_FILE), content_sha256(whole)
    else:
        table, sha256 = read_csv(path, content, _FILE), hashlib.sha256(content).hexdigest()
    day = table["Timestamp"].str.extract(r"^(\d{4}-\d\d-\d\d) \d\d:\d\d:\d\d(?:\.\d+)?$")
    refuse_first(
        path, day.is_null(), "Timestamp: expected YYYY-MM-DD hh:mm:ss", table["Timestamp"], first_line=2
    )
    labels = table["Label"]
    refuse_first(path, (labels == "").fill_null(value=True), "Label: expected a name", labels, first_line=2)
    parsed, not_finite, negative = _known_numbers(path, table)
    return CicIds2017(
        parsed,
        labels.to_numpy().astype(np.str_),
        day.to_numpy().astype(np.str_),
        not_finite,
        negative,
        sha256,
    )


def _parquet(path: Path, content: bytes) -> pl.DataFrame:
    """Return a Parquet file's table: it has the columns of the CSV, and may have more."""
    try:
        table = pl.read_parquet(io.BytesIO(content))
    except pl.exceptions.PolarsError as error:
        raise InputError(path, f"cannot be read: {error}") from error
    for name in _FILE:
        if name not in table.columns:
            raise InputError(path, f"expected a column {name!r}, found none")
    texts = [name for name in ("Timestamp", "Label") if table.schema[name] != pl.String]
    if texts:
        raise InputError(path, f"{texts[0]}: expected text, found {table.schema[texts[0]]}")
    return table


def _known_numbers(path: Path, table: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int], dict[str, int]]:
    """Return the features as float64 with nan for unknown values, and how many of these there were."""
    found: dict[str, pl.Series] = {}
    not_finite: dict[str, int] = {}
    negative: dict[str, int] = {}
    for name in CIC_COLUMNS:
        values = table[name].cast(pl.Float64, strict=False)
        absent = table[name].is_null() | (table[name].cast(pl.String) == "").fill_null(value=True)
        refuse_first(
            path, values.is_null() & ~absent, f"{name}: expected a number", table[name], first_line=2
        )
        endless = ~values.is_finite().fill_null(value=False)
        below = (values < (-1 if name in CIC_ABSENT else 0)).fill_null(value=False) & ~endless
        for counts, wrong in ((not_finite, endless), (negative, below)):
            if wrong.any():
                counts[name] = int(wrong.sum())
        found[name] = values.fill_null(np.nan).set(endless | below, np.nan)
    return pl.DataFrame(found), not_finite, negative
