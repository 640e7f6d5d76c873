"""The home folder: all state of one Qwarden, and nothing outside it."""

from __future__ import annotations

import os
from pathlib import Path

from qwarden.core.errors import ConfigError

VARIABLE = "QWARDEN_HOME"


def home_folder(chosen: str | Path | None = None) -> Path:
    """Return the home folder, making it (mode 0700) if it is not there.

    It is `chosen`, else ``$QWARDEN_HOME``, else ``$XDG_DATA_HOME/qwarden``, else
    ``~/.local/share/qwarden``. An existing folder keeps its mode; the files in it that matter are
    private by themselves.

    Raises
    ------
    ConfigError
        It is no folder, or cannot be made or written to; the error says where the path came from.
    """
    folder, source = _where(chosen)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        raise ConfigError(source, "home", f"{folder} is no folder") from None
    except OSError as error:
        raise ConfigError(source, "home", f"{folder} cannot be made: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(source, "home", f"{folder} is not writable")
    return folder


def _where(chosen: str | Path | None) -> tuple[Path, str]:
    if chosen is not None:
        return Path(chosen).expanduser().absolute(), "--home"
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser().absolute(), VARIABLE
    # The XDG base directory specification has relative paths ignored.
    data = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (data if data.is_absolute() else Path.home() / ".local" / "share") / "qwarden", "default"
