from __future__ import annotations

import csv
import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

from qwarden.core.errors import InputError
from qwarden.detect.datasets.unsw_nb15 import UNSW_COLUMNS, UNSW_TEXT, read_unsw_nb15

HEADER = "\ufeffid," + ",".join(UNSW_COLUMNS) + ",attack_cat,label"
ROW = "1,0.5,udp,-,INT" + ",3" * 38 + ",Normal,0"
WORM = "2,1e-6,tcp,http,FIN" + ",0.25" * 38 + ",Worms,1"
AGAIN = ROW.replace("1,", "3,", 1)


def write(folder: Path, *lines: str) -> Path:
    path = folder / "UNSW.csv"
    path.write_text("".join(f"{line}\r\n" for line in (HEADER, *lines)), "utf-8")
    return path


def test_columns_are_named_typed_and_without_the_id(tmp_path: Path) -> None:
    path = write(tmp_path, ROW, WORM)
    found = read_unsw_nb15(path)
    assert tuple(found.table.columns) == UNSW_COLUMNS
    assert found.table["dur"].to_list() == [0.5, 1e-6]
    assert found.table["service"].to_list() == ["-", "http"]
    assert (found.families.tolist(), found.attacks.tolist()) == (["Normal", "Worms"], [0, 1])
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_rows_hold_numbers_and_ranks_of_text(tmp_path: Path) -> None:
    rows = read_unsw_nb15(write(tmp_path, ROW, WORM)).rows()
    assert rows[0].tolist() == [0.5, 1.0, 0.0, 1.0, *[3.0] * 38]
    assert rows[1].tolist() == [1e-6, 0.0, 1.0, 0.0, *[0.25] * 38]


def test_rows_that_repeat_all_features_leave_with_their_families(tmp_path: Path) -> None:
    contradicts = AGAIN.replace("Normal,0", "Worms,1")
    found = read_unsw_nb15(write(tmp_path, ROW, AGAIN, WORM, contradicts)).distinct()
    assert found.families.tolist() == ["Normal", "Worms"]
    assert found.table["proto"].to_list() == ["udp", "tcp"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (ROW + ",1", "line 3: expected 45 columns, found 46"),
        (ROW.replace("udp", ""), "line 3: proto: expected a name, found ''"),
        (ROW.replace("0.5", "-1"), "line 3: dur: expected a number of 0 or more, found '-1'"),
        (ROW.replace("-", "", 1), "line 3: service: expected a name, found ''"),
        (ROW.replace(",3", ",", 1), "line 3: spkts: expected a number of 0 or more, found ''"),
        (ROW.replace("Normal", "normal"), "line 3: attack_cat: expected a known family, found 'normal'"),
        (ROW[:-1] + "1", "line 3: label: expected 0 where attack_cat is Normal and 1 elsewhere, found '1'"),
        (ROW[:-1] + "yes", "line 3: label: expected 0 or 1, found 'yes'"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named_with_its_column(tmp_path: Path, line: str, problem: str) -> None:
    path = write(tmp_path, WORM, line, ROW)
    with pytest.raises(InputError) as caught:
        read_unsw_nb15(path)
    assert str(caught.value) == f"{path}: {problem}"


def test_another_partitions_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "UNSW.csv"
    path.write_text(HEADER.replace("sbytes", "Sbytes") + f"\n{ROW}\n", "utf-8")
    with pytest.raises(InputError, match="line 1: column 8: expected sbytes, found 'Sbytes'"):
        read_unsw_nb15(path)


@pytest.mark.data
def test_the_real_file_has_what_its_makers_counted(data_dir: Path) -> None:
    path = data_dir / "unsw-nb15" / "UNSW_NB15_82332.csv.gz"
    found = read_unsw_nb15(path)
    names, counts = np.unique(found.families, return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist(), strict=True)) == {
        "Normal": 37_000, "Generic": 18_871, "Exploits": 11_132, "Fuzzers": 6_062, "DoS": 4_089,
        "Reconnaissance": 3_496, "Analysis": 677, "Backdoor": 583, "Shellcode": 378, "Worms": 44,
    }  # fmt: skip
    with gzip.open(path, "rt", encoding="utf-8-sig") as stream:
        lines = list(csv.reader(stream))[1:]
    own = [float(x) for at, x in enumerate(lines[999][1:43]) if UNSW_COLUMNS[at] not in UNSW_TEXT]
    assert list(found.table.drop(UNSW_TEXT).row(999)) == own
    apart = found.distinct()
    assert len(apart.families) == 82_332 - 28_386 == len({tuple(line[1:43]) for line in lines})
