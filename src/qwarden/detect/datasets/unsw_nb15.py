"""UNSW-NB15: 42 named columns, an attack family and a label, checked as they are read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from qwarden.detect.datasets.tables import (
    as_numbers,
    first_of_each,
    read_content,
    read_csv,
    refuse_disagreement,
    refuse_first,
)

F64 = npt.NDArray[np.float64]

UNSW_COLUMNS: Final = (
    "dur", "proto", "service", "state", "spkts", "dpkts", "sbytes", "dbytes", "rate", "sttl", "dttl",
    "sload", "dload", "sloss", "dloss", "sinpkt", "dinpkt", "sjit", "djit", "swin", "stcpb", "dtcpb",
    "dwin", "tcprtt", "synack", "ackdat", "smean", "dmean", "trans_depth", "response_body_len",
    "ct_srv_src", "ct_state_ttl", "ct_dst_ltm", "ct_src_dport_ltm", "ct_dst_sport_ltm", "ct_dst_src_ltm",
    "is_ftp_login", "ct_ftp_cmd", "ct_flw_http_mthd", "ct_src_ltm", "ct_srv_dst", "is_sm_ips_ports",
)  # fmt: skip
"""The 42 features, in the order of the file; an id stands before them, a family and a label behind."""

UNSW_TEXT: Final = ("proto", "service", "state")
"""The text columns: protocol, service and state, as Argus and Bro name them."""

UNSW_FAMILIES: Final = (
    "Normal", "Analysis", "Backdoor", "DoS", "Exploits", "Fuzzers", "Generic", "Reconnaissance", "Shellcode",
    "Worms",
)  # fmt: skip
"""What a row can be: normal traffic, or one of nine families of attacks."""

NORMAL: Final = UNSW_FAMILIES[0]


@dataclass(frozen=True, slots=True)
class UnswNb15:
    """Rows of a partition of UNSW-NB15.

    Attributes
    ----------
    table : the features by name: text for `UNSW_TEXT`, float64 for the others. The id, which is the row's
        place in the file, is not among them.
    families : (n,) one of `UNSW_FAMILIES`.
    sha256 : of the whole file, uncompressed.

    Source: Moustafa & Slay 2015, "UNSW-NB15: a comprehensive data set for network intrusion detection
    systems".
    """

    table: pl.DataFrame
    families: npt.NDArray[np.str_]
    sha256: str

    @property
    def attacks(self) -> npt.NDArray[np.int64]:
        """1 for an attack, 0 for normal traffic, (n,)."""
        attacks: npt.NDArray[np.int64] = (self.families != NORMAL).astype(np.int64)
        return attacks

    def distinct(self) -> UnswNb15:
        """Return the first of every group of rows that agree in all features, in the order of the file.

        A third of the 82,332 rows repeat another one, and a random split would put copies on both sides.
        Where the families of such rows contradict each other, the first one counts.
        """
        first = first_of_each(self.table)
        return UnswNb15(self.table.filter(pl.Series(first)), self.families[first], self.sha256)

    def rows(self) -> F64:
        """Return the features as (n, 42), text by the rank of its value among those of these rows."""
        coded = [pl.col(name).rank("dense").cast(pl.Float64) - 1.0 for name in UNSW_TEXT]
        return np.ascontiguousarray(self.table.with_columns(coded).to_numpy())


def read_unsw_nb15(path: Path) -> UnswNb15:
    """Read a partition of UNSW-NB15 (CSV with a header, perhaps after a byte order mark, or gzip of it).

    Raises
    ------
    InputError
        The file cannot be read, its header is another one, or a line is no row of it: file, line and column
        are named.
    """
    content = read_content(path)
    table = read_csv(path, content, ("id", *UNSW_COLUMNS, "attack_cat", "label"))
    for name in UNSW_TEXT:
        named = table[name].str.contains(r"^[!-~]+$")
        refuse_first(path, ~named, f"{name}: expected a name", table[name], first_line=2)
    families = table["attack_cat"]
    known = families.is_in(UNSW_FAMILIES)
    refuse_first(path, ~known, "attack_cat: expected a known family", families, first_line=2)
    refuse_disagreement(path, families, NORMAL, table["label"])
    parsed = as_numbers(path, table, [name for name in UNSW_COLUMNS if name not in UNSW_TEXT], first_line=2)
    return UnswNb15(
        parsed.select(UNSW_COLUMNS), families.to_numpy().astype(np.str_), hashlib.sha256(content).hexdigest()
    )
