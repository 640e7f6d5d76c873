"""What one source says of the flows of the next is not lost between them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qwarden.console.board import Watch
from qwarden.console.feeds import reading
from qwarden.core.config import DetectSettings
from qwarden.detect import Detection, TransactionBook


def test_what_was_said_waits_for_flows_of_a_later_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    books: list[TransactionBook] = []

    class Stub:
        def __init__(self, *_: Any, enricher: Any, **__: Any) -> None:
            books.append(enricher.transactions)

        def run(self, *_: Any, **__: Any) -> Detection:
            return Detection("m", "1", readable=True)

    class Silence:
        def publish(self, _event: object) -> None: ...

    monkeypatch.setattr(reading, "Detector", Stub)
    monkeypatch.setattr(reading, "default_watchers", lambda *_: [])
    reader = reading.SourceReader(None, DetectSettings(), Silence(), Watch(), home=tmp_path)  # type: ignore[arg-type]
    for name in ("dns.log", "conn.log"):
        reader.read(tmp_path / name)
    assert len(books) == 2
    assert books[0] is books[1]
    assert books[0].lasting
