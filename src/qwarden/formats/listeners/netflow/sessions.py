"""What is remembered of an exporter: sequence numbers, sampling, the start of its clock."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from qwarden.formats.listeners.netflow.pdu import Exporter

MOST_SESSIONS: Final = 4096
"""Exporters that are remembered; beyond, the one silent longest is forgotten."""

_RESTART: Final = 1 << 20
"""A step of sequence numbers this far ahead is a restart, not a loss."""
_LATE: Final = 1 << 12
"""One that goes back no further is a datagram that was overtaken."""


class Session(NamedTuple):
    """Whose templates and sequence numbers they are.

    Attributes
    ----------
    exporter : address and port; each port is a transport session of its own (RFC 7011, 2).
    version : 5, 9 or 10 (IPFIX).
    domain : observation domain, source id, or engine type and id.
    """

    exporter: Exporter
    version: int
    domain: int


class Moment(NamedTuple):
    """When a message was sent, as far as it says.

    Attributes
    ----------
    export_ns : by the exporter's clock, nanoseconds since the epoch.
    uptime_ms : since its start, 32 bits that wrap after 49.7 days; -1 if it does not say.
    received_ns : by ours.
    """

    export_ns: int
    uptime_ms: int
    received_ns: int


@dataclass(slots=True)
class Sequence:
    """Sequence numbers of a session, modulo 2^32.

    Attributes
    ----------
    lost : units (records of v5 and IPFIX, datagrams of v9) that are missing.
    hits : messages whose number was the expected one.
    """

    lost: int = 0
    hits: int = 0
    _next: int = -1

    def take(self, number: int, units: int) -> int:
        """Take a message's number and how far it moves it; return how the loss changes.

        A number ahead of the expected one is a gap. One that is behind by little came late, and was
        counted as lost before. Anything else is a restart of the exporter.

        >>> sequence = Sequence()
        >>> [sequence.take(*message) for message in ((10, 5), (15, 5), (30, 5), (20, 10), (0, 5))]
        [0, 0, 10, -10, 0]
        """
        expected, after = self._next, (number + units) & 0xFFFFFFFF
        ahead = (number - expected) & 0xFFFFFFFF
        behind = (expected - number) & 0xFFFFFFFF
        change = 0
        if expected < 0:
            self._next = after
        elif ahead == 0:
            self._next = after
            self.hits += 1
        elif ahead < _RESTART:
            change, self._next = ahead, after
        elif behind <= _LATE and self.lost >= units:
            change = -units
        else:
            self._next = after
        self.lost += change
        return change

    def forget(self) -> None:
        """Expect no number: how far the last message moved it is not known."""
        self._next = -1


class Loss:
    """What a session lost, by its sequence numbers.

    Exporters do not agree on what they number. NetFlow v9 shall count datagrams (RFC 3954, 5.1), and
    some count records; IPFIX shall count all data records before the message (RFC 7011, 3.1), and some
    leave those of options out, or count the message itself. Each reading is followed, and the one by which
    most messages have the expected number is believed, of several the standard's.
    """

    __slots__ = ("_readings",)

    def __init__(self) -> None:
        self._readings: list[Sequence] = []

    def take(self, session: Session, number: int, records: int, flows: int) -> None:
        """Take a message's number; `records` are its data records, `flows` those not of options.

        Either is negative if not known: then how far the message moves the numbers is not, either.
        """
        units = {
            5: ((records, 0),),
            9: ((1, 0), (records, 0), (flows, 0)),
            10: ((records, 0), (flows, 0), (records, records), (flows, flows)),
        }[session.version]
        if not self._readings:
            self._readings = [Sequence() for _ in units]
        for reading, (moves, before) in zip(self._readings, units, strict=True):
            if moves < 0:
                reading.forget()
            else:
                reading.take((number - before) & 0xFFFFFFFF, moves)

    def of(self, session: Session) -> tuple[int, int]:
        """Return how many records and how many datagrams are missing."""
        if not self._readings:
            return 0, 0
        best = max(self._readings, key=lambda reading: reading.hits)  # the first of them, if several
        by_datagram = session.version == 9 and best is self._readings[0]
        return (0, best.lost) if by_datagram else (best.lost, 0)


@dataclass(slots=True)
class State:
    """What is remembered of a session.

    Attributes
    ----------
    loss : what its sequence numbers miss.
    sampling : one packet in so many was looked at; 0 if the exporter has not said.
    init_ms : start of its clock, milliseconds since the epoch; -1 if unknown.
    clock_told, sampling_told : that its clock is wrong, or that it samples, was noted.
    """

    loss: Loss = field(default_factory=Loss)
    sampling: int = 0
    init_ms: int = -1
    clock_told: bool = False
    sampling_told: bool = False


class Sessions:
    """All sessions, the one heard last at the end.

    Attributes
    ----------
    evicted : sessions forgotten because there were too many.
    """

    def __init__(self) -> None:
        self.evicted = 0
        self._states: OrderedDict[Session, State] = OrderedDict()

    def state(self, session: Session) -> State:
        """Return a session's state, a fresh one if it is new."""
        state = self._states.get(session)
        if state is None:
            state = self._states[session] = State()
            if len(self._states) > MOST_SESSIONS:
                self._states.popitem(last=False)
                self.evicted += 1
        else:
            self._states.move_to_end(session)
        return state
