"""Who may look: the admin password, the sessions it opens, and the back-off after wrong ones.

There is no default password. One is made at first start, shown once, and kept as an Argon2id hash
in the store; a new one ends every session. Sessions live in a signed cookie, under a key that lives
as long as the process, and in a list of those that signed out.

Source: RFC 9106 section 4 (Argon2id, second recommended choice), RFC 2104 (HMAC), OWASP ASVS 5.0
chapters V6 and V7.
"""

from __future__ import annotations

import base64
import hmac
import secrets
import struct
import threading
import time
from collections.abc import Callable
from enum import Enum
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from qwarden.core.audit import Audit

if TYPE_CHECKING:
    from qwarden.core.store import Store

ADMIN: Final = "admin"
SETTING: Final = "console.password"

# Without what is mistaken for one another when typed from a screen.
_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"
_GROUPS, _GROUP = 4, 5

MEMORY_KIB = 64 * 1024
"""What a guess costs in memory."""

LONGEST_PASSWORD: Final = 256
"""Characters of an attempt; longer ones are wrong unread."""


def new_password() -> str:
    """Return a password of 99 random bits, in groups that are easy to type.

    >>> len(new_password()), new_password() == new_password()
    (23, False)
    """
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))
    return "-".join(groups)


def hash_password(password: str) -> str:
    """Return the Argon2id hash of a password in PHC form, with its parameters and salt."""
    salt = secrets.token_bytes(16)
    kdf = Argon2id(salt=salt, length=32, iterations=3, lanes=4, memory_cost=MEMORY_KIB)
    return kdf.derive_phc_encoded(password.encode())


def is_password(password: str, phc: str) -> bool:
    """Say whether `phc` is the hash of `password`; compared in constant time."""
    try:
        Argon2id.verify_phc_encoded(password.encode(), phc)
    except InvalidKey:
        return False
    return True


class Password:
    """The admin password of a store.

    Parameters
    ----------
    store : keeps its hash.
    """

    READ_AGAIN_S: Final = 1.0

    def __init__(self, store: Store, now: Callable[[], float] = time.monotonic) -> None:
        self._store, self._now = store, now
        self._phc, self._read = "", float("-inf")

    def ensure(self) -> str | None:
        """Make a password if there is none, and return it; None if there was one."""
        return None if self.hash() else self.reset()

    def reset(self) -> str:
        """Make a new password and return it: the only time that anybody sees it."""
        password = new_password()
        self._store.keep_setting(SETTING, hash_password(password))
        self._read = float("-inf")
        Audit(self._store).record("console", "console.password_made", {"user": ADMIN})
        return password

    def hash(self) -> str:
        """Return the hash, empty if there is no password.

        Another process may set a new one, so the store is asked again every second.
        """
        if self._now() - self._read >= self.READ_AGAIN_S:
            self._phc, self._read = self._store.setting(SETTING) or "", self._now()
        return self._phc

    def verify(self, attempt: str) -> bool:
        """Say whether `attempt` is the password."""
        phc = self.hash()
        return bool(phc) and len(attempt) <= LONGEST_PASSWORD and is_password(attempt, phc)


class Sessions:
    """Signed tokens that say: whoever holds this has signed in.

    A token is its random id and its end, and an HMAC-SHA256 over both and the password's hash: it
    can be neither made nor prolonged without the key, and a new password makes all worthless.

    Parameters
    ----------
    password : whose hash is mixed in.
    lifetime_s : how long a session lasts, whatever is done in it.

    Examples
    --------
    >>> class Known:
    ...     def hash(self): return "$argon2id$..."
    >>> sessions = Sessions(Known(), lifetime_s=60)
    >>> token = sessions.open()
    >>> sessions.valid(token), sessions.valid(token[:-2] + "AA"), sessions.valid("")
    (True, False, False)
    >>> sessions.close(token); sessions.valid(token)
    False
    """

    def __init__(self, password: Password, lifetime_s: float, now: Callable[[], float] = time.time) -> None:
        self._password, self._lifetime_s, self._now = password, lifetime_s, now
        self._key = secrets.token_bytes(32)
        self._closed: dict[bytes, float] = {}

    def open(self) -> str:
        """Return a new session's token."""
        content = secrets.token_bytes(16) + struct.pack(">d", self._now() + self._lifetime_s)
        return _encode(content + self._tag(content))

    def valid(self, token: str) -> bool:
        """Say whether a token is one of ours, not over and not closed."""
        content = self._content(token)
        if content is None:
            return False
        return self._now() < _end(content) and content[:16] not in self._closed

    def close(self, token: str) -> None:
        """End a session before its time."""
        content = self._content(token)
        if content is not None:
            now = self._now()
            self._closed = {id: end for id, end in self._closed.items() if end > now}
            self._closed[content[:16]] = _end(content)

    def _content(self, token: str) -> bytes | None:
        raw = _decode(token)
        if raw is None or len(raw) != 24 + 32:
            return None
        content, tag = raw[:24], raw[24:]
        return content if hmac.compare_digest(tag, self._tag(content)) else None

    def _tag(self, content: bytes) -> bytes:
        return hmac.digest(self._key, content + self._password.hash().encode(), "sha256")


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(token: str) -> bytes | None:
    if len(token) > 100:
        return None
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return None


def _end(content: bytes) -> float:
    return float(struct.unpack(">d", content[16:])[0])


class Backoff:
    """How long an address must wait after wrong passwords: 1, 2, 4 ... seconds, 5 minutes at most.

    The first `FREE` wrong ones cost nothing; a right one forgives all, and so does an hour of peace.
    IPv6 addresses count by their /64, which one person has whole.

    Examples
    --------
    >>> backoff = Backoff(now=lambda: 100.0)
    >>> for _ in range(5):
    ...     backoff.failed("127.0.0.1")
    >>> backoff.wait_s("127.0.0.1"), backoff.wait_s("127.0.0.2")
    (2.0, 0.0)
    """

    FREE: Final = 3
    LONGEST_S: Final = 300.0
    FORGIVEN_S: Final = 3600.0
    MOST: Final = 4096

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._failures: dict[str, tuple[int, float]] = {}

    def wait_s(self, address: str) -> float:
        """Return how many seconds are left to wait before the next attempt."""
        count, last = self._known(_network(address))
        if count <= self.FREE:
            return 0.0
        pause = min(2.0 ** (count - self.FREE - 1), self.LONGEST_S)
        return max(0.0, last + pause - self._now())

    def failed(self, address: str) -> None:
        """Note a wrong password."""
        network = _network(address)
        count, _ = self._known(network)
        self._failures.pop(network, None)
        if len(self._failures) >= self.MOST:  # the one that was quiet for longest
            del self._failures[next(iter(self._failures))]
        self._failures[network] = (count + 1, self._now())

    def succeeded(self, address: str) -> None:
        """Note a right password."""
        self._failures.pop(_network(address), None)

    def _known(self, network: str) -> tuple[int, float]:
        """Return how many failures are held against a network, and when the last one was."""
        count, last = self._failures.get(network, (0, 0.0))
        return (count, last) if self._now() - last < self.FORGIVEN_S else (0, 0.0)


def _network(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((parsed, 64), strict=False)) if parsed.version == 6 else str(parsed)


class Verdict(Enum):
    """What became of an attempt to sign in."""

    RIGHT = "right"
    WRONG = "wrong"
    TOO_SOON = "too soon"


class Access:
    """The whole of it: attempts in, sessions out, each on record in the audit log.

    Parameters
    ----------
    store : keeps the password's hash and the audit log.
    lifetime_s : of a session.
    """

    def __init__(self, store: Store, lifetime_s: float) -> None:
        self.password = Password(store)
        self.sessions = Sessions(self.password, lifetime_s)
        self.backoff = Backoff()
        self.lifetime_s = lifetime_s
        self._audit = Audit(store)
        self._one_at_a_time = threading.Lock()

    def sign_in(self, attempt: str, address: str) -> tuple[Verdict, str]:
        """Check a password; return the verdict and, if it is right, a session's token.

        Takes as long as the hash takes, so call it off the event loop. One attempt is checked at a
        time: whoever sends many at once gets no more tries by it.
        """
        with self._one_at_a_time:
            if self.backoff.wait_s(address) > 0:
                return Verdict.TOO_SOON, ""
            if not self.password.verify(attempt):
                self.backoff.failed(address)
                self._audit.record("console", "console.login_failed", {"address": address})
                return Verdict.WRONG, ""
            self.backoff.succeeded(address)
            self._audit.record(ADMIN, "console.login", {"address": address})
            return Verdict.RIGHT, self.sessions.open()

    def sign_out(self, token: str, address: str) -> None:
        """End a session."""
        if self.sessions.valid(token):
            self.sessions.close(token)
            self._audit.record(ADMIN, "console.logout", {"address": address})
