"""Small charts without a plotting library: series over blocks, as SVG or PNG.

`Chart` is a list of panels, one below the other, with a common x axis; `write` picks the form by the file's
name. PNG text is drawn in a font of 3 x 5 dots, capitals only.
"""

from __future__ import annotations

import math
import struct
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import UsageError
from qwarden.core.files import atomic_write

if TYPE_CHECKING:
    from qwarden.keys.simulate import Simulated

WIDTH, PANEL, LEFT, RIGHT, TOP, BOTTOM = 760, 190, 80, 150, 34, 30
COLOURS: Final = ("#2563eb", "#d97706", "#059669", "#7c3aed", "#0891b2", "#be185d")
ALARM: Final = "#dc2626"
INK, GRID = "#1f2937", "#d1d5db"
DOT: Final = 2
"""Pixels of a dot of the font in PNG."""

_CHARACTERS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ.,%-:/()+= "
_DOTS: Final = (
    "75557262277174771717557117471774757712227575775717257556565634443655567464774644"
    "34553557557222711152556554444757755655552555265644255636565534216722225555755552"
    "557755525555222712470000200024512450070002020112441222142224027200707000000"
)
_FONT: Final = {character: _DOTS[5 * at : 5 * at + 5] for at, character in enumerate(_CHARACTERS)}
"""Rows of each character, top first, as octal digits of three dots."""


@dataclass(frozen=True, slots=True)
class Series:
    """A line: its name and a value a point; nan leaves a gap."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One diagram.

    Parameters
    ----------
    title : what is drawn.
    series : its lines.
    marks : where on the x axis an alarm stands.
    logarithmic : powers of ten on the y axis; values of 0 and below are left out.
    """

    title: str
    series: Sequence[Series]
    marks: Sequence[float] = ()
    logarithmic: bool = False


@dataclass(slots=True, kw_only=True)
class _Drawing:
    """Strokes (colour, width, points) and words (x, y, text, colour, anchored at: 0 start, 1 end)."""

    width: int
    height: int
    strokes: list[tuple[str, float, list[tuple[float, float]]]] = field(default_factory=list)
    words: list[tuple[float, float, str, str, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Panels with a common x axis.

    Parameters
    ----------
    panels : top first.
    x : what the x axis shows.
    whole : whether only whole numbers stand on it.

    Examples
    --------
    >>> chart = Chart(panels=[Panel(title="QBER", series=[Series("Z", [1, 2], [0.02, 0.03])])], x="attempt")
    >>> chart.svg().startswith(b"<svg"), chart.png()[1:4]
    (True, b'PNG')
    """

    panels: Sequence[Panel]
    x: str
    whole: bool = False

    def write(self, path: Path) -> None:
        """Write the chart as ``.svg`` or ``.png``.

        Raises
        ------
        UsageError
            The file's name ends otherwise.
        """
        atomic_write(path, self.svg() if plot_form(path) == ".svg" else self.png())

    def svg(self) -> bytes:
        """Return the chart as SVG."""
        drawing = self._drawing()
        size = (str(drawing.width), str(drawing.height))
        root = ET.Element(
            "svg", xmlns="http://www.w3.org/2000/svg", width=size[0], height=size[1],
            viewBox=f"0 0 {size[0]} {size[1]}",
        )  # fmt: skip
        ET.SubElement(root, "rect", width="100%", height="100%", fill="#ffffff")
        for colour, width, points in drawing.strokes:
            places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            line = {"points": places, "fill": "none", "stroke": colour, "stroke-width": f"{width:g}"}
            ET.SubElement(root, "polyline", line)
        for x, y, text, colour, at_end in drawing.words:
            anchor = ("start", "end")[at_end]
            place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "fill": colour, "text-anchor": anchor}
            font = {"font-size": "12", "font-family": "sans-serif"}
            ET.SubElement(root, "text", place | font).text = text
        return bytes(ET.tostring(root))

    def png(self) -> bytes:
        """Return the chart as PNG, 8 bits a colour."""
        drawing = self._drawing()
        canvas = np.full((drawing.height, drawing.width, 3), 255, np.uint8)
        for colour, width, points in drawing.strokes:
            for start, end in pairwise(points):
                _stroke(canvas, start, end, _rgb(colour), 2 if width > 1 else 1)
        for x, y, text, colour, at_end in drawing.words:
            _letter(canvas, x, y, text, _rgb(colour), at_end)
        rows = np.pad(canvas.reshape(drawing.height, -1), ((0, 0), (1, 0))).tobytes()
        header = struct.pack(">IIBBBBB", drawing.width, drawing.height, 8, 2, 0, 0, 0)
        parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
            for kind, body in parts
        )

    def _drawing(self) -> _Drawing:
        drawing = _Drawing(width=WIDTH, height=TOP + PANEL * len(self.panels) + BOTTOM)
        xs = [x for panel in self.panels for series in panel.series for x in series.x] or [0.0]
        low, high = min(xs), max(xs)
        low, high = (low - 0.5, high + 0.5) if high == low else (low, high)
        for number, panel in enumerate(self.panels):
            top = TOP + PANEL * number
            _Frame(drawing, panel, top, low, high).draw()
        bottom = TOP + PANEL * len(self.panels)
        for at in _ticks(low, high, whole=self.whole):
            drawing.words.append((_place(at, low, high) + 4, bottom, f"{at:g}", INK, 1))
        drawing.words.append((WIDTH - RIGHT, bottom + 20, self.x, INK, 1))
        return drawing


def plot_form(path: Path) -> str:
    """Return ``.svg`` or ``.png``, what a chart at `path` is written as.

    Raises
    ------
    UsageError
        Its name ends otherwise.
    """
    form = path.suffix.lower()
    if form not in (".svg", ".png"):
        raise UsageError(f"{path}: expected a name that ends in .svg or .png")
    return form


@dataclass(slots=True)
class _Frame:
    """Draws one panel whose upper edge is at `top`; x runs from `low` to `high`."""

    drawing: _Drawing
    panel: Panel
    top: int
    low: float
    high: float

    def draw(self) -> None:
        ys = [y for series in self.panel.series for y in series.y if self._shown(y)] or [0.0, 1.0]
        least, most = self._scaled(min(ys)), self._scaled(max(ys))
        least = least if self.panel.logarithmic else min(least, 0.0)
        most = most if most > least else least + 1.0
        add_stroke, add_words = self.drawing.strokes.append, self.drawing.words.append
        add_words((LEFT, self.top - 8, self.panel.title, INK, 0))
        for tick in _ticks(least, most, whole=self.panel.logarithmic):
            y = self._height(tick, least, most)
            add_stroke((GRID, 1, [(LEFT, y), (WIDTH - RIGHT, y)]))
            add_words((LEFT - 6, y + 4, f"1e{tick:g}" if self.panel.logarithmic else f"{tick:g}", INK, 1))
        for mark in self.panel.marks:
            x = _place(mark, self.low, self.high)
            add_stroke((ALARM, 1, [(x, self.top), (x, self.top + PANEL - 46)]))
        if self.panel.marks:
            add_words((WIDTH - RIGHT + 10, self.top + PANEL - 48, "alarm", ALARM, 0))
        for number, series in enumerate(self.panel.series):
            colour = COLOURS[number % len(COLOURS)]
            add_words((WIDTH - RIGHT + 10, self.top + 12 + 16 * number, series.name, colour, 0))
            for points in self._pieces(series, least, most):
                add_stroke((colour, 2, points))

    def _pieces(self, series: Series, least: float, most: float) -> list[list[tuple[float, float]]]:
        """Return the line, cut where a value is missing; a lonely point becomes a short stroke."""
        pieces: list[list[tuple[float, float]]] = [[]]
        for x, y in zip(series.x, series.y, strict=True):
            if self._shown(y):
                at = (_place(x, self.low, self.high), self._height(self._scaled(y), least, most))
                pieces[-1].append(at)
            elif pieces[-1]:
                pieces.append([])
        return [
            piece if len(piece) > 1 else [(piece[0][0] - 3, piece[0][1]), (piece[0][0] + 3, piece[0][1])]
            for piece in pieces
            if piece
        ]

    def _shown(self, y: float) -> bool:
        return math.isfinite(y) and (y > 0 or not self.panel.logarithmic)

    def _scaled(self, y: float) -> float:
        return math.log10(y) if self.panel.logarithmic else y

    def _height(self, y: float, least: float, most: float) -> float:
        return self.top + (PANEL - 46) * (1 - (y - least) / (most - least))


def _place(x: float, low: float, high: float) -> float:
    return LEFT + (x - low) / (high - low) * (WIDTH - LEFT - RIGHT)


def _ticks(low: float, high: float, *, whole: bool) -> list[float]:
    """Return at most seven round numbers from `low` to `high`.

    >>> _ticks(0.0, 0.031, whole=False)
    [0.0, 0.01, 0.02, 0.03]
    """
    size = 10.0 ** math.floor(math.log10((high - low) / 5))
    step = next(size * factor for factor in (1, 2, 5, 10) if (high - low) / (size * factor) <= 6)
    step = max(1.0, round(step)) if whole else step
    first = math.ceil(low / step - 1e-9)
    return [round(at * step, 12) for at in range(first, math.floor(high / step + 1e-9) + 1)]


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _stroke(
    canvas: npt.NDArray[np.uint8],
    start: tuple[float, float],
    end: tuple[float, float],
    colour: tuple[int, int, int],
    width: int,
) -> None:
    steps = int(max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)) + 1
    xs = np.linspace(start[0], end[0], steps).round().astype(int)
    ys = np.linspace(start[1], end[1], steps).round().astype(int)
    for right in range(width):
        for down in range(width):
            x, y = xs + right, ys + down
            inside = (x >= 0) & (x < canvas.shape[1]) & (y >= 0) & (y < canvas.shape[0])
            canvas[y[inside], x[inside]] = colour


def _letter(
    canvas: npt.NDArray[np.uint8], x: float, y: float, text: str, colour: tuple[int, int, int], end: int
) -> None:
    """Write a text whose baseline is at `y`, from `x` on or up to it."""
    left = round(x) - end * 4 * DOT * len(text)
    for number, character in enumerate(text.upper()):
        for row, dots in enumerate(_FONT.get(character, "00000")):
            for column in range(3):
                if int(dots, 8) >> (2 - column) & 1:
                    right, down = left + (4 * number + column) * DOT, round(y) + (row - 5) * DOT
                    canvas[max(down, 0) : down + DOT, max(right, 0) : right + DOT] = colour


def simulated_chart(done: Simulated) -> Chart:
    """Return a simulation's attempts: error rates, gains beside each other, secret bits, alarms."""
    blocks = [one.block for one in done.attempts]
    at = [float(number) for number in range(1, len(blocks) + 1)]
    marks = [number for number, one in zip(at, done.attempts, strict=True) if one.alarm]

    def rate(basis: int) -> list[float]:
        return [
            float(block.errors[basis].sum() / block.detected[basis].sum())
            if block.errors is not None and block.detected is not None and block.detected[basis].sum()
            else math.nan
            for block in blocks
        ]

    def share(intensity: int) -> list[float]:
        return [
            float(block.detected[:, intensity].sum() / block.detected.sum())
            if block.detected is not None and block.detected.sum()
            else math.nan
            for block in blocks
        ]

    panels = [
        Panel(title="QBER", series=[Series("Z", at, rate(0)), Series("X", at, rate(1))], marks=marks),
        Panel(
            title="secret bits",
            series=[Series("bits", at, [float(one.key.size) for one in blocks])],
            marks=marks,
        ),
    ]
    if done.protocol == "bb84":
        names = ("signal", "decoy", "vacuum")
        gains = [Series(name, at, share(number)) for number, name in enumerate(names)]
        panels.insert(1, Panel(title="share of detections by intensity", series=gains, marks=marks))
    return Chart(panels=panels, x="attempt", whole=True)
