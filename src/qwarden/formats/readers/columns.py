"""Lines of a table whose header names its columns."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Final

from qwarden.formats.readers.fields import MOST, Malformed, wrong
from qwarden.formats.tables import SEPARATORS

BOM: Final = "\ufeff"
_REMEMBERED: Final = 1 << 16

Named = str | Sequence[str]
"""What a column may be called."""


class Columns:
    """Picks columns of delimited text by the names in its header.

    Parameters
    ----------
    wanted : the columns to pick, in order; several names of one column apart by ``|``, or as a list (which
        may be empty).
    needed : those of them without which a line is no flow.

    A column that the table lacks is picked as an empty text.
    """

    def __init__(self, wanted: Sequence[Named], needed: Sequence[Named]) -> None:
        self._wanted = tuple(map(_names, wanted))
        self._needed = tuple(map(_names, needed))
        self._pick: Callable[[list[str]], tuple[str, ...]] | None = None
        self._width = 0
        self._at_least = False
        self._separator = ","
        self._header: tuple[str, ...] = ()

    def take_header(self, line: str) -> bool:
        """Take `line` for a header if it names a needed column; return whether it does.

        Raises
        ------
        Malformed : it names some, but not all.
        """
        best: list[str] = []
        for separator in SEPARATORS:
            names = [name.strip(' "') for name in line.removeprefix(BOM).split(separator)]
            if len(self._found(names)) > len(self._found(best)):
                best, self._separator = names, separator
        found = self._found(best)
        if not found:
            return False
        if len(found) < len(self._needed):
            absent = next(names[0] for names in self._needed if not set(names) & set(best))
            expected = ", ".join(names[0] for names in self._needed)
            self._pick = None
            raise Malformed(f"the header lacks the column {absent}; expected {expected}")
        self.set_header(best, self._separator)
        return True

    def set_header(self, names: Sequence[str], separator: str, *, at_least: bool = False) -> None:
        """Tell what the columns are; a line may have more of them if these are `at_least` what it has."""
        self._at_least = at_least
        self._header, self._separator, self._width = tuple(names), separator, len(names)
        places = {name: place for place, name in reversed(list(enumerate(names)))}
        # An absent column is picked from behind the last one.
        self._pick = itemgetter(
            *(next((places[name] for name in named if name in places), self._width) for named in self._wanted)
        )

    def _found(self, names: Sequence[str]) -> list[Sequence[str]]:
        return [named for named in self._needed if set(named) & set(names)]

    @property
    def ready(self) -> bool:
        """Whether the columns are known."""
        return self._pick is not None

    def has(self, name: str) -> bool:
        """Whether the table has the column."""
        return name in self._header

    def cells(self, line: str) -> tuple[str, ...]:
        """Return the wanted cells of a line.

        Raises
        ------
        Malformed : no header came before it, or it has more or fewer cells than that.
        """
        if self._pick is None:
            raise Malformed("no header before it says what its columns are")
        cells = _quoted(line, self._separator) if '"' in line else line.split(self._separator)
        if self._at_least:
            del cells[self._width :]
        if len(cells) != self._width:
            raise Malformed(f"the line has {len(cells)} columns; expected {self._width}")
        cells.append("")
        return self._pick(cells)


def _names(named: Named) -> Sequence[str]:
    return named.split("|") if isinstance(named, str) else named


def _quoted(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator, strict=True), [])
    except csv.Error as error:
        raise Malformed(f"its quotes do not pair: {str(error)[:60]}") from None


class Numbers(dict[str, int]):
    """Whole numbers by their text, `unset` ones included; small ones come again and again.

    >>> Numbers({"": -1})["17"], Numbers({"": -1})[""], Numbers({"": -1})["17.0"]
    (17, -1, 17)
    """

    def __init__(self, unset: dict[str, int]) -> None:
        super().__init__(unset)
        self._unset = unset

    def __missing__(self, text: str) -> int:
        plain = text.strip()
        whole, dot, part = plain.partition(".")
        if not (plain.isascii() and whole.isdecimal() and len(whole) <= 16) or (dot and part.strip("0")):
            raise ValueError(text)
        number = int(whole)
        if number > MOST:
            raise ValueError(text)
        if len(self) > _REMEMBERED:
            self.clear()
            self.update(self._unset)
        if len(text) <= 16:
            self[text] = number
        return number


def blame(
    names: Sequence[str], cells: Sequence[str], parsers: Sequence[tuple[Callable[[str], object], str]]
) -> Malformed:
    """Return which of `cells` cannot be parsed, and what was expected."""
    for name, cell, (parse, expected) in zip(names, cells, parsers, strict=True):
        try:
            parse(cell)
        except ValueError:
            return wrong(name.split("|")[0], cell, expected)
    return Malformed("its values do not go together")
