"""The wire: conversations as people and machines have them, turned into packets.

Services and attacks speak in *turns* ("after 0.2 s the client sends 517 bytes that start like
this"); the wire answers with packets as a capture point between the two would see them: handshake,
segments of the path's MSS, delayed and piggybacked acknowledgements, slow start, an occasional
retransmission, teardown. Nothing is bytes yet: a packet is a tuple of numbers (`PACKET`) and
`assembly` makes the bytes of all of them at once.

Times inside are integer microseconds from the start of the capture; what falls before it or after
its end is not captured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from qwarden.detect.scenario.dice import Dice

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16

TCP, UDP, ICMP, ICMPV6, ARP = 6, 17, 1, 58, 0x0806

Marks: TypeAlias = "bytes | tuple[tuple[int, bytes], ...]"
"""Known bytes of a message: its beginning, or pieces at offsets. The rest is pseudo-random."""

Turn: TypeAlias = "tuple[float, int, int, Marks]"
"""(seconds of thinking, direction, bytes, marks); direction 0 is the client's, 1 the server's."""

Packet: TypeAlias = "tuple[int, int, int, int, int, int, int, int]"

PACKET: Final = ("time", "conversation", "way", "flags", "seq", "ack", "size", "patch")
"""Columns of a packet. TCP: flags, relative seq and ack. ICMP: flags = type << 8 | code and seq = the
rest of the header. ARP: flags = opcode. `size` is the transport payload; `patch` indexes `Wire.patches`."""


KEEP_ALIVE: Final = -1
"""As the size of a TCP turn: a keep-alive probe instead of data."""


_SHORTEST_TAIL: Final = 24  # of a message: dissectors need some bytes to recognise a cipher's packet


class Tag(NamedTuple):
    """Who a conversation belongs to: an attack (id from 1) or nobody (id 0, benign)."""

    attack_id: int
    label: str
    technique: str


BENIGN: Final = Tag(0, "benign", "")


class End(NamedTuple):
    """One end of a conversation, as seen at the capture point."""

    ip: int
    port: int
    mac: int
    ttl: int
    stamps: bool  # speaks TCP timestamps (RFC 7323)
    window: int
    leg: float  # seconds from the capture point to this end and back


class Talk(NamedTuple):
    """What all packets of a conversation share."""

    proto: int
    version: int  # 4, 6; 0 is ARP
    client: End
    server: End
    options: int  # TCP option style, see assembly
    mss: int
    vlan: int  # 0: untagged
    tag: Tag
    extension: bytes  # IPv6 extension headers before the transport
    extension_proto: int  # next header of the IPv6 header when there is an extension


OPTIONS_NONE, OPTIONS_MSS, OPTIONS_PLAIN, OPTIONS_STAMPS = range(4)


@dataclass(frozen=True)
class Path:
    """How packets travel between two ends."""

    mss: int = 1448
    spacing_us: int = 20  # between segments of one burst
    loss: float = 0.0  # share of data segments sent twice
    delayed_ack_us: int = 40_000
    ack_every: int = 2
    merge: int = 1  # segments a capturing card merges into one (receive offload)


class Wire:
    """Collects the packets of a scenario.

    Parameters
    ----------
    duration_us : length of the capture; packets at or past it are not kept.
    dice : source of jitter and loss.
    """

    def __init__(self, duration_us: int, dice: Dice) -> None:
        self.duration_us = duration_us
        self.dice = dice
        self.talks: list[Talk] = []
        self.packets: list[Packet] = []
        self.patches: list[tuple[tuple[int, bytes], ...]] = [()]

    def open(self, talk: Talk) -> int:
        """Note a conversation and return its number; its packets carry it."""
        self.talks.append(talk)
        return len(self.talks) - 1

    def patch(self, marks: Marks) -> int:
        """Note the known bytes of a payload and return their number."""
        if not marks:
            return 0
        self.patches.append(((0, marks),) if isinstance(marks, bytes) else marks)
        return len(self.patches) - 1

    def tcp(
        self,
        start: float,
        talk: Talk,
        turns: list[Turn],
        path: Path = Path(),
        *,
        close: str = "fin",
        linger: float = 0.0,
        opened: bool = True,
    ) -> float:
        """Play a TCP connection; return when its last packet passed, in seconds.

        Parameters
        ----------
        start : seconds from the start of the capture.
        turns : who says what; see `Turn`.
        close : after `linger` seconds: ``fin`` or ``fin_server`` (who closes first), ``rst`` or
            ``rst_server``, ``fin_rst`` (a client that resets after closing), ``open`` (not at all).
        opened : False for a connection that was there before the capture: no handshake is seen.
        """
        play = _TcpPlay(self, self.open(talk), talk, path, int(start * 1e6))
        if opened:
            play.handshake()
        for turn in turns:
            if play.now > self.duration_us:
                return play.now / 1e6
            gap, way, size, _ = turn
            if size == KEEP_ALIVE:
                play.keep_alive(gap, way)
            else:
                play.say(*turn)
        play.close(close, int(linger * 1e6))
        return play.now / 1e6

    def tcp_refused(self, start: float, talk: Talk, gaps: tuple[float, ...] = ()) -> float:
        """Play a connection that is refused (SYN, RST), tried again after each of `gaps`."""
        conversation, t = self.open(talk), int(start * 1e6)
        leg = int(talk.server.leg * 1e6)
        for gap in (0.0, *gaps):
            t += int(gap * 1e6)
            self.packets.append((t, conversation, 0, SYN, 0, 0, 0, 0))
            self.packets.append((t + leg, conversation, 1, RST | ACK, 0, 1, 0, 0))
        return (t + leg) / 1e6

    def tcp_ignored(self, start: float, talk: Talk, gaps: tuple[float, ...] = ()) -> float:
        """Play a connection that nobody answers: a SYN, sent again after each of `gaps`."""
        conversation, t = self.open(talk), int(start * 1e6)
        for gap in (0.0, *gaps):
            t += int(gap * 1e6)
            self.packets.append((t, conversation, 0, SYN, 0, 0, 0, 0))
        return t / 1e6

    def tcp_probed(self, start: float, talk: Talk, full: bool) -> float:
        """Play a probe of an open port: SYN, SYN-ACK, then RST (`full`: ACK first, a connect scan)."""
        conversation, t = self.open(talk), int(start * 1e6)
        put = self.packets.append
        put((t, conversation, 0, SYN, 0, 0, 0, 0))
        t += int(talk.server.leg * 1e6)
        put((t, conversation, 1, SYN | ACK, 0, 1, 0, 0))
        t += int(talk.client.leg * 1e6)
        if full:
            put((t, conversation, 0, ACK, 1, 1, 0, 0))
            t += self.dice.integer(5, 400)
            put((t, conversation, 0, RST | ACK, 1, 1, 0, 0))
        else:
            put((t, conversation, 0, RST, 1, 0, 0, 0))
        return t / 1e6

    def datagrams(self, start: float, talk: Talk, turns: list[Turn]) -> float:
        """Play a UDP exchange: one datagram a turn."""
        conversation, t = self.open(talk), int(start * 1e6)
        legs = (int(talk.client.leg * 1e6), int(talk.server.leg * 1e6))
        before = 0
        for gap, way, size, marks in turns:
            t += int(gap * 1e6) + (legs[way] if way != before else 0)
            before = way
            self.packets.append((t, conversation, way, 0, 0, 0, size, self.patch(marks)))
        return t / 1e6

    def icmp(
        self, start: float, talk: Talk, turns: Sequence[tuple[float, int, int, int, int, Marks]]
    ) -> float:
        """Play ICMP messages: (seconds, direction, type << 8 | code, rest of header, bytes, marks)."""
        conversation, t = self.open(talk), int(start * 1e6)
        legs = (int(talk.client.leg * 1e6), int(talk.server.leg * 1e6))
        before = 0
        for gap, way, kind, rest, size, marks in turns:
            t += int(gap * 1e6) + (legs[way] if way != before else 0)
            before = way
            self.packets.append((t, conversation, way, kind, rest, 0, size, self.patch(marks)))
        return t / 1e6

    def arp(self, start: float, talk: Talk, requests: tuple[float, ...], answer: float | None) -> float:
        """Play an ARP resolution: a request after each of the gaps, and the reply `answer` s later."""
        conversation, t = self.open(talk), int(start * 1e6)
        for gap in requests:
            t += int(gap * 1e6)
            self.packets.append((t, conversation, 0, 1, 0, 0, 0, 0))
        if answer is not None:
            t += max(1, int(answer * 1e6))
            self.packets.append((t, conversation, 1, 2, 0, 0, 0, 0))
        return t / 1e6


@dataclass
class _TcpPlay:
    """The state of one TCP connection while it is played."""

    wire: Wire
    conversation: int
    talk: Talk
    path: Path
    now: int
    seq: list[int] = field(default_factory=lambda: [1, 1])
    last: int = 0  # who sent the last data
    owed: int = 0  # data segments the other side has not acknowledged yet

    def __post_init__(self) -> None:
        dice, talk = self.wire.dice, self.talk
        # A path's delay wanders a little from connection to connection.
        wander = 1e6 * dice.between(0.95, 1.2)
        self.legs = (int(talk.client.leg * wander) + 4, int(talk.server.leg * wander) + 4)
        self.round_trip = self.legs[0] + self.legs[1]
        self.window = 10  # congestion window, segments (RFC 6928)

    def put(self, t: int, way: int, flags: int, size: int = 0, patch: int = 0) -> None:
        seq = self.seq
        self.wire.packets.append(
            (t, self.conversation, way, flags, seq[way], seq[1 - way] if flags & ACK else 0, size, patch)
        )

    def handshake(self) -> None:
        packets, conversation = self.wire.packets, self.conversation
        packets.append((self.now, conversation, 0, SYN, 0, 0, 0, 0))
        self.now += self.legs[1]
        packets.append((self.now, conversation, 1, SYN | ACK, 0, 1, 0, 0))
        self.now += self.legs[0]
        self.put(self.now, 0, ACK)

    def settle(self, way: int, at: int) -> None:
        """Send the acknowledgement still owed, unless data of `way` at `at` carries it."""
        if not self.owed:
            return
        other = 1 - self.last
        due = self.now + self.legs[other] + self.path.delayed_ack_us
        if way == other and at <= due:
            self.owed = 0
        elif due < at:
            self.put(due, other, ACK)
            self.owed = 0

    def say(self, gap: float, way: int, size: int, marks: Marks) -> None:
        """Send one message of `way`."""
        at = self.now + int(gap * 1e6) + (self.legs[way] if way != self.last else 1)
        self.settle(way, at)
        if way != self.last:
            self.last, self.owed = way, 0
        path, wire, seq, conversation = self.path, self.wire, self.seq, self.conversation
        packets, dice, back = wire.packets, wire.dice, self.legs[1 - way]
        pieces: tuple[tuple[int, bytes], ...] = ((0, marks),) if isinstance(marks, bytes) else marks
        if not marks:
            pieces = ()
        mss, most, loss = path.mss, path.mss * path.merge, path.loss
        sent, flight, flight_start = 0, 0, at
        while sent < size:
            n = min(mss if most == mss else mss * dice.integer(1, path.merge), size - sent)
            if 0 < size - sent - n < _SHORTEST_TAIL:
                n -= _SHORTEST_TAIL
            if flight >= self.window:
                flight, self.window = 0, min(2 * self.window, 256)
                at = flight_start = max(at, flight_start + self.round_trip)
            patch = 0
            if pieces:
                end = sent + n
                inside = tuple(
                    (max(o - sent, 0), b[max(sent - o, 0) : end - o])
                    for o, b in pieces
                    if o < end and o + len(b) > sent
                )
                if inside:
                    wire.patches.append(inside)
                    patch = len(wire.patches) - 1
                pieces = tuple(piece for piece in pieces if piece[0] + len(piece[1]) > end)
            whole = sent + n >= size
            flags = ACK | PSH if whole else ACK
            packets.append((at, conversation, way, flags, seq[way], seq[1 - way], n, patch))
            if loss and dice.unit() < loss:  # lost beyond the capture point, sent again
                at += self.round_trip + (dice.integer(1_000, 4_000) if not whole else 200_000)
                packets.append((at, conversation, way, flags, seq[way], seq[1 - way], n, patch))
                flight_start = at
            seq[way] += n
            sent += n
            flight += 1
            self.owed += 1
            if self.owed >= path.ack_every:
                packets.append((at + back, conversation, 1 - way, ACK, seq[1 - way], seq[way], 0, 0))
                self.owed = 0
            if not whole:
                at += path.spacing_us + int(dice.unit() * path.spacing_us)
                if at > wire.duration_us:
                    break
        self.now = at

    def keep_alive(self, gap: float, way: int) -> None:
        """Probe an idle connection and have it answered (RFC 9293 3.8.4)."""
        self.settle(way, self.now + int(gap * 1e6))
        self.owed = 0
        self.now += int(gap * 1e6)
        seq = self.seq
        self.wire.packets.append((self.now, self.conversation, way, ACK, seq[way] - 1, seq[1 - way], 0, 0))
        self.now += self.legs[1 - way]
        self.put(self.now, 1 - way, ACK)

    def close(self, how: str, linger: int) -> None:
        """Tear the connection down."""
        first = 1 if how.endswith("_server") else 0
        at = self.now + linger + (self.legs[first] if first != self.last else self.path.spacing_us)
        self.settle(first, at)
        if self.owed:  # the peer's last segment is acknowledged before anything else happens
            self.put(self.now + self.legs[1 - self.last], 1 - self.last, ACK)
            self.owed = 0
            at = max(at, self.now + self.legs[1 - self.last] + 1)
        if how == "open":
            return
        if how.startswith("rst"):
            self.put(at, first, RST | ACK)
            self.now = at
            return
        second = 1 - first
        self.put(at, first, FIN | ACK)
        self.seq[first] += 1
        at += self.legs[second] + self.wire.dice.integer(5, 500)
        self.put(at, second, FIN | ACK)
        self.seq[second] += 1
        at += self.legs[first]
        if how == "fin_rst":
            self.wire.packets.append((at, self.conversation, first, RST, self.seq[first], 0, 0, 0))
        else:
            self.put(at, first, ACK)
        self.now = at
