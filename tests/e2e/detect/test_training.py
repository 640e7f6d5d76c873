"""From labelled captures to a model in use, through the command line, in this process."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from qwarden.cli.main import main
from qwarden.core.audit import Audit
from qwarden.core.config import DetectSettings
from qwarden.core.errors import Interrupted
from qwarden.core.store import open_store
from qwarden.detect import load_default_model
from qwarden.detect.model import ModelSettings
from qwarden.detect.scenario import write_scenario
from qwarden.detect.training import train_on_captures

FPR = 0.02


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("range")
    for seed in (71, 72):
        write_scenario(
            folder / f"{seed}.pcap", seed, duration_s=600, hosts=8,
            kinds=("scan_vertical", "scan_horizontal", "guessing"),
        )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def trained(captures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one model, ``office@1``."""
    home = tmp_path_factory.mktemp("home")
    (home / "qwarden.toml").write_text(f"[detect]\nfpr = {FPR}\n")
    assert main(["--home", str(home), "train", str(captures), "--name", "office", "--steps", "60"]) == 0
    return home


@pytest.fixture
def home(trained: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(trained, tmp_path / "home"))


def document(capsys: pytest.CaptureFixture[str], home: Path, *arguments: object) -> Any:
    capsys.readouterr()
    assert main(["--home", str(home), *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def actions(home: Path) -> list[tuple[str, Any]]:
    store = open_store(home)
    try:
        Audit(store).verify()
        return [(e.action, e.body) for e in Audit(store).entries() if e.action.startswith("model.")]
    finally:
        store.close()


def test_a_trained_model_is_listed_with_what_it_was_made_of(
    home: Path, captures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped, own = document(capsys, home, "models", "list")["models"]
    assert (shipped["name"], shipped["active"], own["active"]) == ("shipped", True, False)
    assert str(captures / "71.pcap") in own["origin"]["data"]
    assert own["figures"]["fpr"] == FPR
    assert own["figures"]["attacks"] == 2
    assert own["figures"]["auc"] > 0.7
    assert own["figures"]["twin"]["auc"] > 0.7
    assert document(capsys, home, "models", "show", "office") | {"active": False} == own
    assert actions(home)[0][1]["origin"]["fingerprint"] == own["origin"]["fingerprint"]


def test_detection_uses_the_promoted_model_or_the_one_that_is_named(
    home: Path, captures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capture = captures / "71.pcap"
    shipped = load_default_model()
    own = {"name": "office", "version": "1"}
    assert document(capsys, home, "detect", capture)["model"]["name"] == shipped.name
    named = document(capsys, home, "detect", capture, "--model", "office@1")
    assert named["model"] == own
    assert named["findings"]
    assert named["findings"][0]["explanation"]["model"] == "office 1"
    assert document(capsys, home, "models", "promote", "office")["active"] is True
    assert document(capsys, home, "detect", capture)["model"] == own
    document(capsys, home, "models", "promote", "shipped")
    assert document(capsys, home, "detect", capture)["model"]["name"] == shipped.name
    assert [body for action, body in actions(home) if action == "model.promoted"] == [
        {"model": "office@1", "before": None},
        {"model": f"shipped@{shipped.version}", "before": "office@1"},
    ]


def test_a_changed_model_is_refused_and_nothing_else_takes_its_place(
    home: Path, captures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--home", str(home), "models", "promote", "office"]) == 0
    arrays = home / "models" / "detect" / "office" / "1" / "arrays.npz"
    arrays.write_bytes(arrays.read_bytes()[:-1])
    assert main(["--home", str(home), "detect", str(captures / "71.pcap")]) == 3
    assert "arrays.npz" in capsys.readouterr().err
    (arrays.parent / "entry.json").write_text("{}")
    assert main(["--home", str(home), "models", "list"]) == 3
    listed = capsys.readouterr()
    assert "shipped@" in listed.out
    assert "entry.json" in listed.err
    assert main(["--home", str(home), "models", "promote", "shipped"]) == 0


def test_a_broken_pointer_is_told_and_mended_by_promoting(
    home: Path, captures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pointer = home / "models" / "detect" / "active.json"
    pointer.write_text("{}")
    assert main(["--home", str(home), "detect", str(captures / "71.pcap")]) == 3
    assert main(["--home", str(home), "models", "list"]) == 3
    assert str(pointer) in capsys.readouterr().err
    document(capsys, home, "models", "promote", "office")
    assert [entry["active"] for entry in document(capsys, home, "models", "list")["models"]] == [False, True]


def test_an_unknown_model_is_a_usage_error(home: Path, captures: Path) -> None:
    for command in (["models", "show", "none"], ["detect", str(captures), "--model", "none"]):
        assert main(["--home", str(home), *command]) == 2
    assert main(["--home", str(home), "train", str(captures), "--name", "shipped"]) == 2


def test_one_label_file_for_all_and_a_parent(
    home: Path, captures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [(captures / f"{seed}.pcap.labels.csv").read_text().splitlines() for seed in (71, 72)]
    every = tmp_path / "labels.csv"
    every.write_text("\n".join([*texts[0], *texts[1][1:]]) + "\n")
    arguments = ["train", captures, "--labels", every, "--name", "office", "--steps", 20]
    entry = document(capsys, home, *arguments)
    assert (entry["version"], entry["origin"]["parent"]) == ("2", "office@1")


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        (None, "71.pcap.labels.csv"),
        ("attack_id\n", "line 1"),
        (
            "attack_id,label,technique,proto,src_ip,src_port,dst_ip,dst_port,start,end,packets\n"
            "0,benign,,6,192.0.2.1,1,192.0.2.2,2,1.0,2.0,3\n",
            "none of the",
        ),
    ],
)
def test_labels_that_are_missing_wrong_or_of_other_traffic(
    home: Path,
    captures: Path,
    tmp_path: Path,
    labels: str | None,
    named: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copy(captures / "71.pcap", tmp_path / "71.pcap")
    if labels is not None:
        (tmp_path / "71.pcap.labels.csv").write_text(labels)
    assert main(["--home", str(home), "train", str(tmp_path / "71.pcap")]) == 3
    assert named in capsys.readouterr().err


class Impatient:
    """Progress that sends this process Ctrl-C in the middle of the training."""

    @contextmanager
    def task(self, name: str, total: float | None = None) -> Iterator[Impatient]:
        self.counting = name == "train"
        yield self

    def advance(self, amount: float = 1, note: str = "") -> None:
        if self.counting and amount:
            os.kill(os.getpid(), signal.SIGINT)


def test_nothing_is_kept_of_a_training_that_is_stopped(home: Path, captures: Path) -> None:
    store = open_store(home)
    try:
        with pytest.raises(Interrupted) as stopped:
            train_on_captures(
                [captures], home, store, name="late", settings=ModelSettings(steps=1000),
                detect=DetectSettings(fpr=FPR), progress=Impatient(),
            )  # fmt: skip
    finally:
        store.close()
    assert stopped.value.exit_code == 130
    assert not (home / "models" / "detect" / "late").exists()
    assert len(actions(home)) == 1
