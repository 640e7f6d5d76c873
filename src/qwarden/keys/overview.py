"""How the links of a home are doing, read from what is stored: events, pools, tags.

Nothing here talks to a node; what a node did is in the events it has stored. The key store is asked while
nobody has it open; an entity that serves is asked itself.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from qwarden.core.crypto.tags import KEY_BITS
from qwarden.core.errors import KeySupplyError, QwardenError
from qwarden.core.keysupplies.preshared import PreSharedPool
from qwarden.core.store import Store
from qwarden.keys.events import KeyBlock, LinkAlarm
from qwarden.keys.kme.config import FILE as CONFIG_FILE
from qwarden.keys.kme.config import Loaded, load
from qwarden.keys.kme.ledger import FILE as STORE_FILE
from qwarden.keys.kme.records import Pool
from qwarden.keys.kme.renewal import ARTICLE_S
from qwarden.keys.party.site import POOLS, STORE

WINDOW: Final = 200
"""Events that are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkState:
    """One link, as its end at this home knows it.

    Parameters
    ----------
    accepted, aborted, alarms : among the last `WINDOW` events.
    bits_per_s : secret bits a second between the first and the last block of those.
    qber_z, qber_x, chsh : of the last block; None if not known.
    last_block, last_alarm : when; seconds since the epoch. None: never.
    cause : of the last alarm.
    origin : of the last key.
    keys : of 256 bits that this end may draw; None if they cannot be counted now.
    tags : that this end can still make; None if it shares no keys for tags.
    renewal : when the next key is due; None before the first.
    """

    link: str
    accepted: int = 0
    aborted: int = 0
    alarms: int = 0
    bits_per_s: float | None = None
    qber_z: float | None = None
    qber_x: float | None = None
    chsh: float | None = None
    last_block: float | None = None
    last_alarm: float | None = None
    cause: str = ""
    origin: str = ""
    keys: int | None = None
    tags: int | None = None
    renewal: float | None = None


def links(store: Store, home: Path, entity: Loaded | None = None) -> list[LinkState]:
    """Return every link that a home has heard of, by name.

    Parameters
    ----------
    store : of the home's events.
    entity : settings of the home's key management entity, if it has one.
    """
    blocks = [e for e in store.events(room="keys", kind="block", limit=WINDOW) if isinstance(e, KeyBlock)]
    alarms = [
        e for e in store.events(room="keys", kind="link_alarm", limit=WINDOW) if isinstance(e, LinkAlarm)
    ]
    pools = {pool.peer: pool for pool in _pools(home, entity)}
    tags = dict(_tags(home))
    names = {block.link for block in blocks} | {alarm.link for alarm in alarms}
    every_s = entity.config.renewal.every_s if entity else ARTICLE_S
    found = []
    for name in sorted(names):
        state = _told(name, [b for b in blocks if b.link == name], [a for a in alarms if a.link == name])
        peer = next((peer for peer in (*pools, *tags) if _is_end(peer, name)), "")
        pool = pools.get(peer)
        found.append(
            replace(
                state,
                keys=pool.left if pool else None,
                tags=tags.get(peer),
                renewal=pool.renewed + every_s if pool else None,
            )
        )
    return found


def entity_of(home: Path) -> Loaded | None:
    """Return the settings of the home's key management entity, if it has one."""
    path = home / CONFIG_FILE
    return load(path) if path.exists() else None


def _is_end(peer: str, link: str) -> bool:
    return link.startswith(f"{peer}-") or link.endswith(f"-{peer}")


def _told(name: str, blocks: Sequence[KeyBlock], alarms: Sequence[LinkAlarm]) -> LinkState:
    """What the events say of a link; newest first."""
    accepted = [block for block in blocks if block.accepted]
    last = blocks[0] if blocks else None
    seconds = accepted[0].time - accepted[-1].time if len(accepted) > 1 else 0.0
    secret = sum(block.secret_bits for block in accepted[:-1])
    return LinkState(
        link=name,
        accepted=len(accepted),
        aborted=len(blocks) - len(accepted),
        alarms=len(alarms),
        bits_per_s=secret / seconds if seconds > 0 else None,
        qber_z=last.qber_z if last else None,
        qber_x=last.qber_x if last else None,
        chsh=last.chsh if last else None,
        last_block=last.time if last else None,
        last_alarm=alarms[0].time if alarms else None,
        cause=alarms[0].cause if alarms else "",
        origin=accepted[0].origin if accepted else "",
    )


def _tags(home: Path) -> list[tuple[str, int]]:
    """Tags that can still be made towards each peer, from the ledgers, without touching a pool."""
    found = []
    for folder in sorted((home / POOLS).glob("*/")):
        for own in _owner(folder):
            with suppress(KeySupplyError):
                found.append((folder.name, PreSharedPool(home / POOLS, own).available(folder.name)))
    return [(peer, bits // KEY_BITS) for peer, bits in found]


def _owner(folder: Path) -> list[str]:
    with suppress(OSError, ValueError, KeyError), (folder / "ledger.jsonl").open() as ledger:
        return [str(json.loads(ledger.readline())["own"])]
    return []


def _pools(home: Path, entity: Loaded | None) -> list[Pool]:
    """What can be drawn: asked of the file, or of the entity that has it open."""
    ask: list[Callable[[], list[Pool]]] = [lambda: _read_pools(home / STORE / STORE_FILE)]
    if entity is not None:
        ask.append(lambda: _ask_entity(entity))
    for one in ask:
        with suppress(QwardenError, sqlite3.Error):
            return one()
    return []


def _read_pools(path: Path) -> list[Pool]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0.1)) as db:
        left = dict(db.execute("select peer, sum(own) from quanta group by peer").fetchall())
        return [
            Pool(peer=peer, left=int(left.get(peer, 0)), theirs=0, waiting=0, renewed=renewed, used=used)
            for peer, renewed, used in db.execute("select peer, renewed, used from pools")
        ]


def _ask_entity(entity: Loaded) -> list[Pool]:
    from qwarden.keys.kme.operator import Operator

    with Operator(entity) as operator:
        return operator.pools()
