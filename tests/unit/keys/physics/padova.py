"""Writes recordings in the layout of the Padova files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def packed(symbols: Iterable[int]) -> bytes:
    """Return four symbols a byte, the first in the lowest bits, padded with 0."""
    values = list(symbols)
    values += [0] * (-len(values) % 4)
    return bytes(
        values[i] | values[i + 1] << 2 | values[i + 2] << 4 | values[i + 3] << 6
        for i in range(0, len(values), 4)
    )


def write(path: Path, *blocks: Iterable[int]) -> Path:
    """Write blocks of symbols."""
    content = [packed(block) for block in blocks]
    path.write_bytes(b"".join(len(one).to_bytes(8, "big") + one for one in content))
    return path
