"""From a socket through a process without rights to a spool, and on as blocks of one capture.

What an interface and a receiver of NetFlow have in common. The process is given the open socket, reads
it as fast as it can and writes whole records; it is started anew if it ends before its time.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import IO, Final

from qwarden.formats.listeners.listener import Heard
from qwarden.formats.listeners.sniffer import BLOCK, LARGEST
from qwarden.formats.listeners.spool import Spool

_KEPT: Final = ("LD_LIBRARY_PATH",)
_LARGEST_BLOCK: Final = 4 * LARGEST
_STARTS, _WITHIN_S = 5, 60.0
"""A process that ends oftener within this time is not started again."""


class Copier:
    """Runs the process and records what it brings.

    Parameters
    ----------
    module : of the process; descriptor 0 is the socket, descriptor 1 the pipe it writes to.
    opened : the socket.
    spool : takes the records.
    heard : its `lost` follows the spool and the kernel.
    kernel_lost : returns how many packets or datagrams the kernel has dropped so far.
    alive : whether the socket may still bring something.
    """

    def __init__(
        self,
        module: str,
        opened: socket.socket,
        spool: Spool,
        heard: Heard,
        kernel_lost: Callable[[], int],
        alive: Callable[[], bool] = lambda: True,
    ) -> None:
        self.failed = ""
        self._module, self._socket, self._spool, self._heard = module, opened, spool, heard
        self._kernel_lost, self._alive = kernel_lost, alive
        self._kernel = self._died_with = 0
        self._stopping = threading.Event()
        self._process = self._start()
        self._thread = threading.Thread(target=self._run, name=f"record {spool.name}", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """The process that runs now."""
        return self._process.pid

    def blocks(self, idle: Callable[[], bytes] | None = None) -> Iterator[bytes]:
        """Yield the spool's capture as it grows; see `Spool.follow`."""
        for block in self._spool.follow(idle):
            self._count()
            yield block

    def died(self, done: int, given: int) -> None:
        """Count what a reader that died had been given and not read."""
        self._died_with += max(given - done, 0)
        self._count()

    def stop(self) -> None:
        """End the process; what is in the spool can still be followed."""
        self._stopping.set()
        self._process.kill()

    def close(self) -> None:
        """Wait for the end, and close the socket."""
        self.stop()
        self._thread.join()
        self._socket.close()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-I", "-m", self._module],
            stdin=self._socket.fileno(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in _KEPT if name in os.environ},
            cwd="/",
        )

    def _run(self) -> None:
        starts = deque([time.monotonic()], maxlen=_STARTS)
        try:
            while True:
                self._record()
                if self._stopping.is_set():
                    return
                if not self._alive():
                    self.failed = "it has gone, or can no longer be read"
                    return
                if len(starts) == _STARTS and time.monotonic() - starts[0] < _WITHIN_S:
                    self.failed = f"the process that hears it has ended {_STARTS} times within a minute"
                    return
                self._heard.note("the process that hears it has ended, and was started anew")
                starts.append(time.monotonic())
                self._process = self._start()
                if self._stopping.is_set():  # it was asked meanwhile
                    self._process.kill()
        except OSError as error:
            self.failed = f"{error.filename or 'its spool'}: {(error.strerror or str(error)).lower()}"
            self._process.kill()
            self._process.wait()
        finally:
            self._spool.finish()

    def _record(self) -> None:
        """Move blocks from the process to the spool until it ends."""
        pipe = self._process.stdout
        assert pipe is not None
        with pipe:
            while header := _exactly(pipe, BLOCK.size):
                length, count = BLOCK.unpack(header)
                if length > _LARGEST_BLOCK or not (block := _exactly(pipe, length)):
                    break
                self._spool.append(block, count)
                self._kernel = self._kernel_lost()
                self._count()
        self._process.kill()
        self._process.wait()

    def _count(self) -> None:
        self._heard.lost = self._spool.lost + self._kernel + self._died_with


def _exactly(pipe: IO[bytes], count: int) -> bytes:
    """Return `count` bytes, none if the pipe ends before."""
    data = pipe.read(count)
    return data if len(data) == count else b""
