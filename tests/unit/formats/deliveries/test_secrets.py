from __future__ import annotations

from pathlib import Path

import pytest

from qwarden.core.errors import ConfigError
from qwarden.formats.deliveries.secrets import shared_secrets


def test_a_secret_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "webhooks" / "h_443.secret"
    (first,) = shared_secrets(path)
    assert shared_secrets(path) == (first,)
    assert len(first) == 43
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [p.name for p in path.parent.iterdir()] == ["h_443.secret"]


def test_two_homes_have_two_secrets(tmp_path: Path) -> None:
    assert shared_secrets(tmp_path / "a") != shared_secrets(tmp_path / "b")


def test_two_lines_are_two_secrets(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.touch(0o600)
    path.write_text("a" * 32 + "\n" + "b" * 40 + "\n")
    assert shared_secrets(path) == (b"a" * 32, b"b" * 40)


@pytest.mark.parametrize("content", ["", "short\n", "a" * 40 + "\nshort\n"])
def test_short_secrets_are_refused_and_not_repeated(tmp_path: Path, content: str) -> None:
    path = tmp_path / "s"
    path.touch(0o600)
    path.write_text(content)
    with pytest.raises(ConfigError, match="32 characters") as error:
        shared_secrets(path)
    assert "aaaa" not in str(error.value)


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s"
    shared_secrets(path)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        shared_secrets(path)
