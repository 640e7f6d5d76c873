from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from qwarden.core.errors import UsageError
from qwarden.keys.qec.codes import CODES, Code, anticommute, surface, syndrome, table
from qwarden.keys.qec.distillation import distil, expected, recurrence, werner
from qwarden.keys.qec.protected import protect


@pytest.mark.parametrize("make", CODES.values())
def test_a_code_is_one(make: Callable[[], Code]) -> None:
    code = make()
    assert len(code.stabilisers) == code.qubits - 1
    for row in code.stabilisers:
        assert not any(
            anticommute(row, other) for other in (*code.stabilisers, code.logical_x, code.logical_z)
        )
    assert anticommute(code.logical_x, code.logical_z)


@pytest.mark.parametrize("make", CODES.values())
def test_no_error_below_the_distance_is_a_logical_operator(make: Callable[[], Code]) -> None:
    code = make()
    for weight in range(1, min(code.distance, 3)):
        for places in itertools.combinations(range(code.qubits), weight):
            for letters in itertools.product("XYZ", repeat=weight):
                error = ["I"] * code.qubits
                for place, letter in zip(places, letters, strict=True):
                    error[place] = letter
                seen = syndrome(code, "".join(error))
                harmless = not any(
                    anticommute("".join(error), one) for one in (code.logical_x, code.logical_z)
                )
                assert any(seen) or harmless


@pytest.mark.parametrize("name", ["five-qubit", "steane"])
def test_the_table_undoes_every_error_of_one_qubit(name: str) -> None:
    code = CODES[name]()
    likeliest = table(code)
    assert len(likeliest) == 2 ** len(code.stabilisers)
    for place, letter in itertools.product(range(code.qubits), "XYZ"):
        error = "I" * place + letter + "I" * (code.qubits - place - 1)
        flips = anticommute(error, code.logical_z), anticommute(error, code.logical_x)
        assert likeliest[syndrome(code, error)] == flips


def test_an_even_surface_is_refused() -> None:
    with pytest.raises(UsageError, match="odd"):
        surface(4)


def test_the_five_qubit_code_fails_as_often_as_can_be_counted() -> None:
    # Perfect code: any two errors are decoded to the wrong logical state or to none; to first order every
    # pair of errors fails, in one of three logical Paulis, two of which flip a given basis.
    raw = 0.004
    p = 1.5 * raw
    pairs = 10 * p**2
    found = protect(CODES["five-qubit"](), raw, shots=2_000_000, seed=5)
    assert found.qber_z == pytest.approx(pairs * 2 / 3, rel=0.12)
    assert found.qber_x == pytest.approx(pairs * 2 / 3, rel=0.12)


def test_a_larger_surface_protects_better() -> None:
    small, large = (protect(surface(d), 0.02, shots=100_000, seed=5).qber for d in (3, 5))
    assert large < small < 0.02


def test_a_code_costs_photons() -> None:
    found = protect(CODES["steane"](), 0.02, shots=1000, seed=5)
    assert found.pairs_per_photon(1.0) == 1 / 7
    assert found.pairs_per_photon(0.5) == 0.5**7 / 7


@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_distilled_pairs_are_those_of_the_map(rounds: int) -> None:
    found, map_ = distil(0.05, rounds, shots=300_000, seed=5), expected(0.05, rounds)
    for basis in ("qber_z", "qber_x"):
        share = getattr(map_, basis)
        assert getattr(found, basis) == pytest.approx(share, abs=5 * (share / found.shots) ** 0.5)
    assert found.yield_ <= map_.yield_ * 1.01


def test_one_round_is_that_of_the_paper() -> None:
    # F' = (F^2 + ((1 - F) / 3)^2) / p for Werner states, the first line of equation 4.
    weights = werner(0.1)
    after, success = recurrence(weights)
    f = 1 - 1.5 * 0.1
    assert success == pytest.approx((f + (1 - f) / 3) ** 2 + (2 * (1 - f) / 3) ** 2)
    assert after[0] == pytest.approx((f**2 + ((1 - f) / 3) ** 2) / success)
    assert after.sum() == pytest.approx(1)


def test_too_many_rounds_are_refused() -> None:
    with pytest.raises(UsageError, match="rounds"):
        distil(0.05, 9, shots=10, seed=1)
