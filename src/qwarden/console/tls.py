"""The console's certificate: self-signed, made at first start, renewed before it expires.

A browser warns once, because nobody it knows has signed it; the fingerprint shown at start tells the
person that it is this one. Key and certificate stand in ``HOME/tls``, the key readable by its owner only.

Source: RFC 5280 (profile), RFC 9525 section 6 (names), NIST FIPS 186-5 (ECDSA on P-256).
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from qwarden.core.errors import ConfigError
from qwarden.core.files import atomic_write

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
    if key.exists() and (mode := stat.S_IMODE(key.stat().st_mode)) & 0o077:
        raise ConfigError(key, "TLS key", f"other users may read it (mode {mode:o}): chmod 600 it")
    found = _usable(chain, key, names, now)
    if found is None:
        found = _make(chain, key, names, now)
    return Certificate(chain, key, fingerprint(found), found.not_valid_after_utc)


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of a certificate, byte by byte in hexadecimal with colons."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def _usable(chain: Path, key: Path, names: Iterable[str], now: datetime) -> x509.Certificate | None:
    """Return the certificate on disk if it is whole, fits its key and the names, and lasts."""
    try:
        certificate = x509.load_pem_x509_certificate(chain.read_bytes())
        private = serialization.load_pem_private_key(key.read_bytes(), password=None)
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, x509.ExtensionNotFound):
        return None
    lasts = certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - RENEWED
    fits = certificate.public_key() == private.public_key()
    return certificate if lasts and fits and all(_name(name) in held for name in names) else None


def _make(chain: Path, key: Path, names: Iterable[str], now: datetime) -> x509.Certificate:
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Qwarden console")])
    public = private.public_key()
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # clocks differ
        .not_valid_after(now + LIFE)
        .add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(private, hashes.SHA256())
    )
    secret = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    atomic_write(key, secret, 0o600)
    atomic_write(chain, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return certificate


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
