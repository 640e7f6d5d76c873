"""Two entities to try out, ready to run: certificates, settings, and stores filled by a simulated exchange.

Only the photons are simulated; the two ends talk, distil and store as real ones do, and every key says that
it is simulated.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from qwarden.core.errors import KeySupplyError, UsageError
from qwarden.core.files import atomic_write
from qwarden.core.keysupplies.preshared import PreSharedPool
from qwarden.keys.exchange import Ends, Exchange
from qwarden.keys.kme import pki, vault
from qwarden.keys.kme.config import FILE
from qwarden.keys.kme.records import Provenance
from qwarden.keys.kme.serving import FOLDER
from qwarden.keys.kme.store import KeyStore
from qwarden.keys.kme.tls import Files
from qwarden.keys.link import Link, Settings
from qwarden.keys.party.block import Block, Terms
from qwarden.keys.simulate import POOL_BYTES, SimulatedLink

KMES: Final = ("kme-a", "kme-b")
SAES: Final = ("sae-1", "sae-2")
_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One of the two entities and its application.

    Parameters
    ----------
    home : its home folder, with the settings in it.
    url : where it will be.
    sae, sae_files : the application that it serves.
    """

    kme: str
    home: Path
    url: str
    sae: str
    sae_files: Files

    @property
    def settings(self) -> Path:
        """Its settings file."""
        return self.home / FILE


@dataclass(frozen=True, slots=True, kw_only=True)
class Laboratory:
    """What was made: the two sites, and the keys they share.

    Parameters
    ----------
    keys : of 256 bits, in each store.
    """

    sites: tuple[Site, Site]
    keys: int


def make(
    folder: str | Path, *, ports: tuple[int, int], blocks: int = 1, distance_km: float = 10.0, seed: int = 1
) -> Laboratory:
    """Make two homes with everything in them, and fill both stores over a simulated link.

    Parameters
    ----------
    folder : new or empty.
    ports : of the two entities, on this machine.
    blocks, distance_km, seed : of the exchange.

    Raises
    ------
    UsageError
        The folder holds something.
    KeySupplyError
        No block gave a key.
    """
    sites = prepare(folder, ports=ports)
    stores = [open_store(site) for site in sites]
    try:
        total = _exchange(stores, blocks, Link(distance_km=distance_km), seed)
    finally:
        for store in stores:
            store.close()
    return Laboratory(sites=sites, keys=total)


def prepare(folder: str | Path, *, ports: tuple[int, int]) -> tuple[Site, Site]:
    """Make certificates, settings and empty vaults alone; raises as `make`."""
    place = Path(folder).absolute()
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise UsageError(f"{place}: is not empty; a laboratory wants a folder of its own")
    made = pki.make(place / "pki", kmes=KMES, saes=SAES)
    first, second = (
        Site(kme=kme, home=place / kme, url=f"https://127.0.0.1:{port}", sae=sae, sae_files=made.files(sae))
        for kme, sae, port in zip(KMES, SAES, ports, strict=True)
    )
    for site, other in ((first, second), (second, first)):
        site.home.mkdir(mode=0o700)
        atomic_write(site.home / "master.key", secrets.token_bytes(vault.MASTER_LEAST), 0o600)
        atomic_write(site.settings, _settings(site, other, made.files(site.kme)).encode(), 0o600)
        vault.create(site.home / FOLDER, vault.from_file(site.home / "master.key"))
    return first, second


def fill(stores: Sequence[KeyStore], block: str, material: bytes, *, epsilon: float, method: str) -> int:
    """Store a simulated block at both ends; return how many quanta it gave."""
    count = 0
    for store, peer in zip(stores, reversed(KMES), strict=True):
        count = store.add(
            Provenance(block=block, peer=peer, origin="simulated", method=method, epsilon=epsilon), material
        )
    return count


def open_store(site: Site) -> KeyStore:
    """Open the store of a site."""
    opened = vault.open_vault(site.home / FOLDER, vault.from_file(site.home / "master.key"))
    return KeyStore(site.home / FOLDER, site.kme, opened)


def _exchange(stores: Sequence[KeyStore], blocks: int, link: Link, seed: int) -> int:
    counts: list[int] = []

    def keep(ends: Ends) -> None:
        alice, bob = _packed(ends.alice), _packed(ends.bob)
        length = ends.alice.length
        if alice != bob or length is None:
            raise KeySupplyError(f"block {ends.alice.id}: the ends hold different keys")
        counts.append(fill(stores, ends.alice.id, alice, epsilon=length.epsilon, method=length.method))

    with tempfile.TemporaryDirectory(prefix="qwarden-laboratory-") as shared:
        exchange = Exchange(
            name="laboratory",
            apparatus=SimulatedLink(link, lambda _: None, seed),
            terms=Terms(settings=Settings()),
            supplies=_supplies(Path(shared), blocks),
            inspect=lambda _: "",
            publish=lambda _: None,
            keep=keep,
            at_most=_ATTEMPTS,
        )
        for _ in range(blocks):
            exchange.run()
    if not counts:
        raise KeySupplyError("no block gave a key; a shorter distance may")
    return sum(counts)


def _packed(block: Block) -> bytes:
    return np.packbits(block.key[: block.key.size // 8 * 8]).tobytes()


def _supplies(folder: Path, blocks: int) -> tuple[PreSharedPool, PreSharedPool]:
    shared = secrets.token_bytes(POOL_BYTES * blocks * _ATTEMPTS)
    alice, bob = PreSharedPool(folder / "alice", "alice"), PreSharedPool(folder / "bob", "bob")
    alice.add("bob", shared)
    bob.add("alice", shared)
    return alice, bob


def _settings(site: Site, other: Site, files: Files) -> str:
    return f"""\
# Settings of a laboratory's key management entity; see docs/keys.md.
name = "{site.kme}"
listen = "{site.url.removeprefix("https://")}"
mode = "laboratory"   # serves simulated keys, and says so

[tls]
ca = "../pki/{files.ca.name}"
certificate = "../pki/{files.certificate.name}"
key = "../pki/{files.key.name}"

[peers]
{other.kme} = "{other.url}"

[saes]
{site.sae} = "{site.kme}"
{other.sae} = "{other.kme}"

[vault]
key_file = "master.key"
"""
