from __future__ import annotations

import csv
import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

from qwarden.core.errors import InputError
from qwarden.detect.datasets.nsl_kdd import NSL_KDD_COLUMNS, NSL_KDD_LEVELS, read_nsl_kdd

ROW = "0,tcp,http,SF,491,12" + ",0" * 35 + ",normal,20"
ATTACK = "7.5,icmp,eco_i,REJ,1032,0" + ",0.25" * 35 + ",smurf,3"


def write(folder: Path, *lines: str) -> Path:
    path = folder / "KDD.txt"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_columns_are_named_typed_and_without_the_difficulty(tmp_path: Path) -> None:
    path = write(tmp_path, ROW, ATTACK)
    found = read_nsl_kdd(path)
    assert tuple(found.table.columns) == NSL_KDD_COLUMNS
    assert found.table["src_bytes"].to_list() == [491.0, 1032.0]
    assert found.table["service"].to_list() == ["http", "eco_i"]
    assert found.labels.tolist() == ["normal", "smurf"]
    assert found.attacks.tolist() == [0, 1]
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_rows_hold_numbers_and_codes(tmp_path: Path) -> None:
    rows = read_nsl_kdd(write(tmp_path, ROW, ATTACK)).rows()
    assert rows.shape == (2, 41)
    services = NSL_KDD_LEVELS["service"]
    assert rows[1, :6].tolist() == [7.5, 0.0, services.index("eco_i"), 1.0, 1032.0, 0.0]
    assert (rows[1, 6:] == 0.25).all()


def test_gzip_is_the_same_file(tmp_path: Path) -> None:
    plain = read_nsl_kdd(write(tmp_path, ROW, ATTACK))
    packed = tmp_path / "KDD.txt.gz"
    packed.write_bytes(gzip.compress((tmp_path / "KDD.txt").read_bytes()))
    assert read_nsl_kdd(packed).sha256 == plain.sha256
    assert read_nsl_kdd(packed).table.equals(plain.table)


def test_a_limit_takes_the_first_rows_and_no_less(tmp_path: Path) -> None:
    path = write(tmp_path, ROW, ATTACK, "broken")
    assert len(read_nsl_kdd(path, 2).labels) == 2
    with pytest.raises(InputError, match="has 3 rows, expected at least 4"):
        read_nsl_kdd(path, 4)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (ROW.rsplit(",", 1)[0], "line 2: expected 43 columns, found 42"),
        (ROW + ",1", "line 2: expected 43 columns, found 44"),
        ("", "line 2: expected 43 columns, found 1"),
        (ROW.replace("491", "many"), "line 2: src_bytes: expected a number of 0 or more, found 'many'"),
        (ROW.replace("491", ""), "line 2: src_bytes: expected a number of 0 or more, found ''"),
        (ROW.replace("491", "-1"), "line 2: src_bytes: expected a number of 0 or more, found '-1'"),
        (ROW.replace("491", "inf"), "line 2: src_bytes: expected a number of 0 or more, found 'inf'"),
        (ROW.replace("491", "nan"), "line 2: src_bytes: expected a number of 0 or more, found 'nan'"),
        (ROW.replace("http", "HTTP"), "line 2: service: expected a known value, found 'HTTP'"),
        (ROW.replace("normal", ""), "line 2: label: expected a name, found ''"),
    ],
)
def test_a_bad_line_is_named_with_its_column(tmp_path: Path, line: str, problem: str) -> None:
    path = write(tmp_path, ROW, line, ROW)
    with pytest.raises(InputError) as caught:
        read_nsl_kdd(path)
    assert str(caught.value) == f"{path}: {problem}"


def test_what_is_no_text_or_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cut.gz").write_bytes(gzip.compress(ROW.encode())[:-20])
    (tmp_path / "binary").write_bytes(b"0,tcp\xff")
    (tmp_path / "empty").write_bytes(b"")
    for name in ("cut.gz", "binary", "empty", "absent"):
        with pytest.raises(InputError, match=name):
            read_nsl_kdd(tmp_path / name)


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "rows", "normal"), [("KDDTrain+.txt.gz", 125_973, 67_343), ("KDDTest+.txt.gz", 22_544, 9_711)]
)
def test_the_real_files_have_what_their_makers_counted(
    data_dir: Path, file: str, rows: int, normal: int
) -> None:
    path = data_dir / "nsl-kdd" / file
    found = read_nsl_kdd(path)
    assert (len(found.labels), int((found.attacks == 0).sum())) == (rows, normal)
    with gzip.open(path, "rt") as stream:
        line = [row for row, _ in zip(csv.reader(stream), range(1000), strict=False)][-1]
    own = found.rows()[999]
    codes = [NSL_KDD_LEVELS[name].index(line[1 + at]) for at, name in enumerate(NSL_KDD_LEVELS)]
    np.testing.assert_array_equal(own, [float(line[0]), *codes, *map(float, line[4:41])])
