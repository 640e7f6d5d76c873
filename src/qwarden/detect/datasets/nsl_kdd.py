"""NSL-KDD: 41 named columns and a label, checked as they are read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from qwarden.core.errors import InputError
from qwarden.detect.datasets.tables import as_numbers, read_content, refuse_first, split_fields

F64 = npt.NDArray[np.float64]

NSL_KDD_COLUMNS: Final = (
    "duration", "protocol_type", "service", "flag", "src_bytes", "dst_bytes", "land", "wrong_fragment",
    "urgent", "hot", "num_failed_logins", "logged_in", "num_compromised", "root_shell", "su_attempted",
    "num_root", "num_file_creations", "num_shells", "num_access_files", "num_outbound_cmds",
    "is_host_login", "is_guest_login", "count", "srv_count", "serror_rate", "srv_serror_rate",
    "rerror_rate", "srv_rerror_rate", "same_srv_rate", "diff_srv_rate", "srv_diff_host_rate",
    "dst_host_count", "dst_host_srv_count", "dst_host_same_srv_rate", "dst_host_diff_srv_rate",
    "dst_host_same_src_port_rate", "dst_host_srv_diff_host_rate", "dst_host_serror_rate",
    "dst_host_srv_serror_rate", "dst_host_rerror_rate", "dst_host_srv_rerror_rate",
)  # fmt: skip
"""The 41 features, in the order of the file; a label and a difficulty follow them there."""

NSL_KDD_LEVELS: Final = {
    "protocol_type": ("icmp", "tcp", "udp"),
    "service": (
        "IRC", "X11", "Z39_50", "aol", "auth", "bgp", "courier", "csnet_ns", "ctf", "daytime", "discard",
        "domain", "domain_u", "echo", "eco_i", "ecr_i", "efs", "exec", "finger", "ftp", "ftp_data",
        "gopher", "harvest", "hostnames", "http", "http_2784", "http_443", "http_8001", "imap4", "iso_tsap",
        "klogin", "kshell", "ldap", "link", "login", "mtp", "name", "netbios_dgm", "netbios_ns",
        "netbios_ssn", "netstat", "nnsp", "nntp", "ntp_u", "other", "pm_dump", "pop_2", "pop_3", "printer",
        "private", "red_i", "remote_job", "rje", "shell", "smtp", "sql_net", "ssh", "sunrpc", "supdup",
        "systat", "telnet", "tftp_u", "tim_i", "time", "urh_i", "urp_i", "uucp", "uucp_path", "vmnet",
        "whois",
    ),
    "flag": ("OTH", "REJ", "RSTO", "RSTOS0", "RSTR", "S0", "S1", "S2", "S3", "SF", "SH"),
}  # fmt: skip
"""The values of the three text columns, in the order of their codes."""

NORMAL: Final = "normal"


@dataclass(frozen=True, slots=True)
class NslKdd:
    """Rows of an NSL-KDD file.

    Attributes
    ----------
    table : the features by name: text for `NSL_KDD_LEVELS`, float64 for the others. The difficulty, which
        is made from other detectors' verdicts, is not among them.
    labels : (n,) ``normal`` or the name of an attack.
    sha256 : of the whole file, uncompressed.

    Source: Tavallaee et al 2009, "A detailed analysis of the KDD CUP 99 data set".
    """

    table: pl.DataFrame
    labels: npt.NDArray[np.str_]
    sha256: str

    @property
    def attacks(self) -> npt.NDArray[np.int64]:
        """1 for an attack, 0 for a normal connection, (n,)."""
        attacks: npt.NDArray[np.int64] = (self.labels != NORMAL).astype(np.int64)
        return attacks

    def rows(self) -> F64:
        """Return the features as (n, 41), text columns by their codes."""
        coded = [
            pl.col(name).replace_strict(list(levels), range(len(levels)), return_dtype=pl.Float64)
            for name, levels in NSL_KDD_LEVELS.items()
        ]
        return np.ascontiguousarray(self.table.with_columns(coded).to_numpy())


def read_nsl_kdd(path: Path, limit: int | None = None) -> NslKdd:
    """Read the first `limit` rows of an NSL-KDD file (text, or gzip of it), or all of them.

    Raises
    ------
    InputError
        The file cannot be read, is shorter than `limit`, or a line is no row of it: file, line and column
        are named.
    """
    content = read_content(path)
    try:
        lines = content.decode("ascii").splitlines()[:limit]
    except UnicodeDecodeError as error:
        raise InputError(path, "is not ASCII text", f"byte {error.start}") from error
    if limit is not None and len(lines) < limit:
        raise InputError(path, f"has {len(lines)} rows, expected at least {limit}")
    if not lines:
        raise InputError(path, "is empty, expected rows of 43 columns")
    table = split_fields(path, lines, (*NSL_KDD_COLUMNS, "label", "difficulty"))
    for name, levels in NSL_KDD_LEVELS.items():
        refuse_first(path, ~table[name].is_in(levels), f"{name}: expected a known value", table[name])
    numbers = [name for name in NSL_KDD_COLUMNS if name not in NSL_KDD_LEVELS]
    parsed = as_numbers(path, table, numbers)
    refuse_first(path, table["label"] == "", "label: expected a name", table["label"])
    return NslKdd(
        parsed.select(NSL_KDD_COLUMNS),
        table["label"].to_numpy().astype(np.str_),
        hashlib.sha256(content).hexdigest(),
    )
