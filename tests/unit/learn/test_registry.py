from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qwarden.core.errors import ModelError, UsageError
from qwarden.core.files import canonical_json
from qwarden.core.signing import SigningKey
from qwarden.learn import NeighborDistanceTwin, fingerprint, save
from qwarden.learn.registry import ACTIVE, ENTRY, Entry, Origin, Registry
from qwarden.learn.storage import ARRAYS, DOCUMENT

KEY = SigningKey.generate()
ROWS = np.arange(12.0).reshape(6, 2)
ORIGIN = Origin(data="six rows", fingerprint=fingerprint(ROWS), split="none", seed=3, notes="for tests")
WHEN = "2025-01-01T00:00:00+00:00"


def writer(rows: np.ndarray = ROWS, key: SigningKey = KEY) -> Callable[[Path, str], None]:
    model = NeighborDistanceTwin().fit(rows)
    return lambda to, version: save(model, to, key, name="near", version=version, created=WHEN)


def add(registry: Registry, name: str = "near", **changed: object) -> Entry:
    arguments = {"origin": ORIGIN, "created": WHEN, "figures": {"auc": 0.9}, **changed}
    return registry.add(name, writer(), **arguments)  # type: ignore[arg-type]


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "models", KEY)


def test_what_was_added_is_found_by_another_registry(registry: Registry, tmp_path: Path) -> None:
    added = add(registry)
    again = Registry(tmp_path / "models", KEY)
    assert again.get("near") == added
    assert again.entries() == ([added], [])
    assert (added.reference, added.origin, added.figures) == ("near@1", ORIGIN, {"auc": 0.9})
    scores = again.load(added).model.strangeness(ROWS + 0.5)
    np.testing.assert_array_equal(scores, NeighborDistanceTwin().fit(ROWS).strangeness(ROWS + 0.5))


def test_versions_count_on_and_the_newest_is_meant_until_one_is_promoted(registry: Registry) -> None:
    for _ in range(11):
        add(registry)
    assert registry.versions("near") == [str(n) for n in range(1, 12)]
    assert registry.get("near").version == "11"
    registry.promote("near@2")
    assert registry.get("near").version == "2"
    assert registry.promote("near").version == "11"


def test_each_name_keeps_its_promoted_version(registry: Registry) -> None:
    for name in ("near", "near", "far", "far"):
        add(registry, name)
    assert registry.active() is None
    registry.promote("near@1")
    registry.promote("far@1")
    assert registry.active_reference() == "far@1"
    assert (registry.get("near").version, registry.get("far").version) == ("1", "1")


@pytest.mark.parametrize("reference", ["other", "near@2", "near@x", "near@", "../near", "near/1", "NEAR"])
def test_what_is_not_there_is_a_usage_error(registry: Registry, reference: str) -> None:
    add(registry)
    if reference == "near@":
        assert registry.get(reference).version == "1"
        return
    with pytest.raises(UsageError, match="no model"):
        registry.get(reference)


@pytest.mark.parametrize("name", ["", "..", "a/b", "A", "-a", "a b", "a@1", "x" * 64])
def test_odd_names_are_refused_before_anything_is_written(
    registry: Registry, tmp_path: Path, name: str
) -> None:
    with pytest.raises(UsageError):
        add(registry, name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", [ENTRY, DOCUMENT, ARRAYS])
def test_any_changed_byte_is_refused(registry: Registry, file: str) -> None:
    entry = add(registry)
    path = entry.folder / file
    whole = path.read_bytes()
    for at in np.linspace(0, len(whole) - 1, 60).astype(int):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(ModelError):
            registry.load(registry.get("near"))
    path.write_bytes(whole)
    registry.load(registry.get("near"))


def test_a_refused_entry_hides_no_other(registry: Registry) -> None:
    bad, good = add(registry), add(registry, "other")
    (bad.folder / ENTRY).write_text("{}")
    entries, refused = registry.entries()
    assert entries == [good]
    assert [str(bad.folder / ENTRY) in str(problem) for problem in refused] == [True]


def test_a_foreign_entry_is_refused_and_says_whose_it_is(registry: Registry, tmp_path: Path) -> None:
    other = SigningKey.generate()
    foreign = Registry(tmp_path / "models", other)
    foreign.add("near", writer(key=other), origin=ORIGIN, created=WHEN)
    with pytest.raises(ModelError, match=other.id):
        registry.get("near")


def test_an_entry_that_was_moved_is_refused(registry: Registry) -> None:
    first, second = add(registry), add(registry)
    for path in first.folder.iterdir():
        (second.folder / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ModelError, match="near@1"):
        registry.get("near@2")


def test_a_genuine_model_in_another_entrys_place_is_refused(registry: Registry) -> None:
    first = add(registry)
    second = registry.add("near", writer(ROWS * 2), origin=ORIGIN, created=WHEN)
    for name in (DOCUMENT, ARRAYS):
        (first.folder / name).write_bytes((second.folder / name).read_bytes())
    with pytest.raises(ModelError, match="not the model that was registered"):
        registry.get("near@1")


def test_a_newer_schema_is_refused(registry: Registry) -> None:
    path = add(registry).folder / ENTRY
    document = json.loads(path.read_bytes())
    del document["signature"]
    document["schema"] = 2
    document["signature"] = KEY.sign(canonical_json(document)).hex()
    path.write_bytes(canonical_json(document))
    with pytest.raises(ModelError, match="schema 2"):
        registry.get("near")


def test_a_failed_promotion_leaves_the_active_model(registry: Registry) -> None:
    add(registry)
    registry.promote("near")
    second = add(registry)
    (second.folder / ARRAYS).write_bytes(b"")
    with pytest.raises(ModelError):
        registry.promote("near@2")
    assert registry.active_reference() == "near@1"


def test_a_check_may_stop_a_promotion(registry: Registry) -> None:
    add(registry)

    def check(entry: Entry) -> None:
        raise ModelError(entry.folder, "does not fit")

    with pytest.raises(ModelError, match="does not fit"):
        registry.promote("near", check)
    assert registry.active() is None


def test_promotion_replaces_the_pointer_in_one_step(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(registry)
    add(registry)
    registry.promote("near@1")

    def power_cut(self: Path, target: object) -> Path:
        raise OSError("power cut")

    monkeypatch.setattr(Path, "replace", power_cut)
    with pytest.raises(OSError, match="power cut"):
        registry.promote("near@2")
    monkeypatch.undo()
    assert registry.active_reference() == "near@1"
    assert {path.name for path in (tmp_path / "models").iterdir()} == {"near", ACTIVE}


@pytest.mark.parametrize("pointer", ["", "[]", "{}", '{"active": "gone", "versions": {"gone": "1"}}'])
def test_a_broken_pointer_is_told_and_mended_by_promoting(
    registry: Registry, tmp_path: Path, pointer: str
) -> None:
    add(registry)
    (tmp_path / "models" / ACTIVE).write_text(pointer)
    with pytest.raises(ModelError, match=ACTIVE):
        registry.active()
    registry.promote("near")
    assert registry.active_reference() == "near@1"


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_nothing_remains_of_an_addition_that_is_stopped(
    registry: Registry, error: type[BaseException]
) -> None:
    add(registry)

    def stopped(to: Path, version: str) -> None:
        writer()(to, version)
        raise error

    with pytest.raises(error):
        registry.add("near", stopped, origin=ORIGIN, created=WHEN)
    assert registry.versions("near") == ["1"]
    assert [path.name for path in registry.get("near").folder.parent.iterdir()] == ["1"]


def test_an_unsigned_or_absent_model_is_not_added(registry: Registry) -> None:
    for write in (lambda to, version: None, writer(key=SigningKey.generate())):
        with pytest.raises(ModelError):
            registry.add("near", write, origin=ORIGIN, created=WHEN)
    assert registry.entries() == ([], [])


def test_a_version_without_its_entry_was_never_finished(registry: Registry) -> None:
    (add(registry).folder.parent / "2").mkdir()
    assert registry.versions("near") == ["1"]
    assert add(registry).version == "3"


def test_those_who_add_at_once_get_versions_of_their_own(registry: Registry) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(add(registry).version)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(registry.versions("near")) == list("123456")


def test_a_given_model_stands_beside_the_added_ones(tmp_path: Path) -> None:
    maker = SigningKey.generate()
    writer(key=maker)(tmp_path / "given", "7")
    given = Entry(
        name="shipped", version="7", created=WHEN, origin=ORIGIN, key_id=maker.id, folder=tmp_path / "given"
    )
    registry = Registry(tmp_path / "models", KEY, {"shipped": lambda: given}, {maker.id: maker.public})
    add(registry)
    assert [entry.reference for entry in registry.entries()[0]] == ["shipped@7", "near@1"]
    assert registry.promote("near").reference == registry.active_reference() == "near@1"
    assert registry.promote("shipped").reference == registry.active_reference() == "shipped@7"
    assert registry.get("shipped@7") == given
    with pytest.raises(UsageError, match="versions 7"):
        registry.get("shipped@8")
    with pytest.raises(UsageError, match="came with the program"):
        add(registry, "shipped")
