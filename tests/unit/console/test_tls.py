from __future__ import annotations

import hashlib
import socket
import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from qwarden.console.tls import LIFE, RENEWED, Certificate, ensure_certificate
from qwarden.core.errors import ConfigError

NOW = datetime.now(UTC).replace(microsecond=0)


def handshake(certificate: Certificate, name: str) -> str:
    """Connect as a careful client does, which trusts this certificate alone; return the TLS version."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate.chain, certificate.key)
    client = ssl.create_default_context(cafile=str(certificate.chain))
    ours, theirs = socket.socketpair()
    with ours, theirs:

        def answer() -> None:
            try:
                server.wrap_socket(theirs, server_side=True).close()
            except (ssl.SSLError, OSError):
                theirs.close()

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            with client.wrap_socket(ours, server_hostname=name) as secured:
                return secured.version() or ""
        finally:
            ours.close()
            thread.join()


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "wall.example"])
def test_a_client_that_trusts_it_connects_under_every_name(tmp_path: Path, name: str) -> None:
    assert handshake(ensure_certificate(tmp_path, "wall.example"), name) == "TLSv1.3"


def test_a_client_does_not_take_it_for_another_host(tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        handshake(ensure_certificate(tmp_path, "127.0.0.1"), "elsewhere.example")


def test_the_fingerprint_is_what_a_browser_shows(tmp_path: Path) -> None:
    made = ensure_certificate(tmp_path, "127.0.0.1")
    der = ssl.PEM_cert_to_DER_cert(made.chain.read_text())
    assert made.fingerprint == ":".join(f"{byte:02X}" for byte in hashlib.sha256(der).digest())


def test_only_its_owner_reads_the_key(tmp_path: Path) -> None:
    made = ensure_certificate(tmp_path / "new", "127.0.0.1")
    assert stat.S_IMODE(made.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.key.parent.stat().st_mode) == 0o700
    made.key.chmod(0o640)
    with pytest.raises(ConfigError, match="other users may read it"):
        ensure_certificate(tmp_path / "new", "127.0.0.1")


def test_it_is_kept_until_its_end_is_near(tmp_path: Path) -> None:
    made = ensure_certificate(tmp_path, "127.0.0.1", NOW)
    assert made.expires == NOW + LIFE
    shortly_before = NOW + LIFE - RENEWED - timedelta(seconds=1)
    assert ensure_certificate(tmp_path, "127.0.0.1", shortly_before) == made
    renewed = ensure_certificate(tmp_path, "127.0.0.1", NOW + LIFE - RENEWED)
    assert renewed.fingerprint != made.fingerprint
    assert renewed.expires == NOW + LIFE - RENEWED + LIFE


def test_it_is_made_anew_for_another_host(tmp_path: Path) -> None:
    made = ensure_certificate(tmp_path, "127.0.0.1")
    other = ensure_certificate(tmp_path, "192.0.2.7")
    assert other.fingerprint != made.fingerprint
    assert handshake(other, "192.0.2.7")


@pytest.mark.parametrize("broken", ["certificate.pem", "key.pem"])
def test_it_is_made_anew_when_damaged_or_no_pair(tmp_path: Path, broken: str) -> None:
    made = ensure_certificate(tmp_path / "a", "127.0.0.1")
    (tmp_path / "a" / broken).write_text("no PEM")
    assert ensure_certificate(tmp_path / "a", "127.0.0.1").fingerprint != made.fingerprint
    other = ensure_certificate(tmp_path / "b", "127.0.0.1")
    (tmp_path / "a" / broken).write_bytes((tmp_path / "b" / broken).read_bytes())
    assert ensure_certificate(tmp_path / "a", "127.0.0.1").fingerprint != other.fingerprint
    assert handshake(ensure_certificate(tmp_path / "a", "127.0.0.1"), "localhost")
