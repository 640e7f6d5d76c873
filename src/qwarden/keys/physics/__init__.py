"""The physical layer: what comes of sending a block of pulses, or of pairs, over a link.

In: a `Link`, the `Settings` the ends agreed on, perhaps an `Attack`. Out: a `Transmission`: what Alice has in
her hands, what Bob has, and what the apparatus tells. Three engines with the same distribution: ``counts``
draws the clicks only, ``pulses`` follows every photon of every pulse, ``circuits`` measures every photon's
state on a quantum back end. Recordings of a real link come in by `read_padova`.

>>> from qwarden.keys.link import Link, Settings
>>> block = transmit(Link(distance_km=20), Settings(), pulses=100_000, seed=1)
>>> bool((block.alice.index == block.bob.index).all())
True

Start reading at `transmission`, then `attacks` and `medium` (what an attack does to light), `counts` and
`pulses`; `channel` has the rates in closed form.
"""

from qwarden.keys.physics.attacks import ATTACKS, KINDS, Attack, parse
from qwarden.keys.physics.channel import (
    decoy_rates,
    exact_decoy_rates,
    live_share,
    pair_rates,
    pulses_for,
    sifted_rate,
)
from qwarden.keys.physics.imported import read_padova
from qwarden.keys.physics.knowledge import eve_knows
from qwarden.keys.physics.transmission import Engine, Transmission, transmit

__all__ = [
    "ATTACKS",
    "KINDS",
    "Attack",
    "Engine",
    "Transmission",
    "decoy_rates",
    "eve_knows",
    "exact_decoy_rates",
    "live_share",
    "pair_rates",
    "parse",
    "pulses_for",
    "read_padova",
    "sifted_rate",
    "transmit",
]
