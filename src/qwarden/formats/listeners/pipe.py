"""Bytes that come in time, made a source that the capture reader can open: a named pipe.

The reader is made for it: it speaks while it waits, and hands out flows as they end. So a live
interface, or a capture replayed at its pace, goes the same way as any file, and host windows hold
across everything that the pipe brings.
"""

from __future__ import annotations

import errno
import os
import select
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_TRY_AGAIN_S: Final = 0.02
_PATIENCE_S: Final = 5.0


@contextmanager
def piped(path: Path, blocks: Iterable[bytes]) -> Iterator[Path]:
    """Make a pipe at `path` and fill it from `blocks` as it is read, for the time of a ``with``.

    Parameters
    ----------
    path : where the pipe appears (mode 0600); its folder is made. What stood there is replaced.
    blocks : the bytes of a capture, in order; must come to an end before the ``with`` is left, or yield
        something, if only nothing, about once a second, so that a reader that left is noticed.

    Raises
    ------
    OSError
        Whatever `blocks` ended with, if it failed.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path, 0o600)
    closing = threading.Event()
    failures: list[OSError] = []

    def fill() -> None:
        try:
            _fill(path, blocks, closing)
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=fill, name=f"fill {path.name}", daemon=True)
    thread.start()
    try:
        yield path
    finally:
        closing.set()
        thread.join(_PATIENCE_S)
        path.unlink(missing_ok=True)
    if failures:
        raise failures[0]


def _fill(path: Path, blocks: Iterable[bytes], closing: threading.Event) -> None:
    descriptor = _open_when_read(path, closing)
    if descriptor is None:
        return
    try:
        poll = select.poll()
        poll.register(descriptor, 0)  # errors are always told
        for block in blocks:
            if closing.is_set() or poll.poll(0):
                return
            rest = memoryview(block)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
    except BrokenPipeError:
        return  # the reader has its reasons, and gives them itself
    finally:
        os.close(descriptor)
        if isinstance(blocks, Generator):
            blocks.close()


def _open_when_read(path: Path, closing: threading.Event) -> int | None:
    """Open the pipe's end for writing once somebody reads; None if nobody ever does."""
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
        else:
            os.set_blocking(descriptor, True)
            return descriptor
        if closing.wait(_TRY_AGAIN_S):
            return None
