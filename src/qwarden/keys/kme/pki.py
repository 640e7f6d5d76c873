"""A laboratory's public-key infrastructure: an authority, and certificates of entities and applications.

The common name of a certificate is the id of the entity or application. Those of entities serve both ways,
those of applications only to call: an application cannot pose as an entity.

Source: RFC 5280; ETSI GS QKD 014, clause 5.1 (ids stand in certificates; how they get there is left open).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from qwarden.core.crypto import certificates
from qwarden.core.crypto.certificates import COMMON_NAME_MOST, Issued
from qwarden.core.errors import ConfigError, UsageError
from qwarden.keys.kme import requests
from qwarden.keys.kme.tls import Files

AUTHORITY_LIFE: Final = timedelta(days=3650)
LIFE: Final = timedelta(days=365)
HOSTS: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pki:
    """What stands in a folder: ``ca.pem`` and ``ca.key``, and for each name ``NAME.pem`` and ``NAME.key``."""

    folder: Path

    def files(self, name: str) -> Files:
        """Return the files of an entity or an application."""
        return Files(
            ca=self.folder / "ca.pem",
            certificate=self.folder / f"{name}.pem",
            key=self.folder / f"{name}.key",
        )


def make(
    folder: str | Path,
    *,
    kmes: Sequence[str] = (),
    saes: Sequence[str] = (),
    hosts: Sequence[str] = HOSTS,
    life: timedelta = LIFE,
    now: datetime | None = None,
) -> Pki:
    """Make an authority, or take the one that stands in the folder, and have it sign certificates.

    Parameters
    ----------
    folder : made with mode 0700; what stands there under the same names is replaced, but for the authority.
    kmes, saes : ids; no two alike.
    hosts : names and addresses that the entities are reached at.
    life : of the new certificates.
    now : the time, for tests.

    Raises
    ------
    UsageError
        A name is none, or is given twice.
    InputError
        The authority in the folder is damaged.
    """
    names = [*kmes, *saes]
    for name in names:
        _check(name)
    if len({name.lower() for name in names}) != len(names):
        raise UsageError("each entity and application needs a name of its own")
    place, now = Path(folder), now or datetime.now(UTC)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = _authority(place, now)
    made = Pki(folder=place)
    for name in names:
        server = name in kmes
        issued = certificates.issue(
            name, life=life, now=now, names=hosts if server else (), server=server, client=True,
            authority=authority,
        )  # fmt: skip
        certificates.keep(issued, made.files(name).certificate, made.files(name).key)
    return made


def _authority(folder: Path, now: datetime) -> Issued:
    chain, key = folder / "ca.pem", folder / "ca.key"
    if chain.exists() and not key.exists():
        raise ConfigError(key, "authority", "is missing: this folder's authority signs nothing any more")
    if chain.exists():
        return certificates.load(chain, key)
    authority = certificates.issue("Qwarden laboratory authority", life=AUTHORITY_LIFE, now=now)
    certificates.keep(authority, chain, key)
    return authority


def _check(name: str) -> None:
    try:
        requests.sae_id(name)
    except requests.Refusal:
        raise UsageError(
            f"{name!r}: expected letters, digits and . _ : @ -, a letter or digit first"
        ) from None
    if name.lower() == "ca" or len(name) > COMMON_NAME_MOST:
        raise UsageError(f"{name!r}: expected at most {COMMON_NAME_MOST} characters, and not ca")
