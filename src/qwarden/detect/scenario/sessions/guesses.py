"""What guessing tools do in one connection: open it, try some passwords, go away.

A person with a forgotten password does the same, a few times.
"""

from __future__ import annotations

from qwarden.detect.scenario import payload
from qwarden.detect.scenario.plan import Host
from qwarden.detect.scenario.sessions.logins import SEALED, Habit, desktop_opening, dialogue, ssh_opening
from qwarden.detect.scenario.sessions.web import tls
from qwarden.detect.scenario.sessions.windows import smb_message
from qwarden.detect.scenario.wire import Turn
from qwarden.detect.scenario.world import World


def ssh_guess(w: World, client: Host, server: Host, start: float, habit: Habit, port: int = 22) -> float:
    """Play one connection of an SSH guessing tool: `habit.tries` wrong passwords."""
    d = w.dice
    turns = ssh_opening(w, habit)
    tries = habit.tries if d.chance(0.8) else max(1, habit.tries - 1)
    for _ in range(tries):
        turns += [
            (d.between(0.001, 0.05), 0, 148, SEALED),
            (habit.refusal * d.between(0.8, 1.3), 1, 60, SEALED),
        ]
    return w.tcp(start, client, server, port, turns, close=d.pick(("fin", "fin", "fin", "rst")))


def ftp_guess(w: World, client: Host, server: Host, start: float, habit: Habit, port: int = 21) -> float:
    """Play one connection of an FTP guessing tool."""
    d = w.dice
    lines = [(0.005, 1, f"220 {habit.server} FTP server ready.")]
    for _ in range(min(habit.tries, 3)):
        lines += [
            (0.0001, 0, "USER admin"), (0.002, 1, "331 Password required for admin."),
            (0.0001, 0, "PASS " + "x" * d.integer(1, 3)),
            (habit.refusal * d.between(0.8, 1.2), 1, "530 Login incorrect."),
        ]  # fmt: skip
    lines += [(0.0001, 0, "QUIT"), (0.0002, 1, "221 Goodbye.")]
    return w.tcp(start, client, server, port, dialogue(lines), close="fin")


def telnet_guess(w: World, client: Host, server: Host, start: float, habit: Habit, port: int = 23) -> float:
    """Play one connection of a telnet guessing tool."""
    d = w.dice
    lines = [(0.02, 1, f"{habit.server} login: ")]
    for _ in range(min(habit.tries, 3)):
        lines += [
            (0.01, 0, "root"), (0.002, 1, "Password: "), (0.01, 0, "p" * d.integer(5, 7)),
            (habit.refusal * d.between(0.8, 1.2), 1, "Login incorrect\r\nlogin: "),
        ]  # fmt: skip
    return w.tcp(start, client, server, port, dialogue(lines), close="rst")


def mail_guess(w: World, client: Host, server: Host, start: float, habit: Habit, port: int = 110) -> float:
    """Play one connection of a mail password guesser (POP3, IMAP or SMTP by port)."""
    d = w.dice
    word = "p" * d.integer(6, 7)
    wait = habit.refusal * d.between(0.8, 1.2)
    if port == 110:
        lines = [
            (0.004, 1, "+OK POP3 ready"), (0.001, 0, "USER info"), (0.001, 1, "+OK"),
            (0.001, 0, f"PASS {word}"), (wait, 1, "-ERR [AUTH] Authentication failed."),
            (0.001, 0, "QUIT"), (0.001, 1, "+OK Logging out"),
        ]  # fmt: skip
    elif port == 143:
        lines = [
            (0.004, 1, "* OK IMAP4rev1 ready"), (0.001, 0, f'a1 LOGIN "info" "{word}"'),
            (wait, 1, "a1 NO [AUTHENTICATIONFAILED] Authentication failed."), (0.001, 0, "a2 LOGOUT"),
            (0.001, 1, "* BYE Logging out"), (0.0002, 1, "a2 OK Logout completed."),
        ]  # fmt: skip
    else:
        lines = [
            (0.01, 1, "220 mail ESMTP"), (0.001, 0, "EHLO host"), (0.001, 1, "250-mail\r\n250 AUTH LOGIN"),
            (0.001, 0, "AUTH LOGIN"), (0.001, 1, "334 VXNlcm5hbWU6"), (0.001, 0, "aW5mbw=="),
            (0.001, 1, "334 UGFzc3dvcmQ6"), (0.001, 0, "cHBwcHBw"),
            (wait, 1, "535 5.7.8 Error: authentication failed"), (0.001, 0, "QUIT"), (0.001, 1, "221 Bye"),
        ]  # fmt: skip
    return w.tcp(start, client, server, port, dialogue(lines), close=d.pick(("fin", "fin_server")))


def desktop_guess(
    w: World, client: Host, server: Host, start: float, habit: Habit, port: int = 3389
) -> float:
    """Play one connection of a remote desktop guesser: TLS, network level authentication, refusal."""
    d = w.dice
    turns = desktop_opening(w)
    turns += [
        tls(0, 0.002, habit.sizes[3] + 40),
        tls(1, 0.004, habit.sizes[4] + 190),
        tls(0, 0.002, habit.sizes[3] + 480 + d.integer(0, 4)),
        tls(1, habit.refusal * 0.2 * d.between(0.8, 1.2), 45 + habit.sizes[4] // 4),
    ]
    return w.tcp(start, client, server, port, turns, close=d.pick(("rst", "fin", "rst_server")))


def web_guess(w: World, client: Host, server: Host, start: float, habit: Habit, port: int = 80) -> float:
    """Play one connection of a web login guesser: the form, a wrong password, the form again."""
    d = w.dice
    size = 160 + habit.sizes[3]
    get = payload.http_request(server.name, "/login", habit.client, size)
    post = payload.http_request(server.name, "/login", habit.client, size + 60, "POST", 40)
    page = payload.http_response(600 + habit.sizes[0], kind="text/html")
    refusal = payload.http_response(600 + habit.sizes[0], "401 Unauthorized", "text/html")
    turns: list[Turn] = []
    for _ in range(max(2, habit.tries)):
        turns += [
            (0.0005, 0, len(get), get), (0.006, 1, *page),
            (0.001, 0, len(post) + 40, post), (habit.refusal * 0.1 * d.between(0.8, 1.2), 1, *refusal),
        ]  # fmt: skip
    return w.tcp(start, client, server, port, turns, close="fin")


def smb_guess(w: World, client: Host, server: Host, start: float, habit: Habit, port: int = 445) -> float:
    """Play one connection of an SMB password guesser: negotiation, two steps of NTLM, refusal."""
    d = w.dice
    session = d.integer(1, 1 << 40)
    sizes = (
        (0, 110 + habit.sizes[4]),
        (1, 300 + habit.sizes[3]),
        (0, 166),
        (1, 320 + habit.sizes[3]),
        (0, 480 + habit.sizes[4] + d.integer(0, 6)),
    )
    turns = [smb_message(w, way, 0.001, size, session) for way, size in sizes]
    turns.append(smb_message(w, 1, habit.refusal * 0.05 * d.between(0.8, 1.2), 130, session))
    turns += [smb_message(w, 0, 0.001, 126, session), smb_message(w, 1, 0.0005, 126, session)] * min(
        habit.tries, 3
    )
    return w.tcp(start, client, server, port, turns, close=d.pick(("rst", "fin")))
