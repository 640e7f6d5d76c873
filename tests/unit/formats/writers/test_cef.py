"""Read back by a parser written from the standard's rules of escaping."""

from __future__ import annotations

import re
from typing import Any

import pytest

from qwarden.formats.writers.cef import cef_line

from .samples import FINDINGS, STATES, TITLE, finding


def parse(line: str) -> tuple[list[str], dict[str, str]]:
    parts = re.split(r"(?<!\\)(?:\\\\)*\|", line, maxsplit=7)
    header = [re.sub(r"\\([\\|])", r"\1", part) for part in parts[:7]]
    keys = list(re.finditer(r"(?:^| )([A-Za-z0-9]+)=", parts[7]))
    ends = [key.start() for key in keys[1:]] + [len(parts[7])]
    values = (parts[7][key.end() : end] for key, end in zip(keys, ends, strict=True))
    unescape = {"\\\\": "\\", "\\=": "=", "\\n": "\n"}
    return header, {
        key[1]: re.sub(r"\\[\\=n]", lambda m: unescape[m[0]], value)
        for key, value in zip(keys, values, strict=True)
    }


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("sample", FINDINGS.values(), ids=FINDINGS)
def test_reads_back(sample: dict[str, Any], state: str) -> None:
    line = cef_line(sample, state, "sensor-1")
    assert "\n" not in line
    header, extension = parse(line)
    assert header[:3] == ["CEF:0", "Qwarden", "Qwarden"]
    assert header[4:6] == [sample["kind"], sample["explanation"]["title"]]
    assert 0 <= int(header[6]) <= 10
    assert (extension["src"], extension["dst"]) == (sample["src_ip"], sample["dst_ip"])
    assert extension["cnt"] == str(sample["flows"])
    assert extension["rt"] == "1767600000250"
    assert extension["msg"] == sample["explanation"]["text"]


def test_odd_text_stays_in_its_place() -> None:
    header, extension = parse(cef_line(finding(explanation={"title": TITLE, "text": "x=1 dst=9.9.9.9|\\"})))
    assert header[5] == TITLE
    assert extension["dst"] == "10.0.0.9"
    assert extension["msg"] == "x=1 dst=9.9.9.9|\\"
