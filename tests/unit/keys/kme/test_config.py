from __future__ import annotations

from pathlib import Path

import pytest

from qwarden.core.errors import ConfigError
from qwarden.keys.kme.config import load

GOOD = """
name = "kme-a"
listen = "127.0.0.1:8443"
mode = "production"
[tls]
ca = "ca.pem"
certificate = "pki/kme-a.pem"
key = "/etc/kme-a.key"
[peers]
kme-b = "https://127.0.0.1:8444"
[saes]
sae-1 = "kme-a"
sae-2 = "kme-b"
[vault]
key_file = "master.key"
[limits]
key_size = 512
max_key_per_request = 16
[renewal]
every_s = 600
low_water = 7
[vendors.kme-b]
url = "https://vendor.example"
kme = "V"
ca = "v.pem"
certificate = "v.pem"
key = "v.key"
slave = "other"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "kme.toml"
    path.write_text(text)
    return path


def test_everything_is_read_and_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    found = load(write(tmp_path, GOOD))
    config = found.config
    assert (config.name, config.mode, config.limits.key_size, config.limits.max_key_size) == (
        "kme-a", "production", 512, 4096,
    )  # fmt: skip
    assert (config.renewal.every_s, config.renewal.low_water, config.renewal.keep_s) == (600.0, 7, 86_400.0)
    assert found.files.ca == tmp_path / "ca.pem"
    assert found.files.key == Path("/etc/kme-a.key")
    assert found.key_file == tmp_path / "master.key"
    assert found.vendor_files(config.vendors["kme-b"]).certificate == tmp_path / "v.pem"


def test_production_is_what_is_not_said_otherwise(tmp_path: Path) -> None:
    assert load(write(tmp_path, GOOD.replace('mode = "production"', ""))).config.mode == "production"


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ('name = "kme-a"', "", "name: is missing"),
        ('name = "kme-a"', "name = 3", "name: expected a string"),
        ('name = "kme-a"', 'name = "../x"', "is no id"),
        ('name = "kme-a"', 'name = "kme-a"\nnamed = 1', "named: Config has no such field"),
        ('"production"', '"Production"', "mode: expected one of 'laboratory', 'production'"),
        ('ca = "ca.pem"', "", "tls.ca: is missing"),
        ('"https://127.0.0.1:8444"', '"http://127.0.0.1:8444"', "peers.kme-b: expected https"),
        ('"https://127.0.0.1:8444"', '"https://a/b"', "peers.kme-b: expected https"),
        ("kme-b = ", "kme-a = ", "peers.kme-a: is this entity itself"),
        ('sae-2 = "kme-b"', 'sae-2 = "kme-c"', "saes.sae-2: 'kme-c' is neither"),
        ('sae-2 = "kme-b"', 'kme-b = "kme-b"', "saes.kme-b: is the name of an entity"),
        ('sae-2 = "kme-b"', 'sae-2 = ["kme-b"]', "saes.sae-2: expected a string"),
        ("key_size = 512", "key_size = 500", "key_size: expected multiples of 8"),
        ("key_size = 512", "key_size = 8192", "key_size"),
        ("max_key_per_request = 16", "max_key_per_request = 0", "max_key_per_request: expected 1 to"),
        ("max_key_per_request = 16", "max_sae_id_count = -1", "max_sae_id_count: expected 0 to"),
        ("every_s = 600", "every_s = 0", "every_s: expected seconds from 1"),
        ("every_s = 600", "every_s = inf", "every_s: expected seconds"),
        ("low_water = 7", "low_water = -1", "low_water: expected 0 or more"),
        ("[vendors.kme-b]", "[vendors.kme-c]", "vendors.kme-c: is no peer"),
        ('slave = "other"', 'slave = "other"\nsize = 100', "vendors.kme-b: number or size"),
        ("[tls]", "[tls", "TOML"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, old: str, new: str, place: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError) as found:
        load(write(tmp_path, GOOD.replace(old, new, 1)))
    assert place in str(found.value)
    assert str(tmp_path / "kme.toml") in str(found.value)


def test_no_file_and_no_text_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load(tmp_path / "kme.toml")
    (tmp_path / "kme.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="TOML"):
        load(tmp_path / "kme.toml")
