"""Sessions that begin with a login: SSH, FTP, telnet, mail, remote desktops, databases.

An honest client and a guessing tool speak the same protocol; what a tool repeats is a `Habit`: the
sizes its software always sends.
"""

from __future__ import annotations

from dataclasses import dataclass

from qwarden.detect.scenario import payload
from qwarden.detect.scenario.dice import Dice
from qwarden.detect.scenario.plan import Host
from qwarden.detect.scenario.ranges import SERVER_THINK, SSH
from qwarden.detect.scenario.sessions.web import handshake, tls
from qwarden.detect.scenario.wire import Turn
from qwarden.detect.scenario.world import World

SEALED = b"\x8d\x3a\x5e\xc1\x97\x60\xb2\x4f"
"""How an encrypted SSH message begins here: bytes no dissector takes for a length."""


@dataclass(frozen=True)
class Habit:
    """What one pair of client and server software always does in a login."""

    client: str
    server: str
    sizes: tuple[int, ...]  # SSH: both KEXINITs, the server's key reply; others: as they need
    refusal: float  # seconds a server waits before it says no
    tries: int  # passwords a connection

    @classmethod
    def of(cls, d: Dice) -> Habit:
        """Draw the habit of a pair."""
        client = d.pick(
            (
                "OpenSSH_9.6",
                "OpenSSH_8.4p1 Debian-5",
                "libssh2_1.11.0",
                "Go",
                "PuTTY_Release_0.81",
                "paramiko_3.4.0",
            )
        )
        server = d.pick(
            ("OpenSSH_9.2p1 Debian-2", "OpenSSH_7.4", "dropbear_2022.83", "OpenSSH_for_Windows_8.6")
        )
        sizes = (
            8 * d.integer(40, 198),
            8 * d.integer(60, 140),
            8 * d.integer(36, 106),
            d.integer(40, 120),
            d.integer(20, 90),
        )
        return cls(client, server, sizes, d.between(0.3, 3.0), d.pick((1, 1, 2, 3, 6)))


def ssh_opening(w: World, habit: Habit) -> list[Turn]:
    """Return the turns of an SSH connection up to the first password (RFC 4253 4-8, RFC 4252 4)."""
    d = w.dice
    one, two = payload.line(f"SSH-2.0-{habit.client}"), payload.line(f"SSH-2.0-{habit.server}")
    kex, kex_back, reply = (payload.ssh_kexinit(d, habit.sizes[0]), payload.ssh_kexinit(d, habit.sizes[1]),
                            payload.ssh_message(31, habit.sizes[2]))  # fmt: skip
    key = payload.ssh_message(30, 48)
    new = payload.SSH_NEWKEYS
    return [
        (0.0008, 0, *one), (0.004, 1, *two),
        (0.0006, 0, len(kex), kex), (0.0005, 1, len(kex_back), kex_back),
        (0.001, 0, len(key), key), (0.003, 1, len(reply) + len(new), reply + new),
        (0.003, 0, len(new), new), (0.0005, 0, 44, SEALED), (0.0005, 1, 44, SEALED),
        (0.001, 0, 60, SEALED), (0.003, 1, 60, SEALED),
    ]  # fmt: skip


def ssh(
    w: World, client: Host, server: Host, start: float, *, habit: Habit | None = None, wrong: int = 0,
    out: int | None = None, back: int | None = None, hold: float | None = None, keys: bool = True,
    port: int = 22,
) -> float:  # fmt: skip
    """Play an SSH session: `wrong` mistyped passwords, then work of `out` and `back` bytes in `hold` s."""
    d = w.dice
    habit = habit or Habit.of(d)
    turns = ssh_opening(w, habit)
    for _ in range(wrong):
        turns += [(d.between(1.5, 6), 0, 148 - d.integer(0, 3) * 16, SEALED), (habit.refusal, 1, 60, SEALED)]
    if keys:
        turns += [(0.01, 0, 372, SEALED), (0.003, 1, 332, SEALED), (0.02, 0, 644, SEALED)]
    else:
        turns.append((d.between(1, 5), 0, 148, SEALED))
    turns += [
        (0.01, 1, 36, SEALED),
        (0.001, 0, 112, SEALED),
        (0.003, 1, 500, SEALED),
        (0.0005, 0, 464, SEALED),
        (0.002, 1, 108, SEALED),
    ]
    out = max(d.whole(SSH.out) - 2_300, 80) if out is None else out
    back = max(d.whole(SSH.back) - 2_200, 80) if back is None else back
    hold = d.of(SSH.duration) if hold is None else hold
    exchanges = min(2 + int(d.waiting(5)) + int(hold / 4), 160)
    for _ in range(exchanges):
        size = 36 + 8 * d.integer(0, 4) if out < 200 * exchanges else out // exchanges
        turns.append((d.between(0, 2) * hold / exchanges, 0, size, SEALED))
        turns.append(
            (d.between(0.0005, 0.02), 1, max(36, int(back / exchanges * d.between(0.3, 1.7))), SEALED)
        )
    return w.tcp(start, client, server, port, turns, close=d.pick(("fin", "fin", "fin", "fin_server", "rst")))


def ssh_beating(
    w: World, client: Host, server: Host, start: float, length: float, every: float, *, opened: bool
) -> float:
    """Play an SSH session that sits idle behind ServerAliveInterval, with a little work now and then."""
    d = w.dice
    turns = ssh_opening(w, Habit.of(d)) if opened else []
    passed = 0.0
    while passed < length and start + passed < w.duration:
        turns += [(every, 0, 52, SEALED), (0.0005, 1, 52, SEALED)]
        passed += every
        if d.chance(0.08):
            for _ in range(d.integer(3, 30)):
                turns += [
                    (d.waiting(0.25), 0, 36, SEALED),
                    (0.001, 1, d.pick((36, 36, 52, 200, 900)), SEALED),
                ]
    return w.tcp(start, client, server, 22, turns, close="open", opened=opened)


def dialogue(lines: list[tuple[float, int, str]]) -> list[Turn]:
    """Return the turns of a conversation in lines of text."""
    return [(gap, way, *payload.line(text)) for gap, way, text in lines]


def ftp(
    w: World,
    client: Host,
    server: Host,
    start: float,
    *,
    transfers: list[tuple[int, int]],
    navigate: int = 0,
    pace: float = 1.0,
) -> float:
    """Play an FTP session: `navigate` directory changes, then transfers of (direction, bytes)."""
    d = w.dice
    turns = dialogue([
        (0.01, 1, "220 ftp server ready."), (0.02 * pace, 0, "USER backup"),
        (0.003, 1, "331 Password required for backup."), (0.02 * pace, 0, "PASS correct-horse"),
        (0.05, 1, "230 User backup logged in."),
        (0.01, 0, "TYPE I"), (0.001, 1, "200 Type set to I"),
    ])  # fmt: skip
    for i in range(navigate):
        turns += dialogue(
            [
                (pace * d.between(0.05, 0.6), 0, f"CWD folder{i % 17}"),
                (0.002, 1, "250 CWD command successful."),
            ]
        )
        if i % 3 == 0:
            turns += dialogue(
                [(0.001, 0, "PWD"), (0.001, 1, f'257 "/folder{i % 17}" is the current directory.')]
            )
    talk = w.talk(6, client, server, 21)
    passive = d.chance(0.8)
    at = (
        start
        + talk.server.leg
        + sum(turn[0] for turn in turns)
        + (talk.client.leg + talk.server.leg) * len(turns) / 2
    )
    for way, size in transfers:
        port = d.integer(50_000, 60_000)
        verb = "RETR" if way else "STOR"
        turns += dialogue(
            [
                (pace * d.between(0.1, 1), 0, "PASV"),
                (0.001, 1, f"227 Entering Passive Mode (10,0,0,1,{port >> 8},{port & 255})."),
            ]
        )
        at += 1.5 * pace
        data: list[Turn] = [(0.004, way if passive else 1 - way, size, b"")]
        if passive:
            w.tcp(at, client, server, port, data, close="fin" if way == 0 else "fin_server")
        else:
            source = w.talk(6, server, client, port, source=20)
            w.wire.tcp(at, source, data, w.path(source), close="fin" if way else "fin_server")
        took = 0.2 + size / 2e6
        at += took + 0.5 * pace
        turns += dialogue(
            [
                (0.01, 0, f"{verb} file{d.integer(1, 999)}.dat"),
                (0.002, 1, "150 Opening BINARY mode data connection."),
                (took, 1, "226 Transfer complete."),
            ]
        )
    turns += dialogue([(0.2 * pace, 0, "QUIT"), (0.001, 1, "221 Goodbye.")])
    return w.wire.tcp(start, talk, turns, w.path(talk), close="fin")


def desktop_opening(w: World) -> list[Turn]:
    """Return the turns of a remote desktop connection up to its login: X.224, then TLS."""
    request = bytes.fromhex("030000130ee000000000000100080003000000")
    confirm = bytes.fromhex("030000130ed000001234000209080002000000")
    turns: list[Turn] = [(0.001, 0, len(request), request), (0.002, 1, len(confirm), confirm)]
    return turns + handshake(w, "desktop.local", resumed=True, modern=False)


def desktop(
    w: World, client: Host, server: Host, start: float, length: float, *, opened: bool = True
) -> float:
    """Play a remote desktop session: small input, screens back in bursts."""
    d = w.dice
    turns = desktop_opening(w) if opened else []
    passed, port = 0.0, 3389
    while passed < length and start + passed < w.duration and len(turns) < 900:
        pause = d.waiting(1.2)
        passed += pause
        turns.append(tls(0, pause, d.integer(34, 120)))
        turns.append(tls(1, d.between(0.005, 0.08), d.whole_of(60, 600, 16_000)))
    return w.tcp(start, client, server, port, turns, close=d.pick(("fin", "rst", "open")), opened=opened)


def screen_sharing(w: World, client: Host, server: Host, start: float) -> float:
    """Play a short VNC session through a TLS tunnel: a burst of screen content (RFC 6143 7)."""
    d = w.dice
    version = b"RFB 003.008\n"
    turns: list[Turn] = [(0.001, 1, 12, version), (0.004, 0, 12, version)]
    steps = (
        (1, b"\x01\x13"),
        (0, b"\x13"),
        (1, b"\0\2"),
        (0, b"\0\2"),
        (1, b"\0\1\0\0\1\x04"),
        (0, b"\0\0\1\x04"),
        (1, b"\1"),
    )
    turns += [(0.0005, way, len(data), data) for way, data in steps]  # VeNCrypt, then TLS
    turns += handshake(w, "desktop.local", resumed=False, modern=False)
    small = d.chance(0.4)  # some servers push every rectangle as a packet of its own
    for _ in range(d.integer(10, 60)):
        turns.append(tls(0, d.waiting(0.3), d.integer(36, 90)))
        screen = d.whole_of(200, 4_000, 60_000)
        if small:
            turns += [tls(1, 0.0001, size) for _ in range(min(screen // 1_000, 40)) for size in (1_024, 24)]
        else:
            turns.append(tls(1, 0.002, screen))
    return w.tcp(start, client, server, 5900, turns)


def database(w: World, client: Host, server: Host, start: float, *, queries: int, spread: float) -> float:
    """Play a PostgreSQL session over TLS with a few queries."""
    d = w.dice
    turns: list[Turn] = [(0.0004, 0, 8, bytes.fromhex("0000000804d2162f")), (0.0004, 1, 1, b"S")]
    turns += handshake(w, server.name, resumed=True, modern=False)
    turns += [tls(0, 0.0005, 110), tls(1, 0.002, 360)]
    for _ in range(queries):
        turns.append(tls(0, d.between(0.0005, 0.02) * spread, d.integer(60, int(120 + 900 * spread))))
        turns.append(tls(1, d.of(SERVER_THINK) * 0.3, d.integer(90, int(200 + 9_000 * spread))))
    return w.tcp(start, client, server, 5432, turns, close=d.pick(("fin", "fin", "rst")))


def smtp(w: World, client: Host, server: Host, start: float, size: int, port: int = 25) -> float:
    """Play the delivery of one mail of `size` bytes."""
    d = w.dice
    turns = dialogue([
        (d.between(0.002, 0.4), 1, f"220 {server.name} ESMTP"), (0.001, 0, f"EHLO {client.name}"),
        (0.002, 1, "250-PIPELINING\r\n250 8BITMIME"),
        (0.001, 0, f"MAIL FROM:<a{d.integer(1, 99)}@{w.plan.domain}>"), (0.003, 1, "250 2.1.0 Ok"),
        (0.001, 0, f"RCPT TO:<b{d.integer(1, 9999)}@{server.name}>"),
        (d.between(0.003, 0.5), 1, "250 2.1.5 Ok"),
        (0.001, 0, "DATA"), (0.001, 1, "354 End data with <CR><LF>.<CR><LF>"),
    ])  # fmt: skip
    head = f"From: a@{w.plan.domain}\r\nTo: b@{server.name}\r\nSubject: minutes\r\n\r\n".encode()
    turns.append(
        (0.002, 0, max(size, len(head) + 5), ((0, head), (max(size, len(head) + 5) - 5, b"\r\n.\r\n")))
    )
    turns += dialogue(
        [(d.between(0.02, 0.6), 1, "250 2.0.0 Ok: queued"), (0.001, 0, "QUIT"), (0.001, 1, "221 2.0.0 Bye")]
    )
    return w.tcp(start, client, server, port, turns, close="fin_server")


def pop3(w: World, client: Host, server: Host, start: float, mails: int) -> float:
    """Play a POP3 poll that fetches `mails` messages."""
    d = w.dice
    turns = dialogue([
        (0.02, 1, "+OK POP3 ready"), (0.05, 0, "USER a@example.net"), (0.002, 1, "+OK"),
        (0.01, 0, "PASS secret-words"),
        (0.04, 1, "+OK Logged in."), (0.01, 0, "STAT"), (0.002, 1, f"+OK {mails} {mails * 9000}"),
    ])  # fmt: skip
    for i in range(mails):
        size = d.whole_of(1_500, 8_000, 60_000)
        turns += [
            (0.05, 0, *payload.line(f"RETR {i + 1}")),
            (0.01, 1, size, ((0, b"+OK\r\n"), (size - 5, b"\r\n.\r\n"))),
        ]
    turns += dialogue([(0.02, 0, "QUIT"), (0.001, 1, "+OK Logging out.")])
    return w.tcp(start, client, server, 110, turns)


def mailbox(
    w: World, client: Host, server: Host, start: float, length: float, every: float, *, opened: bool
) -> float:
    """Play an IMAP session over TLS that idles (RFC 2177), with mail coming in at times."""
    d = w.dice
    turns = handshake(w, server.name, resumed=True, modern=False) if opened else []
    passed = 0.0
    while passed < length and start + passed < w.duration:
        gap = every * d.between(0.97, 1.03)
        passed += gap
        turns += [tls(0, gap, 42), tls(1, 0.002, 60), tls(0, 0.001, 46)]
        if d.chance(0.25):
            turns += [
                tls(1, d.between(0.1, every * 0.5), 70),
                tls(0, 0.01, 90),
                tls(1, 0.02, d.whole_of(1_500, 9_000, 90_000)),
            ]
    return w.tcp(
        start, client, server, 993, turns, close=d.pick(("open", "fin", "fin_server")), opened=opened
    )
