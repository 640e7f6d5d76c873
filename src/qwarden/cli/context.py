"""What every command shares: the home folder, the settings, the open store."""

from __future__ import annotations

import getpass
import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qwarden.core.errors import UsageError

if TYPE_CHECKING:
    from qwarden.core.config import Settings
    from qwarden.core.progress import Progress
    from qwarden.core.store import Store

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


class Context:
    """Global options, turned into things when a command needs them."""

    def __init__(self, home: Path | None) -> None:
        self._home = home

    @property
    def home(self) -> Path:
        """The home folder, made if it is not there."""
        from qwarden.core.home import home_folder

        return home_folder(self._home)

    @property
    def settings(self) -> Settings:
        """The settings of this home: file, environment, defaults."""
        from qwarden.core.config import Settings

        return Settings.load(self.home)

    @contextmanager
    def store(self) -> Iterator[Store]:
        """Open the store for the time of a ``with``."""
        from qwarden.core.store import open_store

        store = open_store(self.home, self.settings.store.url)
        try:
            yield store
        finally:
            store.close()

    @property
    def progress(self) -> Progress:
        """Bars on standard error when a person is watching."""
        from qwarden.core.progress import terminal_progress

        return terminal_progress()


def print_json(document: Any) -> None:
    """Write one JSON document to standard output."""
    json.dump(document, sys.stdout, indent=1, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("\n")


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def moment(text: str, *, ago: bool = False) -> float:
    """Return a moment in seconds since the epoch: from now on (or `ago`), as ``12h``, or a date and time."""
    if span := re.fullmatch(r"(\d{1,9})([smhdw])", text):
        return time.time() + (-1 if ago else 1) * int(span[1]) * _SECONDS[span[2]]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--until {text}: expected 30m, 12h, 7d or a time as 2030-01-31T18:00Z") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def author_of(given: str | None) -> str:
    """Return who says something: as given, or the user who runs this."""
    if given is not None:
        return given
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in a container
        raise UsageError("--author: this user has no name; say who says so") from None
