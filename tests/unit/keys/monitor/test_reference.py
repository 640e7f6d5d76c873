from __future__ import annotations

import numpy as np

from qwarden.keys.monitor.features import FEATURES, NAMES, ErrorLine, Reading
from qwarden.keys.monitor.reference import JUMP, JUMPS, MOSTS, Reference

SD = 1e-3


def reading(start: float, end: float, values: float = 0.0) -> Reading:
    return Reading(
        values=np.full(len(NAMES), values),
        sds=np.full(len(NAMES), 0.01),
        errors=ErrorLine(
            ends=np.array([start, end]), covariance=SD**2 * np.array([[4.0, -2.0], [-2.0, 4.0]])
        ),
    )


def test_drift_that_goes_on_smoothly_is_no_jump() -> None:
    reference = Reference(0.005)
    for at in range(10):
        one = reading(0.005 + 0.01 * at, 0.015 + 0.01 * at)
        assert abs(reference.deviations(one)[JUMP]) < 0.5
        reference.learn(one)


def test_the_same_rise_as_a_step_is_one() -> None:
    reference = Reference(0.005)
    reference.learn(reading(0.005, 0.005))
    assert reference.deviations(reading(0.025, 0.025))[JUMP] > 5


def test_small_steps_of_one_sign_add_up() -> None:
    reference, found = Reference(0.005), []
    for at in range(12):
        one = reading(0.005 + 0.0035 * at, 0.005 + 0.0035 * at)
        found.append(reference.deviations(one))
        reference.learn(one)
    assert max(row[JUMP] for row in found) < 3
    assert found[-1][JUMPS] > 3


def test_a_block_that_is_passed_over_leaves_drift_on_its_course() -> None:
    reference = Reference(0.005)
    reference.learn(reading(0.005, 0.009))
    course = reference.course
    assert course > 0.002
    before = reference.misalignment
    reference.pass_over()
    assert reference.misalignment == before + course
    assert reference.misalignment_variance > reference.course_variance


def test_what_is_usual_moves_within_its_bounds_only() -> None:
    reference = Reference(0.005)
    for _ in range(500):
        reference.learn(reading(0.005, 0.005, values=1.0))
    assert (reference.usual <= MOSTS).all()
    moving = [at for at, feature in enumerate(FEATURES.values()) if feature.wander]
    np.testing.assert_allclose(reference.usual[moving], MOSTS[moving])
    assert reference.usual[NAMES.index("watchdog")] == 0.0


def test_unknown_stays_unknown() -> None:
    reference = Reference(0.005)
    nothing = Reading(values=np.full(len(NAMES), np.nan), sds=np.full(len(NAMES), np.nan), errors=None)
    assert np.isnan(reference.deviations(nothing)).all()
    reference.learn(nothing)
    assert np.isfinite(reference.usual).all()
