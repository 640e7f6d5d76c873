"""What became of each block, so that a crash never leaves a key at one end alone.

Bob stores a key when he confirms it, Alice when she commits it, and only then does he hear of it: a crash in
between leaves Bob with a key and in doubt. So his is *pending* until he hears, sealed and not to be drawn.
When the two meet again he names what is pending, she says which of it she has kept, and he keeps those and
drops the others. A kept key goes to where keys are drawn from (`take_in`); that may be repeated after a
crash, since a store takes a block once.

One file of a home holds the blocks of all its links. Key bits in it are sealed by the home's vault, and
gone from it once they are taken in or dropped.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from qwarden.core.clock import Clock, WallClock
from qwarden.core.errors import KeyReused, KeySupplyError, QwardenError
from qwarden.core.keysupplies.preshared import LEAST_BYTES, PreSharedPool
from qwarden.keys.kme.records import Provenance
from qwarden.keys.kme.vault import Vault

FILE: Final = "links.db"
SHARE_MOST: Final = 2
"""At most one part in so many of a block's key goes to the pre-shared pool."""

Deliver = Callable[[Provenance, bytes], object]
"""Takes a kept key in; raises `KeyReused` for a block it has, `KeySupplyError` if it cannot now."""

_SCHEMA: Final = """
create table if not exists blocks (
    row integer primary key, id text not null, peer text not null, state text not null,
    origin text not null, method text not null, epsilon real not null, replenish integer not null,
    sealed blob, time real not null, unique (peer, id));
"""


class BlockJournal:
    """The blocks of a home's links; safe for threads and processes.

    Parameters
    ----------
    folder : holds ``links.db`` (mode 0600).
    vault : seals what is stored.
    clock : dates what is stored.

    Raises
    ------
    KeySupplyError
        The file is damaged.
    """

    def __init__(self, folder: str | Path, vault: Vault, clock: Clock | None = None) -> None:
        self._path, self._vault, self._clock = Path(folder) / FILE, vault, clock or WallClock()
        self._mutex = threading.Lock()
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600))
        with self._storing():
            self._db = sqlite3.connect(
                self._path, isolation_level=None, check_same_thread=False, timeout=30.0
            )
            for pragma in ("journal_mode = wal", "synchronous = full", "secure_delete = on"):
                self._db.execute(f"pragma {pragma}")
            self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Let go of the file."""
        with self._mutex:
            self._db.close()

    def hold(self, provenance: Provenance, material: bytes, replenish: int = 0) -> None:
        """Store a key that the other end may not have kept yet; see `keep`."""
        self._insert("pending", provenance, material, replenish)

    def keep(self, provenance: Provenance, material: bytes, replenish: int = 0) -> None:
        """Store a key that the other end holds too.

        Parameters
        ----------
        replenish : so many of its leading bytes shall serve for tags; less if the key is short.
        """
        self._insert("kept", provenance, material, replenish)

    def pending(self, peer: str) -> list[str]:
        """Return the ids of blocks that are in doubt."""
        with self._storing():
            rows = self._db.execute(
                "select id from blocks where peer = ? and state = 'pending' order by row", (peer,)
            )
            return [str(id) for (id,) in rows.fetchall()]

    def kept(self, peer: str, ids: Collection[str]) -> list[str]:
        """Return which of these blocks this end has kept, whatever became of their keys since."""
        asked = set(ids)
        with self._storing():
            rows = self._db.execute(
                "select id from blocks where peer = ? and state in ('kept', 'stored') order by row", (peer,)
            )
            return [str(id) for (id,) in rows.fetchall() if id in asked]

    def settle(self, peer: str, kept: Collection[str]) -> tuple[int, int]:
        """Keep those pending blocks that the other end has kept, drop the others; return how many of each."""
        doubtful = self.pending(peer)
        ours = [id for id in doubtful if id in kept]
        lost = [id for id in doubtful if id not in kept]
        with self._storing(), self._db:
            self._db.execute("begin immediate")
            self._db.executemany(
                "update blocks set state = 'kept' where peer = ? and id = ?", [(peer, id) for id in ours]
            )
            self._db.executemany(
                "update blocks set state = 'dropped', sealed = null where peer = ? and id = ?",
                [(peer, id) for id in lost],
            )
        return len(ours), len(lost)

    def waiting(self, peer: str) -> int:
        """Return how many kept keys have not been taken in."""
        with self._storing():
            asked = "select count(*) from blocks where peer = ? and state = 'kept'"
            return int(self._db.execute(asked, (peer,)).fetchone()[0])

    def take_in(self, peer: str, pool: PreSharedPool, deliver: Deliver) -> int:
        """Bring kept keys to where they are used; return how many.

        Raises
        ------
        KeySupplyError
            `deliver` or the pool cannot take one now; it stays here for the next time.
        """
        with self._storing():
            rows = self._db.execute(
                "select row, id, origin, method, epsilon, replenish, sealed from blocks"
                " where peer = ? and state = 'kept' order by row",
                (peer,),
            ).fetchall()
        for row, id, origin, method, epsilon, replenish, sealed in rows:
            material = self._vault.open(sealed, ["link", peer, id])
            head = replenish_bytes(len(material), replenish)
            if head:
                with suppress(KeyReused):  # a crash came after it
                    pool.add(peer, material[:head], origin)
            with suppress(KeyReused):
                deliver(
                    Provenance(block=id, peer=peer, origin=origin, method=method, epsilon=epsilon),
                    material[head:],
                )
            with self._storing():
                self._db.execute("update blocks set state = 'stored', sealed = null where row = ?", (row,))
        return len(rows)

    def _insert(self, state: str, provenance: Provenance, material: bytes, replenish: int) -> None:
        sealed = self._vault.seal(material, ["link", provenance.peer, provenance.block])
        row = (
            provenance.block, provenance.peer, state, provenance.origin, provenance.method,
            provenance.epsilon, replenish, sealed, self._clock.now(),
        )  # fmt: skip
        with self._storing():
            self._db.execute(
                "insert into blocks (id, peer, state, origin, method, epsilon, replenish, sealed, time)"
                " values (?,?,?,?,?,?,?,?,?)",
                row,
            )

    @contextmanager
    def _storing(self) -> Iterator[None]:
        with self._mutex:
            try:
                yield
            except QwardenError:
                raise
            except sqlite3.Error as error:
                raise KeySupplyError(f"{self._path}: {error}") from error


def replenish_bytes(size: int, wanted: int) -> int:
    """Return how many leading bytes of a key of `size` bytes become tag keys; both ends come to the same.

    Examples
    --------
    >>> replenish_bytes(4000, 1024), replenish_bytes(1001, 1024), replenish_bytes(100, 1024)
    (1024, 500, 0)
    """
    share = min(wanted, size // SHARE_MOST) // 2 * 2
    return share if share >= LEAST_BYTES else 0
