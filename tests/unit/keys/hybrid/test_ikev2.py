"""The file that strongSwan reads, taken apart by a parser of its own, and a `swanctl` that records."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from qwarden.core.errors import ServiceError, UsageError
from qwarden.keys.hybrid.ikev2 import SwanctlPpk, ppk_text

FAKE = """#!/bin/sh
here=$(dirname "$0")
if [ -e "$here/broken" ]; then echo "connecting to 'default' URI failed" >&2; exit 2; fi
printf '%s\\n' "$*" >> "$here/calls"
if [ "$1" = --list-sas ]; then cat "$here/sas"; fi
"""
FIRST, SECOND, THIRD = "00000000000000aa", "00000000000000bb", "00000000000000cc"


def parse(text: str) -> dict[str, Any]:
    """Read strongswan.conf(5): sections in braces, and settings of one line each."""
    tokens = iter(re.findall(r"[{}]|[^\s{}][^\n{}]*", re.sub("#.*", "", text)))

    def section() -> dict[str, Any]:
        found: dict[str, Any] = {}
        name = ""
        for token in tokens:
            if token == "}":
                break
            if token == "{":
                found[name] = section()
            elif "=" in token:
                key, _, value = token.partition("=")
                found[key.strip()] = value.strip()
            else:
                name = token.strip()
        return found

    return section()


class FakeSwanctl:
    """A program in a folder, and how it was called."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.program = folder, str(folder / "swanctl")
        Path(self.program).write_text(FAKE)
        Path(self.program).chmod(0o700)
        (folder / "sas").write_text("")

    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()


@pytest.fixture
def swanctl(tmp_path: Path) -> FakeSwanctl:
    return FakeSwanctl(tmp_path)


def at(swanctl: FakeSwanctl, *, begins: bool) -> SwanctlPpk:
    return SwanctlPpk(swanctl.folder / "ppk.conf", "site-1", begins=begins, program=swanctl.program)


def written(swanctl: FakeSwanctl) -> dict[str, Any]:
    return parse((swanctl.folder / "ppk.conf").read_text())


def secrets_of(document: dict[str, Any]) -> dict[str, str]:
    return {one["id"]: one["secret"] for one in document["secrets"].values()}


def test_the_end_that_begins_names_the_one_key_it_has(swanctl: FakeSwanctl) -> None:
    first, second = os.urandom(32), os.urandom(32)
    tunnel = at(swanctl, begins=True)
    tunnel.put(first, FIRST)
    tunnel.put(second, SECOND)
    document = written(swanctl)
    assert document["connections"] == {"site-1": {"ppk_required": "yes", "ppk_id": f"qwarden-{SECOND}"}}
    assert secrets_of(document) == {f"qwarden-{SECOND}": "0x" + second.hex()}


def test_the_other_end_takes_the_newest_key_and_the_one_before(swanctl: FakeSwanctl) -> None:
    keys = [os.urandom(32) for _ in range(3)]
    tunnel = at(swanctl, begins=False)
    for key, name in zip(keys, (FIRST, SECOND, THIRD), strict=True):
        tunnel.put(key, name)
    document = written(swanctl)
    assert document["connections"] == {"site-1": {"ppk_required": "yes"}}
    assert secrets_of(document) == {
        f"qwarden-{SECOND}": "0x" + keys[1].hex(), f"qwarden-{THIRD}": "0x" + keys[2].hex(),
    }  # fmt: skip


def test_nobody_else_may_read_the_file_and_no_argument_holds_the_key(swanctl: FakeSwanctl) -> None:
    before = os.umask(0)
    try:
        at(swanctl, begins=True).put(os.urandom(32), FIRST)
    finally:
        os.umask(before)
    assert stat.S_IMODE((swanctl.folder / "ppk.conf").stat().st_mode) == 0o600
    assert swanctl.calls() == ["--load-creds --noprompt", "--load-conns"]


@pytest.mark.parametrize("running", [False, True])
def test_stopping_ends_the_connection_and_leaves_a_key_that_nobody_else_has(
    swanctl: FakeSwanctl, running: bool
) -> None:
    key = os.urandom(32)
    tunnel = at(swanctl, begins=False)
    tunnel.put(key, FIRST)
    (swanctl.folder / "sas").write_text("site-1: #1, ESTABLISHED, IKEv2\n" if running else "")
    tunnel.stop()
    document = written(swanctl)
    [(name, secret)] = secrets_of(document).items()
    assert name != f"qwarden-{FIRST}"
    assert secret != "0x" + key.hex()
    assert document["connections"]["site-1"]["ppk_required"] == "yes"
    ended = [call for call in swanctl.calls() if call.startswith("--terminate")]
    assert ended == (["--terminate --ike site-1 --timeout 5"] if running else [])


def test_without_a_program_the_file_is_written_alone(tmp_path: Path) -> None:
    tunnel = SwanctlPpk(tmp_path / "ppk.conf", "site-1", begins=True, program=None)
    tunnel.put(bytes(range(32)), FIRST)
    tunnel.stop()
    assert (tmp_path / "ppk.conf").exists()


def test_failures_name_the_program_or_the_file(swanctl: FakeSwanctl) -> None:
    (swanctl.folder / "broken").touch()
    with pytest.raises(ServiceError, match=r"ikev2 site-1: .*swanctl: connecting to 'default' URI failed"):
        at(swanctl, begins=True).put(bytes(range(32)), FIRST)
    nowhere = SwanctlPpk(swanctl.folder / "no" / "ppk.conf", "site-1", begins=True)
    with pytest.raises(ServiceError, match="no such file"):
        nowhere.put(bytes(range(32)), FIRST)


@pytest.mark.parametrize("name", ["", "site 1", "a{b", "a\nb", "../x", "-x", "a" * 65])
def test_what_cannot_be_a_connection_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="no name of a connection"):
        SwanctlPpk(tmp_path / "ppk.conf", name, begins=True)


@pytest.mark.parametrize(("name", "size"), [("x", 32), ("00000000000000AA", 32), (FIRST, 31), (FIRST, 33)])
def test_only_whole_keys_under_plain_names_are_written(name: str, size: int) -> None:
    with pytest.raises(ValueError, match="PPK"):
        ppk_text("site-1", {name: bytes(size)}, begins=True)
