"""Draw the figures of docs/keys.md into docs/images: the monitor's ROC, and rate over distance.

python bench/keys/figures.py [roc] [rate]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from qwarden.core.errors import UsageError
from qwarden.keys.link import Link, Settings
from qwarden.keys.measures.monitor import ATTACK_SEED, ATTACKED_RUNS, HONEST_RUNS, HONEST_SEED
from qwarden.keys.monitor.model import load_shipped
from qwarden.keys.monitor.training import HELD_OUT, simulate_rows
from qwarden.keys.monitor.visibility import VISIBLE
from qwarden.keys.optimise import expected_rate, optimise
from qwarden.keys.plot import Chart, Panel, Series

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "images"
WEAK = 3 * VISIBLE
"""Attacks that show by at most so much are drawn: the others are seen by everything."""
LOOKS = 600


def roc() -> Chart:
    """Return detection over false alarms of the model and its twins, on held-out links, weak attacks."""
    model = load_shipped()
    honest = simulate_rows(HELD_OUT, seed=HONEST_SEED, runs=HONEST_RUNS, honest=8, attacked=0)
    attacked = simulate_rows(HELD_OUT, seed=ATTACK_SEED, runs=ATTACKED_RUNS, honest=0, attacked=14)
    weak = attacked.take((attacked.separations >= VISIBLE) & (attacked.separations < WEAK))
    calm, shown = model.judge(honest.deviations), model.judge(weak.deviations)
    pairs = {
        "quantum": (calm.surprise, shown.surprise),
        "boosting": (model.twin_surprise(honest.deviations), model.twin_surprise(weak.deviations)),
        "CUSUM": (honest.cusum, weak.cusum),
        "decoy bounds": (honest.bound, weak.bound),
    }
    shares = np.geomspace(1 / len(honest), 0.2, 40)
    series = [
        Series(name, np.log10(shares).tolist(), [float((strange > limit).mean()) for limit in limits])
        for name, (usual, strange) in pairs.items()
        for limits in [np.quantile(usual, 1 - shares)]
    ]
    title = f"detection of {len(weak)} weak attacks on held-out links"
    return Chart(panels=[Panel(title=title, series=series)], x="false alarms, log10 of the share of blocks")


def rate() -> Chart:
    """Return secret bits a pulse over distance, finite blocks and E91 among them."""
    km = np.arange(0.0, 176.0, 12.5)
    series = [
        Series(f"BB84, {bits:.0e}", km.tolist(), [_best(float(at), bits) for at in km])
        for bits in (10_000, 100_000, 1_000_000, 100_000_000)
    ]
    near = km[km <= 100]
    pairs = Settings(protocol="e91", block_bits=100_000)
    series.append(
        Series("E91, 1e+05", near.tolist(), [_rate(Link(distance_km=float(at)), pairs) for at in near])
    )
    title = "secret bits a pulse, by sifted bits of a block"
    return Chart(panels=[Panel(title=title, series=series, logarithmic=True)], x="km")


def _best(km: float, bits: int) -> float:
    return _rate(Link(distance_km=km), Settings(block_bits=bits))


def _rate(link: Link, settings: Settings) -> float:
    try:
        return max(0.0, expected_rate(link, optimise(link, settings, looks=LOOKS).settings))
    except UsageError:
        return 0.0


def main() -> None:
    wanted = sys.argv[1:] or ["roc", "rate"]
    for name, draw in (("roc", roc), ("rate", rate)):
        if name in wanted:
            path = FOLDER / f"keys-{'monitor-roc' if name == 'roc' else 'rate-distance'}.svg"
            draw().write(path)
            print(path.name)


if __name__ == "__main__":
    main()
