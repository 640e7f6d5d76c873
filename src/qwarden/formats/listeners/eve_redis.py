"""Suricata's events from Redis: its ``eve-log`` with ``filetype: redis``.

``mode: list`` pushes to the head of a list (``lpush``), ``rpush`` to its tail, ``channel`` publishes. Of a
list we look at the oldest events and remove them when their flows are dealt with, so that a crash loses
none; we must be the only one that takes from it. What is published while we are not connected is gone, as
Redis keeps none of it; that there was such a time is noted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, Literal, cast
from urllib.parse import parse_qsl, urlsplit

from qwarden.core.errors import ServiceError, UsageError
from qwarden.formats.listeners.listener import Heard

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import PubSub

Mode = Literal["list", "rpush", "channel"]
MODES: Final = ("list", "rpush", "channel")
DEFAULT_KEY: Final = "suricata"

_BATCH: Final = 500
_MOST_UNSETTLED: Final = 50_000
"""Events handed on and not yet removed from the list; beyond, the list waits."""
_LOOK_EVERY_S: Final = 0.2
_PATIENCE_S: Final = 5.0
_WAIT_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Pauses between attempts to connect again."""


def parse_target(text: str) -> tuple[str, str, str, Mode]:
    """Return the server's URL, what it is called, the key, and the mode of ``redis://...?key=..&mode=..``.

    What it is called has no password.

    Raises
    ------
    UsageError
        It is no such URL.

    >>> parse_target("redis://user:secret@host:6379/0?mode=channel")[1:]
    ('redis://host:6379/0 channel suricata', 'suricata', 'channel')
    """
    parts = urlsplit(text)
    options = dict(parse_qsl(parts.query))
    key, mode = options.pop("key", DEFAULT_KEY), options.pop("mode", "list")
    where = f"{parts.scheme}://{(parts.netloc.rpartition('@')[2] or '') + parts.path}"
    if parts.scheme not in ("redis", "rediss", "unix") or options or mode not in MODES:
        raise UsageError(
            f"--redis {where}: expected redis://HOST:PORT/DB, rediss://... or unix:///PATH, with "
            f"?key=NAME and &mode={'|'.join(MODES)} if they are not suricata and list"
        )
    url = f"{parts.scheme}://{parts.netloc}{parts.path}"
    return url, f"{where} {mode} {key}", key, cast(Mode, mode)


class EveRedisListener:
    """Takes events from Redis; see `qwarden.formats.listeners.listener.Listener`.

    Parameters
    ----------
    target : as `parse_target` reads it.
    """

    def __init__(self, target: str) -> None:
        self._url, self.name, self._key, self._mode = parse_target(target)
        self.heard, self.failed = Heard(), ""
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._ahead = 0  # events of the list that were handed on and are still in it
        self._done = self._removed = (
            0  # lines of this source that are dealt with, and those taken off the list
        )
        self._given = 0
        self._subscriber: PubSub | None = None
        self._deaths = 0

    @property
    def more(self) -> bool:
        """It is one log without end."""
        return False

    def open(self) -> None:
        """Connect.

        Raises
        ------
        UsageError
            The client is not installed, or the key is of another kind.
        ServiceError
            The server is not there, or refuses us.
        """
        try:
            import redis
        except ImportError:
            raise UsageError("--redis takes the Redis client: pip install 'qwarden[redis]'") from None
        self._errors = redis.RedisError
        self._client: Redis[bytes] = redis.Redis.from_url(  # type: ignore[type-arg, unused-ignore]
            self._url, socket_timeout=_PATIENCE_S, socket_connect_timeout=_PATIENCE_S, protocol=2
        )
        try:
            kind = self._client.type(self._key)
            if self._mode == "channel":
                self._subscribe()
            elif kind not in (b"list", b"none"):
                raise UsageError(f"--redis {self.name}: the key is a {_text(kind)}; expected a list")
        except redis.RedisError as error:
            raise ServiceError(f"--redis {self.name}: {_text(error)}") from None

    def blocks(self) -> Iterator[bytes]:
        """Yield whole lines as they come; nothing, now and then, while none do."""
        self._given = self.heard.lines
        with self._lock:
            self._ahead = self._done = self._removed = 0
        failures, take = 0, self._take_published if self._mode == "channel" else self._take_listed
        while not self._stopping.is_set():
            try:
                events = take()
                failures = 0
            except self._errors as error:
                self.heard.note(f"the connection was lost ({_text(error)}); connecting again")
                self._subscriber = None
                self._stopping.wait(_WAIT_S[min(failures, len(_WAIT_S) - 1)])
                failures += 1
                events = []
            yield self._lines(events)
        self._remove()

    def settled(self, lines: int) -> None:
        """Remove from the list what is dealt with, at the next look."""
        with self._lock:
            self._done = max(self._done, lines)
            self._deaths = 0

    def died(self, done: int) -> None:
        """Hand on again what the reader left undone; twice at one place, it is lost."""
        given = self.heard.lines - self._given
        self._deaths += 1
        if self._mode == "channel" or self._deaths > 1:
            self.heard.lost += max(given - done, 0)
            self.heard.note("the process reading it has ended; the lines it held are lost")
            with self._lock:
                self._done = given  # they would end the next one, too
            self._remove()
        else:
            self._remove()
            self.heard.note("the process reading it has ended; what it left undone is read again")

    def stop(self) -> None:
        """Come to an end soon."""
        self._stopping.set()

    def close(self) -> None:
        """Remove what is dealt with, and hang up."""
        self._remove()
        self._client.close()

    # A list

    def _take_listed(self) -> list[bytes]:
        self._remove()
        if self._ahead >= _MOST_UNSETTLED:
            self._stopping.wait(_LOOK_EVERY_S)
            return []
        at = self._ahead
        if self._mode == "rpush":  # the oldest is at the head
            events = cast("list[bytes]", self._client.lrange(self._key, at, at + _BATCH - 1))
        else:
            events = cast("list[bytes]", self._client.lrange(self._key, -at - _BATCH, -at - 1))[::-1]
        if not events:
            self._stopping.wait(_LOOK_EVERY_S)
        self._ahead += len(events)
        return events

    def _remove(self) -> None:
        """Take off the list what is dealt with."""
        if self._mode == "channel":
            return
        with self._lock:
            count = min(self._done - self._removed, self._ahead)
        if count <= 0:
            return
        try:
            if self._mode == "rpush":
                self._client.ltrim(self._key, count, -1)
            else:
                self._client.ltrim(self._key, 0, -count - 1)
        except self._errors:
            return  # the next time
        with self._lock:
            self._removed += count
            self._ahead -= count

    # A channel

    def _subscribe(self) -> PubSub:
        self._subscriber = self._client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call, unused-ignore]
        self._subscriber.subscribe(self._key)
        return self._subscriber

    def _take_published(self) -> list[bytes]:
        subscriber = self._subscriber or self._subscribe()
        events: list[bytes] = []
        patience_s = _LOOK_EVERY_S
        until = time.monotonic() + _LOOK_EVERY_S
        while len(events) < _BATCH and time.monotonic() < until:
            message: dict[str, Any] | None = subscriber.get_message(timeout=patience_s)
            if message is not None and isinstance(message.get("data"), bytes):
                events.append(message["data"])
            elif message is None and events:
                break
            patience_s = 0.0 if events else _LOOK_EVERY_S
        return events

    def _lines(self, events: list[bytes]) -> bytes:
        """Return one line an event."""
        self.heard.lines += len(events)
        return b"".join(event.rstrip(b"\n").replace(b"\n", b" ") + b"\n" for event in events)


def _text(told: object) -> str:
    """Return what a server says, fit for a report."""
    text = told.decode("ascii", "replace") if isinstance(told, bytes) else str(told)
    return "".join(char if char.isprintable() else "?" for char in text[:200])
