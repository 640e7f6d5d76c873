"""Whatever happens to a stored model's bytes, it is refused, and nothing else happens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwarden.core.errors import ModelError
from qwarden.core.signing import SigningKey, TrustedKeys
from qwarden.learn import Bundle, KNeighborsTwin, QNNClassifier, load, save
from qwarden.learn.storage import ARRAYS, DOCUMENT

KEY = SigningKey.generate()
TRUSTED = TrustedKeys.of(KEY.public)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    X = np.random.default_rng(0).normal(size=(30, 3))
    y = X[:, 0] > 0
    parts = {"qnn": QNNClassifier(qubits=2, layers=1, steps=2).fit(X, y), "twin": KNeighborsTwin().fit(X, y)}
    folder = tmp_path_factory.mktemp("stored")
    save(Bundle(parts), folder, KEY, name="m", version="1", created="now", figures={"auc": 0.9})
    return {name: (folder / name).read_bytes() for name in (ARRAYS, DOCUMENT)}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, raw in files.items():
        (folder / name).write_bytes(raw)
    return folder


def refused(folder: Path, files: dict[str, bytes]) -> None:
    with pytest.raises(ModelError):
        load(write(folder, files), TRUSTED)


@settings(max_examples=400)
@given(st.sampled_from([ARRAYS, DOCUMENT]), st.integers(0, 10**9), st.integers(1, 255))
def test_any_byte_changed(stored, tmp_path_factory, name, place, change):
    raw = bytearray(stored[name])
    raw[place % len(raw)] ^= change
    refused(tmp_path_factory.getbasetemp(), stored | {name: bytes(raw)})


@settings(max_examples=100)
@given(st.sampled_from([ARRAYS, DOCUMENT]), st.integers(0, 10**9))
def test_any_file_cut_or_grown(stored, tmp_path_factory, name, place):
    raw = stored[name]
    refused(tmp_path_factory.getbasetemp(), stored | {name: raw[: place % len(raw)]})
    refused(tmp_path_factory.getbasetemp(), stored | {name: raw + b"\0"})


@settings(max_examples=100)
@given(st.binary(max_size=300), st.sampled_from([ARRAYS, DOCUMENT]))
def test_any_rubbish(stored, tmp_path_factory, raw, name):
    refused(tmp_path_factory.getbasetemp(), stored | {name: raw})


def test_unchanged_it_loads(stored, tmp_path):
    assert load(write(tmp_path, stored), TRUSTED).name == "m"
