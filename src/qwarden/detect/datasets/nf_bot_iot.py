"""NF-BoT-IoT-v2: NetFlow v9 features of a botnet's traffic, named and checked as they are read."""

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

NF_IDENTITY: Final = ("IPV4_SRC_ADDR", "L4_SRC_PORT", "IPV4_DST_ADDR", "L4_DST_PORT", "DNS_QUERY_ID")
"""Columns that say who talked and not how: in one laboratory they are the label."""

NF_COLUMNS: Final = (
    "PROTOCOL", "L7_PROTO", "IN_BYTES", "IN_PKTS", "OUT_BYTES", "OUT_PKTS", "TCP_FLAGS", "CLIENT_TCP_FLAGS",
    "SERVER_TCP_FLAGS", "FLOW_DURATION_MILLISECONDS", "DURATION_IN", "DURATION_OUT", "MIN_TTL", "MAX_TTL",
    "LONGEST_FLOW_PKT", "SHORTEST_FLOW_PKT", "MIN_IP_PKT_LEN", "MAX_IP_PKT_LEN", "SRC_TO_DST_SECOND_BYTES",
    "DST_TO_SRC_SECOND_BYTES", "RETRANSMITTED_IN_BYTES", "RETRANSMITTED_IN_PKTS", "RETRANSMITTED_OUT_BYTES",
    "RETRANSMITTED_OUT_PKTS", "SRC_TO_DST_AVG_THROUGHPUT", "DST_TO_SRC_AVG_THROUGHPUT",
    "NUM_PKTS_UP_TO_128_BYTES", "NUM_PKTS_128_TO_256_BYTES", "NUM_PKTS_256_TO_512_BYTES",
    "NUM_PKTS_512_TO_1024_BYTES", "NUM_PKTS_1024_TO_1514_BYTES", "TCP_WIN_MAX_IN", "TCP_WIN_MAX_OUT",
    "ICMP_TYPE", "ICMP_IPV4_TYPE", "DNS_QUERY_TYPE", "DNS_TTL_ANSWER", "FTP_COMMAND_RET_CODE",
)  # fmt: skip
"""The 38 features that are kept, in the order of the file."""

_FILE: Final = (
    *NF_IDENTITY[:4], *NF_COLUMNS[:35], "DNS_QUERY_ID", *NF_COLUMNS[35:], "Label", "Attack", "Dataset",
)  # fmt: skip

NF_CODES: Final = ("PROTOCOL", "L7_PROTO", "TCP_FLAGS", "CLIENT_TCP_FLAGS", "SERVER_TCP_FLAGS")
"""Features whose numbers are names: IANA's protocol, nDPI's application, sets of TCP flags."""

BENIGN: Final = "Benign"


@dataclass(frozen=True, slots=True)
class NfBotIot:
    """Rows of NF-BoT-IoT-v2.

    Attributes
    ----------
    table : the features by name, float64.
    labels : (n,) ``Benign`` or the name of an attack.
    sha256 : of the whole file, uncompressed.

    Source: Sarhan, Layeghy & Portmann 2022, "Towards a standard feature set for network intrusion detection
    system datasets".
    """

    table: pl.DataFrame
    labels: npt.NDArray[np.str_]
    sha256: str

    @property
    def attacks(self) -> npt.NDArray[np.int64]:
        """1 for an attack, 0 for a benign flow, (n,)."""
        attacks: npt.NDArray[np.int64] = (self.labels != BENIGN).astype(np.int64)
        return attacks

    def distinct(self) -> NfBotIot:
        """Return the first of every group of rows that agree in all features, in the order of the file.

        Without addresses and ports, nine rows in ten repeat another one: a flood is one flow, many times.
        Where the labels of such rows contradict each other, the first one counts.
        """
        first = first_of_each(self.table)
        return NfBotIot(self.table.filter(pl.Series(first)), self.labels[first], self.sha256)

    def rows(self) -> F64:
        """Return the features as (n, 38)."""
        return np.ascontiguousarray(self.table.to_numpy())


def read_nf_bot_iot(path: Path) -> NfBotIot:
    """Read NF-BoT-IoT-v2 or a sample of it (CSV with a header, or gzip of it).

    Raises
    ------
    InputError
        The file cannot be read, its header is another one, or a line is no row of it: file, line and column
        are named.
    """
    content = read_content(path)
    table = read_csv(path, content, _FILE)
    labels = table["Attack"]
    refuse_first(path, ~labels.str.contains(r"^[!-~]+$"), "Attack: expected a name", labels, first_line=2)
    refuse_disagreement(path, labels, BENIGN, table["Label"])
    parsed = as_numbers(path, table, NF_COLUMNS, first_line=2)
    return NfBotIot(
        parsed.select(NF_COLUMNS), labels.to_numpy().astype(np.str_), hashlib.sha256(content).hexdigest()
    )
