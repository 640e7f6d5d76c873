"""X.509 certificates made here: self-signed or by an own authority, and kept on disk.

Keys are ECDSA on P-256; a private key's file is readable by its owner alone. Who trusts them is the caller's
affair: a browser that is shown a fingerprint, or entities that hold the authority's certificate.

Source: RFC 5280 (profile), RFC 9525 section 6 (names), NIST FIPS 186-5 (ECDSA on P-256).
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from qwarden.core.errors import ConfigError, InputError
from qwarden.core.files import atomic_write

COMMON_NAME_MOST: Final = 64
"""Characters of a common name, RFC 5280 appendix A.1."""

_EARLIER: Final = timedelta(hours=1)  # clocks differ


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and the private key that belongs to it; printing it shows no key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)


def issue(
    common_name: str,
    *,
    life: timedelta,
    now: datetime,
    names: Iterable[str] = (),
    server: bool = False,
    client: bool = False,
    authority: Issued | None = None,
) -> Issued:
    """Make a certificate with a new key.

    Parameters
    ----------
    common_name : whose it is, at most 64 characters.
    life : how long it lasts from `now`.
    names : host names and addresses it is good for.
    server, client : what it may be shown as; neither: it is an authority, which signs others.
    authority : signs it; by default it is signed by its own key.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    signer = authority.key if authority else key
    is_authority = not (server or client)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.certificate.subject if authority else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + life)
        .add_extension(
            x509.BasicConstraints(ca=is_authority, path_length=0 if is_authority else None), critical=True
        )
        .add_extension(_usage(is_authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    if held := [general_name(name) for name in names]:
        builder = builder.add_extension(x509.SubjectAlternativeName(held), critical=False)
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH] * server + [ExtendedKeyUsageOID.CLIENT_AUTH] * client
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    return Issued(builder.sign(signer, hashes.SHA256()), key)


def keep(issued: Issued, chain: Path, key: Path) -> None:
    """Write a certificate and its private key (mode 0600), both in PEM."""
    secret = issued.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    atomic_write(key, secret, 0o600)
    atomic_write(chain, issued.certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def load(chain: Path, key: Path) -> Issued:
    """Read what `keep` wrote.

    Raises
    ------
    InputError
        A file is missing or damaged, or the key is not the certificate's.
    ConfigError
        Others may read the private key.
    """
    refuse_open(key)
    try:
        certificate = x509.load_pem_x509_certificate(chain.read_bytes())
        private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    except OSError as error:
        raise InputError(error.filename or chain, (error.strerror or str(error)).lower()) from error
    except (ValueError, TypeError) as error:
        raise InputError(chain, "it or its key is no PEM of that kind") from error
    if (
        not isinstance(private, ec.EllipticCurvePrivateKey)
        or certificate.public_key() != private.public_key()
    ):
        raise InputError(chain, f"{key.name} is not its key")
    return Issued(certificate, private)


def refuse_open(key: Path) -> None:
    """Raise `ConfigError` if others may read a private key; one that is missing passes."""
    if key.exists() and (mode := stat.S_IMODE(key.stat().st_mode)) & 0o077:
        raise ConfigError(key, "TLS key", f"other users may read it (mode {mode:o}): chmod 600 it")


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of a certificate, byte by byte in hexadecimal with colons."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def general_name(name: str) -> x509.GeneralName:
    """Return an address or a host name as a certificate holds it."""
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=is_authority, crl_sign=is_authority,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
