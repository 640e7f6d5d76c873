"""What every listener does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True)
class Heard:
    """What a listener has heard; counts grow, and are read by other threads.

    Attributes
    ----------
    packets, datagrams, lines : handed on, whichever it is that comes.
    lost : known not to have reached the reader: dropped by the kernel, by a spool that is full, by a line
        that is too long.
    problems : what a person should know, in words; the first twenty.
    """

    packets: int = 0
    datagrams: int = 0
    lines: int = 0
    lost: int = 0
    problems: tuple[str, ...] = ()

    def note(self, problem: str) -> None:
        """Keep a problem once, if it is among the first."""
        if problem not in self.problems and len(self.problems) < 20:
            self.problems += (problem,)


class Listener(Protocol):
    """A source of traffic that has no end of its own.

    Attributes
    ----------
    name : what findings and accounts call it.
    heard : what it has heard so far.
    """

    name: str
    heard: Heard

    @property
    def failed(self) -> str:
        """Why it ended although nobody stopped it; empty if it did not."""

    def open(self) -> None:
        """Get hold of the socket or file.

        Raises
        ------
        QwardenError
            It cannot be had; the text says what would help.
        """

    def blocks(self) -> Iterator[bytes]:
        """Yield bytes of one source as they come, until stopped, ended, or the next source begins.

        Iterating anew goes on with what comes next; after a reader has died, as far as that can be had,
        with what it left undone.
        """

    @property
    def more(self) -> bool:
        """Whether `blocks` is to be iterated anew."""

    def settled(self, lines: int) -> None:
        """Take note that so many lines of this source, from its first, are dealt with for good."""

    def died(self, done: int) -> None:
        """Take note that the reader died after `done` packets, datagrams or lines of this source."""

    def stop(self) -> None:
        """Let `blocks` come to an end soon; called by another thread, perhaps more than once."""

    def close(self) -> None:
        """Let go of everything."""
