"""Findings in files: lines that are whole or not there, and bundles that replace one another at once."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat
from pathlib import Path
from typing import Any, Final

from qwarden.core.errors import InputError, UsageError
from qwarden.core.files import atomic_write
from qwarden.formats.deliveries.machine import machine_name
from qwarden.formats.delivery import TAKEN, Delivery, Outcome, Target
from qwarden.formats.writers.notice import Notice, encode
from qwarden.formats.writers.stix import stix_bundle, stix_objects

_MODE: Final = 0o640
"""Findings name hosts: not for everyone on the machine."""


def open_file(target: Target, *, at_end: bool) -> Delivery:
    """Open a file target: lines, a folder of bundles, or one bundle at the end."""
    if target.form != "stix":
        return LineFile(target)
    if target.place.endswith("/"):
        return BundleFolder(target)
    if at_end:
        return BundleFile(target)
    raise UsageError(f"output {target.label}: what reads without an end writes a bundle a finding: stix:DIR/")


class LineFile:
    """Appends one line a notice.

    A line that does not fit on the disk is taken back, so that the file ends with a whole one. Another
    process may append to the same file; one that rotates it is noticed, and a new file begun.

    Parameters
    ----------
    target : path and format.

    Raises
    ------
    InputError
        The file cannot be opened.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._handle = -1
        try:
            self._open()
        except OSError as error:
            raise _cannot(target.path, error) from error

    def send(self, notice: Notice) -> Outcome:
        """Append a line and flush it to the disk."""
        line = encode(self._target.form, notice, machine_name()).encode(errors="replace") + b"\n"
        try:
            self._follow_rotation()
            self._append(line)
        except OSError as error:
            return Outcome("later", f"cannot be written: {_text(error)}")
        return TAKEN

    def close(self) -> None:
        """Close the file."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _open(self) -> None:
        path = self._target.path
        self._handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
        size = os.fstat(self._handle).st_size
        if self._is_regular and size and os.pread(self._handle, 1, size - 1) != b"\n":
            # Someone else was stopped within a line; ours shall not continue it.
            os.write(self._handle, b"\n")

    @property
    def _is_regular(self) -> bool:
        return stat.S_ISREG(os.fstat(self._handle).st_mode)

    def _follow_rotation(self) -> None:
        if self._handle >= 0 and self._is_regular:
            here = os.fstat(self._handle)
            try:
                there = self._target.path.stat()
            except FileNotFoundError:
                there = None
            if there is None or (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino):
                self.close()
        if self._handle < 0:
            self._open()

    def _append(self, line: bytes) -> None:
        if not self._is_regular:
            _write_all(self._handle, line)
            return
        fcntl.flock(self._handle, fcntl.LOCK_EX)
        try:
            before = os.fstat(self._handle).st_size
            try:
                _write_all(self._handle, line)
                os.fdatasync(self._handle)
            except OSError:
                os.ftruncate(self._handle, before)
                raise
        finally:
            fcntl.flock(self._handle, fcntl.LOCK_UN)


class BundleFile:
    """Writes one STIX bundle of all that was sent, when it is closed.

    Parameters
    ----------
    target : the path; an existing file is replaced when the new one is complete.

    Raises
    ------
    InputError
        The file could not be written there.
    """

    def __init__(self, target: Target) -> None:
        self._path = target.path
        self._objects: list[dict[str, Any]] = []
        folder = self._path.parent
        if self._path.is_dir():
            raise InputError(self._path, "is a folder; write stix:FOLDER/ for one bundle a finding")
        if not os.access(folder, os.W_OK | os.X_OK):
            problem = "no such file or directory" if not folder.exists() else "permission denied"
            raise InputError(self._path, f"cannot be written: {problem}")

    def send(self, notice: Notice) -> Outcome:
        """Add a notice's objects to the bundle."""
        self._objects += stix_objects(notice.finding, notice.state)
        return TAKEN

    def close(self) -> None:
        """Write the bundle, all of it or nothing."""
        text = json.dumps(stix_bundle(self._objects), ensure_ascii=False, allow_nan=False, indent=1)
        try:
            atomic_write(self._path, text.encode(errors="replace") + b"\n", _MODE)
        except OSError as error:
            raise _cannot(self._path, error) from error


class BundleFolder:
    """Writes one STIX bundle a finding into a folder, replacing it when the finding has ended.

    Parameters
    ----------
    target : the folder; it is made if it is not there.
    """

    def __init__(self, target: Target) -> None:
        self._folder = target.path
        try:
            self._folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot(self._folder, error) from error

    def send(self, notice: Notice) -> Outcome:
        """Write the bundle of a finding."""
        path = self._folder / f"finding-{notice.finding['id']}.json"
        try:
            atomic_write(path, encode("stix", notice, None).encode(errors="replace") + b"\n", _MODE)
        except OSError as error:
            return Outcome("later", f"cannot be written: {_text(error)}")
        return TAKEN

    def close(self) -> None:
        """Nothing is held open."""


def _write_all(handle: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]


def _cannot(path: Path, error: OSError) -> InputError:
    return InputError(path, f"cannot be written: {_text(error)}")


def _text(error: OSError) -> str:
    with contextlib.suppress(TypeError):
        return os.strerror(error.errno or errno.EIO).lower()
    return str(error)
