"""Download public data sets, and put nothing in place that is not byte for byte what it should be.

https alone; no redirect to another host; never more bytes than the catalogue says; a file appears under its
name only after its size and SHA-256 were right, and none that is there is overwritten.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import httpx

from qwarden import __version__
from qwarden.core.errors import InputError, ServiceError, UsageError
from qwarden.core.files import atomic_write, sync_folder
from qwarden.core.progress import SILENT, Progress, Task
from qwarden.detect.datasets.catalogue import DataSet, RemoteFile
from qwarden.detect.datasets.cic_sample import SAMPLE, build_cic_sample

_TIMEOUT_S: Final = 60.0
_MOST_REDIRECTS: Final = 3
_PIECE: Final = 1 << 16
_SPARE: Final = 64 << 20
"""Bytes that stay free on the disk."""

BUILDERS: Final[dict[str, tuple[str, Callable[[Path], bytes]]]] = {
    "cic_ids2017": (SAMPLE, build_cic_sample),
}
"""Sets that are made of what is downloaded: the file's name, and what makes its content of the folder."""

MANIFEST: Final = "MANIFEST.csv"
SOURCE: Final = "SOURCE.txt"


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of a data set.

    Attributes
    ----------
    name : the set's.
    folder : where it is.
    written, kept : files that were downloaded, and that were there already and are right.
    """

    name: str
    folder: Path
    written: tuple[str, ...]
    kept: tuple[str, ...]


def files_of(data: DataSet) -> list[str]:
    """Return the names of the files that make up a set, within its folder."""
    if data.builder:
        return [BUILDERS[data.builder][0]]
    return [file.path for file in data.files] + [MANIFEST] * any(file.manifest for file in data.files)


def fetch(
    data: DataSet,
    folder: Path,
    *,
    accept_terms: bool = False,
    progress: Progress = SILENT,
) -> Fetched:
    """Download a data set into a folder of its name.

    A stop leaves the files that were complete; the next call downloads the others.

    Parameters
    ----------
    folder : where the sets are, as ``QWARDEN_DATA``.
    accept_terms : the caller accepts the set's terms.

    Raises
    ------
    UsageError
        The set's terms restrict its use, and are not accepted.
    InputError
        What came is not what the catalogue says; another file of that name is there; it cannot be written.
    ServiceError
        The site cannot be reached, or broke off.
    """
    if data.restricted and not accept_terms:
        raise UsageError(f"{data.name}: {data.terms} If you accept this, say --accept-terms")
    into = folder / data.name
    with _writing(into):
        into.mkdir(parents=True, exist_ok=True)
        if data.builder:
            written, kept = _build(data, into, progress)
        else:
            written, kept = _download_all(data.files, into, progress)
        _describe(data, into)
    return Fetched(data.name, into, tuple(written), tuple(kept))


def check_files(data: DataSet, folder: Path) -> None:
    """See that every file of a set that is not built is in `folder`, byte for byte.

    Raises
    ------
    InputError
        One is missing, or is another file.
    """
    for file in data.files:
        if not _is_there(file, folder / file.path):
            raise InputError(folder / file.path, f"is missing; `qwarden data fetch {data.name}` brings it")


def _download_all(
    files: tuple[RemoteFile, ...], into: Path, progress: Progress
) -> tuple[list[str], list[str]]:
    kept = [file.path for file in files if _is_there(file, _place(into, file.path))]
    missing = [file for file in files if file.path not in kept]
    _look_for_room(into, sum(file.size for file in missing))
    if missing:
        with _client() as client, progress.task(into.name, sum(file.size for file in missing)) as task:
            for file in missing:
                _download(client, file, _place(into, file.path), task)
    return [file.path for file in missing], kept


def _build(data: DataSet, into: Path, progress: Progress) -> tuple[list[str], list[str]]:
    """Download the parts into a folder that goes again, and make the set's file of them."""
    name, build = BUILDERS[data.builder]
    if (into / name).exists():
        raise InputError(into / name, "is there already; remove it to build it anew")
    with tempfile.TemporaryDirectory(prefix=".parts.", dir=into) as parts:
        _download_all(data.files, Path(parts), progress)
        content = build(Path(parts))
    atomic_write(into / name, content)
    return [name], []


def _place(into: Path, path: str) -> Path:
    """Return where a file belongs; nothing of a set lies outside of its folder, not even by a link."""
    target = into / path
    if not target.parent.resolve().is_relative_to(into.resolve()):
        raise InputError(target, "leads out of the data set's folder")
    return target


def _is_there(file: RemoteFile, target: Path) -> bool:
    """Return whether the file is there and right."""
    if not target.exists():
        return False
    digest, size = hashlib.sha256(), 0
    try:
        with target.open("rb") as plain, gzip.open(plain) if file.pack else plain as stream:
            while size <= file.size and (piece := stream.read(_PIECE)):
                digest.update(piece)
                size += len(piece)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        size = -1
    if size != file.size or digest.hexdigest() != file.sha256:
        raise InputError(target, f"is another file than {file.url}; remove it, or name another folder")
    return True


def _look_for_room(into: Path, size: int) -> None:
    if shutil.disk_usage(into).free < size + _SPARE:
        raise InputError(into, f"has no room: {size:,} bytes are to be downloaded")


def _client() -> httpx.Client:
    return httpx.Client(
        timeout=_TIMEOUT_S,
        follow_redirects=False,
        headers={"User-Agent": f"qwarden/{__version__}", "Accept-Encoding": "identity"},
    )


def _download(client: httpx.Client, file: RemoteFile, target: Path, task: Task) -> None:
    """Bring one file and move it into place if it is right."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            if file.pack:
                # No name and no time within: the same content makes the same file.
                with gzip.GzipFile("", "wb", 9, stream, mtime=0) as packed:
                    _receive(client, file, packed, task)
            else:
                _receive(client, file, stream, task)
            stream.flush()
            os.fsync(stream.fileno())
        part.chmod(0o644)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(target.parent)


def _receive(client: httpx.Client, file: RemoteFile, stream: BinaryIO | gzip.GzipFile, task: Task) -> None:
    """Write what the address gives to `stream`; refuse what is not the file."""
    digest, size = hashlib.sha256(), 0
    try:
        with _opened(client, file.url) as response:
            # Not unpacked: a few bytes could become gigabytes.
            for piece in response.iter_raw(_PIECE):
                size += len(piece)
                if size > file.size:
                    raise InputError(file.url, f"is larger than the {file.size:,} bytes it should have")
                digest.update(piece)
                stream.write(piece)
                task.advance(len(piece), file.path)
    except httpx.HTTPError as error:
        what = f"broke off after {size:,} of {file.size:,} bytes" if size else "cannot be had"
        raise ServiceError(f"{file.url}: {what}: {str(error) or type(error).__name__}") from None
    if size != file.size:
        raise InputError(file.url, f"has {size:,} bytes; expected {file.size:,}")
    if digest.hexdigest() != file.sha256:
        raise InputError(file.url, f"has SHA-256 {digest.hexdigest()}; expected {file.sha256}")


@contextmanager
def _opened(client: httpx.Client, url: str) -> Iterator[httpx.Response]:
    """Open an address; follow redirects within its host."""
    first = at = httpx.URL(url)
    for _ in range(_MOST_REDIRECTS + 1):
        with client.stream("GET", at) as response:
            if response.is_redirect:
                at = at.join(response.headers["location"])
                if (at.scheme, at.host, at.port) != (first.scheme, first.host, first.port):
                    raise InputError(url, f"sends us to another host: {at.scheme}://{at.host}")
                continue
            if response.status_code >= 500:
                raise ServiceError(f"{url}: answered {response.status_code}")
            if response.status_code != 200:
                raise InputError(url, f"answered {response.status_code}; expected 200")
            if response.headers.get("content-encoding", "identity") != "identity":
                raise InputError(url, "came packed, which was not asked for")
            yield response
            return
    raise InputError(url, f"sends us on more than {_MOST_REDIRECTS} times")


def _describe(data: DataSet, into: Path) -> None:
    """Write the manifest, and say where the set is from, if nothing says so yet."""
    if any(file.manifest for file in data.files) and not (into / MANIFEST).exists():
        atomic_write(into / MANIFEST, manifest(data).encode())
    if not (into / SOURCE).exists():
        lines = [
            data.title,
            f"Cite: {data.cite}",
            f"Official site: {data.home}",
            f"Downloaded from {data.origin}",
            f"Terms: {data.terms}",
            "",
            "sha256 of what was downloaded:",
            *(f"{file.sha256}  {file.url}" for file in data.files),
        ]
        atomic_write(into / SOURCE, ("\n".join(lines) + "\n").encode())


def manifest(data: DataSet) -> str:
    """Return the table of a set of captures: folder (which is the label), file, and what is known of it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["label", "file", "description", "packets", "bytes", "duration_s", "sha256", "repo", "path"]
    )
    for file in data.files:
        label, _, name = file.path.partition("/")
        writer.writerow([label, name, *file.manifest[:4], file.sha256, *file.manifest[4:]])
    return text.getvalue()


@contextmanager
def _writing(into: Path) -> Iterator[None]:
    """Turn what the disk refuses into bad input with the folder's name."""
    try:
        yield
    except OSError as error:
        raise InputError(error.filename or into, f"cannot be written: {error.strerror or error}") from error
