"""A reader that keeps what it was given to read."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qwarden.console.board import Watch
from qwarden.console.events import SourceRead
from qwarden.core.bus import open_bus
from qwarden.core.store import Store
from tests.unit.console.makers import source


class StubReader:
    """Stands for `SourceReader`: reads the bytes, and stores an account as it does."""

    def __init__(self, store: Store | None = None) -> None:
        self.watch = Watch()
        self.contents: list[bytes] = []
        self.counts: list[tuple[int, int]] = []
        self.after: Callable[[], None] = lambda: None
        self._bus = open_bus(store) if store is not None else None

    def read(
        self, path: Path, stop: threading.Event | None = None, *, sha256: str = "", **counts: Any
    ) -> SourceRead:
        self.contents.append(path.read_bytes())
        self.counts.append(tuple(counts[name]() for name in ("packets", "lost") if name in counts))  # type: ignore[arg-type]
        event = source(str(path), sha256=sha256)
        if self._bus is not None:
            self._bus.publish(event)
        self.after()
        return event
