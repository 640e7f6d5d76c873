"""Where the console's traffic comes from.

A feed is started before the page is served and runs in a thread of its own: `folder` reads captures as
they appear, `listening` what a listener of `qwarden.formats.listeners` hears, `replay` a scenario at a pace
that a person can follow. All of them read through `reading`, which hands sources to the detector and
leaves an account of each.
"""

from __future__ import annotations

import threading
from typing import Protocol


class Feed(Protocol):
    """A source of traffic."""

    def open(self) -> None:
        """Get hold of what is needed, before anything is served.

        Raises
        ------
        QwardenError
            It cannot be had; the text says what would help.
        """

    def run(self, stop: threading.Event) -> None:
        """Read until there is no more, or `stop` is set; close what `open` got hold of."""
