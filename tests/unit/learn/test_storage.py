from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from qwarden import learn
from qwarden.core.errors import ModelError
from qwarden.core.files import canonical_json, sha256
from qwarden.core.signing import SigningKey, TrustedKeys
from qwarden.learn import storage

KEY = SigningKey.generate()
TRUSTED = TrustedKeys.of(KEY.public)
ABOUT = {"name": "test", "version": "1.0", "created": "2025-01-01T00:00:00Z"}


def rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 4))
    y = (X[:, 0] > 0).astype(int)
    X[rng.random(X.shape) < 0.1] = np.nan
    return X, y


NETWORK = learn.QNNClassifier(qubits=2, layers=1, steps=5)
ALL = [
    NETWORK,
    learn.QSVC(qubits=2, layers=1),
    learn.QSVC(qubits=5, layers=1, solver="dual"),
    learn.HybridClassifier(NETWORK, landmarks=20),
    learn.QuantumOneClass(qubits=2, layers=1),
    learn.GradientBoostingTwin(iterations=5),
    learn.ExtraTreesTwin(trees=5),
    learn.KNeighborsTwin(),
    learn.NeighborDistanceTwin(),
    learn.QSVC(qubits=2, layers=1, solver="primal", entangled=False),
    learn.QSVC(encoding=learn.AlignedEncoding(qubits=2, layers=1, steps=5)),
    learn.ProjectedQSVC(qubits=2, layers=1),
    learn.QKNNClassifier(qubits=2, layers=1),
    learn.QuantumOneClass(qubits=2, layers=1, method="eigenspace"),
    learn.QuantumAutoencoder(qubits=3, latent=1, steps=5),
    learn.LogisticTwin(),
    learn.RBFSVMTwin(landmarks=20),
    learn.OneClassSVMTwin(),
    learn.IsolationForestTwin(trees=5),
]


def score(model: object, X: np.ndarray) -> np.ndarray:
    for name in ("decision_function", "threat_score", "transform"):
        if hasattr(model, name):
            return getattr(model, name)(X)
    raise AssertionError(model)


def resign(folder: Path, change, key: SigningKey = KEY) -> None:
    """Change the document and sign it again: a trusted signer who errs."""
    path = folder / storage.DOCUMENT
    document = json.loads(path.read_text())
    del document["signature"]
    change(document)
    document["signature"] = key.sign(canonical_json(document)).hex()
    path.write_bytes(storage._render(document))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    X, y = rows()
    learn.save(learn.QNNClassifier(qubits=2, layers=1, steps=5).fit(X, y), tmp_path, KEY, **ABOUT)
    return tmp_path


@pytest.mark.parametrize("model", ALL, ids=repr)
def test_round_trip_scores_bit_for_bit_alike(model, tmp_path):
    X, y = rows()
    fitted = type(model)(**model.get_params(deep=False)).fit(X, y)
    learn.save(fitted, tmp_path, KEY, **ABOUT)
    loaded = learn.load(tmp_path, TRUSTED).model
    assert type(loaded) is type(fitted)
    assert score(loaded, X).tobytes() == score(fitted, X).tobytes()
    assert score(loaded, X[:1]).tobytes() == score(fitted, X[:1]).tobytes()
    if hasattr(fitted, "classes_"):
        assert (loaded.predict(X) == fitted.predict(X)).all()
    assert repr(loaded) == repr(fitted)


def test_a_loaded_estimator_can_be_fitted_again(tmp_path):
    X, y = rows()
    learn.save(learn.HybridClassifier(NETWORK, landmarks=20).fit(X, y), tmp_path, KEY, **ABOUT)
    loaded = learn.load(tmp_path, TRUSTED).model
    before = loaded.decision_function(X)
    assert (loaded.fit(X, y).decision_function(X) == before).all()


def test_a_bundle_is_one_folder(tmp_path):
    X, y = rows()
    pre = learn.Preprocessor(nullable=("b",)).fit(X, y, names=["a", "b", "c", "d"])
    Z = pre.transform(X)
    parts = {"preprocessor": pre}
    for model in ALL:
        parts[repr(model)] = type(model)(**model.get_params(deep=False)).fit(Z, y)
    parts["fusion"] = learn.ConformalFusion().fit(Z[:, :3])
    extra = np.arange(6).reshape(2, 3)
    learn.save(learn.Bundle(parts, {"columns": ["a"]}, {"extra": extra}), tmp_path, KEY, **ABOUT)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["arrays.npz", "model.json"]
    loaded = learn.load(tmp_path, TRUSTED).model
    assert set(loaded) == set(parts)
    assert loaded.notes == {"columns": ["a"]}
    assert loaded.arrays["extra"].tolist() == extra.tolist()
    assert loaded.part("preprocessor", learn.Preprocessor).feature_names_out_ == pre.feature_names_out_
    for name, part in parts.items():
        data = {"preprocessor": X, "fusion": Z[:, :3]}.get(name, Z)
        assert score(loaded[name], data).tobytes() == score(part, data).tobytes()
    with pytest.raises(TypeError, match="not a QSVC"):
        loaded.part("fusion", learn.QSVC)


def test_text_labels_survive(tmp_path):
    X, y = rows()
    labels = np.where(y == 1, "malign", "benign")
    learn.save(learn.KNeighborsTwin().fit(X, labels), tmp_path, KEY, **ABOUT)
    assert learn.load(tmp_path, TRUSTED).model.classes_.tolist() == ["benign", "malign"]


def test_what_the_file_says_about_itself(tmp_path):
    X, y = rows()
    learn.save(
        learn.KNeighborsTwin().fit(X, y), tmp_path, KEY, **ABOUT,
        fingerprint=learn.fingerprint(X, y), figures={"auc": np.float64(0.5), "n": np.int64(3)},
    )  # fmt: skip
    stored = learn.load(tmp_path, TRUSTED)
    assert (stored.name, stored.version, stored.created) == tuple(ABOUT.values())
    assert stored.key_id == KEY.id
    assert stored.fingerprint == learn.fingerprint(X, y) != learn.fingerprint(X + 1, y)
    assert stored.figures == {"auc": 0.5, "n": 3}


def test_the_same_model_is_the_same_bytes(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    learn.save(learn.load(folder, TRUSTED).model, other, KEY, **ABOUT)
    for name in (storage.ARRAYS, storage.DOCUMENT):
        assert (folder / name).read_bytes() == (other / name).read_bytes()


def test_loading_and_scoring_import_neither_sklearn_nor_pickle_files(tmp_path):
    X, y = rows()
    pre = learn.Preprocessor().fit(X, y)
    twin = learn.GradientBoostingTwin(iterations=5).fit(X, y)
    learn.save(learn.Bundle({"pre": pre, "twin": twin}), tmp_path / "m", KEY, **ABOUT)
    code = (
        "import sys; from qwarden import learn; from qwarden.core.signing import TrustedKeys\n"
        f"trusted = TrustedKeys.of(bytes.fromhex({KEY.public.hex()!r}))\n"
        f"b = learn.load({str(tmp_path / 'm')!r}, trusted).model\n"
        "b['pre'].transform([[1.0] * 4]); print(b['twin'].decision_function([[1.0] * 4]).tolist())\n"
        "print([m for m in sys.modules if m.startswith('sklearn')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert json.loads(first) == twin.decision_function([[1.0] * 4]).tolist()
    assert second == "[]"


@pytest.mark.parametrize("name", [storage.ARRAYS, storage.DOCUMENT])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ModelError, match=name):
        learn.load(folder, TRUSTED)


def test_an_unreadable_file_is_named(folder):
    (folder / storage.DOCUMENT).unlink()
    (folder / storage.DOCUMENT).mkdir()
    with pytest.raises(ModelError, match=r"model\.json: Is a directory"):
        learn.load(folder, TRUSTED)


def test_a_foreign_signature_is_refused(folder):
    stranger = SigningKey.generate()
    with pytest.raises(ModelError, match="not trusted"):
        learn.load(folder, TrustedKeys.of(stranger.public))
    resign(folder, lambda d: None, stranger)
    with pytest.raises(ModelError, match="does not fit"):
        learn.load(folder, TRUSTED)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda d: d.update(schema=storage.SCHEMA + 1), "this version of Qwarden reads up to"),
        (lambda d: d.update(schema="1"), "no schema version"),
        (lambda d: d.update({"class": "os.system"}), "does not know"),
        (lambda d: d.update({"class": "Storable"}), "does not know"),
        (lambda d: d["state"]["facts"].pop("n_features_in_"), "do not make a model"),
        (lambda d: d["state"]["params"].update(qubits=3), "do not make a model"),
        (lambda d: d["state"]["params"].update(evil=1), "do not make a model"),
        (lambda d: d.pop("state"), "do not make a model"),
        (lambda d: d.pop("arrays"), "declaration"),
        (lambda d: d["arrays"].pop("mean_"), "other arrays"),
        (lambda d: d["arrays"].update(more=d["arrays"]["mean_"]), "other arrays"),
        (lambda d: d["arrays"]["mean_"].update(shape=[5000]), "as large as declared"),
        (lambda d: d["arrays"]["mean_"].update(shape=[5]), "not as declared"),
        (lambda d: d["arrays"]["mean_"].update(shape=[2, 2]), "not as declared"),
        (lambda d: d["arrays"]["mean_"].update(dtype="<i8"), "not as declared"),
        (lambda d: d["arrays"]["mean_"].update(dtype="|O"), "declaration"),
        (lambda d: d["arrays"]["mean_"].update(dtype="<f8,<f8"), "declaration"),
        (lambda d: d["arrays"]["mean_"].update(shape=[-4]), "declaration"),
        (lambda d: d["arrays"]["mean_"].update(shape=[10**30]), "more than"),
        (lambda d: d["arrays"]["mean_"].update(sha256="0" * 64), "was changed"),
        (lambda d: d["file"].update(size=1), "not the file that was signed"),
    ],
)
def test_a_wrong_document_is_refused_even_signed(folder, change, complaint):
    resign(folder, change)
    with pytest.raises(ModelError, match=complaint):
        learn.load(folder, TRUSTED)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"schema": NaN}',
        b"1" * 10_000,
        b'{"a":1}\n',
    ],
)
def test_what_is_no_document_is_refused(folder, raw):
    (folder / storage.DOCUMENT).write_bytes(raw)
    with pytest.raises(ModelError, match=storage.DOCUMENT):
        learn.load(folder, TRUSTED)


def with_archive(folder: Path, raw: bytes) -> None:
    (folder / storage.ARRAYS).write_bytes(raw)
    resign(folder, lambda d: d.update(file={"sha256": sha256(raw), "size": len(raw)}))


def repacked(folder: Path, **write) -> bytes:
    """Return the arrays packed again, each written by `write[name]` if it is there."""
    buffer = io.BytesIO()
    source = zipfile.ZipFile(folder / storage.ARRAYS)
    with zipfile.ZipFile(buffer, "w", write.pop("compression", zipfile.ZIP_STORED)) as archive:
        for entry in source.infolist():
            name = entry.filename.removesuffix(".npy")
            archive.writestr(entry.filename, write.get(name, source.read(entry)))
    return buffer.getvalue()


def test_pickled_arrays_are_refused_and_never_run(folder, tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    trap = io.BytesIO()
    np.save(trap, np.array([Trap()], dtype=object), allow_pickle=True)
    with_archive(folder, repacked(folder, mean_=trap.getvalue()))
    with pytest.raises(ModelError, match="Object arrays cannot be loaded"):
        learn.load(folder, TRUSTED)
    assert not (tmp_path / "sprung").exists()


def test_compressed_members_are_refused(folder):
    """A file of zeros grows a thousandfold when inflated: nothing compressed is read."""
    with_archive(folder, repacked(folder, compression=zipfile.ZIP_DEFLATED))
    with pytest.raises(ModelError, match="as large as declared"):
        learn.load(folder, TRUSTED)


@pytest.mark.parametrize("raw", [b"", b"PK", b"PK\x05\x06" + bytes(18), bytes(1000)])
def test_what_is_no_archive_is_refused(folder, raw):
    with_archive(folder, raw)
    with pytest.raises(ModelError, match=storage.ARRAYS):
        learn.load(folder, TRUSTED)


def test_a_name_twice_is_refused(folder):
    raw = io.BytesIO((folder / storage.ARRAYS).read_bytes())
    with zipfile.ZipFile(raw, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("mean_.npy", archive.read("mean_.npy"))
    with_archive(folder, raw.getvalue())
    with pytest.raises(ModelError, match="other arrays"):
        learn.load(folder, TRUSTED)


def test_what_cannot_be_stored_is_not(tmp_path):
    X, y = rows()

    class Own(learn.KNeighborsTwin):
        pass

    with pytest.raises(TypeError, match="cannot be stored"):
        learn.save(Own().fit(X, y), tmp_path, KEY, **ABOUT)
    odd = learn.KNeighborsTwin().fit(X, y)
    odd.classes_ = np.array([object(), object()])
    with pytest.raises(TypeError, match="dtype object"):
        learn.save(odd, tmp_path, KEY, **ABOUT)
    assert list(tmp_path.iterdir()) == []
