from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qwarden.core.errors import InputError, UsageError
from qwarden.formats.deliveries.files import BundleFile, BundleFolder, LineFile
from qwarden.formats.delivery import open_delivery, parse_target
from qwarden.formats.writers.notice import Notice

from ..writers.samples import finding

NOTICE = Notice("id-1", "whole", finding())


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("form", ["eve", "ecs", "ocsf"])
def test_one_line_a_notice_appended(tmp_path: Path, form: str) -> None:
    path = tmp_path / "out.json"
    for _ in range(2):
        file = LineFile(parse_target(f"{form}:{path}"))
        assert file.send(NOTICE).result == "taken"
        file.close()
    assert len(lines(path)) == 2
    assert path.stat().st_mode & 0o007 == 0


def test_a_line_that_someone_left_half_is_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_text('{"whole": 1}\n{"half": ')
    file = LineFile(parse_target(f"eve:{path}"))
    file.send(NOTICE)
    file.close()
    first, half, ours = path.read_text().splitlines()
    assert (json.loads(first), half) == ({"whole": 1}, '{"half": ')
    assert json.loads(ours)["event_type"] == "alert"


def test_a_rotated_file_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    file = LineFile(parse_target(f"eve:{path}"))
    file.send(NOTICE)
    path.rename(tmp_path / "out.json.1")
    file.send(NOTICE)
    file.send(NOTICE)
    file.close()
    assert (len(lines(tmp_path / "out.json.1")), len(lines(path))) == (1, 2)


def test_a_truncated_file_goes_on_at_its_start(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    file = LineFile(parse_target(f"eve:{path}"))
    file.send(NOTICE)
    os.truncate(path, 0)
    file.send(NOTICE)
    file.close()
    assert len(lines(path)) == 1


def test_a_full_device_says_so() -> None:
    file = LineFile(parse_target("eve:/dev/full"))
    outcome = file.send(NOTICE)
    file.close()
    assert (outcome.result, outcome.reason) == ("later", "cannot be written: no space left on device")


LIMITED = """
import resource, sys
from qwarden.formats.deliveries.files import LineFile
from qwarden.formats.delivery import parse_target
from qwarden.formats.writers.notice import Notice
from tests.unit.formats.writers.samples import finding
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
file = LineFile(parse_target("eve:" + sys.argv[1]))
print([file.send(Notice("id", "whole", finding())).reason for _ in range(20)])
"""


def test_what_does_not_fit_is_taken_back_whole(tmp_path: Path) -> None:
    # A limit on the file's size fails as a full disk does: in the middle of a line.
    path = tmp_path / "out.json"
    root = Path(__file__).parents[4]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)], cwd=root, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": f"{root}:{root / 'src'}"},
    )  # fmt: skip
    reasons = eval(done.stdout)  # the list we printed
    written = reasons.count("")
    assert 0 < written < 20
    assert set(reasons[written:]) == {"cannot be written: file too large"}
    assert path.read_bytes().endswith(b"\n")
    assert len(lines(path)) == written


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere" / "out.json"
    for form in ("eve", "stix"):
        with pytest.raises(InputError, match=f"{missing}: cannot be written: no such file"):
            open_delivery(parse_target(f"{form}:{missing}"), tmp_path, at_end=True)
    with pytest.raises(InputError, match="cannot be written: is a directory"):
        open_delivery(parse_target(f"eve:{tmp_path}"), tmp_path)


def test_a_bundle_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    file = BundleFile(parse_target(f"stix:{path}"))
    file.send(NOTICE)
    file.send(Notice("id-2", "whole", finding(id="019b0000-0000-7000-8000-000000000002", src_ip="10.0.0.6")))
    assert list(tmp_path.iterdir()) == []
    file.close()
    bundle = json.loads(path.read_text())
    assert [o["type"] for o in bundle["objects"]].count("observed-data") == 2
    assert list(tmp_path.iterdir()) == [path]


def test_a_bundle_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.json"
    path.write_text("old")
    file = BundleFile(parse_target(f"stix:{path}"))
    file.send(NOTICE)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)  # where a full disk shows at the latest
    with pytest.raises(InputError, match=f"{path}: cannot be written: no space left on device"):
        file.close()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_has_a_bundle_a_finding(tmp_path: Path) -> None:
    folder = BundleFolder(parse_target(f"stix:{tmp_path}/stix/"))
    folder.send(Notice("a", "opened", finding(flows=3)))
    folder.send(Notice("b", "closed", finding(flows=40)))
    (only,) = (tmp_path / "stix").iterdir()
    sighting = next(o for o in json.loads(only.read_text())["objects"] if o["type"] == "sighting")
    assert sighting["count"] == 40


def test_what_never_ends_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="stix:DIR/"):
        open_delivery(parse_target(f"stix:{tmp_path}/x.json"), tmp_path)
