"""Guessing: the same login again and again, and Zerologon, which is a login guessed 2,000 times."""

from __future__ import annotations

from collections.abc import Callable

from qwarden.detect.scenario.attacks.scans import scanner, stranger
from qwarden.detect.scenario.plan import Host
from qwarden.detect.scenario.ranges import GUESSES
from qwarden.detect.scenario.sessions import guesses, windows
from qwarden.detect.scenario.sessions.logins import Habit
from qwarden.detect.scenario.world import World

Guess = Callable[[World, Host, Host, float, Habit, int], float]

OTHERS: tuple[tuple[Guess, int], ...] = (
    (guesses.desktop_guess, 3389), (guesses.smb_guess, 445), (guesses.telnet_guess, 23),
    (guesses.mail_guess, 110), (guesses.mail_guess, 143), (guesses.mail_guess, 25), (guesses.mail_guess, 587),
    (guesses.web_guess, 80), (guesses.web_guess, 8080),
)  # fmt: skip


def _pair(w: World) -> tuple[Host, Host]:
    """Return attacker and victim: from outside, inside, or from here to a server elsewhere."""
    d = w.dice
    place = d.unit()
    if place < 0.4:
        return stranger(w), d.pick([*w.plan.servers.values()])
    source = scanner(w)
    if place < 0.85:
        return source, d.pick([h for h in w.plan.local if h.ip4 != source.ip4])
    return source, stranger(w)


def _run(w: World, start: float, guess: Guess, port: int) -> None:
    """Play a run of guesses: one after the other, or from a few threads; patient tools pause."""
    d = w.dice
    source, victim = _pair(w)
    habit = Habit.of(d)
    count = d.whole(GUESSES)
    length = min(300.0, w.duration * 0.4)
    start = min(start, w.duration - length)
    threads = d.pick((1, 1, 2, 4))
    if d.chance(0.4):  # by the clock
        for i in range(count):
            guess(w, source, victim, start + i * length / count * d.between(0.9, 1.1), habit, port)
        return
    pause = d.log_between(0.01, 4)
    clocks = [start + d.between(0, 0.5) for _ in range(threads)]
    for i in range(count):
        clocks[i % threads] = guess(w, source, victim, clocks[i % threads], habit, port) + pause * d.between(
            0.7, 1.3
        )


def ssh(w: World, start: float) -> None:
    """Guess SSH passwords."""
    _run(w, start, guesses.ssh_guess, w.dice.pick((22, 22, 22, 22, 2222)))


def ftp(w: World, start: float) -> None:
    """Guess FTP passwords."""
    _run(w, start, guesses.ftp_guess, 21)


def other(w: World, start: float) -> None:
    """Guess passwords of another service."""
    _run(w, start, *w.dice.pick(OTHERS))


def spraying(w: World, start: float) -> None:
    """Try a few passwords on each of many machines."""
    d = w.dice
    source, habit = scanner(w), Habit.of(d)
    guess, port = d.pick(((guesses.ssh_guess, 22), (guesses.smb_guess, 445), (guesses.desktop_guess, 3389)))
    victims = d.some([h for h in w.plan.local if h.ip4 != source.ip4], d.integer(5, 16))
    length = min(280.0, w.duration * 0.4)
    start = min(start, w.duration - length)
    rounds = d.integer(3, 6)
    for turn in range(rounds):
        for i, victim in enumerate(victims):
            at = start + (turn + i / len(victims)) * length / rounds
            guess(w, source, victim, at, habit, port)


def zerologon(w: World, start: float) -> None:
    """Ask the port mapper and authenticate with zeros, in identical sessions (CVE-2020-1472)."""
    d = w.dice
    source = scanner(w)
    victim = w.plan.servers.get("directory") or d.pick([*w.plan.servers.values()])
    if victim.ip4 == source.ip4:
        victim = d.pick([h for h in w.plan.local if h.ip4 != source.ip4])
    service, at = d.integer(49_664, 49_700), start
    calls = [(104, 36), (144, 44)]
    for _ in range(d.integer(15, 45)):
        mapped = windows.endpoint_mapper(w, source, victim, at)
        windows.remote_call(w, source, victim, mapped, service, calls, d.between(0.05, 3))
        at = mapped + d.between(0.02, 0.4)
