from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from qwarden.core.errors import ConfigError, InputError, UsageError
from qwarden.keys.kme import pki

NOW = datetime.now(UTC).replace(microsecond=0)


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_applications_can_only_call_and_entities_serve_too(tmp_path: Path) -> None:
    made = pki.make(tmp_path, kmes=["kme-a"], saes=["sae-1"], hosts=["127.0.0.1", "kme.example"])
    store = Store([certificate(tmp_path / "ca.pem")])
    kme, sae = (certificate(made.files(name).certificate) for name in ("kme-a", "sae-1"))
    for host in (
        x509.DNSName("kme.example"),
        x509.IPAddress(ip_address("127.0.0.1")),
    ):
        PolicyBuilder().store(store).build_server_verifier(host).verify(kme, [])
    with pytest.raises(VerificationError):
        PolicyBuilder().store(store).build_server_verifier(x509.DNSName("kme.example")).verify(sae, [])
    usages = [c.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value for c in (kme, sae)]
    assert list(usages[0]) == [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    assert list(usages[1]) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_openssl_agrees(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    made = pki.make(tmp_path, kmes=["kme-a"], saes=["sae-1"])

    def verify(name: str, purpose: str) -> bool:
        command = ["openssl", "verify", "-x509_strict", "-CAfile", tmp_path / "ca.pem", "-purpose", purpose,
                   made.files(name).certificate]  # fmt: skip
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    assert verify("kme-a", "sslserver")
    assert verify("kme-a", "sslclient")
    assert verify("sae-1", "sslclient")
    assert not verify("sae-1", "sslserver")


def test_an_authority_signs_on_and_keys_are_their_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    pki.make(folder, kmes=["kme-a"])
    before = (folder / "ca.pem").read_bytes()
    made = pki.make(folder, saes=["sae-1"])
    assert (folder / "ca.pem").read_bytes() == before
    issued = certificate(made.files("sae-1").certificate)
    issued.verify_directly_issued_by(certificate(folder / "ca.pem"))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.glob("*.key"))


def test_life_is_as_asked(tmp_path: Path) -> None:
    made = pki.make(tmp_path, saes=["s"], now=NOW, life=timedelta(days=3))
    assert certificate(made.files("s").certificate).not_valid_after_utc == NOW + timedelta(days=3)


@pytest.mark.parametrize(
    "names",
    [["../x"], ["a/b"], [""], ["."], ["ca"], ["CA"], ["x" * 65], ["a", "a"], ["a", "A"], ["a\n"], ["é"]],
)
def test_what_is_no_name_is_refused_and_writes_nothing(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(UsageError):
        pki.make(tmp_path / "pki", kmes=names[:1], saes=names[1:])
    assert not (tmp_path / "pki").exists()


def test_an_authority_that_is_damaged_or_open_to_others_signs_nothing(tmp_path: Path) -> None:
    pki.make(tmp_path)
    key = tmp_path / "ca.key"
    key.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        pki.make(tmp_path, saes=["s"])
    secret = key.read_bytes()
    key.unlink()
    with pytest.raises(ConfigError, match="signs nothing"):
        pki.make(tmp_path, saes=["s"])
    key.write_bytes(secret[:40])
    key.chmod(0o600)
    with pytest.raises(InputError, match=r"ca\.pem"):
        pki.make(tmp_path, saes=["s"])
    other = pki.make(tmp_path / "other")
    key.write_bytes((other.folder / "ca.key").read_bytes())
    with pytest.raises(InputError, match="is not its key"):
        pki.make(tmp_path, saes=["s"])
    assert secret.decode() not in repr(other)
