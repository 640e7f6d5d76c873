from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from qwarden.core.crypto.certificates import fingerprint, general_name, issue, keep, load, refuse_open
from qwarden.core.errors import ConfigError, InputError

NOW = datetime(2030, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def test_only_an_authority_may_sign_and_not_for_other_authorities() -> None:
    authority = issue("authority", life=DAY, now=NOW)
    leaf = issue("leaf", life=DAY, now=NOW, server=True, authority=authority, names=["a.example", "::1"])
    leaf.certificate.verify_directly_issued_by(authority.certificate)
    for issued, is_authority in ((authority, True), (leaf, False)):
        extensions = issued.certificate.extensions
        basic = extensions.get_extension_for_class(x509.BasicConstraints)
        usage = extensions.get_extension_for_class(x509.KeyUsage)
        assert (basic.value.ca, basic.critical, usage.critical) == (is_authority, True, True)
        assert basic.value.path_length == (0 if is_authority else None)
        assert usage.value.key_cert_sign is is_authority
        assert usage.value.digital_signature is not is_authority
    held = leaf.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(held) == [x509.DNSName("a.example"), general_name("::1")]
    assert leaf.certificate.not_valid_after_utc == NOW + DAY


def test_what_is_kept_is_loaded_and_the_key_is_its_owner_s_alone(tmp_path: Path) -> None:
    issued = issue("one", life=DAY, now=NOW, client=True)
    chain, key = tmp_path / "c.pem", tmp_path / "k.pem"
    refuse_open(key)
    keep(issued, chain, key)
    assert (chain.stat().st_mode & 0o777, key.stat().st_mode & 0o777) == (0o644, 0o600)
    assert load(chain, key).certificate == issued.certificate
    private = load_pem_private_key(key.read_bytes(), None)
    assert private.public_key() == issued.certificate.public_key()
    assert "PRIVATE" not in repr(issued)
    assert len(fingerprint(issued.certificate).split(":")) == 32
    keep(issue("two", life=DAY, now=NOW, client=True), chain, tmp_path / "other.pem")
    with pytest.raises(InputError, match=r"k\.pem is not its key"):
        load(chain, key)
    key.chmod(0o640)
    with pytest.raises(ConfigError, match="mode 640"):
        load(chain, key)
    key.unlink()
    with pytest.raises(InputError, match="no such file"):
        load(chain, key)
    chain.write_bytes(b"-----BEGIN CERTIFICATE-----")
    (tmp_path / "other.pem").rename(key)
    with pytest.raises(InputError, match="no PEM"):
        load(chain, key)
