from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from qwarden.core.events import Event
from qwarden.core.store import Store, open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping(Event):
    room: ClassVar[str] = "test"
    kind: ClassVar[str] = "ping"

    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong(Event):
    room: ClassVar[str] = "test"
    kind: ClassVar[str] = "pong"

    n: int


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def ping() -> type[Ping]:
    return Ping


@pytest.fixture
def pong() -> type[Pong]:
    return Pong
