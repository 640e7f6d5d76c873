"""Host windows: what a flow's source, pair, service and victim did lately, in traffic time.

One flow says little; a hundred alike from one host say "scan". `HostWindows` slides two windows
(300 s and 3,600 s) over the flows in the order in which they end and gives each flow a row of
context columns: distinct peers and ports, shares of failed connections, bytes out against in, how
alike the contacts to one service are and how regular their intervals. Everything is exact, O(1) a
flow and bounded: past `capacity` flows in the long window the oldest are forgotten and counted.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from qwarden.detect import _window_loops as loops
from qwarden.formats.flows import Flows

SPANS: Final = {"300s": 300, "1h": 3600}

WINDOW_NAMES: Final = (
    "source_flows", "source_failed_share", "source_peers", "source_services",
    "fan_peers", "fan_failed_share", "pair_ports", "contacts", "contacts_failed_share",
    "victim_flows", "victim_failed_share", "victim_sources", "service_sources", "service_packets",
    "pair_bytes_out", "pair_upload_share", "source_upload_share",
)  # fmt: skip

HISTORY_NAMES: Final = (
    "alike_contacts", "alike_share", "size_spread", "period_s", "period_spread", "contacts_ever",
    "contact_gap_s", "contact_age_s", "fan_alike", "fan_alike_share", "destination_age_s", "source_age_s",
)  # fmt: skip
"""Of the last contacts to one service: all; of the last flows of a source to one port anywhere: how alike;
of destination and source: how long ago they were first seen, up to the longest span."""

CONTEXT_NAMES: Final = tuple(f"{name}_{span}" for span in SPANS for name in WINDOW_NAMES) + HISTORY_NAMES

# By what flows are remembered: the column of `host_hashes`, and which columns of the history are told.
_HISTORIES: Final = {4: range(8), 3: (0, 1), 1: (7,), 0: (7,)}
_TABLE: Final = 1 << 14
_ENTRIES_A_FLOW: Final = 20 * len(SPANS)


class HostWindows:
    """Sliding host context over a stream of flows.

    Parameters
    ----------
    capacity : flows the long window may hold (bounds memory: about 0.4 KiB a flow).
    services : keys remembered a history: contacts (source, destination, protocol, port), fans (source,
        protocol, port), destinations, sources.

    Attributes
    ----------
    forgotten : flows dropped from a window before their time because `capacity` was reached.
    """

    def __init__(self, capacity: int = 1 << 17, services: int = 1 << 15) -> None:
        self.forgotten = 0
        self._spans = np.array([s * 1_000_000_000 for s in SPANS.values()], np.int64)
        self._ring_time = np.zeros(capacity, np.int64)
        self._ring_hash = np.zeros((capacity, 6), np.uint64)
        self._ring_amount = np.zeros((capacity, 4), np.int64)
        self._marks = np.zeros(1 + len(SPANS), np.int64)
        self._table = _Table(_TABLE)
        self._histories = [_History(services) for _ in _HISTORIES]

    def update(self, flows: Flows, failed: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        """Count `flows`, in order of their end, and return their context.

        Parameters
        ----------
        flows : array of `FLOW`, sorted by ``end_ns``.
        failed : whether each was a failed connection attempt (see `features.failed`).

        Returns
        -------
        array (n, len(CONTEXT_NAMES)); each row includes the flow itself.
        """
        out = np.empty((flows.size, len(CONTEXT_NAMES)))
        step = 1 << 14  # bounds the growth of the table between two looks at its load
        for at in range(0, flows.size, step):
            self._update(flows[at : at + step], failed[at : at + step], out[at : at + step])
        return out

    def _update(self, flows: Flows, failed: npt.NDArray[np.bool_], out: npt.NDArray[np.float64]) -> None:
        hashes = host_hashes(flows)
        sent, received = _known(flows, "packets_out"), _known(flows, "packets_in")
        amounts = np.stack(
            [failed.astype(np.int64), _known(flows, "bytes_out"), _known(flows, "bytes_in"), sent], axis=1
        )
        payloads = [_known(flows, "payload_out"), _known(flows, "payload_in"), sent + received]
        sizes = np.log1p(np.stack(payloads, axis=1).astype(np.float64))
        self._table.reserve(flows.size * _ENTRIES_A_FLOW)
        wide = len(SPANS) * loops.WINDOW_COLUMNS
        self.forgotten += loops.update_windows(
            flows["end_ns"].astype(np.int64), hashes, amounts, self._spans,
            self._ring_time, self._ring_hash, self._ring_amount, self._marks,
            self._table.keys, self._table.values, self._table.used, out[:, :wide],
        )  # fmt: skip
        starts = flows["start_ns"].astype(np.int64)
        for history, (key, columns) in zip(self._histories, _HISTORIES.items(), strict=True):
            told = history.update(starts, hashes[:, key], sizes, self._spans)
            out[:, wide : wide + len(columns)] = told[:, columns]
            wide += len(columns)


class _History:
    """The last flows under each of a bounded number of keys."""

    def __init__(self, keys: int) -> None:
        self._index = _Table(4 * keys)
        self._key = np.zeros(keys, np.uint64)
        self._count = np.zeros(keys, np.int64)
        self._first = np.zeros(keys, np.int64)
        self._time = np.zeros((keys, loops.RECALL), np.int64)
        self._size = np.zeros((keys, loops.RECALL, 3))
        self._clock = np.zeros(1, np.int64)

    def update(
        self,
        starts: npt.NDArray[np.int64],
        hashes: npt.NDArray[np.uint64],
        sizes: npt.NDArray[np.float64],
        spans: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.float64]:
        """Remember n flows and return (n, HISTORY_COLUMNS)."""
        out = np.empty((len(starts), loops.HISTORY_COLUMNS))
        loops.update_history(
            starts, np.ascontiguousarray(hashes), sizes, int(spans[0]), int(spans[-1]),
            self._index.keys, self._index.values, self._index.used,
            self._key, self._count, self._first, self._time, self._size, self._clock, out,
        )  # fmt: skip
        return out


class _Table:
    """The counters' table; grows by doubling, never past half full."""

    def __init__(self, size: int) -> None:
        self.keys = np.zeros(1 << (size - 1).bit_length(), np.uint64)
        self.values = np.zeros(self.keys.size, np.int64)
        self.used = np.zeros(1, np.int64)

    def reserve(self, entries: int) -> None:
        """Make room for `entries` more."""
        size = self.keys.size
        while 2 * (int(self.used[0]) + entries) > size:
            size *= 2
        if size > self.keys.size:
            keys, values = np.zeros(size, np.uint64), np.zeros(size, np.int64)
            loops.rehash(self.keys, self.values, keys, values)
            self.keys, self.values = keys, values


def _known(flows: Flows, column: str) -> npt.NDArray[np.int64]:
    """Return a count, 0 where it is unknown (-1): a sum over the flows that know it."""
    counts: npt.NDArray[np.int64] = np.maximum(flows[column], 0)
    return counts


def host_hashes(flows: Flows) -> npt.NDArray[np.uint64]:
    """Return (n, 6) hashes: source, destination, pair, fan-out, contact, service.

    An ARP sender is known by its hardware address: sweeps forge the protocol address. DHCP is one service
    of the network: clients broadcast to it, and starvation spreads over forged clients.
    """
    return loops.hash_hosts(
        flows["src_hi"].astype(np.uint64), flows["src_lo"].astype(np.uint64),
        flows["dst_hi"].astype(np.uint64), flows["dst_lo"].astype(np.uint64),
        flows["src_mac"].astype(np.int64), flows["proto"].astype(np.int64),
        flows["dst_port"].astype(np.int64),
    )  # fmt: skip
