"""Observables: counted as by hand, and read back strictly."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from qwarden.core.errors import InputError, UsageError
from qwarden.keys.link import Link, Settings
from qwarden.keys.observables import Observables, chsh, observe_both
from qwarden.keys.physics import transmit
from qwarden.keys.records import SLOTS, Detections, Preparations, Telemetry

BYTE = np.uint8


def detections(
    index: list[int], basis: list[int], bit: list[int], double: list[int] | None = None
) -> Detections:
    return Detections(
        pulses=50, index=np.array(index), basis=np.array(basis, BYTE), bit=np.array(bit, BYTE),
        double=np.array(double or [0] * len(index), np.bool_), slot=np.arange(len(index), dtype=BYTE),
    )  # fmt: skip


def small() -> Observables:
    alice = Preparations(
        pulses=50, index=np.array([1, 5, 7, 9, 30]), basis=np.array([0, 0, 1, 1, 0], BYTE),
        bit=np.array([1, 0, 1, 0, 0], BYTE), intensity=np.array([0, 2, 1, 0, 0], BYTE),
    )  # fmt: skip
    bob = detections([1, 5, 7, 9, 30], [0, 0, 1, 0, 0], [1, 1, 0, 1, 0], [0, 0, 1, 0, 0])
    return observe_both("bb84", alice, bob, Telemetry(watchdog=1.5))


def test_bits_are_counted_by_basis_and_intensity() -> None:
    found = small()

    assert found.detected.tolist() == [[2, 0, 1], [0, 1, 0]]
    assert found.errors.tolist() == [[0, 0, 1], [0, 1, 0]]
    assert found.clicks.tolist() == [1, 3, 1, 0]
    assert found.doubles == 1
    assert found.histogram.tolist() == [1] * 5 + [0] * (SLOTS - 5)
    assert (found.watchdog, found.photocurrent, found.pulses) == (1.5, 1.0, 50)
    assert found.qber(0) == pytest.approx(1 / 3)
    assert (found.chsh, found.chsh_error) == (None, None)


def test_coincidences_of_pairs_are_found_among_single_detections() -> None:
    alice = detections([2, 4, 6, 8, 11], [0, 0, 1, 1, 0], [0, 0, 1, 1, 1])
    bob = detections([1, 4, 6, 8, 9, 11], [0, 0, 1, 2, 3, 3], [1, 1, 1, 1, 0, 1])
    found = observe_both("e91", alice, bob, Telemetry())

    assert found.detected.tolist() == [[1, 0, 0], [1, 0, 0]]
    assert found.errors.tolist() == [[1, 0, 0], [0, 0, 0]]
    assert found.clicks.tolist() == [0, 2, 0, 1]
    assert found.chsh is None  # two of the four settings were never measured together


def test_no_detections_have_no_error_rate() -> None:
    nothing = detections([], [], [])

    assert math.isnan(observe_both("e91", nothing, nothing, Telemetry()).qber(0))


def test_chsh_is_the_sum_of_correlations() -> None:
    quantum = (2 + math.sqrt(2)) / 4  # agreement at 45 degrees
    same = np.array([[quantum, quantum], [quantum, 1 - quantum]]) * 1_000_000
    s, error = chsh(same.astype(np.int64), np.full((2, 2), 1_000_000))

    assert s == pytest.approx(2 * math.sqrt(2), abs=1e-4)
    assert error == pytest.approx(math.sqrt(4 * 0.5 / 1e6))


def test_the_error_of_s_is_how_s_scatters() -> None:
    link, settings = (
        Link(distance_km=0, pair_rate=0.1),
        Settings(protocol="e91", test_share=0.9, key_basis=0.5),
    )
    blocks = [transmit(link, settings, pulses=200_000, seed=seed) for seed in range(60)]
    found = [observe_both("e91", block.alice, block.bob, block.telemetry) for block in blocks]

    scatter = np.std([one.chsh for one in found], ddof=1)
    assert scatter == pytest.approx(np.mean([one.chsh_error for one in found]), rel=0.35)


def test_json_comes_back_the_same() -> None:
    found = small()
    again = Observables.from_json(json.loads(json.dumps(found.to_json())))

    assert again.to_json() == found.to_json()
    assert again.detected.dtype == np.int64


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("detected", [[1, 2], [3, 4]]),
        ("detected", [[1, 2, 3], [4, 5]]),
        ("detected", [[9, 9, -9], [9, 9, 9]]),
        ("detected", [[9, 9, 9.0], [9, 9, 9]]),
        ("detected", [[9, 9, True], [9, 9, 9]]),
        ("detected", [[9, 9, 1 << 70], [9, 9, 9]]),
        ("errors", [[3, 0, 1], [0, 1, 0]]),
        ("histogram", [1] * (SLOTS + 1)),
        ("clicks", "1234"),
        ("clicks", None),
        ("pulses", -1),
        ("pulses", 1.5),
        ("doubles", True),
        ("protocol", "b92"),
        ("watchdog", "1"),
        ("watchdog", math.nan),
        ("photocurrent", None),
        ("chsh", math.inf),
    ],
)
def test_anything_else_is_refused(field: str, value: Any) -> None:
    with pytest.raises(InputError, match="block 7"):
        Observables.from_json({**small().to_json(), field: value}, source="block 7")


@pytest.mark.parametrize("document", [None, [], {}, {"protocol": "bb84"}, {**small().to_json(), "more": 1}])
def test_other_documents_are_refused(document: Any) -> None:
    with pytest.raises(InputError, match="expected an object with protocol, pulses"):
        Observables.from_json(document)


def test_errors_beyond_detections_make_no_observables() -> None:
    with pytest.raises(UsageError, match="more than detections"):
        Observables(**{**small().to_json(), "errors": np.full((2, 3), 99)})
