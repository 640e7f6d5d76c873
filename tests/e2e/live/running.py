"""`qwarden detect` on a live source, as a user starts it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qwarden.core.store import open_store

PATIENCE_S = 90.0


class Detecting:
    """A process that runs."""

    def __init__(self, home: Path, *arguments: str, hold_s: float = 0.5) -> None:
        self.home, self.said = home, home.parent / f"{home.name}.stderr"
        with self.said.open("ab") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "qwarden", "--home", str(home), "detect", "--json", *arguments],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr,
                env={**os.environ, "QWARDEN_DETECT__HOLD_S": str(hold_s), "PYTHONUNBUFFERED": "1"},
            )  # fmt: skip
        self.wait_for(lambda: b"listening: " in self.said.read_bytes())

    def wait_for(self, true: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE_S
        while not true():
            assert self.process.poll() is None, self.said.read_text()
            assert time.monotonic() < until, self.said.read_text()
            time.sleep(0.1)

    def alerts(self) -> int:
        """How many findings have opened."""
        store = open_store(self.home)
        try:
            return store.count(room="detect", kind="alert")
        finally:
            store.close()

    def end(self, number: signal.Signals | None) -> tuple[int, dict[str, Any]]:
        """Send a signal, or wait; return exit status and document."""
        if number is not None:
            self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=PATIENCE_S)
        assert b"Traceback" not in self.said.read_bytes()
        self.said.unlink()
        return self.process.returncode, json.loads(out)


@contextmanager
def detecting(home: Path, *arguments: str, hold_s: float = 0.5) -> Iterator[Detecting]:
    """Start ``qwarden detect ARGUMENTS`` and wait until it listens."""
    running = Detecting(home, *arguments, hold_s=hold_s)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


def adds_up(document: dict[str, Any]) -> None:
    flows = document["flows"]
    assert flows["read"] == sum(flows[part] for part in ("scored", "suppressed", "dropped", "malformed"))


def kinds(document: dict[str, Any]) -> set[str]:
    return {finding["kind"] for finding in document["findings"]}
