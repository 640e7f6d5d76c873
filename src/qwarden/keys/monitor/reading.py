"""From a block's observables to its features: deviations from what the honest link is expected to show.

Loss is never evidence: fibres age and bend, and whoever splits light off leaves nothing but loss. So the
transmission is fitted to the block itself, and everything else is held against what a link of that
transmission shows.

What cannot be known (a decoy's gain under E91, S under BB84, a share of nothing) is nan: unknown, and neither
usual nor unusual.

Source: rates of `physics.channel`; the estimators of Y1 and e1 are those of Lim et al., PRA 89, 022307
(2014), equations 3 and 4, without their room for chance; Wilson and Hilferty, PNAS 17, 684 (1931).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from qwarden.keys.link import Link, Settings
from qwarden.keys.monitor.features import F64, LOSS_SCALE, NAMES, ErrorLine, Reading
from qwarden.keys.observables import PARTS, Observables
from qwarden.keys.physics.channel import exact_decoy_rates, pair_rates
from qwarden.keys.physics.medium import TELEMETRY_NOISE, slot_weights
from qwarden.keys.records import SLOTS

MISALIGNED: Final = 0.01
"""Step by which the effect of misalignment on errors is reckoned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Expected:
    """What a link of the fitted transmission shows.

    `gain` and `error` are chances a live gate by intensity (3,); `double` is that of a double click in one;
    `uniform` the share of detections that come at any time of the gate.
    """

    link: Link
    gain: F64
    error: F64
    double: float
    uniform: float
    mean_gain: float


def read(seen: Observables, link: Link, settings: Settings) -> Reading:
    """Return the features of a block.

    Parameters
    ----------
    link : as both ends know it; misalignment and loss are taken from the block.

    Examples
    --------
    >>> from qwarden.keys.observables import observe_both
    >>> from qwarden.keys.physics import transmit
    >>> link, settings = Link(distance_km=20), Settings()
    >>> sent = transmit(link, settings, pulses=10**7, seed=1)
    >>> seen = observe_both("bb84", sent.alice, sent.bob, sent.telemetry)
    >>> found = read(seen, link, settings)
    >>> bool(np.nanmax(np.abs(found.values / found.sds)) < 4)
    True
    """
    expected = _expected(seen, link, settings)
    values = dict.fromkeys(NAMES, (math.nan, math.nan))
    if expected is None:
        values["loss"] = (-30.0 * LOSS_SCALE, LOSS_SCALE)
        return _reading(values, None)
    spread = (1.0 + link.afterpulse) / (1.0 - link.afterpulse)
    values |= _clicks(seen, link, settings, expected, spread)
    values |= _arrivals(seen, expected, spread)
    values |= _telemetry(seen)
    line, errors = _errors(seen, settings, expected)
    values |= errors
    if settings.protocol == "bb84":
        values |= _gains(seen, settings, expected)
    return _reading(values, line)


def _reading(values: dict[str, tuple[float, float]], line: ErrorLine | None) -> Reading:
    table = np.array([values[name] for name in NAMES])
    return Reading(values=table[:, 0], sds=table[:, 1], errors=line)


def _expected(seen: Observables, link: Link, settings: Settings) -> _Expected | None:
    """Fit the transmission to the clicks; None if there are none."""
    clicks = int(seen.clicks.sum())
    tested = settings.bob_bases[2] + settings.bob_bases[3]
    if clicks < 20 or not seen.pulses:
        return None
    rate = clicks / (seen.pulses * (1.0 - tested))
    rate = min(rate / max(1.0 - rate * link.dead_gates, 0.05), 0.9)
    p_ap = link.afterpulse
    click = rate * (1.0 - p_ap) / (1.0 - p_ap * rate)
    if settings.protocol == "bb84":
        means, weights = np.asarray(settings.intensities), np.asarray(settings.probabilities)
    else:
        means, weights = np.array([link.pair_rate]), np.ones(1)
    eta = _transmission(click, means, weights, link)
    fitted = replace(
        link, receiver_efficiency=min(1.0, eta / _usual(link, settings) * link.receiver_efficiency)
    )
    follow = p_ap * rate
    single = 1.0 - (1.0 - link.dark_count) * np.exp(-eta * means / 2)
    light = float(weights @ -np.expm1(-eta * means))
    if settings.protocol == "bb84":
        rates = exact_decoy_rates(fitted, settings)
        gain, error = rates.gain, rates.error
        same = settings.key_basis**2 + (1.0 - settings.key_basis) ** 2
        wrong = _misalignment(seen, fitted, settings)
        right = 1.0 - (1.0 - link.dark_count) * np.exp(-eta * means * (1.0 - wrong))
        other = 1.0 - (1.0 - link.dark_count) * np.exp(-eta * means * wrong)
        both = same * right * other + (1.0 - same) * single**2
        half = same * (right + other) / 2 + (1.0 - same) * single
        double = float(weights @ ((1.0 - follow) * both + follow * half))
    else:
        pairs = pair_rates(fitted)
        gain, error = np.array([pairs.coincidence]), np.array([pairs.error])
        double = float((1.0 - follow) * single[0] ** 2 + follow * single[0])
    return _Expected(
        link=fitted,
        gain=gain,
        error=error,
        double=double,
        uniform=max(0.0, 1.0 - light / rate),
        mean_gain=rate,
    )


def _usual(link: Link, settings: Settings) -> float:
    """Return the chance that a photon on its way to Bob is detected."""
    if settings.protocol == "bb84":
        return link.efficiency
    return link.receiver_efficiency * link.transmittance(link.distance_km / 2)


def _transmission(click: float, means: F64, weights: F64, link: Link) -> float:
    """Solve click = 1 - (1 - dark)^2 sum_k p_k exp(-eta mu_k) for eta, by Newton's method."""
    dark = (1.0 - link.dark_count) ** 2
    eta = max(0.0, (click - (1.0 - dark)) / float(weights @ means))
    for _ in range(4):
        dim = weights * np.exp(-eta * means)
        slope = dark * float(dim @ means)
        eta = max(0.0, eta + (click - 1.0 + dark * float(dim.sum())) / slope) if slope else 0.0
    return max(eta, 1e-12)


def _clicks(
    seen: Observables, link: Link, settings: Settings, expected: _Expected, spread: float
) -> dict[str, tuple[float, float]]:
    """Return how detections are spread over bases and detectors, and how much light comes through."""
    clicks = seen.clicks.astype(np.float64)
    found = {"loss": (math.log(expected.link.receiver_efficiency / link.receiver_efficiency), LOSS_SCALE)}
    for name, pair in (("imbalance_z", clicks[:2]), ("imbalance_x", clicks[2:])):
        total = float(pair.sum())
        if total >= 50:
            found[name] = (float(pair[0] - pair[1]) / total, math.sqrt(spread / total))
    tested = settings.bob_bases[2] + settings.bob_bases[3]
    whole = float(clicks.sum())
    double = expected.double / expected.mean_gain * whole / (1.0 - tested)
    found["doubles"] = _root(seen.doubles, double)
    sifted, checked = float(seen.detected.sum()), float(seen.detected[1].sum())
    q = settings.key_basis
    agree = q * q + (1.0 - q) ** 2
    if settings.protocol == "bb84":
        found["sifted_share"] = _share(sifted, whole, agree)
    found["check_share"] = _share(checked, sifted, (1.0 - q) ** 2 / agree)
    return found


def _share(part: float, whole: float, expected: float) -> tuple[float, float]:
    """Return the relative deviation of a share, and its standard deviation."""
    if whole * expected < 5:
        return math.nan, math.nan
    return part / (whole * expected) - 1.0, math.sqrt((1.0 - expected) / (whole * expected))


def _root(count: float, expected: float) -> tuple[float, float]:
    """Return the relative deviation of a Poisson count on the root's scale, on which chance is even."""
    low, high = math.sqrt(expected + 0.375), math.sqrt(count + 0.375)
    return 2.0 * (high - low) / low, 1.0 / low


def _arrivals(seen: Observables, expected: _Expected, spread: float) -> dict[str, tuple[float, float]]:
    """Return when in the gate detections come, and how evenly over the block."""
    histogram = seen.histogram.astype(np.float64)
    total = float(histogram.sum())
    shape = (1.0 - expected.uniform) * _ON_TIME + expected.uniform / SLOTS
    found = {name: _mixed_in(histogram, shape, other - shape) for name, other in _ELSEWHERE.items()}
    half_apart = (_LATE - _EARLY) / 2
    found["delayed"] = _mixed_in(histogram, shape, half_apart)
    found["arrival_shape"] = (_chi_square(histogram, total * shape, SLOTS - 1, 0.005, 1.0), 1.0)
    if seen.arrivals is not None:
        arrivals = seen.arrivals.astype(np.float64)
        even = np.full(PARTS, arrivals.mean())
        found["outage"] = (_chi_square(arrivals, even, PARTS - 1, 0.005, spread), 1.0)
    return found


_ON_TIME, _EARLY, _LATE, _ANY_TIME = slot_weights()
_ELSEWHERE: Final = {"shifted": (_EARLY + _LATE) / 2, "background": _ANY_TIME}


def _mixed_in(histogram: F64, shape: F64, direction: F64) -> tuple[float, float]:
    """Return how much of `direction` is mixed into `shape`, by the best linear estimate, and its spread."""
    total = float(histogram.sum())
    weight = direction / shape
    information = float(direction @ weight)
    return float(weight @ (histogram / total - shape)) / information, 1.0 / math.sqrt(total * information)


def _chi_square(found: F64, expected: F64, freedom: int, floor: float, spread: float) -> float:
    """Return chi-square on the scale of a standard normal; `floor` is what is not known better, relative."""
    chi = float((((found - expected) ** 2) / (expected * spread + (floor * expected) ** 2 + 0.5)).sum())
    width = 2.0 / (9.0 * freedom)
    return (math.cbrt(chi / freedom) - 1.0 + width) / math.sqrt(width)


def _telemetry(seen: Observables) -> dict[str, tuple[float, float]]:
    return {
        "watchdog": (seen.watchdog - 1.0, TELEMETRY_NOISE),
        "photocurrent": (seen.photocurrent - 1.0, TELEMETRY_NOISE),
    }


def _errors(
    seen: Observables, settings: Settings, expected: _Expected
) -> tuple[ErrorLine | None, dict[str, tuple[float, float]]]:
    """Return the line of errors over the block, and what of the errors misalignment does not explain."""
    sifted = seen.detected.sum(axis=1).astype(np.float64)
    wrong = seen.errors.sum(axis=1).astype(np.float64)
    if sifted[0] < 8 * PARTS:
        return None, {}
    at_zero, slope = _sensitivity(expected.link, settings)
    qber = wrong[0] / sifted[0]
    line = _line(seen, qber, at_zero, slope)
    found: dict[str, tuple[float, float]] = {}
    noise = (wrong.sum() + 1.0) / (sifted.sum() + 2.0)
    variance = noise * (1.0 - noise)
    if sifted[1] >= 20:
        gap = wrong[1] / sifted[1] - qber
        found["basis_gap"] = (
            gap,
            math.sqrt(variance * (1.0 / sifted[1] + 1.0 / sifted[0]) + sifted[1] ** -2),
        )
        if seen.chsh is not None and seen.chsh_error is not None:
            found |= _chsh(seen.chsh, seen.chsh_error, sifted, wrong, settings)
    if settings.protocol == "bb84":
        found |= _decoy_errors(seen, settings, expected, (qber - at_zero) / slope)
    return line, found


def _chsh(
    s: float, s_error: float, sifted: F64, wrong: F64, settings: Settings
) -> dict[str, tuple[float, float]]:
    """Return by how much S differs from 2 sqrt 2 (1 - 2 QBER)."""
    q, tested = settings.key_basis, settings.test_share
    pairs = float(sifted.sum()) / ((1.0 - tested) * (q * q + (1.0 - q) ** 2))
    cells = pairs * tested / 2 * np.array([q, 1.0 - q])
    if cells.min() < 8:
        return {}
    rate = float(wrong.sum() / sifted.sum())
    # Where a setting happened to err never, its own error says that chance does nothing: expect the usual.
    usual = float(np.sqrt((1.0 - (1.0 - 2.0 * rate) ** 2 / 2) * 2 * (1.0 / cells).sum()))
    of_rate = 4.0 * math.sqrt(2.0 * rate * (1.0 - rate) / float(sifted.sum()))
    return {"chsh": (s - 2.0 * math.sqrt(2.0) * (1.0 - 2.0 * rate), math.hypot(max(s_error, usual), of_rate))}


def _misalignment(seen: Observables, fitted: Link, settings: Settings) -> float:
    """Return the misalignment that explains the errors of a block, as far as it can."""
    sifted = float(seen.detected.sum())
    if not sifted:
        return fitted.misalignment
    at_zero, slope = _sensitivity(fitted, settings)
    return min(max((float(seen.errors.sum()) / sifted - at_zero) / slope, 0.0), 0.5)


def _sensitivity(fitted: Link, settings: Settings) -> tuple[float, float]:
    """Return the error rate of a link without misalignment, and by how much misalignment raises it."""
    rates = []
    for wrong in (0.0, MISALIGNED):
        link = replace(fitted, misalignment=wrong)
        rates.append(
            exact_decoy_rates(link, settings).qber(settings)
            if settings.protocol == "bb84"
            else pair_rates(link).qber
        )
    return rates[0], max((rates[1] - rates[0]) / MISALIGNED, 1e-3)


def _line(seen: Observables, qber: float, at_zero: float, slope: float) -> ErrorLine:
    """Fit a line to the errors over the block; without a profile, a level that may have changed."""
    bits = float(seen.detected[0].sum())
    rate = max(qber, 1.0 / bits)
    variance = rate * (1.0 - rate) / bits
    if seen.error_profile is None:
        ends = np.full(2, qber)
        covariance = variance + np.diag(np.full(2, (0.5 * MISALIGNED * slope) ** 2))
    else:
        y = seen.error_profile * (PARTS / bits)
        ends = _FIT @ y
        covariance = (_FIT @ _FIT.T) * PARTS * variance
    return ErrorLine(ends=(ends - at_zero) / slope, covariance=covariance / slope**2)


def _fit() -> F64:
    """Return the matrix (2, PARTS) from levels of the parts to both ends of the line through them."""
    middles = (np.arange(PARTS) + 0.5) / PARTS
    design = np.column_stack([1.0 - middles, middles])
    return np.asarray(np.linalg.pinv(design))


_FIT: Final = _fit()


def _decoy_errors(
    seen: Observables, settings: Settings, expected: _Expected, misalignment: float
) -> dict[str, tuple[float, float]]:
    """Return errors of decoys, of vacuum and of single photons, beside those of the whole block."""
    link = replace(expected.link, misalignment=min(max(misalignment, 0.0), 0.5))
    rates = exact_decoy_rates(link, settings)
    sifted, wrong = seen.detected.sum(axis=0).astype(np.float64), seen.errors.sum(axis=0).astype(np.float64)
    usual = rates.error / rates.gain
    due = sifted * usual
    found: dict[str, tuple[float, float]] = {}
    # The whole block's errors set the misalignment: what is left to chance is less than of the count alone.
    for name, k in (("decoy_errors", 1), ("vacuum_errors", 2)):
        if due[k] >= 5:
            rest = max(1e-3, 1.0 - due[k] / max(due.sum(), 1.0)) if k == 1 else 1.0
            found[name] = (wrong[k] / due[k] - 1.0, math.sqrt(rest * (1.0 - usual[k]) / due[k]))
    weights = _weights(settings)
    mine = np.array([0.0, weights[1], -weights[2]])
    single, spread = float(mine @ due), math.sqrt(float(mine**2 @ (due * (1.0 - usual))))
    if single > 0 and due[1] >= 5:
        found["e1"] = (float(mine @ wrong) / single - 1.0, spread / single)
    return found


def _weights(settings: Settings) -> F64:
    """Return e^mu / p by intensity (3,)."""
    return np.asarray(np.exp(settings.intensities) / np.asarray(settings.probabilities))


def _gains(seen: Observables, settings: Settings, expected: _Expected) -> dict[str, tuple[float, float]]:
    """Return the gains of decoy and vacuum beside the signal's, and what single photons gain."""
    counts = seen.detected.sum(axis=0).astype(np.float64)
    total = float(counts.sum())
    share = np.asarray(settings.probabilities) * expected.gain
    share = share / share.sum()
    due = total * share
    if due[1] < 5:
        return {}
    found = {
        "decoy_gain": _share(counts[1], total, float(share[1])),
        "vacuum_gain": _root(counts[2], float(due[2])),
    }
    mu1, mu2, mu3 = settings.intensities
    weights = _weights(settings)
    none = np.array([0.0, -mu3 * weights[1], mu2 * weights[2]]) / (mu2 - mu3)
    many = (mu2**2 - mu3**2) / mu1**2
    single = np.array([-many * weights[0], weights[1], -weights[2]]) + many * none
    mean = float(single @ due)
    if mean > 0:
        variance = float(single**2 @ due) - mean**2 / total
        found["y1"] = (float(single @ counts) / mean - 1.0, math.sqrt(max(variance, 1.0)) / mean)
    return found
