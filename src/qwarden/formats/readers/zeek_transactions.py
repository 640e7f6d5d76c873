"""Lines of Zeek's dns.log, http.log and ssl.log, to transactions of the flows that conn.log tells."""

from __future__ import annotations

from qwarden.formats.alerts import SignatureAlert
from qwarden.formats.readers.rows import COMMENT, OTHER, NamedRow, Row
from qwarden.formats.readers.transactions import ZEEK_LOGS, zeek_transaction
from qwarden.formats.readers.zeek import read_object
from qwarden.formats.readers.zeek_records import ZeekRecordReader
from qwarden.formats.transactions import Transaction


class ZeekTransactionReader(ZeekRecordReader):
    """Reads lines of one of the logs; of JSON, `_path` says of which."""

    def read(self, line: bytes) -> Row | NamedRow | Transaction | SignatureAlert | str:
        """Return the transaction of a line, or what else the line is.

        Raises
        ------
        Malformed : it cannot be parsed.
        """
        found = self.record(line)
        if found is None:
            return COMMENT
        name, record = found
        if isinstance(record, dict) and "_path" in record:  # a combined stream: connections may follow
            return read_object(record)
        return (zeek_transaction(name, record) if name in ZEEK_LOGS else None) or OTHER
