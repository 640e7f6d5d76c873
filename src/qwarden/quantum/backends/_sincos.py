"""Sine and cosine of four angles at once.

The angle is reduced to ``r`` in [-pi/4, pi/4] by subtracting the nearest multiple of pi/2, held in three
parts so that the products are exact (Cody and Waite 1980), and the Taylor series are summed to r**17 and
r**16, whose next terms are below 1e-19 and 3e-18. The absolute error is below 2e-16 for |angle| up to
`LIMIT`; beyond it the reduction would lose digits and the C library is asked.
"""

from __future__ import annotations

import math
from typing import Final

from qwarden.core.compiled import compiled
from qwarden.quantum.backends._lanes import (
    WIDTH,
    floor,
    lane,
    load,
    number,
    put_number,
    splat,
    store,
    where_nonzero,
)

LIMIT: Final = 1e5

# pi/2 = sum of these; the first two have 33 significant bits, so that up to 2**20 multiples are exact.
_HALF_PI_1: Final = float.fromhex("0x1.921fb544p+0")
_HALF_PI_2: Final = float.fromhex("0x1.0b4611a6p-34")
_HALF_PI_3: Final = float.fromhex("0x1.3198a2e037073p-69")
_TWO_OVER_PI: Final = 2 / math.pi

_S3, _S5, _S7, _S9, _S11, _S13, _S15, _S17 = ((-1.0) ** (n // 2) / math.factorial(n) for n in range(3, 18, 2))
_C2, _C4, _C6, _C8, _C10, _C12, _C14, _C16 = ((-1.0) ** (n // 2) / math.factorial(n) for n in range(2, 17, 2))


@compiled
def sincos(work: int, angles: int, cos: int, sin: int, count: int) -> None:
    """Write cosines and sines of the `count` lanes at `angles`."""
    squares = splat(0.0)
    for at in range(0, count * WIDTH, WIDTH):
        x = load(work, angles + at)
        squares = squares + x * x
        turns = floor(x * splat(_TWO_OVER_PI) + splat(0.5))
        r = ((x - turns * splat(_HALF_PI_1)) - turns * splat(_HALF_PI_2)) - turns * splat(_HALF_PI_3)
        # Even powers of r pairwise (Estrin's scheme): short chains of dependent operations.
        z = r * r
        z2 = z * z
        z4 = z2 * z2
        s_low = (splat(_S3) + z * splat(_S5)) + z2 * (splat(_S7) + z * splat(_S9))
        s_high = (splat(_S11) + z * splat(_S13)) + z2 * (splat(_S15) + z * splat(_S17))
        s = r + r * (z * (s_low + z4 * s_high))
        c_low = (splat(_C4) + z * splat(_C6)) + z2 * (splat(_C8) + z * splat(_C10))
        c_high = (splat(_C12) + z * splat(_C14)) + z2 * splat(_C16)
        c = splat(1.0) + (z * splat(_C2) + z2 * (c_low + z4 * c_high))
        # By quarter turns modulo 4: (sin, cos) = (s, c), (c, -s), (-s, -c), (-c, s).
        pairs = floor(turns * splat(0.5))
        odd = turns - (pairs + pairs)
        halves = floor(pairs * splat(0.5))
        sign = splat(1.0) - splat(2.0) * (pairs - (halves + halves))
        store(work, sin + at, sign * where_nonzero(odd, c, s))
        store(work, cos + at, sign * where_nonzero(odd, -s, c))
    for i in range(WIDTH):
        if lane(squares, i) > LIMIT * LIMIT:
            for at in range(i, count * WIDTH + i, WIDTH):
                put_number(work, cos + at, math.cos(number(work, angles + at)))
                put_number(work, sin + at, math.sin(number(work, angles + at)))
