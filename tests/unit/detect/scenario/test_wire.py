"""TCP as the wire plays it, checked by a receiver's bookkeeping that knows nothing of the player."""

from __future__ import annotations

import pytest

from qwarden.detect.scenario.dice import Dice
from qwarden.detect.scenario.wire import (
    ACK,
    BENIGN,
    FIN,
    KEEP_ALIVE,
    OPTIONS_STAMPS,
    RST,
    SYN,
    TCP,
    UDP,
    End,
    Packet,
    Path,
    Talk,
    Turn,
    Wire,
)

CLIENT = End(0x0A000001, 40_000, 0x020000000001, 64, True, 64_240, 0.0004)
SERVER = End(0x0A000002, 443, 0x020000000002, 64, True, 64_240, 0.03)
TALK = Talk(TCP, 4, CLIENT, SERVER, OPTIONS_STAMPS, 1460, 0, BENIGN, b"", 0)


def play(turns: list[Turn], path: Path, close: str = "fin", opened: bool = True) -> tuple[Wire, list[Packet]]:
    wire = Wire(3_600_000_000, Dice(1))
    wire.tcp(1.0, TALK, turns, path, close=close, linger=0.5, opened=opened)
    return wire, sorted(wire.packets, key=lambda packet: packet[0])


def receive(packets: list[Packet]) -> tuple[int, int, int]:
    """Check the sequence space of both directions; return bytes of each and how often data came twice."""
    following, said = [None, None], [0, 0]
    repeats = 0
    for _, _, way, flags, seq, ack, size, _ in packets:
        if flags & SYN:
            assert seq == 0
            following[way] = 1
            continue
        if following[way] is None:
            following[way] = seq
        if flags & ACK and following[1 - way] is not None:
            assert said[way] <= ack <= following[1 - way], "acknowledges what was not sent, or goes back"
            said[way] = ack
        if size and seq < following[way]:
            assert seq + size <= following[way]
            repeats += 1
            continue
        if seq == following[way] - 1 and not size:
            continue  # keep-alive
        assert seq == following[way] or flags & RST, "a hole in the stream"
        following[way] = seq + size + (1 if flags & FIN else 0)
    return (following[0] or 0), (following[1] or 0), repeats


@pytest.mark.parametrize("path", [Path(), Path(mss=536, ack_every=1), Path(merge=3, spacing_us=400)])
@pytest.mark.parametrize("close", ["fin", "fin_server", "fin_rst", "rst", "rst_server", "open"])
def test_streams_are_whole_and_acknowledged(path: Path, close: str) -> None:
    turns: list[Turn] = [
        (0.01, 0, 517, b"x"),
        (0.02, 1, 70_001, b"y"),
        (2.0, 0, 1, b""),
        (0.0, 0, 3_000, b""),
    ]
    _, packets = play(turns, path, close)
    sent, received, repeats = receive(packets)
    closing = 1 if close.startswith("fin") else 0
    assert (sent, received) == (1 + 517 + 3_001 + closing, 1 + 70_001 + closing)
    assert repeats == 0
    flags = [packet[3] for packet in packets]
    assert (flags[0], flags[1], flags[2]) == (SYN, SYN | ACK, ACK)
    assert sum(bool(f & FIN) for f in flags) == (2 if close.startswith("fin") else 0)
    assert any(f & RST for f in flags) == ("rst" in close)


def test_lost_segments_come_again_with_the_same_bytes() -> None:
    wire, packets = play([(0.0, 1, 400_000, b"head of the message")], Path(loss=0.05))
    _, received, repeats = receive(packets)
    assert received == 1 + 400_000 + 1
    assert repeats > 3
    seen: dict[int, tuple[int, tuple[tuple[int, bytes], ...]]] = {}
    for _, _, way, _, seq, _, size, patch in packets:
        if way == 1 and size:
            assert seen.setdefault(seq, (size, wire.patches[patch])) == (size, wire.patches[patch])


def test_known_bytes_land_where_they_were_put() -> None:
    marks = ((0, b"A" * 700), (990, b"B" * 20), (2_999, b"C"))
    wire, packets = play([(0.0, 0, 3_000, marks)], Path(mss=500))
    stream = bytearray(3_000)
    for _, _, way, _, seq, _, size, patch in packets:
        if way == 0 and size:
            for offset, known in wire.patches[patch]:
                assert offset + len(known) <= size
                stream[seq - 1 + offset : seq - 1 + offset + len(known)] = known
    expected = bytearray(3_000)
    for offset, known in marks:
        expected[offset : offset + len(known)] = known
    assert stream == expected


def test_answers_take_the_round_trip() -> None:
    _, packets = play([(0.0, 0, 10, b""), (0.5, 1, 10, b"")], Path())
    data = [packet for packet in packets if packet[6]]
    assert data[1][0] - data[0][0] >= 530_000


def test_a_connection_from_before_shows_no_handshake() -> None:
    _, packets = play([(0.0, 1, 100, b""), (10.0, 0, KEEP_ALIVE, b"")], Path(), "open", opened=False)
    assert not any(packet[3] & SYN for packet in packets)
    receive(packets)


def test_nothing_is_played_long_past_the_end() -> None:
    wire = Wire(2_000_000, Dice(1))
    wire.tcp(0.0, TALK, [(1.0, i % 2, 100, b"") for i in range(1_000)])
    assert len(wire.packets) < 20


def test_refused_and_ignored_connections() -> None:
    wire = Wire(60_000_000, Dice(1))
    wire.tcp_refused(0.0, TALK, (0.5,))
    wire.tcp_ignored(10.0, TALK, (1.0, 2.0))
    assert [p[3] for p in wire.packets] == [SYN, RST | ACK, SYN, RST | ACK, SYN, SYN, SYN]
    assert [p[0] for p in wire.packets[4:]] == [10_000_000, 11_000_000, 13_000_000]


def test_datagrams_wait_for_the_other_side() -> None:
    wire = Wire(60_000_000, Dice(1))
    talk = TALK._replace(proto=UDP)
    wire.datagrams(1.0, talk, [(0.0, 0, 30, b"q"), (0.002, 1, 90, b"a"), (0.0, 0, 5, b"")])
    assert [p[0] for p in wire.packets] == [1_000_000, 1_032_000, 1_032_400]
