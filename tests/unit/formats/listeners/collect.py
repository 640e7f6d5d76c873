"""Takes what a listener yields, in a thread, as the pipe to a reading process does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from qwarden.formats.listeners.listener import Listener

PATIENCE_S = 20.0


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Wait until it is true; fail if it never is."""
    until = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < until, f"waited in vain until {what}"
        time.sleep(0.01)


class Collector:
    """Iterates an opened listener's blocks until it is stopped, or ends."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.data = b""
        self.sources = 1
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            for block in self.listener.blocks():
                self.data += block
            if not self.listener.more:
                return
            self.sources += 1

    def wait_for(self, text: bytes) -> None:
        """Wait until `text` has come."""
        wait_until(lambda: text in self.data, f"{text!r} has come")

    def end(self) -> bytes:
        """Stop the listener; return everything it yielded."""
        self.listener.stop()
        self.join()
        return self.data

    def join(self) -> None:
        """Wait until it has ended by itself."""
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        self.listener.close()
