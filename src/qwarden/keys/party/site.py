"""What a home holds for its links: vault, journal, pre-shared keys, and the way to the key store.

One process at a time has the key store open: a key management entity while it serves. A node that finds it
so hands its keys to that entity instead.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from qwarden.core.errors import InputError, KeyReused, KeySupplyError, ServiceError
from qwarden.core.files import atomic_write
from qwarden.core.keysupplies.preshared import PreSharedPool
from qwarden.keys.kme.config import Loaded
from qwarden.keys.kme.records import Provenance
from qwarden.keys.kme.store import KeyStore
from qwarden.keys.kme.vault import MASTER_LEAST, Secret, Vault, create, from_file, has_vault, open_vault
from qwarden.keys.party.resume import BlockJournal

KEYS: Final = "keys"
STORE: Final = Path(KEYS, "kme")
POOLS: Final = Path(KEYS, "pre-shared")
MASTER: Final = "master.key"
PAUSES_S: Final = (0.05, 0.1, 0.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What an end holds; `open_site` opens it.

    Parameters
    ----------
    home : the home folder.
    name : of this end.
    entity : settings of the key management entity of this home, if it has one.
    """

    home: Path
    name: str
    vault: Vault
    journal: BlockJournal
    pool: PreSharedPool
    entity: Loaded | None

    def deliver(self, provenance: Provenance, material: bytes) -> None:
        """Bring a key to the key store, or to the entity that has it open.

        Raises
        ------
        KeyReused
            It is stored already.
        KeySupplyError
            It cannot be stored now.
        """
        for pause_s in (*PAUSES_S, None):
            try:
                self._store(provenance, material)
                return
            except KeyReused:
                raise
            except KeySupplyError:
                if pause_s is None:
                    raise
                time.sleep(pause_s)  # another process has the store open, most likely for a moment

    def _store(self, provenance: Provenance, material: bytes) -> None:
        try:
            with KeyStore(self.home / STORE, self.name, self.vault) as store:
                store.add(provenance, material)
        except KeyReused:
            raise
        except KeySupplyError:
            if self.entity is None:
                raise
            _hand_over(self.entity, provenance, material)


@contextmanager
def open_site(home: Path, name: str, secret: Secret, entity: Loaded | None = None) -> Iterator[Site]:
    """Open what a home holds for the time of a ``with``; the first time, make its vault.

    Raises
    ------
    KeySupplyError
        The master key is wrong, or the journal is damaged.
    """
    folder = home / STORE
    vault = open_vault(folder, secret) if has_vault(folder) else create(folder, secret)
    journal = BlockJournal(home / KEYS, vault)
    try:
        yield Site(
            home=home, name=name, vault=vault, journal=journal, pool=open_pool(home, name), entity=entity
        )
    finally:
        journal.close()


def open_pool(home: Path, name: str) -> PreSharedPool:
    """Return the keys that this end was given by hand."""
    return PreSharedPool(home / POOLS, name)


def own_master(home: Path) -> Secret:
    """Return the master key in the home, made if there is no vault yet: for a home without settings.

    Raises
    ------
    ConfigError
        There is a vault, and no master key to open it.
    """
    path = home / MASTER
    if not path.exists() and not has_vault(home / STORE):
        atomic_write(path, secrets.token_bytes(MASTER_LEAST), 0o600)
    return from_file(path)


def _hand_over(entity: Loaded, provenance: Provenance, material: bytes) -> None:
    from qwarden.keys.kme.operator import Operator

    try:
        with Operator(entity) as operator:
            operator.add(provenance, material)
    except InputError as error:
        if "stored before" in str(error):
            raise KeyReused(str(error)) from error
        raise KeySupplyError(str(error)) from error
    except ServiceError as error:
        raise KeySupplyError(str(error)) from error
