"""The console's certificate: self-signed, made at first start, renewed before it expires.

A browser warns once, because nobody it knows has signed it; the fingerprint shown at start tells the
person that it is this one. Key and certificate stand in ``HOME/tls``, the key readable by its owner only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from qwarden.core.crypto import certificates
from qwarden.core.errors import InputError

LIFE: Final = timedelta(days=365)
RENEWED: Final = timedelta(days=30)
"""So long before its end a certificate is replaced."""

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate on disk.

    Attributes
    ----------
    chain, key : its file, and its private key's.
    fingerprint : SHA-256 of the certificate, as browsers show it.
    expires : when it ends.
    """

    chain: Path
    key: Path
    fingerprint: str
    expires: datetime


def ensure_certificate(folder: str | Path, host: str, now: datetime | None = None) -> Certificate:
    """Return the certificate of `folder`, made or renewed if need be.

    Parameters
    ----------
    folder : where it stands; made with mode 0700.
    host : a name or address it must hold, beside those of the machine itself.
    now : the time, for tests.

    Raises
    ------
    ConfigError
        Others may read the private key.
    """
    now = now or datetime.now(UTC)
    place = Path(folder)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    chain, key = place / "certificate.pem", place / "key.pem"
    names = dict.fromkeys((*LOOPBACK, host))
    certificates.refuse_open(key)
    found = _usable(chain, key, names, now)
    if found is None:
        made = certificates.issue("Qwarden console", life=LIFE, now=now, names=names, server=True)
        certificates.keep(made, chain, key)
        found = made.certificate
    return Certificate(chain, key, certificates.fingerprint(found), found.not_valid_after_utc)


def _usable(chain: Path, key: Path, names: Iterable[str], now: datetime) -> x509.Certificate | None:
    """Return the certificate on disk if it is whole, fits its key and the names, and lasts."""
    try:
        certificate = certificates.load(chain, key).certificate
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (InputError, x509.ExtensionNotFound):
        return None
    lasts = certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - RENEWED
    fits = all(certificates.general_name(name) in held for name in names)
    return certificate if lasts and fits else None
