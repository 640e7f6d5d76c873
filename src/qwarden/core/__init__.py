"""What every room leans on. This room knows no security and no quantum; it imports no other.

In flow settings, time and events; out of it flow what was stored, what was chained and what was
measured. Read in this order:

- `errors`    the error tree, and the exit status of each
- `events`    what rooms say to each other; `clock`: when; `strict`: how it becomes JSON and comes back
- `store`     where events stay (`stores` holds the SQLite one); `audit`: the chain of their hashes
- `bus`       who hears of them (`buses` holds the in-process one)
- `backtrack` attempt, check, accept or undo and try again: one mechanism for the whole platform
- `measure`   the registry of figures; `figures`: their file and report; `revision`: whose they are;
  `bench`: benchmarks in processes of their own
- `lists`     exceptions that hold: what to ignore, where never to act; `ranges`: sets of addresses
- `keysupply` how a room draws key material (`keysupplies` holds the pre-shared pool); `crypto`: tags,
  wrapping, signatures, derivation, Merkle log
- `config`    settings from file and environment; `home`: the folder that holds all state
- `files`, `signing`, `progress`, `logs`, `compiled`: small tools

The names below may be imported from here or from their module; a module loads when its name is
first used, so importing this room costs nothing. `backtrack.backtrack` and `measure.measure` share
their module's name and are imported from there.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qwarden.core.audit import Audit as Audit
    from qwarden.core.bus import Bus as Bus
    from qwarden.core.bus import open_bus as open_bus
    from qwarden.core.clock import Clock as Clock
    from qwarden.core.clock import TrafficClock as TrafficClock
    from qwarden.core.clock import WallClock as WallClock
    from qwarden.core.config import Settings as Settings
    from qwarden.core.events import Event as Event
    from qwarden.core.events import UnknownEvent as UnknownEvent
    from qwarden.core.home import home_folder as home_folder
    from qwarden.core.keysupply import KeySupply as KeySupply
    from qwarden.core.lists import Lists as Lists
    from qwarden.core.progress import SILENT as SILENT
    from qwarden.core.progress import Progress as Progress
    from qwarden.core.progress import interruptible as interruptible
    from qwarden.core.signing import SigningKey as SigningKey
    from qwarden.core.signing import TrustedKeys as TrustedKeys
    from qwarden.core.store import Store as Store
    from qwarden.core.store import open_store as open_store

_MODULE_OF = {
    "Audit": "audit",
    "Bus": "bus",
    "Clock": "clock",
    "Event": "events",
    "KeySupply": "keysupply",
    "Lists": "lists",
    "Progress": "progress",
    "SILENT": "progress",
    "Settings": "config",
    "SigningKey": "signing",
    "Store": "store",
    "TrafficClock": "clock",
    "TrustedKeys": "signing",
    "UnknownEvent": "events",
    "WallClock": "clock",
    "home_folder": "home",
    "interruptible": "progress",
    "open_bus": "bus",
    "open_store": "store",
}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
