"""A quantum link as both of its ends know it: fibre, detectors, and how pulses are prepared.

`Link` says what the apparatus is, `Settings` what the two ends have agreed to do with it; a retry changes
settings, never the link. Bases: Z carries the key, X checks it (Lim et al. write them the other way round:
their X is our Z). Intensities: 0 signal, 1 decoy, 2 vacuum.

Source: Lim, Curty, Walenta, Xu, Zbinden, PRA 89, 022307 (2014), section IV, whose apparatus is the default.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Literal, TypeAlias

from qwarden.core.errors import UsageError

Protocol: TypeAlias = Literal["bb84", "e91"]
Origin: TypeAlias = Literal["simulated", "imported", "vendor"]
"""Where the raw bits of a key come from; kept with every key, and no simulated key passes for another."""

ETA_LEAST: Final = 1e-12


class Basis(IntEnum):
    """What a qubit is prepared or measured in; the last two only by Bob under E91, for the CHSH test."""

    Z = 0
    X = 1
    PLUS = 2
    """(Z + X) / sqrt 2."""
    MINUS = 3
    """(Z - X) / sqrt 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Fibre and detectors.

    Parameters
    ----------
    distance_km : length of the fibre between the ends; under E91 the source is in its middle.
    attenuation_db_per_km : loss of the fibre.
    receiver_efficiency : chance that a photon that arrives at a receiver is detected: optics and
        detector.
    dark_count : chance of a dark count, a gate and a detector.
    afterpulse : chance that a detection is followed by another in the next live gate.
    misalignment : chance that a photon takes the wrong detector of its basis.
    dead_time_s : a receiver sees nothing for so long after a detection.
    clock_hz : gates a second.
    drift_per_block : by how much the misalignment wanders from block to block, standard deviation.
    visibility : of the entangled pairs (Werner state), E91 only.
    pair_rate : mean number of pairs a gate, E91 only.

    Raises
    ------
    UsageError
        A value is out of its range.
    """

    distance_km: float = 50.0
    attenuation_db_per_km: float = 0.2
    receiver_efficiency: float = 0.1
    dark_count: float = 6e-7
    afterpulse: float = 0.04
    misalignment: float = 0.005
    dead_time_s: float = 0.0
    clock_hz: float = 1e9
    drift_per_block: float = 0.0
    visibility: float = 0.98
    pair_rate: float = 0.05

    def __post_init__(self) -> None:
        for name in ("receiver_efficiency", "dark_count", "afterpulse", "misalignment", "visibility"):
            _within(name, getattr(self, name), 0.0, 1.0)
        for name in ("distance_km", "attenuation_db_per_km", "dead_time_s", "drift_per_block"):
            _within(name, getattr(self, name), 0.0, math.inf)
        _within("clock_hz", self.clock_hz, 1.0, 1e12)
        _within("pair_rate", self.pair_rate, 0.0, 1.0)
        if self.transmittance(self.distance_km) < ETA_LEAST:
            raise UsageError(f"distance_km: no light comes through {self.distance_km:g} km")

    def transmittance(self, km: float) -> float:
        """Return the share of light that leaves `km` of this fibre."""
        return float(10.0 ** (-self.attenuation_db_per_km * km / 10.0))

    @property
    def efficiency(self) -> float:
        """Chance that a photon sent by Alice is detected by Bob (BB84): eta_sys of Lim et al."""
        return self.receiver_efficiency * self.transmittance(self.distance_km)

    @property
    def dead_gates(self) -> int:
        """Dead time in gates."""
        return math.ceil(self.dead_time_s * self.clock_hz)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the ends use the link; both must hold the same. The defaults suit a million bits over 50 km.

    Parameters
    ----------
    protocol : decoy-state BB84, or E91 with a check basis as in BBM92.
    intensities : mean photon numbers of signal, decoy and vacuum pulses, falling; BB84 only.
    probabilities : how often each is sent; they add up to 1; BB84 only.
    key_basis : chance that an end chooses Z, alike at both ends.
    test_share : chance that Bob measures for the CHSH test; E91 only.
    block_bits : sifted bits in the key basis that make a block.
    eps_sec, eps_cor : secrecy and correctness of each block's key, trace distance and probability.

    Raises
    ------
    UsageError
        A value is out of its range.
    """

    protocol: Protocol = "bb84"
    intensities: tuple[float, float, float] = (0.45, 0.19, 2e-4)
    probabilities: tuple[float, float, float] = (0.21, 0.6, 0.19)
    key_basis: float = 0.8
    test_share: float = 0.1
    block_bits: int = 1_000_000
    eps_sec: float = 1e-10
    eps_cor: float = 1e-15

    def __post_init__(self) -> None:
        mu1, mu2, mu3 = self.intensities
        if not (mu1 > mu2 + mu3 and mu2 > mu3 >= 0):
            expected = "mu1 > mu2 + mu3 and mu2 > mu3 >= 0"
            raise UsageError(f"intensities: expected {expected}, found {self.intensities}")
        if min(self.probabilities) <= 0 or abs(sum(self.probabilities) - 1) > 1e-9:
            expected = "three above 0 that add up to 1"
            raise UsageError(f"probabilities: expected {expected}, found {self.probabilities}")
        _within("key_basis", self.key_basis, 0.01, 0.99)
        _within("test_share", self.test_share, 0.0, 0.9)
        _within("block_bits", self.block_bits, 256, 1 << 28)
        for name in ("eps_sec", "eps_cor"):
            _within(name, getattr(self, name), 1e-30, 0.1)

    @property
    def bob_bases(self) -> tuple[float, float, float, float]:
        """How often Bob chooses each `Basis`."""
        test = self.test_share if self.protocol == "e91" else 0.0
        rest = 1.0 - test
        return (rest * self.key_basis, rest * (1.0 - self.key_basis), test / 2, test / 2)


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise UsageError(f"{name}: expected {least:g} to {most:g}, found {value:g}")
