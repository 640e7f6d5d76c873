"""One thread."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Sets this small are not worth waking further threads, which on a busy machine wait for each other."""
    with threadpool_limits(1):
        yield
