"""Score-based mimicry on NSL-KDD, one seed: static, unseen victim, adaptive. Prints one JSON document.

``python mimicry.py KDDTRAIN [--seed 0] [--attacked 400] [--queries 1000]``
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from threadpoolctl import threadpool_limits

from qwarden.detect.datasets.nsl_kdd import read_nsl_kdd
from qwarden.detect.protocols import adversarial


def main() -> None:
    """Attack and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="KDDTrain+, text or gzip")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--attacked", type=int, default=adversarial.ATTACKED)
    parser.add_argument("--queries", type=int, default=adversarial.QUERIES)
    chosen = parser.parse_args()
    data = read_nsl_kdd(chosen.path, adversarial.ROWS)
    with threadpool_limits(1):
        ground = adversarial.arena(data, chosen.seed, attacked=chosen.attacked)
        found = {
            "seed": chosen.seed,
            "attacked": len(ground.attacks),
            "queries": chosen.queries,
            "static": adversarial.static_figures(ground, chosen.queries),
            "adaptive": adversarial.adaptive_figures(ground, chosen.queries),
        }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
