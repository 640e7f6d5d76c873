from __future__ import annotations

import csv
import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

from qwarden.core.errors import InputError
from qwarden.detect.datasets.nf_bot_iot import NF_COLUMNS, NF_IDENTITY, read_nf_bot_iot

HEADER = ",".join(
    (*NF_IDENTITY[:4], *NF_COLUMNS[:35], "DNS_QUERY_ID", *NF_COLUMNS[35:], "Label", "Attack", "Dataset")
)
FEATURES = ",6,7.0" + ",3" * 33 + ",{query}" + ",5" * 3
ROW = "10.0.0.1,43600,10.0.0.2,80" + FEATURES.format(query=11) + ",1,DoS,NF-BoT-IoT-v2"
TWICE = "10.0.0.9,1,10.0.0.2,8080" + FEATURES.format(query=12) + ",1,DoS,NF-BoT-IoT-v2"
BENIGN = "10.0.0.1,43600,10.0.0.2,80" + FEATURES.format(query=11).replace(",5", ",0.5") + ",0,Benign,x"


def write(folder: Path, *lines: str) -> Path:
    path = folder / "NF.csv"
    path.write_text("".join(f"{line}\n" for line in (HEADER, *lines)))
    return path


def test_columns_are_named_and_tell_nobodys_address(tmp_path: Path) -> None:
    path = write(tmp_path, ROW, BENIGN)
    found = read_nf_bot_iot(path)
    assert tuple(found.table.columns) == NF_COLUMNS
    assert not set(NF_IDENTITY) & set(found.table.columns)
    assert (found.labels.tolist(), found.attacks.tolist()) == (["DoS", "Benign"], [1, 0])
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.rows().tolist() == [[6, 7, *[3] * 33, 5, 5, 5], [6, 7, *[3] * 33, 0.5, 0.5, 0.5]]


def test_flows_that_differ_in_who_talked_alone_are_one(tmp_path: Path) -> None:
    assert read_nf_bot_iot(write(tmp_path, ROW, TWICE, BENIGN)).distinct().labels.tolist() == [
        "DoS",
        "Benign",
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (ROW + ",1", "line 3: expected 46 columns, found 47"),
        (ROW.replace(",7.0", ",http"), "line 3: L7_PROTO: expected a number of 0 or more, found 'http'"),
        (ROW.replace(",DoS", ","), "line 3: Attack: expected a name, found ''"),
        (
            ROW.replace("1,DoS", "0,DoS"),
            "line 3: Label: expected 0 where Attack is Benign and 1 elsewhere, found '0'",
        ),
    ],
)  # fmt: skip
def test_a_bad_line_is_named_with_its_column(tmp_path: Path, line: str, problem: str) -> None:
    path = write(tmp_path, BENIGN, line)
    with pytest.raises(InputError) as caught:
        read_nf_bot_iot(path)
    assert str(caught.value) == f"{path}: {problem}"


@pytest.mark.data
def test_the_real_file_has_what_its_makers_counted(data_dir: Path) -> None:
    path = data_dir / "nf-bot-iot-v2-reduced" / "botiot_reduced.csv.gz"
    found = read_nf_bot_iot(path)
    names, counts = np.unique(found.labels, return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist(), strict=True)) == {
        "Benign": 1_285, "DDoS": 84_552, "DoS": 167_004, "Reconnaissance": 25_907, "Theft": 33,
    }  # fmt: skip
    with gzip.open(path, "rt") as stream:
        line = [row for row, _ in zip(csv.DictReader(stream), range(1000), strict=False)][-1]
    assert list(found.table.row(999)) == [float(line[name]) for name in NF_COLUMNS]
