from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from qwarden.core.config import Settings, documented
from qwarden.core.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]


def load(home: Path, text: str) -> Settings:
    (home / "qwarden.toml").write_text(text, encoding="utf-8")
    return Settings.load(home)


def refusal(home: Path, text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(home, text)
    return caught.value


def test_defaults_without_a_file(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path)
    assert settings.detect.active_timeout_s == 300.0
    assert settings.store.url is None


def test_environment_over_file_over_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QWARDEN_DETECT__MAX_FLOWS", "99")
    monkeypatch.setenv("QWARDEN_HOME", "/elsewhere")
    detect = load(tmp_path, "[detect]\nmax_flows = 5\nidle_timeout_s = 7\n").detect
    assert (detect.max_flows, detect.idle_timeout_s, detect.active_timeout_s) == (99, 7.0, 300.0)


def test_settings_do_not_change(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings.load(tmp_path).detect.fpr = 0.5


@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        ("[detect]\nidle_timeout_s = 'soon'", "detect.idle_timeout_s", "valid number, found 'soon'"),
        ("[detect]\nidle_timeout_s = '60'", "detect.idle_timeout_s", "valid number, found '60'"),
        ("[detect]\nmax_flows = true", "detect.max_flows", "valid integer, found True"),
        ("[detect]\nfpr = 2", "detect.fpr", "less than 1, found 2"),
        ("[detect]\nfpr = nan", "detect.fpr", "finite number"),
        ("[detect]\nidle_timeout = 5", "detect.idle_timeout", "did you mean idle_timeout_s?"),
        ("[detect]\ncolour = 5", "detect.colour", "there are .*max_flows"),
        ("[detct]\nfpr = 0.1", "detct", "did you mean detect?"),
        ("detect = 5", "detect", "expected a table"),
        ("[detect]\nignore = ['10.0.0.0/33']", "detect.ignore", "'10.0.0.0/33' does not appear to be"),
        ("[detect]\nignore = [5]", "detect.ignore.0", "valid string, found 5"),
        ("[store]\nurl = 5", "store.url", "valid string"),
        ("[detect]\nfpr = = 1", "TOML", "at line 2, column 7"),
    ],
)
def test_an_error_names_file_and_key(tmp_path: Path, text: str, key: str, problem: str) -> None:
    error = refusal(tmp_path, text)
    assert error.source == str(tmp_path / "qwarden.toml")
    assert error.key == key
    assert re.search(problem, error.problem)
    assert str(error) == f"{error.source}: {key}: {error.problem}"


@pytest.mark.parametrize(
    ("variable", "value", "key", "problem"),
    [
        ("QWARDEN_DETECT__FPR", "lots", "detect.fpr", "valid number.*QWARDEN_DETECT__FPR"),
        ("QWARDEN_DETECT__FPRR", "0.1", "detect.fprr", "did you mean fpr?"),
        ("QWARDEN_DETECT", "{", "detect", "QWARDEN_DETECT"),
        ("QWARDEN_DETCT__FPR", "0.1", "QWARDEN_DETCT__FPR", "did you mean QWARDEN_DETECT?"),
    ],
)
def test_an_error_in_the_environment_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, key: str, problem: str
) -> None:
    monkeypatch.setenv(variable, value)
    error = refusal(tmp_path, "[detect]\nfpr = 0.5\n")
    assert (error.source, error.key) == ("environment", key)
    assert re.search(problem, error.problem)


def test_lists_come_as_arrays_or_with_commas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "[detect]\nignore = ['10.0.0.0/8', 'fe80::/10']"
    assert load(tmp_path, text).detect.ignore == ("10.0.0.0/8", "fe80::/10")
    monkeypatch.setenv("QWARDEN_DETECT__IGNORE", "192.168.1.1, 172.16.0.0/12")
    assert load(tmp_path, text).detect.ignore == ("192.168.1.1", "172.16.0.0/12")


def test_ages_of_reports_rise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(tmp_path, "[detect]\nreport_after_s = [1, 10]").detect.report_after_s == (1.0, 10.0)
    monkeypatch.setenv("QWARDEN_DETECT__REPORT_AFTER_S", "")
    assert load(tmp_path, "").detect.report_after_s == ()
    monkeypatch.setenv("QWARDEN_DETECT__REPORT_AFTER_S", "5, 3")
    with pytest.raises(ConfigError, match="report_after_s"):
        load(tmp_path, "")


def test_threads_are_as_many_as_cores_unless_they_are_given(tmp_path: Path) -> None:
    cores = os.sched_getaffinity(0)
    assert load(tmp_path, "").detect.scoring_threads == len(cores)
    assert load(tmp_path, "[detect]\nthreads = 3").detect.scoring_threads == 3
    try:
        os.sched_setaffinity(0, {min(cores)})
        assert load(tmp_path, "").detect.scoring_threads == 1
    finally:
        os.sched_setaffinity(0, cores)
    with pytest.raises(ConfigError, match=r"detect\.threads"):
        load(tmp_path, "[detect]\nthreads = -1")


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "qwarden.toml").write_bytes(b"[detect]\n\xff")
    with pytest.raises(ConfigError, match="no UTF-8: byte 9"):
        Settings.load(tmp_path)


def test_a_folder_in_the_files_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "qwarden.toml").mkdir()
    with pytest.raises(ConfigError, match="Is a directory"):
        Settings.load(tmp_path)


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs" / "core.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `(\w+\.\w+)` \| `(.*?)` \| (.*?) \| (.*?) \|$", page, re.MULTILINE)
    expected = [tuple(setting) for setting in documented()]
    assert all(description for *_, description in expected)
    assert table == expected
