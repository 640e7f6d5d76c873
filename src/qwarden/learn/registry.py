"""The registry: which models there are, what each was made of and reached, and which one is in use.

One folder holds the models of one purpose. ``NAME/VERSION/`` is a model as `storage` writes it, beside
``entry.json``: the facts about its making, and the SHA-256 of its ``model.json``, under a signature by
the registry's own key. ``active.json`` says which version of each name was promoted, and which name last.

`entry.json` is written last: a model without one was never finished, and counts for nothing. What is
listed has been checked as far as its signature; its arrays are checked when it is loaded or promoted.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from qwarden.core.errors import ModelError, UsageError
from qwarden.core.files import atomic_write, canonical_json, sha256
from qwarden.core.signing import SigningKey, TrustedKeys
from qwarden.learn.storage import DOCUMENT, MAX_DOCUMENT, StoredModel, load

SCHEMA: Final = 1
ENTRY, ACTIVE = "entry.json", "active.json"

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a model was made of.

    Parameters
    ----------
    data : the training data, in words.
    fingerprint : of its rows and labels, see `storage.fingerprint`.
    split : how training, calibration and held-out rows were kept apart.
    seed : of everything random.
    parent : the model it continues or replaces, as ``NAME@VERSION``.
    notes : whatever else its maker wants kept.
    """

    data: str
    fingerprint: str
    split: str = "none"
    seed: int = 0
    parent: str | None = None
    notes: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One model of a registry.

    Parameters
    ----------
    name, version : its reference is ``NAME@VERSION``.
    created : the time, ISO 8601.
    origin : what it was made of.
    figures : what it reached on held-out data, JSON values.
    key_id : who vouches for it.
    folder : where it lies.
    """

    name: str
    version: str
    created: str
    origin: Origin
    figures: Mapping[str, Any] = field(default_factory=dict)
    key_id: str
    folder: Path

    @property
    def reference(self) -> str:
        """``NAME@VERSION``."""
        return f"{self.name}@{self.version}"

    def document(self) -> dict[str, Any]:
        """Return the entry as JSON values."""
        return {**asdict(self), "figures": dict(self.figures), "folder": str(self.folder)}


class Registry:
    """The models of one purpose.

    Parameters
    ----------
    folder : where they are kept; made when the first one is added.
    key : signs what is added; only entries that it signed are believed.
    given : by name, what returns the entry of a model that lies elsewhere, as the one that ships; nothing
        can be added under such a name.
    trusted : keys that vouch for the given ones.

    Examples
    --------
    >>> import tempfile
    >>> from qwarden.learn import NeighborDistanceTwin, save
    >>> key, model = SigningKey.generate(), NeighborDistanceTwin().fit([[0.0], [1.0], [2.0]])
    >>> origin = Origin(data="three rows", fingerprint="")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     registry = Registry(Path(folder), key)
    ...     def write(to: Path, version: str) -> None:
    ...         save(model, to, key, name="near", version=version, created="2025-01-01")
    ...     added = registry.add("near", write, origin=origin, created="2025-01-01")
    ...     (added.reference, registry.active(), registry.promote("near").reference)
    ('near@1', None, 'near@1')
    """

    def __init__(
        self,
        folder: Path,
        key: SigningKey,
        given: Mapping[str, Callable[[], Entry]] | None = None,
        trusted: Mapping[str, bytes] | None = None,
    ) -> None:
        self._folder, self._key, self._given = folder, key, dict(given or {})
        self.trusted = TrustedKeys({**(trusted or {}), key.id: key.public})

    # -- reading -----------------------------------------------------------------------------------

    def entries(self) -> tuple[list[Entry], list[ModelError]]:
        """Return the entries by name and version, and what is wrong with the ones that are refused."""
        found, refused = [entry() for entry in self._given.values()], []
        for name in self.names():
            for version in self.versions(name):
                try:
                    found.append(self._read(name, version))
                except ModelError as error:
                    refused.append(error)
        return found, refused

    def get(self, reference: str) -> Entry:
        """Return the entry called ``NAME@VERSION``, or ``NAME``: its promoted version, else its newest.

        Raises
        ------
        UsageError
            There is none.
        ModelError
            It was changed, or another key signed it.
        """
        name, version = self._find(reference)
        if name in self._given:
            return self._given[name]()
        return self._read(name, version or self._pointer()["versions"].get(name, self.versions(name)[-1]))

    def names(self) -> list[str]:
        """Return the names that models were added under."""
        found = {path.parent.parent.name for path in self._finished("*")}
        return sorted(name for name in found if _NAME.fullmatch(name))

    def versions(self, name: str) -> list[str]:
        """Return the finished versions of a name that models were added under, oldest first."""
        if not _NAME.fullmatch(name):
            return []
        return [str(number) for number in sorted(int(path.parent.name) for path in self._finished(name))]

    def active_reference(self) -> str | None:
        """Return the reference of the model that was promoted last, None before any was."""
        pointer = self._pointer()
        name = pointer["active"]
        if name is None:
            return None
        return f"{name}@{self._given[name]().version if name in self._given else pointer['versions'][name]}"

    def active(self) -> Entry | None:
        """Return the entry that was promoted last, None before any was; `ModelError` if it is refused."""
        reference = self.active_reference()
        return None if reference is None else self.get(reference)

    def load(self, entry: Entry) -> StoredModel:
        """Return the model of an entry; `ModelError` if anything about it was changed."""
        return load(entry.folder, self.trusted)

    # -- changing ----------------------------------------------------------------------------------

    def add(
        self,
        name: str,
        write: Callable[[Path, str], None],
        *,
        origin: Origin,
        created: str,
        figures: Mapping[str, Any] | None = None,
    ) -> Entry:
        """Add the next version of `name`; nothing remains of it if that fails or is interrupted.

        Parameters
        ----------
        name : lower-case letters, digits, ``.``, ``_`` and ``-``.
        write : called with a folder and the version; saves the model there, signed by the registry's key.
        origin, created, figures : of the entry.

        Raises
        ------
        UsageError
            The name is no name, or is that of a given model.
        ModelError
            What `write` left there is no signed model.
        """
        self.check_name(name)
        folder = self._reserve(name)
        try:
            write(folder, folder.name)
            load(folder, self.trusted)
            entry = Entry(
                name=name, version=folder.name, created=created, origin=origin, figures=dict(figures or {}),
                key_id=self._key.id, folder=folder,
            )  # fmt: skip
            self._write(entry)
        except BaseException:
            shutil.rmtree(folder)
            raise
        return entry

    def promote(self, reference: str, check: Callable[[Entry], object] | None = None) -> Entry:
        """Make a model the active one of its name and of the registry, at once or not at all.

        Parameters
        ----------
        reference : ``NAME@VERSION``, or ``NAME`` for its newest version.
        check : called with the entry first; what it raises stops the promotion. By default, `load`.

        Raises
        ------
        UsageError
            There is no such model.
        ModelError
            It was changed, or another key signed it; the one that was active stays so.
        """
        name, version = self._find(reference)
        given = self._given.get(name)
        entry = given() if given else self._read(name, version or self.versions(name)[-1])
        (check or self.load)(entry)
        try:
            versions = self._pointer()["versions"]
        except ModelError:  # a broken pointer is mended by a new one
            versions = {}
        if name not in self._given:
            versions = {**versions, name: entry.version}
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        pointer = {"schema": SCHEMA, "active": name, "versions": versions}
        atomic_write(self._folder / ACTIVE, canonical_json(pointer))
        return entry

    def check_name(self, name: str) -> None:
        """Raise `UsageError` unless models can be added under `name`."""
        if name in self._given:
            raise UsageError(f"{name!r} is a model that came with the program: choose another name")
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!r} is no name for a model: expected a-z, 0-9, '.', '_' and '-'")

    # -- files -------------------------------------------------------------------------------------

    def _find(self, reference: str) -> tuple[str, str]:
        """Return name and version (empty if none is given) of a model that is there; `UsageError` if not."""
        name, _, version = reference.partition("@")
        versions = [self._given[name]().version] if name in self._given else self.versions(name)
        if not versions:
            known = ", ".join([*self._given, *self.names()])
            raise UsageError(f"no model {name!r}; there are {known or 'none'}")
        if version and version not in versions:
            raise UsageError(f"no model {reference!r}; {name} has versions {', '.join(versions)}")
        return name, version

    def _finished(self, name: str) -> list[Path]:
        """Return the `ENTRY` files of the finished versions of a name, or of all for ``*``."""
        return [path for path in self._folder.glob(f"{name}/*/{ENTRY}") if path.parent.name.isdecimal()]

    def _reserve(self, name: str) -> Path:
        """Make the folder of the next version; of two that add at once, each gets its own."""
        home = self._folder / name
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        number = 1 + max((int(path.name) for path in home.glob("*") if path.name.isdecimal()), default=0)
        while True:
            try:
                (home / str(number)).mkdir(mode=0o700)
            except FileExistsError:
                number += 1
            else:
                return home / str(number)

    def _write(self, entry: Entry) -> None:
        document = entry.document()
        del document["folder"]
        document |= {"schema": SCHEMA, "model": sha256((entry.folder / DOCUMENT).read_bytes())}
        document["signature"] = self._key.sign(canonical_json(document)).hex()
        atomic_write(entry.folder / ENTRY, canonical_json(document))

    def _read(self, name: str, version: str) -> Entry:
        """Return an entry whose signature, place and model are what they were."""
        folder = self._folder / name / version
        path = folder / ENTRY
        document = _json(path)
        try:
            schema, signature = document.pop("schema"), bytes.fromhex(document.pop("signature"))
            signed = canonical_json({**document, "schema": schema})
            if schema > SCHEMA:
                raise ModelError(path, f"has schema {schema}; this version of Qwarden reads up to {SCHEMA}")
            if document["key_id"] != self._key.id:
                raise ModelError(path, f"is signed by the key {document['key_id']}, which is not this home's")
            if not self.trusted.verify(self._key.id, signature, signed):
                raise ModelError(path, "its signature does not fit its contents: it was changed")
            model = document.pop("model")
            entry = Entry(**{**document, "origin": Origin(**document["origin"]), "folder": folder})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(path, f"is no entry of a model registry: {error!r}") from error
        if (entry.name, entry.version) != (name, version):
            raise ModelError(path, f"is the entry of {entry.reference}: it was moved here")
        if sha256(_bytes(folder / DOCUMENT)) != model:
            raise ModelError(folder / DOCUMENT, "is not the model that was registered: it was changed")
        return entry

    def _pointer(self) -> dict[str, Any]:
        """Return which version of each name was promoted, and which name last."""
        path = self._folder / ACTIVE
        if not path.exists():
            return {"active": None, "versions": {}}
        document = _json(path)
        name, versions = document.get("active"), document.get("versions")
        if not isinstance(name, str) or not isinstance(versions, dict):
            raise ModelError(path, "does not say which model is active: promote one anew")
        if name not in self._given and versions.get(name) not in self.versions(name):
            raise ModelError(path, f"names {name}@{versions.get(name)}, which is not there: promote another")
        return document


def _json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(_bytes(path))
    except (ValueError, RecursionError) as error:
        raise ModelError(path, "is not JSON") from error
    if not isinstance(document, dict):
        raise ModelError(path, "is not a JSON object")
    return document


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_DOCUMENT + 1)
    except OSError as error:
        raise ModelError(path, error.strerror or "cannot be read") from error
    if len(content) > MAX_DOCUMENT:
        raise ModelError(path, f"is larger than {MAX_DOCUMENT} bytes")
    return content
