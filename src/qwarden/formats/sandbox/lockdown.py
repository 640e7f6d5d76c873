"""What the reading process gives up before it sees the first byte of a capture.

Always: new privileges (Linux), capabilities, other descriptors, files, core dumps, processes and
memory beyond limits. Where the system allows: root, its own namespaces (no network interfaces, no
mounts of ours), and all system calls but a few.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import signal
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from qwarden.formats.sandbox import seccomp

_PDEATHSIG, _SET_DUMPABLE, _NO_NEW_PRIVS = 1, 4, 38
_NEWNS, _NEWUTS, _NEWIPC, NEW_USER, _NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x40000000
_CAPABILITY_VERSION_3 = 0x20080522
_NOBODY = 65534

DESCRIPTORS: Final = 3
"""Descriptors the process ends up with: the capture, the pipe, and a null device."""


@dataclass(frozen=True, slots=True)
class Held:
    """One measure of the cage: whether it holds, and if not, why."""

    measure: str
    holds: bool
    detail: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def libc_calls() -> Any:
    """Return the C library."""
    return ctypes.CDLL(None, use_errno=True)


def failure() -> OSError:
    """Return the error of the last call of the C library."""
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code))


def _prctl(option: int, value: int) -> None:
    libc = libc_calls()
    if not hasattr(libc, "prctl"):
        raise OSError(errno.ENOSYS, "not a Linux system")
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise failure()


def no_new_privileges() -> None:
    """Have no program that is run gain rights."""
    _prctl(_NO_NEW_PRIVS, 1)


def leave_namespaces(flags: int) -> None:
    """Leave the system's network, mounts, IPC and host name for empty ones."""
    libc = libc_calls()
    if not hasattr(libc, "unshare"):
        raise OSError(errno.ENOSYS, "not a Linux system")
    if libc.unshare(_NEWNS | _NEWUTS | _NEWIPC | _NEWNET | flags) != 0:
        raise failure()


def separated_as_root() -> bool:
    """Whether root's own right made the namespaces; it must be used before root is given up."""
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):
            leave_namespaces(0)
            return True
    return False


def unprivileged_user() -> None:
    """Become nobody, if this is root."""
    if os.geteuid() != 0:
        return
    os.setgroups([])
    os.setresgid(_NOBODY, _NOBODY, _NOBODY)
    os.setresuid(_NOBODY, _NOBODY, _NOBODY)


def no_capabilities() -> None:
    """Drop every capability."""
    libc = libc_calls()
    if not hasattr(libc, "capset"):
        raise OSError(errno.ENOSYS, "not a Linux system")
    header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
    if libc.capset(ctypes.byref(header), (ctypes.c_uint32 * 6)()) != 0:
        raise failure()


def no_tracing() -> None:
    """Die with the parent; let nobody attach, not even processes of the same user."""
    _prctl(_PDEATHSIG, signal.SIGKILL)
    _prctl(_SET_DUMPABLE, 0)


def address_space_used() -> int:
    """Return the bytes of address space this process has."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _limits(room: int) -> None:
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, DESCRIPTORS),
    ):
        resource.setrlimit(limit, (value, value))
    resource.setrlimit(resource.RLIMIT_AS, (room, room))


def _system_calls(also: Sequence[str]) -> None:
    problem = seccomp.install(also=also) if also else seccomp.install()
    if problem:
        raise OSError(errno.EPERM, problem)


def lock_down(memory: int, also: Sequence[str] = ()) -> list[Held]:
    """Give up everything; return what holds.

    Parameters
    ----------
    memory : address space the process may still take, in bytes.
    also : system calls it keeps beyond those of a reading process, see `seccomp.program`.

    The order matters: namespaces need the privileges that come off next, and the filter forbids the
    calls that all the others make.
    """
    try:
        room = address_space_used() + memory
    except OSError:
        room = 4 * memory  # no /proc: bounded all the same
    separated = separated_as_root()
    steps: list[tuple[str, Callable[[], None]]] = [
        ("no new privileges", no_new_privileges),
        ("unprivileged user", unprivileged_user),
        ("own namespaces without network", lambda: None if separated else leave_namespaces(NEW_USER)),
        ("no capabilities", no_capabilities),
        ("no tracing, ends with its parent", no_tracing),
        ("no files, processes or memory beyond limits", lambda: _limits(room)),
        ("system calls filtered", lambda: _system_calls(also)),
    ]
    held = []
    for measure, step in steps:
        try:
            step()
        except (OSError, ValueError) as error:
            held.append(Held(measure, False, str(error)))
        else:
            held.append(Held(measure, True))
    return held


def attempt_escapes() -> list[Held]:
    """Try what the cage must forbid; `holds` says it was refused. For `qwarden doctor` and the tests."""
    import socket

    def spawn() -> None:
        if os.fork() == 0:
            os._exit(0)

    attempts: list[tuple[str, Callable[[], object]]] = [
        ("opening a file", lambda: os.open("/", os.O_RDONLY)),
        ("creating a file", lambda: os.open("/tmp/qwarden-escape", os.O_WRONLY | os.O_CREAT, 0o600)),  # noqa: S108
        ("opening a network socket", socket.socket),
        ("starting a process", spawn),
    ]
    held = []
    for name, attempt in attempts:
        try:
            attempt()
        except OSError as error:
            held.append(Held(f"{name} is refused", True, str(error)))
        else:
            held.append(Held(f"{name} is refused", False, "it succeeded"))
    try:
        # A program that is not there: were running one allowed, this would still return.
        os.execv("/nonexistent/program", ["program"])  # noqa: S606
    except OSError as error:
        held.append(Held("running a program is refused", error.errno == errno.EPERM, str(error)))
    return held
