"""TLS of an entity and its callers: both sides show a certificate, and each is whom the other expects.

Who a certificate belongs to is its one common name. A client lets the handshake fail unless that is the
entity it means to speak to, so that not even a request reaches another.

Source: ETSI GS QKD 014, clause 5.1; RFC 9325 (recommendations for TLS).
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwarden.core.crypto.certificates import refuse_open
from qwarden.core.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What a side shows and trusts, in PEM.

    Parameters
    ----------
    ca : certificate of the authority that it trusts, alone.
    certificate, key : its own.
    """

    ca: Path
    certificate: Path
    key: Path


def server_context(files: Files) -> ssl.SSLContext:
    """Return TLS for the server: 1.2 or higher, and no caller without a certificate of the authority.

    Raises
    ------
    InputError
        A file is missing or no such thing.
    ConfigError
        Others may read the private key.
    """
    return _context(ssl.PROTOCOL_TLS_SERVER, files)


def client_context(files: Files, kme: str) -> ssl.SSLContext:
    """Return TLS for a client that shakes hands with the entity `kme` alone; raises as `server_context`."""

    class Confirmed(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            _confirm(self.getpeercert(), kme)

    class ConfirmedSocket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            _confirm(self.getpeercert(), kme)

    context = _context(ssl.PROTOCOL_TLS_CLIENT, files)
    context.sslobject_class, context.sslsocket_class = Confirmed, ConfirmedSocket
    return context


def common_name(certificate: Mapping[str, Any] | None) -> str:
    """Return the one common name of a certificate as `ssl` shows it; empty if there is not exactly one.

    Examples
    --------
    >>> common_name({"subject": ((("commonName", "sae-1"),),)})
    'sae-1'
    """
    subject = (certificate or {}).get("subject", ())
    names = [value for part in subject for key, value in part if key == "commonName"]
    return names[0] if len(names) == 1 else ""


def _confirm(certificate: Any, kme: str) -> None:
    if (found := common_name(certificate)) != kme:
        raise ssl.SSLCertVerificationError(1, f"its certificate is of {found[:64]!r}, not of {kme!r}")


def _context(protocol: int, files: Files) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    refuse_open(files.key)
    for path in (files.ca, files.certificate, files.key):
        if not path.is_file():
            raise InputError(path, "is missing")
    try:
        context.load_verify_locations(files.ca)
    except OSError as error:  # ssl.SSLError among them
        raise InputError(files.ca, "is no certificate of an authority") from error
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except OSError as error:
        raise InputError(files.certificate, f"it and {files.key.name} are no pair for TLS") from error
    return context


def _no_password() -> str:
    """Say that there is none, where OpenSSL would ask on the terminal."""
    return ""
