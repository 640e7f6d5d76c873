"""A user who presses Ctrl-C, and one thread."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from threadpoolctl import threadpool_limits


class StopAt:
    """Progress that sends this process Ctrl-C at a step."""

    def __init__(self, step: int) -> None:
        self.step, self.done = step, 0.0

    @contextmanager
    def task(self, name: str, total: float | None = None) -> Iterator[StopAt]:
        yield self

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.done += amount
        if amount and self.done == self.step:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def stop_at() -> Callable[[int], StopAt]:
    return StopAt


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Sets this small are not worth waking further threads, which on a busy machine wait for each other."""
    with threadpool_limits(1):
        yield
