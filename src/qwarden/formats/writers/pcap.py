"""Captures in the classic libpcap format: little-endian, microseconds, Ethernet.

Source: draft-ietf-opsawg-pcap (PCAP Capture File Format), sections 4 and 5.

`PcapWriter` takes whole frames, or blocks in which a caller that builds packets by the thousand has
laid records out already (`record_headers` gives their 16-byte headers). The file appears under its
name only when it is complete.
"""

from __future__ import annotations

import os
import struct
import tempfile
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import InputError

LINKTYPE_ETHERNET: Final = 1
RECORD_HEADER: Final = 16
SNAP_LENGTH: Final = 262_144


def file_header(linktype: int = LINKTYPE_ETHERNET, snap_length: int = SNAP_LENGTH) -> bytes:
    """Return the 24 bytes a capture starts with (section 4).

    >>> file_header()[:4].hex()
    'd4c3b2a1'
    """
    return struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, snap_length, linktype)


def record_headers(times_us: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Return the headers of packet records (section 5).

    Parameters
    ----------
    times_us : array (n,), microseconds since the epoch.
    lengths : array (n,), bytes of each frame; nothing is cut.

    Returns
    -------
    array (n, 16) of bytes.

    >>> record_headers(np.array([1_500_000]), np.array([60]))[0].tolist()
    [1, 0, 0, 0, 32, 161, 7, 0, 60, 0, 0, 0, 60, 0, 0, 0]
    """
    fields = np.empty((len(times_us), 4), "<u4")
    fields[:, 0], fields[:, 1] = times_us // 1_000_000, times_us % 1_000_000
    fields[:, 2] = fields[:, 3] = lengths
    return fields.view(np.uint8)


class PcapWriter:
    """Writes one capture; use it in a ``with``.

    Parameters
    ----------
    path : the capture to write; an existing one is replaced when the new one is complete.
    linktype : LINKTYPE_ value of the frames.

    Raises
    ------
    InputError
        The file cannot be written; names the file and the reason.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with PcapWriter(Path(folder) / "one.pcap") as capture:
    ...         capture.write(1_500_000, bytes(60))
    ...     (Path(folder) / "one.pcap").stat().st_size
    100
    """

    def __init__(self, path: str | Path, linktype: int = LINKTYPE_ETHERNET) -> None:
        self.path = Path(path)
        self.bytes_written = 0
        self._linktype = linktype
        self._stream: BinaryIO | None = None
        self._part = Path()

    def __enter__(self) -> PcapWriter:
        if self.path.is_dir():
            raise InputError(self.path, "cannot be written: it is a directory, a file was expected")
        try:
            handle, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
            self._part = Path(name)
            self._stream = os.fdopen(handle, "wb")
        except OSError as error:
            raise InputError(self.path, f"cannot be written: {error.strerror}") from error
        self.write_block(file_header(self._linktype))
        return self

    def write(self, time_us: int, frame: bytes) -> None:
        """Write one frame captured at `time_us` microseconds since the epoch."""
        size = len(frame)
        self.write_block(struct.pack("<IIII", time_us // 1_000_000, time_us % 1_000_000, size, size) + frame)

    def write_block(self, records: bytes | memoryview) -> None:
        """Write records that already have their headers."""
        if self._stream is None:
            raise InputError(self.path, "is not open for writing")
        try:
            self._stream.write(records)
        except OSError as error:
            raise InputError(self.path, f"cannot be written: {error.strerror}") from error
        self.bytes_written += len(records)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stream, self._stream = self._stream, None
        try:
            if stream is not None:
                stream.close()
            if kind is None:
                self._part.chmod(0o644)
                self._part.replace(self.path)
        except OSError as failed:
            raise InputError(self.path, f"cannot be written: {failed.strerror}") from failed
        finally:
            self._part.unlink(missing_ok=True)
