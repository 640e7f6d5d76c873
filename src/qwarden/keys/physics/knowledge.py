"""What Eve knows of the sifted key by each attack: what key length is held against in tests of safety."""

from __future__ import annotations

import math

import numpy as np

from qwarden.keys._random import FloatArray
from qwarden.keys.finite_key import binary_entropy
from qwarden.keys.link import Link, Settings
from qwarden.keys.physics.attacks import SHIFTED, TAPPED, Attack
from qwarden.keys.physics.medium import Medium, Mode, media
from qwarden.keys.physics.pair_tables import pair_chances
from qwarden.keys.physics.tables import event_chances


def eve_knows(attack: Attack, link: Link, settings: Settings) -> float:
    """Return the share of the sifted key bits that Eve learns by `attack`, in expectation, 0 to 1.

    What she holds in part (time shift) counts as 1 - h of her error. Not counted: what an eavesdropper might
    have learnt of the same link without a trace, as from pulses of several photons, which only the decoy
    bound tells. Under ``mitm``: what she would know if no tag failed.

    Examples
    --------
    >>> eve_knows(Attack("intercept-resend", 0.4), Link(), Settings())
    0.2
    """
    if attack.name == "mitm":
        return 1.0
    if attack.name == "trojan":
        return attack.strength
    if attack.name == "intercept-resend":
        return attack.strength / 2  # her basis is Z half of the time
    medium = media(link, settings, attack, pulses=1)[0].medium
    clicks = _sifted_clicks(link, settings, medium)
    whole = float(clicks.sum())
    if not whole:
        return 0.0
    if attack.name == "blinding":
        return float(clicks[:, Mode.BLIND].sum()) / whole
    if attack.name == "time-shift":
        shares = clicks.sum(axis=0) / whole
        errors = [min(parts) / sum(parts) for parts in SHIFTED]
        return float(sum(shares[1 + way] * (1.0 - binary_entropy(error)) for way, error in enumerate(errors)))
    if settings.protocol == "e91":
        return 0.0
    by_intensity = clicks.sum(axis=1) / whole
    if attack.name == "beam-split":
        # Of Poisson light, what is split off and what goes on are independent.
        caught = -np.expm1(-TAPPED * attack.strength * np.asarray(settings.intensities))
        return float(by_intensity @ caught)
    if attack.name == "pns":
        prior = np.asarray(settings.probabilities) * (settings.key_basis * settings.bob_bases[0])
        forwarded = [_forwarded(medium, mean) for mean in settings.intensities]
        return float(attack.strength * prior @ forwarded) / whole
    return 0.0


def _sifted_clicks(link: Link, settings: Settings, medium: Medium) -> FloatArray:
    """Return the chances a gate of sifted bits in Z, by intensity (one under E91) and `Mode`."""
    if settings.protocol == "bb84":
        table = event_chances(settings, medium)[:, 0, :, 0].sum(axis=1)
        table[..., 0, 0] = 0.0
        return np.asarray(table.sum(axis=(-2, -1)))
    pairs = pair_chances(link, settings, medium)[0, 0][np.newaxis]
    pairs[:, :, 0, 0] = 0.0
    pairs[..., 0, 0] = 0.0
    return np.asarray(pairs.sum(axis=(-4, -3, -2, -1)))


def _forwarded(medium: Medium, mean: float) -> float:
    """Return the chance that a pulse of several photons is split and still detected."""
    rest = 1.0 - medium.receiver
    chance, weight = 0.0, mean * math.exp(-mean)
    for photons in range(2, 40):
        weight *= mean / photons
        chance += weight * (1.0 - rest ** (photons - 1))
    return medium.several * chance
