"""An entity's settings: one TOML file, read strictly.

::

    name = "kme-a"
    listen = "127.0.0.1:8443"
    mode = "laboratory"                  # or production, which serves no simulated key

    [tls]                                # paths are relative to this file
    ca = "ca.pem"
    certificate = "kme-a.pem"
    key = "kme-a.key"

    [peers]
    kme-b = "https://127.0.0.1:8444"

    [saes]                               # which entity serves which application
    sae-1 = "kme-a"
    sae-2 = "kme-b"

    [vault]
    key_file = "master.key"              # without it, a passphrase is asked for

Beside these, ``[limits]`` takes the fields of `requests.Limits`, ``[renewal]`` those of `renewal.Renewal`,
and ``[vendors.PEER]`` those of `Vendor`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from qwarden.core import strict
from qwarden.core.errors import ConfigError, UsageError
from qwarden.keys.kme import requests
from qwarden.keys.kme.entity import Mode
from qwarden.keys.kme.renewal import Renewal
from qwarden.keys.kme.requests import Limits
from qwarden.keys.kme.tls import Files

FILE: Final = "kme.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Paths, relative to the settings file."""

    ca: str
    certificate: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultFile:
    """What opens the vault: a file with a master key, or (None) a passphrase."""

    key_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """A vendor's entity beside this one, whose keys are taken over; the other end has one too.

    Parameters
    ----------
    url, kme : where it is, and its id.
    ca, certificate, key : TLS towards it; the certificate holds the SAE ID that this entity has there.
    slave : the SAE ID that the other end's entity has at its own vendor entity.
    number, size : keys a renewal, and bits of each.
    """

    url: str
    kme: str
    ca: str
    certificate: str
    key: str
    slave: str
    number: int = 64
    size: int = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings of one entity; see the module."""

    name: str
    listen: str
    tls: TlsFiles
    mode: Mode = "production"
    peers: Mapping[str, str] = field(default_factory=dict)
    saes: Mapping[str, str] = field(default_factory=dict)
    vault: VaultFile = field(default_factory=VaultFile)
    limits: Limits = field(default_factory=Limits)
    renewal: Renewal = field(default_factory=Renewal)
    vendors: Mapping[str, Vendor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Settings with the file they came from."""

    path: Path
    config: Config

    @property
    def files(self) -> Files:
        """TLS of this entity."""
        return self._files(self.config.tls)

    @property
    def key_file(self) -> Path | None:
        """The file with the master key; None: a passphrase opens the vault."""
        named = self.config.vault.key_file
        return None if named is None else self._resolved(named)

    def vendor_files(self, vendor: Vendor) -> Files:
        """TLS towards a vendor's entity."""
        return self._files(vendor)

    def _files(self, named: TlsFiles | Vendor) -> Files:
        return Files(
            ca=self._resolved(named.ca),
            certificate=self._resolved(named.certificate),
            key=self._resolved(named.key),
        )

    def _resolved(self, path: str) -> Path:
        return (self.path.parent / path).absolute()


def load(path: str | Path) -> Loaded:
    """Read the settings of an entity.

    Raises
    ------
    ConfigError
        The file is missing or no TOML, or a setting is unknown, missing, of the wrong type or out of range.
    """
    place = Path(path).absolute()
    try:
        document = tomllib.loads(place.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(place, "settings", (error.strerror or str(error)).lower()) from error
    except ValueError as error:  # tomllib's and a wrong encoding
        raise ConfigError(place, "TOML", str(error)) from error
    try:
        config = strict.from_json(Config, document)
    except strict.Mismatch as mismatch:
        raise ConfigError(place, mismatch.place, mismatch.problem) from mismatch
    except UsageError as error:  # a value out of its range
        raise ConfigError(place, "limits or renewal", str(error)) from error
    for key, problem in _problems(config):
        raise ConfigError(place, key, problem)
    return Loaded(path=place, config=config)


def _problems(config: Config) -> list[tuple[str, str]]:
    """Return each setting that contradicts another or is no such thing."""
    found = []
    entities = {config.name, *config.peers}
    for name in (*entities, *config.saes):
        try:
            requests.sae_id(name)
        except requests.Refusal:
            found.append(("name", f"{name!r} is no id: letters, digits and . _ : @ -"))
    if config.name in config.peers:
        found.append((f"peers.{config.name}", "is this entity itself"))
    for name, url in (*config.peers.items(), *((n, v.url) for n, v in config.vendors.items())):
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or parts.path not in ("", "/"):
            found.append((f"peers.{name}", f"expected https://HOST:PORT, found {url!r}"))
    for sae, place in config.saes.items():
        if place not in entities:
            found.append((f"saes.{sae}", f"{place!r} is neither this entity nor a peer"))
        if sae in entities:  # it could pose as one
            found.append((f"saes.{sae}", "is the name of an entity"))
    for name, vendor in config.vendors.items():
        if name not in config.peers:
            found.append((f"vendors.{name}", "is no peer"))
        if not (1 <= vendor.number <= requests.NUMBER_MOST and vendor.size > 0 and vendor.size % 8 == 0):
            found.append((f"vendors.{name}", "number or size is out of range"))
    return found
