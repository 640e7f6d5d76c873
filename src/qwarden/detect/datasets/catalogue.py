"""The public data sets that measures stand on: where each file is from, its size, its SHA-256, its terms.

An address is that of a pinned commit, so that it cannot change; the hash is of what is downloaded, before it
is packed. `catalogue.json` beside this module is the list; `fetch` downloads by it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import urlsplit

from qwarden.core.errors import InputError, UsageError
from qwarden.core.files import sha256

CATALOGUE: Final = Path(__file__).with_name("catalogue.json")

_MOST_BYTES: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a data set.

    Attributes
    ----------
    path : where it belongs, within the set's folder.
    url : where it is; https alone.
    size : its bytes.
    sha256 : of these bytes.
    pack : it is kept as a gzip of them.
    manifest : what ``MANIFEST.csv`` says of it, if its set has one: description, packets, bytes, seconds,
        repository, path there.
    """

    path: str
    url: str
    size: int
    sha256: str
    pack: bool = False
    manifest: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DataSet:
    """A public data set.

    Attributes
    ----------
    name : its folder below ``QWARDEN_DATA``.
    title : what it is.
    cite : whom to cite.
    home : its official site.
    origin : where its files are downloaded from, and why there.
    terms : what its authors ask.
    restricted : the terms rule out some uses: they must be accepted.
    files : what is downloaded.
    builder : what makes the set's file of them; empty if they are the set.
    """

    name: str
    title: str
    cite: str
    home: str
    origin: str
    terms: str
    restricted: bool
    files: tuple[RemoteFile, ...]
    builder: str = ""

    @property
    def size(self) -> int:
        """Bytes that are downloaded."""
        return sum(file.size for file in self.files)

    @property
    def sha256(self) -> str:
        """What stands for all of it in one figure: the SHA-256 of its files' SHA-256 and names."""
        return sha256("".join(f"{file.sha256}  {file.path}\n" for file in self.files).encode())


def read_catalogue(path: Path = CATALOGUE) -> dict[str, DataSet]:
    """Return the data sets of a catalogue by name.

    Raises
    ------
    InputError
        An entry is impossible: another scheme than https, a path that leads out of its folder, a hash that
        is none.
    """
    try:
        sets = [_data_set(entry) for entry in json.loads(path.read_bytes())]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(path, f"is no catalogue of data sets: {error}") from error
    for each in sets:
        for file in each.files:
            problem = _wrong(file)
            if problem or not re.fullmatch(r"[a-z0-9][a-z0-9-]*", each.name):
                raise InputError(path, problem or f"{each.name!r} is no name of a folder", each.name)
    return {each.name: each for each in sets}


@cache
def catalogue() -> dict[str, DataSet]:
    """Return the data sets that come with the program, by name."""
    return read_catalogue()


def find_set(name: str, among: dict[str, DataSet] | None = None) -> DataSet:
    """Return a data set by name.

    Raises
    ------
    UsageError
        There is none of that name.
    """
    sets = catalogue() if among is None else among
    if name not in sets:
        raise UsageError(f"there is no data set {name}; expected one of {', '.join(sets)}")
    return sets[name]


def _data_set(entry: dict[str, Any]) -> DataSet:
    files = tuple(
        RemoteFile(**{**file, "manifest": tuple(file.get("manifest", ()))}) for file in entry["files"]
    )
    return DataSet(**{**entry, "files": files})


def _wrong(file: RemoteFile) -> str:
    """Return what is wrong with an entry, or nothing."""
    parts = PurePosixPath(file.path).parts
    if not parts or file.path.startswith("/") or "\\" in file.path or any(part == ".." for part in parts):
        return f"{file.path!r} leads out of the set's folder"
    address = urlsplit(file.url)
    if address.scheme != "https" or not address.hostname or address.username is not None:
        return f"{file.url!r} is no https address"
    if not 0 < file.size <= _MOST_BYTES:
        return f"{file.path}: {file.size} bytes; expected 1 to {_MOST_BYTES}"
    if not re.fullmatch(r"[0-9a-f]{64}", file.sha256):
        return f"{file.path}: {file.sha256!r} is no SHA-256"
    return ""
