"""Recorded raw keys: what the symbols mean, and that nothing is guessed of a damaged file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import padova
import pytest

from qwarden.core.errors import InputError, UnreadableError
from qwarden.keys.observables import observe_both
from qwarden.keys.physics import read_padova
from qwarden.keys.records import Telemetry

H, D, V, A = 0, 1, 2, 3
"""Basis in the lower bit, bit in the upper: from the lowest on H is 00, V 01, D 10, A 11."""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    return {
        "alice": padova.write(tmp_path / "keys.alice", [H, V, D, H], [D, D, H, V, H, H, V, V]),
        "bob": padova.write(tmp_path / "keys.bob", [H, H, A, D], [D, A, H, V, H, H, V, H]),
        "intensities": padova.write(tmp_path / "keys.decoy", [0, 2, 0, 0], [0, 0, 2, 2, 0, 0, 0, 2]),
    }


def read(files: dict[str, Path], pulses: int = 1000) -> list:
    return list(read_padova(**files, pulses_per_block=pulses))


def test_symbols_are_basis_and_bit_from_the_lowest_bits_on() -> None:
    # 0b11_01_10_00 from the right: 00 H, 01 read upwards is 1 0, and so on.
    assert padova.packed([H, V, D, A]) == bytes([0b11011000])


def test_blocks_are_read_as_both_ends_hold_them(files: dict[str, Path]) -> None:
    (alice, bob), (later, _) = read(files)

    assert alice.basis.tolist() == [0, 0, 1, 0]
    assert alice.bit.tolist() == [0, 1, 0, 0]
    assert alice.intensity.tolist() == [0, 1, 0, 0]
    assert bob.basis.tolist() == [0, 0, 1, 1]
    assert bob.bit.tolist() == [0, 0, 1, 0]
    assert alice.index.tolist() == bob.index.tolist() == [0, 1, 2, 3]
    assert alice.pulses == bob.pulses == 1000
    assert later.bit.size == 8
    assert alice.bit.dtype == bob.basis.dtype == np.uint8


def test_errors_come_out_by_basis_and_intensity(files: dict[str, Path]) -> None:
    seen = [observe_both("bb84", alice, bob, Telemetry()) for alice, bob in read(files)]

    assert seen[0].detected.tolist() == [[1, 1, 0], [1, 0, 0]]
    assert seen[0].errors.tolist() == [[0, 1, 0], [1, 0, 0]]
    assert seen[1].errors.tolist() == [[0, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize("kept", [3, 8, 8 + 1, 9 + 8 + 1])
def test_a_file_cut_short_is_refused_by_block(files: dict[str, Path], kept: int) -> None:
    whole = files["bob"].read_bytes()
    files["bob"].write_bytes(whole[:kept])

    with pytest.raises(InputError, match=r"keys.bob: block") as caught:
        read(files)
    assert "ends after" in str(caught.value) or "0 symbols" in str(caught.value)


@pytest.mark.parametrize("length", [0, 1 << 40, (1 << 64) - 1])
def test_an_implausible_length_is_refused(files: dict[str, Path], length: int) -> None:
    files["alice"].write_bytes(length.to_bytes(8, "big") + b"\0" * 16)

    with pytest.raises(InputError, match=r"keys.alice: block 1: .*length says"):
        read(files)


def test_missing_and_empty_files_cannot_be_read(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="cannot be opened"):
        read({**files, "bob": tmp_path / "nowhere"})
    files["intensities"].write_bytes(b"")
    with pytest.raises(UnreadableError, match=r"keys.decoy: is empty"):
        read(files)


def test_a_state_or_intensity_that_the_protocol_lacks_is_refused(files: dict[str, Path]) -> None:
    padova.write(files["alice"], [H, V, D, H], [D, D, H, V, H, A, V, V])
    with pytest.raises(InputError, match=r"keys.alice: block 2, symbol 6: state A"):
        read(files)
    padova.write(files["alice"], [H, V, D, H], [D, D, H, V, H, H, V, V])
    padova.write(files["intensities"], [0, 0, 3, 0], [0] * 8)
    with pytest.raises(InputError, match=r"keys.decoy: block 1, symbol 3: an intensity"):
        read(files)


def test_unequal_files_are_refused(files: dict[str, Path]) -> None:
    padova.write(files["bob"], [H] * 8, [H] * 8)
    with pytest.raises(InputError, match=r"keys.bob: block 1: 8 symbols, where .*keys.alice has 4"):
        read(files)
    padova.write(files["bob"], [H] * 4)
    with pytest.raises(InputError, match=r"keys.bob: block 2: 0 symbols"):
        read(files)
    padova.write(files["bob"], [H] * 4, [H] * 8, [H] * 4)
    with pytest.raises(InputError, match=r"keys.bob: block 3: 4 symbols, where .* has 0"):
        read(files)


def test_more_detections_than_pulses_are_refused(files: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="block 2: 8 detections of 5 pulses"):
        read(files, pulses=5)
