"""Keys that both ends were given by hand, in files that are used up.

Both ends add the same random bytes under each other's names. The end whose name sorts first draws from the
first half, the other from the second, so they need not agree on anything while they draw.

A peer's folder holds one file for each addition (mode 0600) and a ledger, one line of JSON for each
addition, draw and fetch. To release a key is, under a lock that processes share: write its line and flush it
to the disk; read the bytes and overwrite them with zeros; return them. A crash at any point loses bits and
never gives one out twice: a line without its line feed was not committed, and nothing was read before it
was. The zeros keep old keys from who takes the disk later, and they are a second guard: bytes that read as
zeros were given out before, whatever a ledger from a backup says.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
import threading
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from qwarden.core.clock import Clock, WallClock
from qwarden.core.crypto.derivation import derive_key
from qwarden.core.errors import InputError, KeyExhausted, KeyReused, KeySupplyError, UsageError
from qwarden.core.files import atomic_write, canonical_json, sync_folder
from qwarden.core.keysupply import PRE_SHARED, Key

LEDGER: Final = "ledger.jsonl"
LEAST_BYTES: Final = 64
"""Smallest addition: one tag key for each end."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KEY_ID: Final = re.compile(r"([0-9a-f]{16})\.([0-9]{1,15})\.([0-9]{1,15})")
_ERASED: Final = bytes(8)  # a random key holds these in a given place once in 2^64


class PreSharedPool:
    """A supply of keys that were brought by hand; implements `qwarden.core.keysupply.KeySupply`.

    Parameters
    ----------
    folder : holds a folder for each peer; made (mode 0700) when a peer's first material is added. In a home
        it is ``keys/pre-shared``.
    own : the name under which the other ends know this one.
    clock : dates the ledger; wall time.

    Examples
    --------
    >>> import os, tempfile
    >>> home, shared = tempfile.mkdtemp(), os.urandom(1024)
    >>> alice, bob = PreSharedPool(f"{home}/a", "alice"), PreSharedPool(f"{home}/b", "bob")
    >>> alice.add("bob", shared) == bob.add("alice", shared)
    True
    >>> key = alice.draw(256, "tag", "bob")
    >>> bob.fetch(key.id, "tag", "alice") == key, key.bits, key.origin
    (True, 256, 'pre-shared')
    >>> alice.available("bob"), bob.available("alice")
    (3840, 4096)
    """

    def __init__(self, folder: str | Path, own: str, clock: Clock | None = None) -> None:
        self._folder, self._own, self._clock = Path(folder), _checked_name(own), clock or WallClock()
        self._ledgers: dict[str, _Ledger] = {}
        self._lock = threading.Lock()

    def add(self, peer: str, material: bytes, origin: str = PRE_SHARED) -> str:
        """Take in key material; return its id, which is the same at the other end.

        Parameters
        ----------
        material : an even number of bytes, at least 64, from a good source of randomness, known to the two
            ends alone. Half of it is for each end to draw.
        origin : what it comes from, if it was not brought by hand; keys drawn from it say so.

        Raises
        ------
        InputError
            It is too short, or is not random: it holds runs of zeros, as a pool that was used does.
        KeyReused
            The same material was added before.
        """
        if _checked_name(peer) == self._own:
            raise UsageError(f"{peer} cannot share keys with itself")
        if len(material) < LEAST_BYTES or len(material) % 2:
            expected = f"an even number of bytes, at least {LEAST_BYTES}"
            raise InputError("key material", f"is {len(material)} bytes long, expected {expected}")
        if _ERASED in material:
            raise InputError("key material", "holds runs of zeros: it was used before, or is not random")
        id = derive_key(material, "pre-shared/id", 8).hex()
        folder = self._folder / peer
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._open(peer, new=True) as ledger:
            pool = folder / f"{id}.pool"
            if id in ledger.parts or (pool.exists() and pool.read_bytes() != material):
                raise KeyReused(f"{pool}: this key material was added before")
            # The file first: without its line it is never drawn from, and may be added again.
            atomic_write(pool, material, 0o600)
            sync_folder(self._folder)
            ledger.commit(
                {"did": "add", "part": id, "bytes": len(material), "own": self._own, "origin": origin}
            )
        return id

    def draw(self, bits: int, purpose: str, peer: str) -> Key:
        """Give out a key that was never given out before; see the contract."""
        if bits <= 0 or bits % 8:
            raise UsageError(f"{bits} bits: a key's length is a positive multiple of 8")
        with self._open(peer) as ledger:
            left = [part.end - part.next for part in ledger.parts.values()]
            for part in ledger.parts.values():
                if part.end - part.next >= bits // 8:
                    return ledger.release("draw", part, part.next, bits // 8, purpose)
        raise KeyExhausted(peer, bits, 8 * max(left, default=0))

    def fetch(self, id: str, purpose: str, peer: str, bits: int | None = None) -> Key:
        """Give out the key that `peer` drew under this id; see the contract."""
        found = _KEY_ID.fullmatch(id)
        with self._open(peer) as ledger:
            part = ledger.parts.get(found[1]) if found else None
            if not found or part is None:
                raise KeySupplyError(f"keys shared with {peer}: there is no key {id[:60]!r}")
            first, size = int(found[2]), int(found[3])
            if bits is not None and 8 * size != bits:
                raise KeySupplyError(f"keys shared with {peer}: {id} has {8 * size} bits, not {bits}")
            if not part.is_peers(first, size):
                raise KeySupplyError(f"keys shared with {peer}: {id} is not one that {peer} draws")
            if part.fetched_any(first, size):
                raise KeyReused(f"keys shared with {peer}: {id} was fetched before")
            return ledger.release("fetch", part, first, size, purpose)

    def available(self, peer: str) -> int:
        """Return how many bits may still be drawn, over all that was added."""
        with self._open(peer) as ledger:
            return 8 * sum(part.end - part.next for part in ledger.parts.values())

    def record(self, peer: str) -> list[dict[str, Any]]:
        """Return the ledger: what was added, drawn and fetched, when and for what, in order."""
        with self._open(peer) as ledger:
            return ledger.entries()

    @contextmanager
    def _open(self, peer: str, *, new: bool = False) -> Iterator[_Ledger]:
        path = self._folder / _checked_name(peer) / LEDGER
        if not new and not path.exists():
            raise KeySupplyError(f"no keys are shared with {peer}: {path} is not there")
        with self._lock:
            if peer not in self._ledgers:
                self._ledgers[peer] = _Ledger(path, peer, self._own, self._clock)
            ledger = self._ledgers[peer]
            try:
                with ledger.locked():
                    yield ledger
            except OSError as error:
                place = error.filename or path
                raise KeySupplyError(f"{place}: {(error.strerror or str(error)).lower()}") from error


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for an end: expected up to 64 of A-Z a-z 0-9 . _ -")
    return name


@dataclass(slots=True)
class _Part:
    """One addition: `[next, end)` is what this end may still draw; positions in bytes."""

    id: str
    size: int
    next: int
    end: int
    origin: str = PRE_SHARED
    fetched: list[tuple[int, int]] = field(default_factory=list)  # sorted, disjoint

    def is_peers(self, first: int, size: int) -> bool:
        start = 0 if self.end == self.size else self.end
        return size > 0 and start <= first and first + size <= start + self.size // 2

    def fetched_any(self, first: int, size: int) -> bool:
        at = bisect_right(self.fetched, (first, self.size))
        before = at > 0 and self.fetched[at - 1][1] > first
        return before or (at < len(self.fetched) and self.fetched[at][0] < first + size)

    def note(self, did: str, first: int, size: int) -> None:
        if did == "draw":
            self.next = first + size
        else:
            self.fetched.insert(bisect_right(self.fetched, (first, self.size)), (first, first + size))


class _Ledger:
    """The ledger of one peer: the only truth about what was given out. Used under its lock alone."""

    def __init__(self, path: Path, peer: str, own: str, clock: Clock) -> None:
        self._path, self._peer, self._own, self._clock = path, peer, own, clock
        self.parts: dict[str, _Part] = {}
        self._file = -1
        self._read = self._lines = self._inode = 0

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock that threads and processes share, knowing everything committed so far."""
        # Opened each time: a lock belongs to the open file, and a fork would share that.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._file = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            self._catch_up()
            yield
        finally:
            os.close(self._file)

    def commit(self, entry: Mapping[str, Any]) -> None:
        """Make an entry last, then believe it."""
        entry = {**entry, "time": self._clock.now()}
        line = canonical_json(entry) + b"\n"
        if os.write(self._file, line) != len(line):
            raise KeySupplyError(f"{self._path}: the disk is full")
        os.fsync(self._file)
        self._read += len(line)
        self._apply(entry)

    def release(self, did: str, part: _Part, first: int, size: int, purpose: str) -> Key:
        """Commit that bytes are given out, take them out of the file, and return them."""
        self.commit({"did": did, "part": part.id, "first": first, "bytes": size, "purpose": purpose})
        material = self._take_out(part.id, first, size)
        if _ERASED in material:
            raise KeyReused(
                f"{self._pool(part.id)}: bytes {first} on were given out before: the ledger is older"
            )
        return Key(f"{part.id}.{first}.{size}", material, part.origin)

    def entries(self) -> list[dict[str, Any]]:
        """Return all entries."""
        return [json.loads(line) for line in self._path.read_bytes().splitlines()]

    def _catch_up(self) -> None:
        """Read what other processes have committed; cut off what a crash has left of a line."""
        state = os.fstat(self._file)
        if self._inode not in (0, state.st_ino) or state.st_size < self._read:
            raise KeySupplyError(f"{self._path}: was replaced while in use")
        self._inode = state.st_ino
        news = os.pread(self._file, state.st_size - self._read, self._read)
        whole = news.rfind(b"\n") + 1
        if whole < len(news):
            os.ftruncate(self._file, self._read + whole)
        entry: dict[str, Any] = {}
        for line in news[:whole].splitlines():
            try:
                entry = json.loads(line)
                self._apply(entry)
            except (ValueError, KeyError, TypeError) as error:
                raise KeySupplyError(f"{self._path}: line {self._lines + 1} is damaged") from error
        self._read += whole
        if "first" in entry:  # its process may have died before it erased the bytes
            self._take_out(entry["part"], entry["first"], entry["bytes"])

    def _apply(self, entry: Mapping[str, Any]) -> None:
        id, size = str(entry["part"]), int(entry["bytes"])
        if entry["did"] == "add":
            if entry["own"] != self._own:
                raise KeySupplyError(f"{self._path}: belongs to {entry['own']}, not to {self._own}")
            start = 0 if self._own < self._peer else size // 2
            origin = str(entry.get("origin", PRE_SHARED))
            self.parts[id] = _Part(id, size, start, start + size // 2, origin)
        else:
            self.parts[id].note(entry["did"], int(entry["first"]), size)
        self._lines += 1

    def _take_out(self, id: str, first: int, size: int) -> bytes:
        """Read bytes and leave zeros behind."""
        path = self._pool(id)
        pool = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            if mode := stat.S_IMODE(os.fstat(pool).st_mode) & 0o077:
                raise KeySupplyError(f"{path}: other users may read it (mode {mode:o}): chmod 600 it")
            material = os.pread(pool, size, first)
            if len(material) != size:
                raise KeySupplyError(f"{path}: was cut short")
            os.pwrite(pool, bytes(size), first)
            os.fsync(pool)
        finally:
            os.close(pool)
        return material

    def _pool(self, id: str) -> Path:
        return self._path.with_name(f"{id}.pool")
