"""What a log would have told of flows that were metered from packets.

Zeek's conn.log knows payload but not when or in what sizes it came; NetFlow, Argus and Suricata's flow
events count packets and bytes alone. A model that only ever saw whole captures takes what logs leave out
for strange, so the shipped one is trained and calibrated on all three.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from qwarden.formats.flows import FLAG_NAMES, PROTO_ARP, UNKNOWN, Flows

Telling = Literal["packets", "connections", "counts"]
"""A capture; a log of connections like Zeek's; a log of packet and byte counts like NetFlow."""

_ONCE: Final = ("fin", "syn", "rst")
_CLOSE: Final = 0.75  # as in `qwarden.formats.readers.payload`


def told_as(flows: Flows, telling: Telling) -> Flows:
    """Return the flows as a source of that kind tells them; neither log knows ARP.

    Parameters
    ----------
    flows : array of `FLOW`, metered from packets.
    """
    if telling == "packets":
        return flows
    told: Flows = flows[flows["proto"] != PROTO_ARP].copy()
    for name in ("src_mac", "ttl_out", "ttl_in", "ext_header_bytes", "fragments", "pauses"):
        told[name] = UNKNOWN
    for name in ("pause_mean", "pause_std"):
        told[name] = np.nan
    for way in ("out", "in"):
        for stat in ("mean", "std", "max"):
            told[f"iat_{stat}_{way}"] = np.nan
        if telling == "counts":
            told[f"payload_{way}"] = _estimated(told, way)
        _flags(told, way)
        _sizes(told, way)
    return told


def _estimated(flows: Flows, way: str) -> npt.NDArray[np.int64]:
    """Return the payload where bytes and packets give it away, else `UNKNOWN`."""
    packets, counted = flows[f"packets_{way}"], flows[f"bytes_{way}"]
    network = np.where(flows["ip_version"] == 6, 40, 20)
    tcp = flows["proto"] == 6
    most = counted - packets * (network + np.where(tcp, 20, 8))
    least = np.maximum(counted - packets * (network + np.where(tcp, 32, 8)) - np.where(tcp, 40, 0), 0)
    guess = np.where(least >= _CLOSE * most, (least + most) // 2, UNKNOWN)
    estimated: npt.NDArray[np.int64] = np.where((packets == 0) | (most <= 0), 0, guess)
    return estimated


def _flags(flows: Flows, way: str) -> None:
    packets = flows[f"packets_{way}"]
    for flag in FLAG_NAMES:
        counts = flows[f"{flag}_{way}"]
        if flag in _ONCE:
            counts[:] = np.where(counts == packets, counts, np.minimum(counts, 1))
        else:
            counts[:] = UNKNOWN


def _sizes(flows: Flows, way: str) -> None:
    packets, payload = flows[f"packets_{way}"], flows[f"payload_{way}"]
    known = (payload >= 0) & (packets > 0)
    even = known & ((payload == 0) | (packets == 1))
    mean = np.where(known, payload / np.maximum(packets, 1), np.nan)
    flows[f"size_mean_{way}"] = mean
    flows[f"size_std_{way}"] = np.where(even, 0.0, np.nan)
    flows[f"size_max_{way}"] = np.where(even, payload, np.nan)
