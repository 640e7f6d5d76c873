from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from qwarden.core.errors import ConfigError
from qwarden.core.home import home_folder


def test_it_is_made_private(tmp_path: Path) -> None:
    home = home_folder(tmp_path / "a" / "b")
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert home_folder(home) == home


def test_the_first_one_named_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QWARDEN_HOME", str(tmp_path / "env"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    assert home_folder(tmp_path / "chosen") == tmp_path / "chosen"
    assert home_folder() == tmp_path / "env"
    monkeypatch.delenv("QWARDEN_HOME")
    assert home_folder() == tmp_path / "xdg" / "qwarden"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert home_folder() == tmp_path / "user" / ".local" / "share" / "qwarden"


def test_a_relative_path_stays_where_it_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert home_folder("here") == tmp_path / "here"


def test_a_file_in_its_place_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"--home: home: .*file is no folder"):
        home_folder(tmp_path / "file")
    monkeypatch.setenv("QWARDEN_HOME", str(tmp_path / "file" / "below"))
    with pytest.raises(ConfigError, match=r"QWARDEN_HOME: home: .*cannot be made: Not a directory"):
        home_folder()


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(ConfigError, match="is not writable"):
        home_folder(tmp_path)
