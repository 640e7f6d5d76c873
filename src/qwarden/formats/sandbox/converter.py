"""A foreign program that turns a file into text, in a cage of its own: nfdump.

The reading process cannot run programs, so it starts the converter before it locks itself down, and then
reads what that says as if it were the file. The converter gets the file, a pipe to write to, and nothing
else: no network, no process, no file but its own libraries, nobody's rights or the file's owner's, limited
memory and time. Where system calls cannot be filtered it is not run.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from qwarden.formats.kinds import NFDUMP_MAGICS
from qwarden.formats.readers.nfdump import FORMAT
from qwarden.formats.sandbox import landlock, seccomp
from qwarden.formats.sandbox.lockdown import (
    NEW_USER,
    Held,
    address_space_used,
    leave_namespaces,
    no_capabilities,
    no_new_privileges,
    no_tracing,
    separated_as_root,
)

REFUSED: Final = b"!"
"""What the line begins with that says why a converter is not run."""

_NOBODY: Final = 65534
_MEMORY: Final = 1 << 29  # beyond what this process has: the limit also holds while it becomes the program
_SECONDS: Final = 3600
_TASKS: Final = 512  # threads count as processes of the user, and others may run as nobody
_ENVIRONMENT: Final = {"TZ": "UTC0", "LC_ALL": "C", "PATH": "/usr/bin:/bin"}

_LIBRARIES: Final = tuple(
    map(
        Path,
        (
            "/lib",
            "/lib32",
            "/lib64",
            "/usr/lib",
            "/usr/lib32",
            "/usr/lib64",
            "/usr/local/lib",
            "/etc/ld.so.cache",
        ),
    )
)


def program_for(capture: int) -> tuple[str, bool]:
    """Return the converter that the open file wants, empty if none, and whether it is installed.

    Its first bytes are compared, nothing is parsed. What is no regular file cannot be looked at twice, and is
    given to no converter.
    """
    if not stat.S_ISREG(os.fstat(capture).st_mode) or os.pread(capture, 4, 0) not in NFDUMP_MAGICS:
        return "", False
    program = shutil.which("nfdump")
    return program or "nfdump", program is not None


def start(program: str, capture: int) -> tuple[int, int]:
    """Run the converter on the open file; return descriptors of its output and of its complaints.

    It ends with the process that calls this. Complaints beyond what a pipe holds are lost, so that nobody
    need read them while it runs.
    """
    output, said = os.pipe(), os.pipe()
    os.set_blocking(said[0], False)
    os.set_blocking(said[1], False)
    if os.fork() == 0:
        try:
            high = [os.dup(fd) for fd in (capture, output[1], said[1])]
            for target, fd in enumerate(high):
                os.dup2(fd, target)
            os.closerange(len(high), 1 << 16)
            run(program, [program, "-r", "/dev/stdin", "-N", "-6", "-o", FORMAT])
        finally:
            os._exit(1)
    os.close(output[1])
    os.close(said[1])
    return output[0], said[0]


def run(program: str, arguments: Sequence[str], readable: Sequence[Path] = ()) -> None:
    """Give up everything and become the program, which reads descriptor 0 as ``/dev/stdin``.

    Parameters
    ----------
    readable : files and folders it needs beside itself and the system's libraries.
    """
    held = confine(Path(program), readable)
    if not held[-1].holds:
        os.write(1, REFUSED + f"{Path(program).name} is not run: {held[-1].detail}\n".encode())
        return
    os.execve(program, list(arguments), _ENVIRONMENT)  # noqa: S606


def confine(program: Path, readable: Sequence[Path] = ()) -> list[Held]:
    """Give up everything but what the program needs; return what holds, the system call filter last."""
    separated = separated_as_root()
    loaders = [path for folder in ("/lib", "/lib64") for path in Path(folder).glob("ld-*")]
    rights = landlock.READ_FILE | landlock.READ_DIR
    paths = [
        *((path, rights) for path in (*_LIBRARIES, *readable)),
        *((path, rights | landlock.EXECUTE) for path in (program, program.resolve(), *loaders)),
    ]
    steps: list[tuple[str, Callable[[], None]]] = [
        ("no new privileges", no_new_privileges),
        ("unprivileged user", _owner_or_nobody),
        ("own namespaces without network", lambda: None if separated else leave_namespaces(NEW_USER)),
        ("no capabilities", no_capabilities),
        ("ends with its parent", no_tracing),
        ("limits", _limits),
        ("no files", lambda: landlock.restrict([(0, landlock.READ_FILE)], paths)),
        ("system calls filtered", _filter),
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


def _owner_or_nobody() -> None:
    """Become nobody; where only its owner may open the file again, the owner: root, but without any right."""
    if os.geteuid() != 0:
        return
    file = os.fstat(0)
    open_to_all = file.st_mode & stat.S_IROTH
    user, group = (_NOBODY, _NOBODY) if open_to_all else (file.st_uid, file.st_gid)
    os.setgroups([])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)


def _limits() -> None:
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, _TASKS),
        (resource.RLIMIT_NOFILE, 16),
        (resource.RLIMIT_AS, address_space_used() + _MEMORY),
        (resource.RLIMIT_CPU, _SECONDS),
    ):
        with contextlib.suppress(ValueError):  # a lower one is set already
            resource.setrlimit(limit, (value, value))


def _filter() -> None:
    problem = seccomp.install(converter=True)
    if problem:
        raise OSError(1, problem)
