"""Seccomp filters: the system calls the reading process keeps, and those of a converter (`converter`).

Each is an allow list, written as classic BPF (seccomp(2), linux/filter.h). What is not on it fails with
EPERM rather than killing, so that a harmless oddity of some libc stays harmless. In the reading process
memory can be mapped, never as executable. A converter is a program of its own: it may load its libraries,
open files (which Landlock narrows down), start threads, and run once; it gets no socket and no process.
"""

from __future__ import annotations

import ctypes
import errno
import platform
from collections.abc import Sequence
from typing import Final

_COMMON: Final = (  # noqa: SIM905
    "read write readv writev close lseek ppoll mmap mprotect munmap mremap madvise brk futex "
    "rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack sched_yield getpid clock_gettime "
    "clock_nanosleep nanosleep gettimeofday getrusage getrandom restart_syscall exit exit_group rseq"
).split()

_NUMBERS: Final = {
    "x86_64": dict(
        zip(
            [*_COMMON, "poll"],
            [
                *(0, 1, 19, 20, 3, 8, 271, 9, 10, 11, 25, 28, 12, 202, 13, 14, 15, 131, 24, 39),
                *(228, 230, 35, 96, 98, 318, 219, 60, 231, 334, 7),
            ],
            strict=True,
        )
    ),
    "aarch64": dict(
        zip(
            _COMMON,
            [
                *(63, 64, 65, 66, 57, 62, 73, 222, 226, 215, 216, 233, 214, 98, 134, 135, 139, 132),
                *(124, 172, 113, 115, 101, 169, 165, 278, 128, 93, 94, 293),
            ],
            strict=True,
        )
    ),
}
_CONVERTER_COMMON: Final = (  # noqa: SIM905
    "fstat pread64 execve uname fcntl getcwd gettid set_tid_address set_robust_list prlimit64 openat "
    "newfstatat faccessat faccessat2 statx sched_getaffinity clock_getres sysinfo membarrier"
).split()
_CONVERTER_NUMBERS: Final = {
    "x86_64": dict(
        zip(
            [*_CONVERTER_COMMON, "open", "stat", "lstat", "access", "arch_prctl", "getrlimit"],
            [
                *(5, 17, 59, 63, 72, 79, 186, 218, 273, 302, 257, 262, 269, 439, 332, 204, 229, 99, 324),
                *(2, 4, 6, 21, 158, 97),
            ],
            strict=True,
        )
    ),
    "aarch64": dict(
        zip(
            [*_CONVERTER_COMMON, "getrlimit"],
            [
                *(80, 67, 221, 160, 25, 17, 178, 96, 99, 261, 56, 79, 48, 439, 291, 123, 114, 179, 283),
                163,
            ],
            strict=True,
        )
    ),
}
_CLONE: Final = {"x86_64": 56, "aarch64": 220}
_CLONE3: Final = 435
_CLONE_THREAD: Final = 0x10000

_ALSO: Final = {"x86_64": {"recvfrom": 45}, "aarch64": {"recvfrom": 207}}
"""Calls that only some processes need."""
_AUDIT_ARCH: Final = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}

_PR_SET_SECCOMP, _FILTER = 22, 2
_KILL_PROCESS, _ERRNO, _ALLOW = 0x8000_0000, 0x0005_0000, 0x7FFF_0000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCH_AT, _FIRST_ARGUMENT_AT, _THIRD_ARGUMENT_AT = 0, 4, 16, 32
_PROT_EXEC = 4
_X32_BIT = 0x4000_0000


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("jump_true", ctypes.c_uint8),
        ("jump_false", ctypes.c_uint8),
        ("operand", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


def program(machine: str, also: Sequence[str] = ()) -> list[tuple[int, int, int, int]]:
    """Return the filter for `machine` as (code, jump if true, jump if false, operand).

    Parameters
    ----------
    also : further calls that are allowed: ``recvfrom``, for who is given a socket of datagrams.

    >>> program("x86_64")[0] == (0x20, 0, 0, 4)  # load the architecture
    True
    """
    numbers = _NUMBERS[machine] | {name: _ALSO[machine][name] for name in also}
    mapping = [numbers["mmap"], numbers["mprotect"]]
    plain = sorted(number for number in numbers.values() if number not in mapping)
    deny, allow = (_RETURN, 0, 0, _ERRNO | errno.EPERM), (_RETURN, 0, 0, _ALLOW)
    code = [
        (_LOAD, 0, 0, _ARCH_AT),
        (_EQUAL, 1, 0, _AUDIT_ARCH[machine]),
        (_RETURN, 0, 0, _KILL_PROCESS),  # another ABI's numbers mean other calls
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, 0, 1, _X32_BIT),
        deny,
        # Mapping calls: not executable.
        (_EQUAL, 1, 0, mapping[0]),
        (_EQUAL, 0, 4, mapping[1]),
        (_LOAD, 0, 0, _THIRD_ARGUMENT_AT),
        (_ANY_BIT, 0, 1, _PROT_EXEC),
        deny,
        allow,
    ]
    for place, number in enumerate(plain):
        code.append((_EQUAL, len(plain) - place, 0, number))
    return [*code, deny, allow]


def converter_program(machine: str) -> list[tuple[int, int, int, int]]:
    """Return the filter of a converter: the reading process's calls, and what loading a program takes.

    `clone3` hides its flags in memory, where no filter looks: it is said not to exist, and the C library
    takes `clone`, which is allowed for threads alone.
    """
    plain = sorted({*_NUMBERS[machine].values(), *_CONVERTER_NUMBERS[machine].values()})
    deny, allow = (_RETURN, 0, 0, _ERRNO | errno.EPERM), (_RETURN, 0, 0, _ALLOW)
    code = [
        (_LOAD, 0, 0, _ARCH_AT),
        (_EQUAL, 1, 0, _AUDIT_ARCH[machine]),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, 0, 1, _X32_BIT),
        deny,
        (_EQUAL, 0, 1, _CLONE3),
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
        (_EQUAL, 0, 4, _CLONE[machine]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
        (_ANY_BIT, 0, 1, _CLONE_THREAD),
        allow,
        deny,
    ]
    for place, number in enumerate(plain):
        code.append((_EQUAL, len(plain) - place, 0, number))
    return [*code, deny, allow]


def install(*, converter: bool = False, also: Sequence[str] = ()) -> str:
    """Install the filter; return why that was not possible, or an empty string.

    `also` is as in `program`.

    `PR_SET_NO_NEW_PRIVS` must be set.
    """
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine())
    if platform.system() != "Linux" or machine not in _NUMBERS or ctypes.sizeof(ctypes.c_void_p) != 8:
        return f"no filter for {platform.system()} on {machine}"
    code = converter_program(machine) if converter else program(machine, also)
    instructions = (_Instruction * len(code))(*(_Instruction(*line) for line in code))
    filter_ = _Program(len(code), instructions)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(filter_), 0, 0) != 0:
        return f"the kernel refused the filter: {errno.errorcode.get(ctypes.get_errno(), 'unknown')}"
    return ""
