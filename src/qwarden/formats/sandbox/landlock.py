"""Landlock: which files a process, and what it runs, may still open (landlock(7); Linux 5.13 and later)."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from qwarden.formats.sandbox.lockdown import failure, libc_calls

EXECUTE: Final = 1
READ_FILE: Final = 4
READ_DIR: Final = 8

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH = 1, 1
_FILES: Final = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF}
"""Rights over files that each version of the interface handles; later ones add control of devices."""
_LATER_FILES: Final = 0xFFFF
_NETWORK: Final = 0x3  # binding and connecting, from version 4 on
_SCOPED: Final = 0x3  # abstract sockets and signals, from version 6 on


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """Return the version of the interface, 0 where there is none."""
    libc = libc_calls()
    if not hasattr(libc, "syscall"):
        return 0
    return max(int(libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))), 0)


def restrict(descriptors: Iterable[tuple[int, int]], paths: Iterable[tuple[Path, int]]) -> None:
    """Allow what is named, and nothing else; paths that do not exist are passed over.

    Parameters
    ----------
    descriptors : open files, each with its rights.
    paths : files and folders, each with the rights on it and on what is below it.

    Raises
    ------
    OSError : the kernel has no Landlock, or refuses.

    `PR_SET_NO_NEW_PRIVS` must be set.
    """
    libc = libc_calls()
    known = version()
    if not known:
        raise OSError(0, "the kernel has no Landlock")
    handled = _Ruleset(
        _FILES.get(known, _LATER_FILES), _NETWORK if known >= 4 else 0, _SCOPED if known >= 6 else 0
    )
    size = 24 if known >= 6 else 16 if known >= 4 else 8
    ruleset = libc.syscall(_CREATE_RULESET, ctypes.byref(handled), ctypes.c_size_t(size), ctypes.c_uint32(0))
    if ruleset < 0:
        raise failure()
    try:
        for descriptor, rights in descriptors:
            _allow(ruleset, descriptor, rights)
        for path, rights in paths:
            with contextlib.suppress(FileNotFoundError, PermissionError):
                descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
                try:
                    _allow(ruleset, descriptor, rights if path.is_dir() else rights & ~READ_DIR)
                finally:
                    os.close(descriptor)
        if libc.syscall(_RESTRICT_SELF, ruleset, ctypes.c_uint32(0)) != 0:
            raise failure()
    finally:
        os.close(ruleset)


def _allow(ruleset: int, descriptor: int, rights: int) -> None:
    rule = _PathBeneath(rights, descriptor)
    libc = libc_calls()
    if libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), ctypes.c_uint32(0)) != 0:
        raise failure()
