"""The parent's side: start the host of reading processes, give it captures, hear their readers.

One host serves the whole program; it is started on first use and ends with the program. Python's own
`multiprocessing` would pickle; here everything that crosses is checked JSON and raw numbers.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import IO, Final

import numpy as np
import numpy.typing as npt

import qwarden
from qwarden.core.errors import QwardenError
from qwarden.formats.flows import FLOW, Flows
from qwarden.formats.mapping import Mapping
from qwarden.formats.meter.settings import MeterSettings
from qwarden.formats.sandbox.cutting import CutMessage, check_cut_sizes, decode_cut_header
from qwarden.formats.sandbox.wire import PREFIX, Message, check_flows, check_sizes, decode_header

_START_PATIENCE_S: Final = 600.0
"""The first start of all compiles; without a cache that takes half a minute on a slow machine."""
_ANSWER_PATIENCE_S: Final = 30.0
_PIPE_BYTES: Final = 1 << 20

_KEPT: Final = ("HOME", "PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "XDG_CACHE_HOME", "SYSTEMROOT")
_BOOT: Final = (
    "import sys; sys.path.append(sys.argv[1]); from qwarden.formats.sandbox.worker import main; main()"
)


class ReaderDied(Exception):  # noqa: N818
    """The reading process ended without its last message."""


class ReaderHangs(Exception):  # noqa: N818
    """The reading process said nothing for too long."""


def _environment() -> dict[str, str]:
    """Return the little of our environment that the host needs: no secret is in it."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith("NUMBA_")}
    # One thread: the host forks, and a fork keeps only the thread that called it.
    return kept | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Host:
    """A running host process."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._lock = threading.Lock()
        self._ready = False
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        root = Path(qwarden.__file__).parent.parent
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-c", _BOOT, str(root), str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=self._errors,
                    env=_environment(),
                    cwd="/",
                )
            except OSError as error:
                self._control.close()
                raise QwardenError(f"the reading process cannot be started: {error}") from error

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return self._process.poll() is None and self.owner == os.getpid()

    def _answer(self, patience_s: float) -> tuple[bytes, list[int]]:
        self._control.settimeout(patience_s)
        try:
            answer, received, _flags, _address = socket.recv_fds(self._control, 64, 1)
        except OSError:
            answer, received = b"", []
        if not answer:
            self.stop()
            self._errors.seek(0)
            lines = self._errors.read().decode(errors="replace").strip().splitlines()
            raise QwardenError(f"the reading process does not run: {lines[-1] if lines else 'no answer'}")
        return answer, received

    def submit(
        self,
        capture: int,
        settings: MeterSettings,
        *,
        mapping: Mapping | None = None,
        probe: bool = False,
        wanted: int | None = None,
    ) -> Reader:
        """Have a fresh process read the open descriptor `capture`.

        With `wanted`, a descriptor of rows of `WANTED`, it cuts those packets instead of metering flows.
        """
        columns = None if mapping is None else asdict(mapping)
        task = json.dumps({"settings": asdict(settings), "mapping": columns, "probe": probe}).encode()
        ours, theirs = os.pipe()
        try:
            with contextlib.suppress(OSError, AttributeError, ImportError):
                import fcntl

                fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            with self._lock:
                if not self._ready:
                    self._answer(_START_PATIENCE_S)
                    self._ready = True
                with contextlib.suppress(OSError):
                    fds = [capture, theirs] if wanted is None else [capture, theirs, wanted]
                    socket.send_fds(self._control, [task], fds)
                answer, handles = self._answer(_ANSWER_PATIENCE_S)
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        return Reader(ours, int(answer), handles[0] if handles else None)

    def stop(self) -> None:
        """End the host."""
        self._control.close()
        if self.owner == os.getpid():
            with contextlib.suppress(OSError):
                self._process.kill()
            self._process.wait()


class Reader:
    """One reading process, and the pipe on which it speaks."""

    def __init__(self, pipe: int, pid: int, handle: int | None) -> None:
        self._pipe = pipe
        self._pid = pid
        self._handle = handle
        self._poll = select.poll()
        self._poll.register(pipe, select.POLLIN)

    def _fill(self, view: memoryview, deadline: float) -> None:
        filled = 0
        while filled < len(view):
            left = deadline - time.monotonic()
            if left <= 0 or not self._poll.poll(left * 1000):
                raise ReaderHangs
            count = os.readv(self._pipe, [view[filled:]])
            if count == 0:
                raise ReaderDied
            filled += count

    def hear(self, path: str, patience_s: float) -> tuple[Message, Flows]:
        """Return the next message and the flows that come with it, checked.

        Raises
        ------
        ReaderDied, ReaderHangs : it ended, or said nothing for `patience_s`.
        Distrust : it said something impossible.
        """
        header, body = self._message(patience_s, check_sizes)
        message, flows = decode_header(header, path), body.view(FLOW)
        check_flows(flows, message.report.is_log or message.report.is_export)
        return message, flows

    def hear_cut(self, path: str, patience_s: float) -> tuple[CutMessage, npt.NDArray[np.uint8]]:
        """As `hear`, of a process that cuts packets; the body's parts are still to be checked."""
        header, body = self._message(patience_s, check_cut_sizes)
        return decode_cut_header(header, path), body

    def _message(
        self, patience_s: float, check: Callable[[int, int], None]
    ) -> tuple[bytes, npt.NDArray[np.uint8]]:
        """Return a message's header and body, whose sizes pass `check`."""
        deadline = time.monotonic() + patience_s
        prefix = bytearray(PREFIX.size)
        self._fill(memoryview(prefix), deadline)
        header_size, body_size = PREFIX.unpack(prefix)
        check(header_size, body_size)
        header = bytearray(header_size)
        self._fill(memoryview(header), deadline)
        body = np.empty(body_size, np.uint8)
        if body.size:
            self._fill(body.data, deadline)
        return bytes(header), body

    def close(self) -> None:
        """End the process, if it has not ended, and forget it."""
        if self._pipe < 0:
            return
        os.close(self._pipe)
        self._pipe = -1
        # Only a pidfd is certain to mean our process still. Without one, the closed pipe ends it.
        if self._handle is not None:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            os.close(self._handle)
            self._handle = None


_lock = threading.Lock()
_host: Host | None = None


def host() -> Host:
    """Return the program's host, started if need be (without waiting until it is ready)."""
    global _host
    with _lock:
        if _host is None or not _host.alive:
            if _host is None:
                atexit.register(stop_host)
            else:
                _host.stop()
            _host = Host()
        return _host


def stop_host() -> None:
    """End the program's host; the next use starts another."""
    global _host
    with _lock:
        if _host is not None:
            _host.stop()
            _host = None
