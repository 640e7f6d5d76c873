"""What comes in time: an interface, flow exporters, a log that grows, Suricata's events."""

from __future__ import annotations

import threading
from pathlib import Path

from qwarden.console.feeds.reading import SourceReader
from qwarden.formats.listeners.listener import Listener
from qwarden.formats.listeners.session import Ending, listen


class ListeningFeed:
    """Reads what a listener hears until asked to stop.

    Parameters
    ----------
    listener : not yet opened.
    pipe : where the pipe to the reading process appears.
    reader : reads it.
    hold_s : how long flows are held to be put in order, in wall time.
    """

    def __init__(self, listener: Listener, pipe: Path, reader: SourceReader, hold_s: float) -> None:
        self._listener, self._pipe, self._reader, self._hold_s = listener, pipe, reader, hold_s

    def open(self) -> None:
        """Get hold of the socket or file.

        Raises
        ------
        QwardenError
            It cannot be had; the text says what would help.
        """
        self._listener.open()

    def run(self, stop: threading.Event) -> None:
        """Read until asked to stop.

        Raises
        ------
        ServiceError
            It has ended by itself.
        InputError
            What comes is of no format that is read.
        """
        listener = self._listener
        self._reader.watch.doing = f"listening: {listener.name}"

        def read(source: Path) -> Ending:
            return self._reader.listen(source, listener, self._hold_s)

        listen(listener, self._pipe, stop, read)
