from __future__ import annotations

import math
import struct
import xml.etree.ElementTree as ET
import zlib
from pathlib import Path

import numpy as np
import pytest

from qwarden.core.errors import UsageError
from qwarden.keys.link import Link, Settings
from qwarden.keys.party.block import Terms
from qwarden.keys.physics import Attack
from qwarden.keys.plot import ALARM, WIDTH, Chart, Panel, Series, _ticks, simulated_chart
from qwarden.keys.simulate import simulate

CHART = Chart(
    panels=[
        Panel(title="QBER", series=[Series("Z", [1, 2, 3], [0.02, math.nan, 0.25])], marks=[2]),
        Panel(title="rate", series=[Series("finite", [1, 2, 3], [1e-3, 0.0, 1e-6])], logarithmic=True),
    ],
    x="attempt",
    whole=True,
)


def pixels(png: bytes) -> np.ndarray:
    """Decode PNG without filters, as the standard's clause 5 lays it out."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, parts = 8, {}
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", png, at + 8 + length)[0] == zlib.crc32(kind + body)
        parts[kind] = body
        at += 12 + length
    width, height, depth, colour = struct.unpack_from(">IIBB", parts[b"IHDR"])
    assert (depth, colour) == (8, 2)
    rows = np.frombuffer(zlib.decompress(parts[b"IDAT"]), np.uint8).reshape(height, 1 + 3 * width)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, 3)


def test_svg_holds_lines_marks_and_names() -> None:
    root = ET.fromstring(CHART.svg())
    space = "{http://www.w3.org/2000/svg}"
    said = {node.text for node in root.iter(f"{space}text")}
    assert {"QBER", "rate", "Z", "finite", "alarm", "attempt", "1e-6"} <= said
    strokes = [node.get("stroke") for node in root.iter(f"{space}polyline")]
    assert strokes.count(ALARM) == 1


def test_png_shows_the_same_strokes() -> None:
    shown = pixels(CHART.png())
    assert shown.shape[1] == WIDTH
    red = (shown == (0xDC, 0x26, 0x26)).all(axis=2)
    assert red.any(axis=0).sum() > 3  # the mark, and the word beside it
    assert (shown == (0x25, 0x63, 0xEB)).all(axis=2).sum() > 100


def test_the_name_decides_the_form(tmp_path: Path) -> None:
    CHART.write(tmp_path / "out.PNG")
    CHART.write(tmp_path / "out.svg")
    assert (tmp_path / "out.PNG").read_bytes() == CHART.png()
    with pytest.raises(UsageError, match=r"\.svg or \.png"):
        CHART.write(tmp_path / "out.pdf")


def test_a_simulation_is_drawn_with_its_alarms() -> None:
    terms = Terms(settings=Settings(protocol="e91", block_bits=4_000, key_basis=0.7, eps_sec=1e-8))
    done = simulate(
        Link(distance_km=5), terms, attack=Attack("trojan", 0.5), seed=5, at_most=2, inspect=lambda _: "seen"
    )
    chart = simulated_chart(done)
    assert [panel.title for panel in chart.panels] == ["QBER", "secret bits"]
    assert all(list(panel.marks) == [1.0, 2.0] for panel in chart.panels)
    drawn = dict(zip("ZX", (series.y for series in chart.panels[0].series), strict=True))
    first = done.attempts[0].block
    assert first.errors is not None
    assert first.detected is not None
    assert drawn["Z"][0] == first.errors[0].sum() / first.detected[0].sum()
    assert drawn["X"][0] == first.errors[1].sum() / first.detected[1].sum()


@pytest.mark.parametrize("high", [0.001, 0.07, 1, 6.5, 1234])
def test_ticks_are_few_and_round(high: float) -> None:
    found = _ticks(0.0, high, whole=False)
    assert 2 <= len(found) <= 7
    assert found[0] == 0.0
    assert found[-1] <= high
