from __future__ import annotations

import base64
import re
import threading
from pathlib import Path

import pytest

from qwarden.console import access
from qwarden.console.access import Access, Backoff, Password, Sessions, Verdict, hash_password, new_password
from qwarden.core.audit import Audit
from qwarden.core.store import Store, open_store


@pytest.fixture
def store(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store whose passwords are quick to hash: their strength has a test of its own."""
    monkeypatch.setattr(access, "MEMORY_KIB", 32)
    return store


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_passwords_are_long_and_differ() -> None:
    made = {new_password() for _ in range(200)}
    assert len(made) == 200
    assert all(re.fullmatch(r"([a-z2-9]{5}-){3}[a-z2-9]{5}", password) for password in made)
    assert not set("".join(made)) & set("01ilo")


def test_the_hash_is_argon2id_at_the_strength_of_rfc_9106() -> None:
    first, second = hash_password("same"), hash_password("same")
    assert first.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert first != second  # salted


def test_there_is_no_password_until_one_is_made_and_then_it_is_shown_once(store: Store) -> None:
    password = Password(store)
    assert not password.verify("")
    assert not password.verify("admin")
    shown = password.ensure()
    assert shown
    assert password.ensure() is None
    assert password.verify(shown)
    assert not password.verify(shown[:-1])
    assert not password.verify(shown * 20)


def test_only_the_hash_is_kept(store: Store, tmp_path: Path) -> None:
    shown = Password(store).reset()
    files = [path.read_bytes() for path in tmp_path.iterdir()]
    assert any(b"$argon2id$" in content for content in files)
    assert not any(shown.encode() in content for content in files)


def test_a_new_password_made_elsewhere_counts_within_a_second(store: Store, tmp_path: Path) -> None:
    clock = Clock()
    password = Password(store, now=clock)
    old = password.reset()
    sessions = Sessions(password, 3600)
    token = sessions.open()
    assert sessions.valid(token)
    other = open_store(tmp_path)
    new = Password(other).reset()
    other.close()
    clock.now += 1
    assert password.verify(new)
    assert not password.verify(old)
    assert not sessions.valid(token)  # a new password ends every session


@pytest.fixture
def password(store: Store) -> Password:
    made = Password(store)
    made.reset()
    return made


def test_a_session_ends_when_its_time_is_over(password: Password) -> None:
    clock = Clock()
    sessions = Sessions(password, 60, now=clock)
    token = sessions.open()
    clock.now += 59.9
    assert sessions.valid(token)
    clock.now += 0.1
    assert not sessions.valid(token)


def test_signing_out_ends_one_session_and_no_other(password: Password) -> None:
    sessions = Sessions(password, 60)
    mine, yours = sessions.open(), sessions.open()
    sessions.close(mine)
    assert not sessions.valid(mine)
    assert sessions.valid(yours)


def test_a_token_with_any_bit_changed_is_worthless(password: Password) -> None:
    sessions = Sessions(password, 60)
    token = sessions.open()
    raw = base64.urlsafe_b64decode(token + "==")
    for at in range(8 * len(raw)):
        forged = bytearray(raw)
        forged[at // 8] ^= 1 << at % 8
        assert not sessions.valid(base64.urlsafe_b64encode(forged).decode().rstrip("="))


@pytest.mark.parametrize("token", ["", "x", "=" * 8, "ä" * 20, "A" * 75, "A" * 10_000, "../../etc"])
def test_what_is_no_token_is_refused(password: Password, token: str) -> None:
    sessions = Sessions(password, 60)
    assert not sessions.valid(token)
    sessions.close(token)


def test_tokens_of_another_process_are_refused(password: Password) -> None:
    assert not Sessions(password, 60).valid(Sessions(password, 60).open())


def test_waits_double_up_to_five_minutes() -> None:
    clock = Clock()
    backoff = Backoff(now=clock)
    waits = []
    for _ in range(16):
        backoff.failed("192.0.2.1")
        waits.append(backoff.wait_s("192.0.2.1"))
    assert waits == [0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300]
    clock.now += 299
    assert backoff.wait_s("192.0.2.1") == 1
    clock.now += 1
    assert backoff.wait_s("192.0.2.1") == 0
    backoff.succeeded("192.0.2.1")
    backoff.failed("192.0.2.1")
    assert backoff.wait_s("192.0.2.1") == 0


def test_others_do_not_wait_but_a_whole_v6_network_does() -> None:
    backoff = Backoff(now=Clock())
    for host in range(5):
        backoff.failed(f"2001:db8::{host}")
    assert backoff.wait_s("2001:db8::ffff") > 0
    assert backoff.wait_s("2001:db8:0:1::1") == 0
    assert backoff.wait_s("192.0.2.1") == 0


def test_an_hour_of_peace_is_forgiven_and_the_table_is_bounded() -> None:
    clock = Clock()
    backoff = Backoff(now=clock)
    for _ in range(5):
        backoff.failed("192.0.2.1")
    clock.now += Backoff.FORGIVEN_S
    backoff.failed("192.0.2.1")
    assert backoff.wait_s("192.0.2.1") == 0
    for at in range(Backoff.MOST + 10):
        backoff.failed(f"10.{at >> 16}.{at >> 8 & 255}.{at & 255}")
    assert len(backoff._failures) <= Backoff.MOST


def test_every_attempt_is_on_record_and_no_secret_is(store: Store) -> None:
    door = Access(store, 60)
    password = door.password.ensure()
    assert password
    assert door.sign_in("guess-guess", "192.0.2.9") == (Verdict.WRONG, "")
    verdict, token = door.sign_in(password, "192.0.2.9")
    assert verdict is Verdict.RIGHT
    door.sign_out(token, "192.0.2.9")
    assert not door.sessions.valid(token)
    entries = list(Audit(store).entries())
    assert [(e.actor, e.action) for e in entries] == [
        ("console", "console.password_made"), ("console", "console.login_failed"),
        ("admin", "console.login"), ("admin", "console.logout"),
    ]  # fmt: skip
    said = repr(entries)
    assert "192.0.2.9" in said
    assert not any(secret in said for secret in (password, token, "guess-guess"))
    Audit(store).verify()


def test_many_attempts_at_once_are_no_more_tries(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    door = Access(store, 60)
    door.backoff = Backoff(now=Clock())
    monkeypatch.setattr(door.password, "verify", lambda attempt: False)
    verdicts: list[Verdict] = []
    threads = [
        threading.Thread(target=lambda: verdicts.append(door.sign_in("x", "192.0.2.1")[0])) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts.count(Verdict.WRONG) == Backoff.FREE + 1
    assert verdicts.count(Verdict.TOO_SOON) == 20 - Backoff.FREE - 1


def test_the_right_password_too_soon_is_not_looked_at(store: Store) -> None:
    door = Access(store, 60)
    password = door.password.ensure()
    assert password
    door.backoff = Backoff(now=Clock())
    for _ in range(Backoff.FREE + 1):
        door.backoff.failed("192.0.2.1")
    assert door.sign_in(password, "192.0.2.1") == (Verdict.TOO_SOON, "")
    assert door.sign_in(password, "192.0.2.2")[0] is Verdict.RIGHT
