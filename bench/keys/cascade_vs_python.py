"""Reconciliation by Cascade beside brunorijsman/cascade-python: `keys.cascade_vs_python`.

Both run both ends in one process, shuffles included, on the same keys, in turns; the same variant, sizes of
blocks and number of passes. CPU time; one key's time is the median of the runs. Keys that either leaves
unequal are counted, and told.

Prints one JSON document. ``python cascade_vs_python.py --peer CHECKOUT``.
"""

# mypy: disable-error-code="import-not-found"
from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from qwarden.keys.reconciliation import cascade
from qwarden.keys.records import Bits

BITS, SEED, RUNS, OURS = 10_000, 5, 5, 20
QBERS = (0.01, 0.02, 0.03, 0.05)
VARIANTS = ("original", "biconf", "yanetal", "option3")


class Peer:
    """cascade-python, imported from its checkout."""

    def __init__(self, checkout: Path) -> None:
        sys.path.insert(0, str(checkout))
        from cascade.key import Key
        from cascade.mock_classical_channel import MockClassicalChannel
        from cascade.reconciliation import Reconciliation

        self._key, self._channel, self._run = Key, MockClassicalChannel, Reconciliation

    def key(self, bits: Bits) -> Any:
        """Return a key of the peer's with these bits."""
        key = self._key.create_random_key(bits.size)
        for index, bit in enumerate(bits.tolist()):
            key.set_bit(index, bit)
        return key

    def reconcile(self, right: Any, wrong: Any, qber: float, variant: str) -> Any:
        """Return the key that the peer's Bob ends with."""
        return self._run(variant, self._channel(right), wrong, qber).reconcile()


def cell(peer: Peer, variant: str, qber: float, generator: np.random.Generator) -> dict[str, Any]:
    """Time both on a few keys each; ours more often, and once before, which compiles."""
    ours, theirs, unequal = [], [], [0, 0]
    for run in range(RUNS):
        right = generator.integers(0, 2, BITS, dtype=np.uint8)
        wrong = right ^ (generator.random(BITS) < qber)
        cascade.locally(right, wrong, qber, seed=run, variant=variant)
        for repeat in range(OURS):
            begin = time.process_time()
            found = cascade.locally(right, wrong, qber, seed=OURS * run + repeat, variant=variant)
            ours.append(time.process_time() - begin)
            unequal[0] += not np.array_equal(found.bits, right)
        hers, his = peer.key(right), peer.key(wrong)
        begin = time.process_time()
        key = peer.reconcile(hers, his, qber, variant)
        theirs.append(time.process_time() - begin)
        unequal[1] += hers.difference(key) > 0
    own, other = statistics.median(ours), statistics.median(theirs)
    return {
        "variant": variant, "qber": qber, "ratio": round(other / own, 1), "unequal": unequal,
        "ours_mbps": round(BITS / own / 1e6, 2), "peer_mbps": round(BITS / other / 1e6, 4),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Cascade beside cascade-python")
    parser.add_argument("--peer", type=Path, required=True)
    checkout = parser.parse_args().peer
    peer, generator = Peer(checkout), np.random.default_rng(SEED)
    cells = [cell(peer, variant, qber, generator) for variant in VARIANTS for qber in QBERS]
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    revision = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    document = {
        "ratio": min(one["ratio"] for one in cells),
        "cells": cells,
        "seed": SEED,
        "runs": RUNS * len(cells),
        "peer": revision or "of unknown revision",
    }
    print(json.dumps(document))


if __name__ == "__main__":
    main()
