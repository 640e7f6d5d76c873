"""Models on disk: arrays and JSON, signed; never pickle.

A model is a folder of two files. ``arrays.npz`` holds the arrays, uncompressed and byte for byte the
same whenever the model is. ``model.json`` says what they are: class, parameters, learnt scalars, the
SHA-256 of each array and of the whole file, what it was trained on, its figures, and an Ed25519
signature over all of that in canonical form.

`load` believes nothing before the signature of a trusted key has been checked, builds only classes of
a fixed registry, and compares every declared size before it reads. Whatever is off, it raises
`ModelError`, which names the file and what is wrong with it.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import ModelError
from qwarden.core.files import atomic_write, canonical_json, sha256
from qwarden.core.signing import SigningKey, TrustedKeys
from qwarden.learn.aligned import AlignedEncoding
from qwarden.learn.autoencoder import QuantumAutoencoder
from qwarden.learn.base import Array, Estimator, State
from qwarden.learn.bundle import Bundle
from qwarden.learn.encoding import FixedEncoding
from qwarden.learn.fidelity import FidelityMachine
from qwarden.learn.forests import IsolationForestTwin
from qwarden.learn.fusion import ConformalFusion
from qwarden.learn.hybrid import HybridClassifier
from qwarden.learn.linear import LogisticTwin
from qwarden.learn.margins import OneClassSVMTwin, RBFSVMTwin
from qwarden.learn.neighbours import KNeighborsTwin, NeighborDistanceTwin
from qwarden.learn.one_class import QuantumOneClass
from qwarden.learn.preprocess import Preprocessor
from qwarden.learn.projected import ProjectedMachine, ProjectedQSVC
from qwarden.learn.qknn import QKNNClassifier
from qwarden.learn.qnn import QNNClassifier
from qwarden.learn.qsvc import QSVC
from qwarden.learn.trees import ExtraTreesTwin, GradientBoostingTwin

SCHEMA: Final = 1
"""Version of the layout below; a newer one is refused."""

ARRAYS, DOCUMENT = "arrays.npz", "model.json"
MAX_DOCUMENT: Final = 16 << 20
MAX_ARRAYS: Final = 1 << 30
_HEADER_ROOM: Final = 4096
_KINDS: Final = "fciubU"  # floats, complex, integers, bools, fixed-width text; never objects

ESTIMATORS: Final[dict[str, type[Estimator]]] = {
    kind.__name__: kind
    for kind in (
        AlignedEncoding, ConformalFusion, ExtraTreesTwin, FidelityMachine, FixedEncoding,
        GradientBoostingTwin, HybridClassifier, IsolationForestTwin, KNeighborsTwin, LogisticTwin,
        NeighborDistanceTwin, OneClassSVMTwin, Preprocessor, ProjectedMachine, ProjectedQSVC,
        QKNNClassifier, QNNClassifier, QSVC, QuantumAutoencoder, QuantumOneClass, RBFSVMTwin,
    )
}  # fmt: skip
"""The only classes a file may name."""


class Storable(Protocol):
    """What can be saved: every estimator, and a `Bundle` of them."""

    def to_state(self) -> State:
        """Return what was learnt."""


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model as it was loaded, with what its file says about it."""

    model: Any
    name: str
    version: str
    created: str
    key_id: str
    fingerprint: str
    figures: Mapping[str, Any] = field(default_factory=dict)


def fingerprint(*arrays: npt.ArrayLike) -> str:
    """Return the SHA-256 of a training set: its arrays' types, shapes and bytes.

    >>> fingerprint([[1.0, 2.0]])[:8], fingerprint([[1.0], [2.0]])[:8]
    ('...', '...')
    """
    digest = hashlib.sha256()
    for array in arrays:
        block = np.ascontiguousarray(array)
        digest.update(f"{block.dtype.str}{block.shape}".encode())
        digest.update(block.tobytes())
    return digest.hexdigest()


def save(
    model: Storable,
    folder: str | Path,
    key: SigningKey,
    *,
    name: str,
    version: str,
    created: str,
    fingerprint: str = "",
    figures: Mapping[str, Any] | None = None,
) -> None:
    """Write a fitted model into `folder` (made if absent), signed by `key`.

    Parameters
    ----------
    model : an estimator of `ESTIMATORS`, or a `Bundle` of them.
    name, version : what findings call it.
    created : the time, ISO 8601.
    fingerprint : of the training data, see `fingerprint`.
    figures : JSON values measured on data that it was not trained on.

    Raises
    ------
    TypeError
        If the class cannot be stored, or a parameter is no JSON value.
    """
    kind = type(model).__name__
    if type(model) is not _registered(kind):
        raise TypeError(f"a {kind} cannot be stored")
    target = Path(folder)
    arrays: dict[str, Array] = {}
    state = _flatten(model.to_state(), "", arrays)
    packed = _pack(arrays)
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "class": kind,
        "name": name,
        "version": version,
        "created": created,
        "key": key.id,
        "training": {"fingerprint": fingerprint},
        "figures": _plain(figures or {}),
        "state": state,
        "arrays": {path: _declaration(array) for path, array in arrays.items()},
        "file": {"sha256": sha256(packed), "size": len(packed)},
    }
    document["signature"] = key.sign(canonical_json(document)).hex()
    target.mkdir(parents=True, exist_ok=True)
    atomic_write(target / ARRAYS, packed)
    atomic_write(target / DOCUMENT, _render(document))


def load(folder: str | Path, trusted: TrustedKeys) -> StoredModel:
    """Read a model that a trusted key has signed.

    Raises
    ------
    ModelError
        If a file is missing, changed, foreign, of a newer schema, or no model at all.
    """
    document = _read_document(Path(folder) / DOCUMENT, trusted)
    arrays = _read_arrays(Path(folder) / ARRAYS, document)
    try:
        model = _registered(document["class"]).from_state(_nest(document["state"], "", arrays))
        return StoredModel(
            model, document["name"], document["version"], document["created"], document["key"],
            document["training"]["fingerprint"], document["figures"],
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        _refuse(Path(folder) / DOCUMENT, f"its contents do not make a model: {error!r}", error)


def _refuse(path: Path, problem: str, cause: BaseException | None = None) -> NoReturn:
    raise ModelError(path, problem) from cause


def _registered(kind: str) -> Any:
    return Bundle if kind == Bundle.__name__ else ESTIMATORS.get(kind)


# -- the document ----------------------------------------------------------------------------------


def _render(document: Mapping[str, Any]) -> bytes:
    """Return the one form a document has on disk."""
    return (json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _read_document(path: Path, trusted: TrustedKeys) -> dict[str, Any]:
    """Return the document, its signature checked."""
    raw = _read(path, MAX_DOCUMENT)
    try:
        document = json.loads(raw)
        rendered = _render(document)
    except (ValueError, RecursionError) as error:
        _refuse(path, "is not JSON", error)
    if rendered != raw or not isinstance(document, dict):
        _refuse(path, "is not written as this program writes it: it was changed")
    schema = document.get("schema")
    if not isinstance(schema, int) or schema < 1:
        _refuse(path, "is no model: it has no schema version")
    if schema > SCHEMA:
        _refuse(path, f"has schema {schema}; this version of Qwarden reads up to {SCHEMA}")
    name, signature = document.get("key"), document.pop("signature", None)
    if not isinstance(name, str) or not isinstance(signature, str):
        _refuse(path, "is not signed")
    if name not in trusted:
        _refuse(path, f"is signed by the key {name[:64]!r}, which is not trusted here")
    try:
        genuine = trusted.verify(name, bytes.fromhex(signature), canonical_json(document))
    except ValueError as error:
        _refuse(path, "its signature is unreadable", error)
    if not genuine:
        _refuse(path, "its signature does not fit its contents: it was changed")
    if _registered(str(document.get("class"))) is None:
        _refuse(path, f"holds a {document.get('class')!r}, a class this version does not know")
    return document


def _flatten(state: State, prefix: str, arrays: dict[str, Array]) -> dict[str, Any]:
    """Return `state` as JSON values; collect its arrays under ``part/part/array``."""
    for name, array in state.arrays.items():
        block = np.ascontiguousarray(array)
        if block.dtype.kind not in _KINDS:
            raise TypeError(f"{prefix}{name} has dtype {block.dtype}, which cannot be stored")
        arrays[prefix + name] = block
    return {
        "params": _plain(state.params),
        "facts": _plain(state.facts),
        "parts": {name: _flatten(part, f"{prefix}{name}/", arrays) for name, part in state.parts.items()},
    }


def _nest(tree: Mapping[str, Any], prefix: str, arrays: Mapping[str, Array]) -> State:
    """Undo `_flatten`."""
    own = {path.removeprefix(prefix): array for path, array in arrays.items() if path.startswith(prefix)}
    return State(
        params=dict(tree["params"]),
        facts=dict(tree["facts"]),
        arrays={name: array for name, array in own.items() if "/" not in name},
        parts={name: _nest(part, f"{prefix}{name}/", arrays) for name, part in tree["parts"].items()},
    )


def _plain(value: Any) -> Any:
    """Return `value` with NumPy's scalars as Python's and tuples as lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


# -- the arrays ------------------------------------------------------------------------------------


def _declaration(array: Array) -> dict[str, Any]:
    return {"sha256": sha256(array.tobytes()), "dtype": array.dtype.str, "shape": list(array.shape)}


def _pack(arrays: Mapping[str, Array]) -> bytes:
    """Return an npz file that depends on nothing but the arrays: no times, no compression."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(arrays):
            member = io.BytesIO()
            np.lib.format.write_array(member, arrays[path], allow_pickle=False)
            entry = zipfile.ZipInfo(f"{path}.npy")
            entry.create_system = 3
            archive.writestr(entry, member.getvalue())
    return buffer.getvalue()


def _read_arrays(path: Path, document: Mapping[str, Any]) -> dict[str, Array]:
    """Return the arrays, each as large as the signed document declares and with its hash."""
    try:
        declared = {name: _Declared.of(entry) for name, entry in document["arrays"].items()}
        size, digest = document["file"]["size"], document["file"]["sha256"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        _refuse(path, "its declaration is unreadable", error)
    if sum(entry.size for entry in declared.values()) > MAX_ARRAYS:
        _refuse(path, f"is declared to hold more than {MAX_ARRAYS} bytes")
    raw = _read(path, MAX_ARRAYS + (1 << 20))
    if len(raw) != size or sha256(raw) != digest:
        _refuse(path, "is not the file that was signed: it was changed")
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            if len(entries) != len(archive.infolist()) or set(entries) != {f"{n}.npy" for n in declared}:
                _refuse(path, "holds other arrays than declared")
            return {
                name: _read_array(path, archive, entries[f"{name}.npy"], declared[name]) for name in declared
            }
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        _refuse(path, f"is no archive of plain arrays: {error}", error)


@dataclass(frozen=True, slots=True)
class _Declared:
    """What the document says about one array."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    sha256: str

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> _Declared:
        dtype, shape = np.dtype(entry["dtype"]), tuple(entry["shape"])
        if dtype.kind not in _KINDS or not all(isinstance(side, int) and side >= 0 for side in shape):
            raise ValueError(f"dtype {entry['dtype']!r} or shape {shape} is not that of a plain array")
        return cls(dtype, shape, entry["sha256"])

    @property
    def size(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def _read_array(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, declared: _Declared) -> Array:
    """Return one array of the archive."""
    stored = entry.compress_type == zipfile.ZIP_STORED and entry.file_size == entry.compress_size
    if not stored or not declared.size < entry.file_size <= declared.size + _HEADER_ROOM:
        _refuse(path, f"{entry.filename} is not as large as declared")
    array: Array = np.lib.format.read_array(io.BytesIO(archive.read(entry)), allow_pickle=False)
    if array.dtype != declared.dtype or array.shape != declared.shape:
        _refuse(path, f"{entry.filename} is {array.dtype.str} {array.shape}, not as declared")
    if sha256(array.tobytes()) != declared.sha256:
        _refuse(path, f"{entry.filename} was changed")
    return array


def _read(path: Path, limit: int) -> bytes:
    """Return a whole file of at most `limit` bytes."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(limit + 1)
    except OSError as error:
        _refuse(path, error.strerror or "cannot be read", error)
    if len(raw) > limit:
        _refuse(path, f"is larger than {limit} bytes")
    return raw
