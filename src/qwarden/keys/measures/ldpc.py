"""How near one round trip of low-density parity-check codes comes to Shannon's limit."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from qwarden.core.measure import Bench, Measured, measure
from qwarden.keys.reconciliation import Reconciled, efficiency, ldpc

QBERS: Final = tuple(percent / 100 for percent in range(1, 9))
BITS: Final = 1_000_000
BLOCKS: Final = 250
FRAMES: Final = ldpc.layout(BITS).frames
SEED: Final = 7


@measure(
    "keys.ldpc_f",
    definition="Reconciliation in one round trip at QBER 1, 2 ... 8 %, at each 250 blocks of 1e6 bits, which "
    "is 1,000 frames of 250,000 bits; Bob knows the QBER, the errors are independent. f_worst: the largest "
    "over these QBERs of bits disclosed over n h(QBER). frame_error_worst: the largest share of frames that "
    "did not decode from the one answer; of a block that differs afterwards unnoticed every frame counts.",
    units={"f_worst": "1", "frame_error_worst": "1"},
    long=True,
)
def ldpc_f(bench: Bench) -> Measured:
    """Reconcile every block, from where a stop left off."""
    done: dict[str, Any] = bench.checkpoint.load()
    with bench.progress.task("LDPC", len(QBERS)) as task:
        for qber in QBERS:
            name = f"{qber:.2f}"
            if name not in done:
                f, failed = cell(qber)
                done[name] = {"f": f, "frame_error": failed}
                bench.checkpoint.save(done)
            task.advance(1, name)
    return Measured(
        values={
            "f_worst": max(found["f"] for found in done.values()),
            "frame_error_worst": max(found["frame_error"] for found in done.values()),
        },
        data="uniform keys, independent errors",
        seeds=[SEED],
        n=len(QBERS) * BLOCKS * FRAMES,
        configurations_tried=3,
    )


def cell(qber: float, blocks: int = BLOCKS) -> tuple[float, float]:
    """Return the efficiency of the first answers at a QBER, and the share of frames that they fail."""
    generator = np.random.default_rng([SEED, round(1e4 * qber)])
    leak = failed = 0
    for block in range(blocks):
        right = generator.integers(0, 2, BITS, dtype=np.uint8)
        wrong = right ^ (generator.random(BITS, dtype=np.float32) < np.float32(qber)).view(np.uint8)
        hers, his = ldpc.alice(right, seed=block), ldpc.bob(wrong, qber, seed=block)
        reply = hers.answer(next(his))
        leak += 8 * len(reply)
        try:
            failed += (len(his.send(reply)) - 1) // 4  # frames that a second request names
        except StopIteration as stop:
            done: Reconciled = stop.value
            failed += 0 if np.array_equal(done.bits, right) else FRAMES
    return efficiency(leak / blocks, BITS, qber), failed / (blocks * FRAMES)
