"""Which method reconciles a block: what it discloses against how long both ends wait.

The model. While a block is reconciled the link collects the next, so that blocks follow each other by the
longer of the two times, and what counts is the secret bits a second that remain::

    secret = n (1 - h(q)) - f n h(q)
    period = max(n / sifted_bps, n / speed + rounds (round_trip_s + ROUND_S))

`secret` is asymptotic and takes every detection for a single photon: a constant that is wrong alike for all
methods, whose order is what matters. f and rounds are those measured, between the table's points by linear
interpolation in log n and log q. Where the link is slower than any waiting, the least leak wins; the longer
the round trip, the fewer rounds are worth; over a satellite it is `ldpc`.

Start reading at `costs`; `choose` is its best.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from qwarden.core.errors import UsageError
from qwarden.keys.finite_key import binary_entropy

ROUND_S: Final = 50e-6
"""What the two ends need for a round trip themselves."""

SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)
QBERS: Final = (0.005, 0.01, 0.02, 0.05, 0.10)


@dataclass(frozen=True, slots=True)
class Method:
    """What was measured of a method.

    Parameters
    ----------
    f, rounds : efficiency and number of round trips, a row for each of `QBERS`, a column for each of `SIZES`.
    bits_per_s : of one core, both ends together, without waiting.
    least, most : the QBERs it is for; below the least it discloses as much as there.
    """

    f: tuple[tuple[float, ...], ...]
    rounds: tuple[tuple[float, ...], ...]
    bits_per_s: float = 1e7
    least: float = 0.0
    most: float = 0.5


METHODS: Final = {
    "lean": Method(
        f=(
            (1.334, 1.122, 1.025, 1.025),
            (1.295, 1.080, 1.023, 1.027),
            (1.272, 1.058, 1.034, 1.026),
            (1.129, 1.054, 1.043, 1.036),
            (1.117, 1.066, 1.057, 1.057),
        ),
        rounds=(
            (34, 140, 624, 1816),
            (44, 208, 850, 2372),
            (61, 293, 1112, 4027),
            (69, 193, 462, 1068),
            (79, 184, 475, 1032),
        ),
    ),
    "brisk": Method(
        f=(
            (1.367, 1.182, 1.031, 1.025),
            (1.325, 1.147, 1.038, 1.024),
            (1.363, 1.089, 1.040, 1.033),
            (1.161, 1.059, 1.051, 1.048),
            (1.138, 1.075, 1.070, 1.069),
        ),
        rounds=(
            (33, 130, 446, 742),
            (42, 190, 508, 860),
            (57, 238, 489, 704),
            (66, 148, 227, 274),
            (74, 139, 196, 276),
        ),
    ),
    "original": Method(
        f=(
            (1.077, 1.139, 1.130, 1.125),
            (1.145, 1.147, 1.136, 1.144),
            (1.173, 1.159, 1.164, 1.154),
            (1.200, 1.186, 1.184, 1.184),
            (1.216, 1.208, 1.207, 1.207),
        ),
        rounds=(
            (19, 44, 76, 114),
            (24, 46, 68, 103),
            (27, 45, 62, 98),
            (26, 40, 60, 70),
            (25, 37, 49, 64),
        ),
    ),
    "ldpc": Method(
        f=(
            (2.114, 1.48, 1.24, 1.172),
            (1.98, 1.347, 1.172, 1.141),
            (1.584, 1.267, 1.158, 1.129),
            (1.397, 1.184, 1.126, 1.116),
            (1.296, 1.153, 1.114, 1.109),
        ),
        rounds=((1,) * 4,) * 5,
        bits_per_s=3e6,
        least=0.005,
        most=0.1,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a method would cost for a block.

    Parameters
    ----------
    method : a variant of `cascade`, or ``ldpc``.
    leak_bits, rounds, seconds : expected; the time is that of both ends and of the way between.
    secret_bits_per_s : what remains, by the model; negative if nothing does.
    """

    method: str
    leak_bits: float
    rounds: float
    seconds: float
    secret_bits_per_s: float


def costs(round_trip_s: float, qber: float, bits: int, *, sifted_bps: float = 1e6) -> list[Cost]:
    """Return the cost of every method that is for this QBER, the best first.

    Parameters
    ----------
    round_trip_s : of the public channel.
    qber : estimated, from 0 to below 0.5.
    bits : of the block.
    sifted_bps : sifted bits a second that the link brings.

    Raises
    ------
    UsageError
        An argument is out of its range.
    """
    if not (0 <= round_trip_s < math.inf and 0 <= qber < 0.5 and bits > 0 and sifted_bps > 0):
        raise UsageError(
            "expected a round trip of 0 s or more, a QBER from 0 to below 0.5 and more than 0 bits, found "
            f"{round_trip_s:g} s, {qber:g}, {bits} at {sifted_bps:g} bit/s"
        )
    found = []
    for name, method in METHODS.items():
        if qber > method.most:
            continue
        leak = _between(method.f, qber, bits) * bits * binary_entropy(max(qber, method.least))
        rounds = _between(method.rounds, qber, bits)
        seconds = bits / method.bits_per_s + rounds * (round_trip_s + ROUND_S)
        secret = bits * (1 - binary_entropy(qber)) - leak
        # Where nothing remains, waiting does not make it better.
        period = max(bits / sifted_bps, seconds) if secret > 0 else bits / sifted_bps
        found.append(
            Cost(
                method=name, leak_bits=leak, rounds=rounds, seconds=seconds, secret_bits_per_s=secret / period
            )
        )
    return sorted(found, key=lambda cost: (-cost.secret_bits_per_s, cost.leak_bits, cost.seconds))


def choose(round_trip_s: float, qber: float, bits: int, *, sifted_bps: float = 1e6) -> str:
    """Return the method of the least cost: a variant of `cascade`, or ``ldpc``; see `costs`.

    Examples
    --------
    >>> choose(0.0, 0.03, 1_000_000), choose(0.6, 0.03, 1_000_000)
    ('lean', 'ldpc')
    """
    return costs(round_trip_s, qber, bits, sifted_bps=sifted_bps)[0].method


def _between(table: tuple[tuple[float, ...], ...], qber: float, bits: int) -> float:
    """Return a table's value between its points; beyond them that of the nearest."""
    column = [float(np.interp(math.log(bits), np.log(SIZES), row)) for row in table]
    return float(np.interp(math.log(max(qber, QBERS[0])), np.log(QBERS), column))
