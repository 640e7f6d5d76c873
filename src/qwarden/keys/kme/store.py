"""Stored keys: sealed, given out once, and the same at both ends of a link.

Each accepted block of a link is cut into quanta of 256 bits. The end whose name sorts first draws keys from
the first half of the quanta, the other from the second, so neither has to ask before it draws; it then tells
the other end which quanta became which key (`Assignment`), and there they are taken out of the pool too.
A key waits for the applications it was made for and is gone when the last of them has fetched it.

To give out is to delete first: rows are removed and the removal is on disk before a byte leaves. A crash
loses keys and never gives one out twice. Quanta that one end has used and the other has not heard of are
found by comparing what is left (`remaining`, `discard_used`) and dropped at the end that still has them.

Everything secret is sealed under the vault's data key and bound to its place; the rest is in clear.
"""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from qwarden.core.clock import Clock, WallClock, uuid7
from qwarden.core.errors import KeyExhausted, KeyReused, UsageError
from qwarden.keys.kme.ledger import Ledger
from qwarden.keys.kme.records import (
    ORIGINS,
    QUANTUM_BITS,
    QUANTUM_BYTES,
    Asked,
    Assignment,
    Delivered,
    Left,
    NoSuchKey,
    NotWaiting,
    Pool,
    PoolFull,
    Provenance,
    Wanted,
    quanta_of,
    spans,
)  # fmt: skip
from qwarden.keys.kme.vault import Secret, Vault

OWN_MOST: Final = 1_000_000
"""Quanta that this end may draw from one peer's pool, at most."""

Drawn: TypeAlias = list[tuple[Assignment, Delivered]] | KeyExhausted
"""What a request for keys comes to."""

_Row: TypeAlias = tuple[int, str, int, bytes]
_NAMED_MOST: Final = 1 << 22
_SPAN_MOST: Final = 1 << 31
_QUANTA: Final = "select count(*) from quanta where peer = ?"


class KeyStore:
    """The keys of one end; safe for threads, one process at a time.

    Parameters
    ----------
    folder : holds ``keys.db`` (mode 0600) beside the vault.
    own : name of this end.
    vault : seals what is stored.
    clock : dates what is stored.
    own_most : see `OWN_MOST`.

    Raises
    ------
    KeySupplyError
        The file is damaged, or another process has it open.
    """

    def __init__(
        self,
        folder: str | Path,
        own: str,
        vault: Vault,
        clock: Clock | None = None,
        *,
        own_most: int = OWN_MOST,
    ) -> None:
        self._own, self._vault, self._clock = own, vault, clock or WallClock()
        self.own_most = own_most
        self._ledger = Ledger(Path(folder))
        self._out: dict[str, tuple[str, str, Sequence[_Row]]] = {}

    def __enter__(self) -> KeyStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._ledger.close()

    def add(self, provenance: Provenance, material: bytes) -> int:
        """Store a block's key; return how many quanta it gave. What does not fill a quantum is dropped.

        Raises
        ------
        KeyReused
            The block is stored already, or was.
        PoolFull
            With it this end could draw more than `own_most` quanta.
        """
        count = len(material) // QUANTUM_BYTES
        with self._ledger.writing() as db:
            if db.execute("select 1 from blocks where id = ?", (provenance.block,)).fetchone():
                raise KeyReused(f"block {provenance.block}: was stored before")
            if self._left(db, provenance.peer, ORIGINS) + count - count // 2 > self.own_most:
                raise PoolFull(f"keys shared with {provenance.peer}: {self.own_most:,} quanta are stored")
            now = self._clock.now()
            db.execute(
                "insert into blocks values (?,?,?,?,?,?,?)",
                (provenance.block, provenance.peer, provenance.origin, provenance.method,
                 provenance.epsilon, 8 * len(material), now),
            )  # fmt: skip
            db.executemany(
                "insert into quanta (block, n, peer, own, origin, sealed) values (?,?,?,?,?,?)",
                self._quanta(provenance, material, count),
            )
            db.execute("insert or replace into pools values (?,?,0)", (provenance.peer, now))
        return count

    def available(self, peer: str, origins: Collection[str] = ORIGINS) -> int:
        """Return how many quanta this end may still draw."""
        with self._ledger.reading() as db:
            return self._left(db, peer, origins)

    def origins(self, peer: str) -> list[str]:
        """Return where the keys come from that this end may still draw."""
        with self._ledger.reading() as db:
            return [origin for origin in sorted(ORIGINS) if _any_left(db, peer, origin)]

    def pools(self) -> list[Pool]:
        """Return what is shared with each other end."""
        with self._ledger.reading() as db:
            return [
                Pool(
                    peer=peer,
                    left=_count(db, f"{_QUANTA} and own = 1", peer),
                    theirs=_count(db, f"{_QUANTA} and own = 0", peer),
                    waiting=_count(db, "select count(*) from keys where peer = ?", peer),
                    renewed=renewed,
                    used=used,
                )
                for peer, renewed, used in db.execute("select * from pools order by peer").fetchall()
            ]

    def draw(
        self, requests: Sequence[Asked], chosen: Callable[[list[Drawn]], None] = lambda _: None
    ) -> list[Drawn]:
        """Make keys, for many requests in one transaction; each gets all it asks for, or an error.

        The caller tells the other end of each assignment before it hands a key out, and says by `settle` or
        `put_back` what came of it. Until then, and after a crash, the quanta are nobody's.

        Parameters
        ----------
        chosen : called with what will be returned, before it is on disk: from then on the other end may be
            told, while no key may be handed out yet.

        Raises
        ------
        UsageError
            A size is no positive multiple of 8.
        """
        for asked in requests:
            if asked.bits <= 0 or asked.bits % 8:
                raise UsageError(f"{asked.bits} bits: a key's length is a positive multiple of 8")
        with self._ledger.writing() as db:
            drawn = [self._draw_one(db, asked) for asked in requests]
            chosen(drawn)
        return drawn

    def settle(self, ids: Iterable[str]) -> None:
        """Keys that were drawn are told, lost or refused: their quanta do not come back."""
        for id in ids:
            self._out.pop(id, None)

    def put_back(self, ids: Sequence[str]) -> None:
        """Store the quanta of keys again that were drawn, while surely nobody has heard of them."""
        out = [self._out.pop(id) for id in ids if id in self._out]
        with self._ledger.writing() as db:
            for peer, origin, rows in out:
                db.executemany(
                    "insert into quanta (block, n, peer, own, origin, sealed) values (?,?,?,1,?,?)",
                    [(block, n, peer, origin, sealed) for _, block, n, sealed in rows],
                )
                _count_use(db, peer, -len(rows))

    def accept(
        self, peer: str, assignments: Sequence[Assignment], origins: Collection[str] = ORIGINS
    ) -> list[bool]:
        """Take over what the other end has assigned; False where its quanta are not all here.

        Parameters
        ----------
        origins : keys of another origin are not taken.
        """
        with self._ledger.writing() as db:
            return [self._accept_one(db, peer, assignment, origins) for assignment in assignments]

    def fetch(self, requests: Sequence[Wanted]) -> list[list[Delivered] | NoSuchKey | NotWaiting]:
        """Hand keys to applications, many requests in one transaction; each gets all it wants, or an error.

        Each application may fetch each key once. `NotWaiting`: a key was not made for it, or it has it
        already; `NoSuchKey`: an id is unknown here, or belongs to another master.
        """
        with self._ledger.writing() as db:
            return [self._fetch_one(db, wanted) for wanted in requests]

    def remaining(self, peer: str) -> Left:
        """Return the quanta that this end may still draw, for the other's `discard_used`."""
        with self._ledger.reading() as db:
            places = db.execute(
                "select block, n from quanta where peer = ? and own = 1 order by block, n", (peer,)
            ).fetchall()
        left: dict[str, list[tuple[int, int]]] = {}
        for block, first, count in spans(places):
            left.setdefault(block, []).append((first, count))
        return left

    def discard_used(self, peer: str, remaining: Left, settled: float) -> tuple[int, Left]:
        """Drop quanta of the peer's half that it no longer has; return how many, and what is missing here.

        Blocks that the peer does not name at all are dropped too: it has used them up, or never stored them.
        One that was stored here since the time `settled` is spared: it may be on its way there.

        Raises
        ------
        ValueError
            More quanta are named than an end can have.
        """
        if sum(count for runs in remaining.values() for _, count in runs) > _NAMED_MOST:
            raise ValueError("too many quanta")
        with self._ledger.writing() as db:
            rows = db.execute(
                "select row, block, n, stored >= ? from quanta join blocks on blocks.id = block"
                " where quanta.peer = ? and own = 0",
                (settled, peer),
            ).fetchall()
            left = {block: sorted(runs) for block, runs in remaining.items()}
            gone = [
                (row,)
                for row, block, n, fresh in rows
                if not (fresh if block not in left else _within(left[block], n))
            ]
            db.executemany("delete from quanta where row = ?", gone)
        return len(gone), _missing(remaining, {(block, n) for _, block, n, _ in rows})

    def discard_missing(self, peer: str, missing: Left, settled: float) -> int:
        """Drop quanta of this end's half that the peer does not have; return how many.

        Of blocks that were stored here before the time `settled`: a later one may be on its way there.
        """
        old = "select 1 from blocks where id = ? and peer = ? and stored < ?"
        drop = "delete from quanta where block = ? and n >= ? and n < ? and peer = ? and own = 1"
        dropped = 0
        with self._ledger.writing() as db:
            for block, runs in missing.items():
                if db.execute(old, (block, peer, settled)).fetchone():
                    for first, count in runs:
                        dropped += db.execute(drop, (block, first, first + count, peer)).rowcount
        return dropped

    def expire(self, before: float) -> int:
        """Drop what was stored before a time and may be drawn here, and keys nobody fetched; return how much.

        The other end's half is its own to drop; here it goes when the two compare what is left.
        """
        with self._ledger.writing() as db:
            old = "delete from quanta where own = 1 and block in (select id from blocks where stored < ?)"
            quanta = db.execute(old, (before,)).rowcount
            return quanta + db.execute("delete from keys where made < ?", (before,)).rowcount

    def revoke(self, *, block: str | None = None, key: str | None = None, peer: str | None = None) -> int:
        """Drop what is left of a block, a key that waits, or everything shared with a peer; return how much.

        With a peer beside a block or a key, only what is shared with that peer.

        Raises
        ------
        UsageError
            None of them is given, or both a block and a key.
        """
        if (block is not None and key is not None) or (block is None and key is None and peer is None):
            raise UsageError("revoke a block, a key, or all that is shared with a peer")
        quanta = (
            "delete from quanta where (:block is null or block = :block) and (:peer is null or peer = :peer)"
        )
        keys = "delete from keys where (:key is null or id = :key) and (:peer is null or peer = :peer)"
        given = {"block": block, "key": key, "peer": peer}
        with self._ledger.writing() as db:
            dropped = 0 if key is not None else db.execute(quanta, given).rowcount
            dropped += 0 if block is not None else db.execute(keys, given).rowcount
        return dropped

    def reseal(self) -> int:
        """Seal everything anew under another data key; return how many rows.

        A crash at any point leaves every row readable: until all are sealed anew, the vault opens both.
        """
        old, renewed = self._vault, self._vault.renewed()
        with self._ledger.writing() as db:
            quanta = db.execute("select row, block, n, sealed from quanta").fetchall()
            keys = db.execute("select id, sealed from keys").fetchall()
            db.executemany(
                "update quanta set sealed = ? where row = ?",
                [(renewed.seal(old.open(s, [block, n]), [block, n]), row) for row, block, n, s in quanta],
            )
            db.executemany(
                "update keys set sealed = ? where id = ?",
                [(renewed.seal(old.open(s, ["key", id]), ["key", id]), id) for id, s in keys],
            )
        self._vault = renewed.settled()
        self.tidy()
        return len(quanta) + len(keys)

    def under(self, secret: Secret) -> None:
        """Have the vault opened by another secret from now on."""
        self._vault = self._vault.under(secret)

    def tidy(self) -> None:
        """Remove from the disk what the journal holds of keys that are gone."""
        self._ledger.tidy()

    def _quanta(
        self, provenance: Provenance, material: bytes, count: int
    ) -> Iterator[tuple[str, int, str, int, str, bytes]]:
        first_half = self._own < provenance.peer
        for n in range(count):
            own = (n < count // 2) == first_half
            secret = material[n * QUANTUM_BYTES : (n + 1) * QUANTUM_BYTES]
            sealed = self._vault.seal(secret, [provenance.block, n])
            yield provenance.block, n, provenance.peer, int(own), provenance.origin, sealed

    def _left(self, db: sqlite3.Connection, peer: str, origins: Collection[str]) -> int:
        return sum(_count(db, f"{_QUANTA} and own = 1 and origin = ?", peer, origin) for origin in origins)

    def _draw_one(self, db: sqlite3.Connection, asked: Asked) -> Drawn:
        count = asked.quanta * asked.number
        most = 0
        for origin in asked.origins:
            rows = db.execute(
                "select row, block, n, sealed from quanta where peer = ? and own = 1 and origin = ?"
                " order by row limit ?",
                (asked.peer, origin, count),
            ).fetchall()
            if len(rows) == count:
                break
            most = max(most, len(rows))
        else:
            return KeyExhausted(asked.peer, asked.bits * asked.number, QUANTUM_BITS * most)
        db.executemany("delete from quanta where row = ?", [row[:1] for row in rows])
        _count_use(db, asked.peer, count)
        return [
            self._key(db, asked, origin, rows[at : at + asked.quanta]) for at in range(0, count, asked.quanta)
        ]

    def _key(
        self, db: sqlite3.Connection, asked: Asked, origin: str, rows: Sequence[_Row]
    ) -> tuple[Assignment, Delivered]:
        places = [(block, n) for _, block, n, _ in rows]
        assignment = Assignment(
            id=uuid7(), bits=asked.bits, master=asked.master, slaves=asked.slaves, spans=spans(places)
        )
        material = b"".join(self._vault.open(sealed, [block, n]) for _, block, n, sealed in rows)
        self._out[assignment.id] = (asked.peer, origin, rows)
        epsilon = _epsilon(db, {block for block, _ in places})
        return assignment, Delivered(
            id=assignment.id, key=material[: asked.bits // 8], origin=origin, epsilon=epsilon
        )

    def _accept_one(
        self, db: sqlite3.Connection, peer: str, assignment: Assignment, origins: Collection[str]
    ) -> bool:
        rows = []
        for block, first, count in assignment.spans:
            if not (0 <= first < _SPAN_MOST and 0 < count < _SPAN_MOST):
                return False
            rows += db.execute(
                "select row, block, n, sealed, origin from quanta where block = ? and n >= ? and n < ?"
                " and peer = ? and own = 0 order by n",
                (block, first, first + count, peer),
            ).fetchall()
        asked = sum(count for *_, count in assignment.spans)
        found = {row[4] for row in rows}
        fits = len({row[0] for row in rows}) == asked == quanta_of(assignment.bits)
        known = db.execute("select 1 from keys where id = ?", (assignment.id,)).fetchone()
        if known or not fits or assignment.bits <= 0 or assignment.bits % 8 or not found <= set(origins):
            return False
        material = b"".join(self._vault.open(sealed, [block, n]) for _, block, n, sealed, _ in rows)
        db.executemany("delete from quanta where row = ?", [row[:1] for row in rows])
        _count_use(db, peer, asked)
        delivered = Delivered(
            id=assignment.id,
            key=material[: assignment.bits // 8],
            origin=max(found, key=ORIGINS.index),
            epsilon=_epsilon(db, {block for block, *_ in assignment.spans}),
        )
        self._insert(db, peer, assignment, delivered)
        return True

    def _insert(
        self, db: sqlite3.Connection, peer: str, assignment: Assignment, delivered: Delivered
    ) -> None:
        sealed = self._vault.seal(delivered.key, ["key", delivered.id])
        values = (
            delivered.id, peer, assignment.master, json.dumps(list(assignment.slaves)), delivered.origin,
            delivered.epsilon, assignment.bits, self._clock.now(), sealed,
        )  # fmt: skip
        db.execute("insert into keys values (?,?,?,?,?,?,?,?,?)", values)

    def _fetch_one(self, db: sqlite3.Connection, wanted: Wanted) -> list[Delivered] | NoSuchKey | NotWaiting:
        rows = [
            db.execute(
                "select id, waiting, origin, epsilon, sealed from keys where id = ? and master = ?",
                (id, wanted.master),
            ).fetchone()
            for id in dict.fromkeys(wanted.ids)
        ]
        found = [(*row[:1], json.loads(row[1]), *row[2:]) for row in rows if row is not None]
        if any(wanted.sae not in waiting for _, waiting, *_ in found):
            return NotWaiting("a key was not made for this application, or it has it")
        if len(found) < len(wanted.ids):
            return NoSuchKey("a key is not stored here")
        for id, waiting, *_ in found:
            waiting.remove(wanted.sae)
            if waiting:
                db.execute("update keys set waiting = ? where id = ?", (json.dumps(waiting), id))
            else:
                db.execute("delete from keys where id = ?", (id,))
        return [
            Delivered(id=id, key=self._vault.open(sealed, ["key", id]), origin=origin, epsilon=epsilon)
            for id, _, origin, epsilon, sealed in found
        ]


def _count(db: sqlite3.Connection, asked: str, *values: str) -> int:
    return int(db.execute(asked, values).fetchone()[0])


def _any_left(db: sqlite3.Connection, peer: str, origin: str) -> bool:
    asked = "select 1 from quanta where peer = ? and own = 1 and origin = ? limit 1"
    return db.execute(asked, (peer, origin)).fetchone() is not None


def _count_use(db: sqlite3.Connection, peer: str, quanta: int) -> None:
    db.execute("update pools set used = used + ? where peer = ?", (quanta * QUANTUM_BYTES, peer))


def _epsilon(db: sqlite3.Connection, blocks: set[str]) -> float:
    """Distance of a key made of several blocks from an ideal one: theirs added."""
    return float(
        sum(db.execute("select epsilon from blocks where id = ?", (block,)).fetchone()[0] for block in blocks)
    )


def _missing(named: Left, held: Collection[tuple[str, int]]) -> Left:
    """Return what is named and not held."""
    missing: dict[str, list[tuple[int, int]]] = {}
    for block, runs in named.items():
        numbers = [n for first, count in runs for n in range(first, first + count)]
        for _, start, length in spans([(block, n) for n in numbers if (block, n) not in held]):
            missing.setdefault(block, []).append((start, length))
    return missing


def _within(runs: Sequence[tuple[int, int]], n: int) -> bool:
    """Say whether `n` is in one of the runs, which are sorted and apart."""
    at = bisect_right(runs, n, key=lambda run: run[0]) - 1
    return at >= 0 and n < sum(runs[at])
