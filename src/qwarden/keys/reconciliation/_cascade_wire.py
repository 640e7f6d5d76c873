"""Cascade's questions as bytes and back; the strict half of `cascade`, which tells the format."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled, inlined
from qwarden.core.errors import InputError
from qwarden.keys.reconciliation._cascade_loops import ROW, START, STOP
from qwarden.keys.reconciliation._cascade_rows import LIVE, ORDERS, Int32, Int64

Raw = npt.NDArray[np.uint8]

NAME: Final = "cascade"
BYTES: Final = 5
"""Of a number at most."""


def varints(*numbers: int) -> bytes:
    """Return unsigned LEB128 numbers one after the other.

    >>> varints(1, 300).hex()
    '01ac02'
    """
    out = np.empty(BYTES * len(numbers), np.uint8)
    at = 0
    for number in numbers:
        at = _write(out, at, number)
    return out[:at].tobytes()


def write_ranges(nodes: Int32, asked: Int32) -> bytes:
    """Return row, start and length of each node that is asked for; see `_cascade_loops.Tree`."""
    out = np.empty(3 * BYTES * asked.size, np.uint8)
    return out[: _write_ranges(nodes, asked, out)].tobytes()


def read_numbers(request: bytes, count: int) -> tuple[list[int], int]:
    """Return the first numbers after the first byte, and where they end.

    Raises
    ------
    InputError
        They are not there, or not in their shortest form.
    """
    raw = np.frombuffer(request, np.uint8)
    numbers, at = [], 1
    for _ in range(count):
        number, end = _read(raw, at)
        if number < 0:
            raise InputError(
                NAME, "expected a number of at most five bytes, in its shortest form", f"byte {at}"
            )
        numbers.append(int(number))
        at = end
    return numbers, at


def read_ranges(
    request: bytes, begin: int, count: int, opened: Int64, n: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return row, start and stop of the ranges that stand from byte `begin` to the end.

    Parameters
    ----------
    opened, n : see `_cascade_rows.Rows`; the length of a row.

    Raises
    ------
    InputError
        A number is malformed, a row is not open, a range is empty or beyond the row, or bytes are left.
    """
    row, start, stop = np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, np.int32)
    end = _read_ranges(np.frombuffer(request, np.uint8), begin, opened, n, row, start, stop)
    if end < 0:
        raise InputError(NAME, "expected row, start and length of a range of an open row", f"byte {~end}")
    if end != len(request):
        raise InputError(NAME, f"{len(request) - end} bytes are left over", f"byte {end}")
    return row, start, stop


@inlined
def _write(out: Raw, at: int, number: int) -> int:
    while number >= 128:
        out[at] = (number & 127) | 128
        number >>= 7
        at += 1
    out[at] = number
    return at + 1


@compiled
def _write_ranges(nodes: Int32, asked: Int32, out: Raw) -> int:
    at = 0
    for node in asked:
        at = _write(out, at, int(nodes[node, ROW]))
        at = _write(out, at, int(nodes[node, START]))
        at = _write(out, at, int(nodes[node, STOP] - nodes[node, START]))
    return at


@compiled
def _read(raw: Raw, at: int) -> tuple[int, int]:
    """Return a number and where it ends, -1 for the number if there is none."""
    number = 0
    for i in range(BYTES):
        if at + i >= raw.size:
            break
        digit = int(np.int64(raw[at + i]))
        number |= (digit & 127) << (7 * i)
        if digit < 128:
            if digit == 0 and i > 0:
                break
            return number, at + i + 1
    return -1, at


@compiled
def _read_ranges(raw: Raw, at: int, opened: Int64, n: int, row: Int32, start: Int32, stop: Int32) -> int:
    # Where the ranges end, or the complement of where the first bad one begins.
    for i in range(row.size):
        begin = at
        r, at = _read(raw, at)
        s, at = _read(raw, at)
        length, at = _read(raw, at)
        half = r - ORDERS
        there = 0 <= r < ORDERS and opened[r] == 1
        there |= half >= 0 and opened[ORDERS] - LIVE <= half < opened[ORDERS]
        if not there or s < 0 or length < 1 or s + length > n:
            return ~begin
        row[i], start[i], stop[i] = r, s, s + length
    return at
