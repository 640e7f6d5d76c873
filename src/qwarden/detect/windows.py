"""Host windows: what a flow's source, pair, service and victim did lately, in traffic time.

One flow says little; a hundred alike from one host say "scan". `HostWindows` slides two windows
(300 s and 3,600 s) over the flows in the order in which they end and gives each flow a row of
context columns: distinct peers and ports, shares of failed connections, bytes out against in, how
alike the contacts to one service are and how regular their intervals. Those are exact, O(1) a
flow and bounded: past `capacity` flows in the long window the oldest are forgotten and counted.

Who scans slowly tries a port every few minutes for a day, and a day of flows is too much to hold. So the
columns of a day are sketches a key: how many ports or hosts were tried in vain, how many sources a
destination has (is it rare?). They are estimates: right to one below ten, to a tenth below a hundred, and
past two hundred they only say "hundreds". In how many hours there was a contact (is it a habit?) is exact.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from qwarden.detect import _window_loops as loops
from qwarden.formats.flows import TCP_STATES, Flows

SPANS: Final = {"300s": 300, "1h": 3600}

WINDOW_NAMES: Final = (
    "source_flows", "source_failed_share", "source_peers", "source_services",
    "fan_peers", "fan_failed_share", "pair_ports", "contacts", "contacts_failed_share",
    "victim_flows", "victim_failed_share", "victim_sources", "service_sources", "service_packets",
    "pair_bytes_out", "pair_upload_share", "source_upload_share",
)  # fmt: skip

HISTORY_NAMES: Final = (
    "alike_contacts", "alike_share", "size_spread", "period_s", "period_spread", "contacts_ever",
    "contact_gap_s", "contact_age_s", "contact_hours_1d", "fan_alike", "fan_alike_share",
    "destination_age_s", "source_age_s",
)  # fmt: skip
"""Of the last contacts to one service: all; of the last flows of a source to one port anywhere: how alike;
of destination and source: how long ago they were first seen, up to a day. A contact's hours are those of
the last 24 in which there was one."""

DAY_NAMES: Final = ("pair_tried_1d", "fan_tried_1d", "victim_triers_1d", "destination_sources_1d")
"""Within a day: ports of this host, and hosts on this port, that the source tried in vain; sources that
tried the destination in vain; sources of the destination."""

CONTEXT_NAMES: Final = (
    *(f"{name}_{span}" for span in SPANS for name in WINDOW_NAMES), *HISTORY_NAMES, *DAY_NAMES,
)  # fmt: skip

_SOURCE, _DESTINATION, _PAIR, _FAN, _CONTACT = range(5)  # columns of `host_hashes`

# By what flows are remembered: what is told of them, and which columns of the history those are.
_HISTORIES: Final = {
    _CONTACT: (loops.RHYTHM, (0, 1, 2, 3, 4, 5, 6, 7, 8)),
    _FAN: (loops.ALIKE, (0, 1)),
    _DESTINATION: (loops.AGE, (7,)),
    _SOURCE: (loops.AGE, (7,)),
}
# Of `DAY_NAMES`: the key, what is counted under it, and whether only what was tried in vain.
_SKETCHES: Final = (
    (_PAIR, _CONTACT, True),
    (_FAN, _CONTACT, True),
    (_DESTINATION, _PAIR, True),
    (_DESTINATION, _PAIR, False),
)
_ONGOING: Final = TCP_STATES.index("OTH")
_HORIZON_NS: Final = 86_400 * 1_000_000_000
_MINUTE_NS: Final = 60 * 1_000_000_000
_TABLE: Final = 1 << 10


class HostWindows:
    """Sliding host context over a stream of flows.

    Parameters
    ----------
    capacity : flows the long window may hold (bounds memory: about 0.7 KiB a flow, of those it held at most).
    services : keys remembered a history and a sketch: contacts (source, destination, protocol, port), fans
        (source, protocol, port), pairs, destinations, sources.

    Attributes
    ----------
    forgotten : flows dropped from a window before their time because `capacity` was reached.
    """

    def __init__(self, capacity: int = 1 << 17, services: int = 1 << 15) -> None:
        self.forgotten = 0
        self._latest_ns = np.iinfo(np.int64).min
        self._spans = np.array([s * 1_000_000_000 for s in SPANS.values()], np.int64)
        self._ring_time = np.zeros(capacity, np.int64)
        self._ring_slot = np.zeros((capacity, loops.KEYS), np.int64)
        self._ring_amount = np.zeros((capacity, 4), np.int64)
        self._marks = np.zeros(1 + len(SPANS), np.int64)
        slots = capacity * loops.KEYS
        self._table = _Table(_TABLE)
        self._counts = np.zeros((slots, len(SPANS), loops.COUNTERS), np.int64)
        self._slot_key = np.zeros(slots, np.uint64)
        self._free = np.append(np.arange(slots - 1, -1, -1), slots)
        self._histories = [_History(services, telling) for telling, _ in _HISTORIES.values()]
        self._sketches = [_Sketch(services) for _ in _SKETCHES]

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
            part = slice(at, at + step)
            self._update(flows[part], failed[part], out[part])
        return out

    def _update(self, flows: Flows, failed: npt.NDArray[np.bool_], out: npt.NDArray[np.float64]) -> None:
        hashes = host_hashes(flows)
        sent, received = _known(flows, "packets_out"), _known(flows, "packets_in")
        amounts = np.stack(
            [failed.astype(np.int64), _known(flows, "bytes_out"), _known(flows, "bytes_in"), sent], axis=1
        )
        payload = _known(flows, "payload_out")
        told = np.stack([payload, _known(flows, "payload_in"), sent + received, payload], axis=1)
        sizes = told.astype(np.float64)
        sizes[:, :3] = np.log1p(sizes[:, :3])
        ends = flows["end_ns"].astype(np.int64)
        self._table.reserve(flows.size * loops.KEYS)
        wide = len(SPANS) * loops.WINDOW_COLUMNS
        self.forgotten += loops.update_windows(
            ends, hashes, amounts, self._spans,
            self._ring_time, self._ring_slot, self._ring_amount, self._marks,
            self._table.keys, self._table.values, self._table.used,
            self._counts, self._slot_key, self._free, out[:, :wide],
        )  # fmt: skip
        starts = flows["start_ns"].astype(np.int64)
        keys = [np.ascontiguousarray(hashes[:, at]) for at in range(_CONTACT + 1)]
        for history, (key, (_, columns)) in zip(self._histories, _HISTORIES.items(), strict=True):
            row = history.update(starts, keys[key], sizes, self._spans)
            out[:, wide : wide + len(columns)] = row[:, columns]
            wide += len(columns)
        # Traffic time never runs backwards.
        times = np.maximum.accumulate(np.maximum(ends, self._latest_ns))
        self._latest_ns = int(times[-1])
        marking = {True: tried(flows, failed), False: np.ones(flows.size, np.bool_)}
        for sketch, (key, item, only_tried) in zip(self._sketches, _SKETCHES, strict=True):
            out[:, wide] = sketch.update(times // _MINUTE_NS, keys[key], keys[item], marking[only_tried])
            wide += 1


class _History:
    """The last flows under each of a bounded number of keys."""

    def __init__(self, keys: int, telling: int) -> None:
        recall = loops.RECALL if telling != loops.AGE else 0
        self._telling = telling
        self._index = _Table(4 * keys)
        self._key = np.zeros(keys, np.uint64)
        self._count = np.zeros(keys, np.int64)
        self._first = np.zeros(keys, np.int64)
        self._time = np.zeros((keys, recall), np.int64)
        self._size = np.zeros((keys, recall, 4))
        self._hours = np.zeros((keys, 2), np.int64)
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
            starts, hashes, sizes, int(spans[0]), _HORIZON_NS, self._telling,
            self._index.keys, self._index.values, self._index.used,
            self._key, self._count, self._first, self._time, self._size, self._hours, self._clock, out,
        )  # fmt: skip
        return out


class _Sketch:
    """How many items each of a bounded number of keys had within a day."""

    def __init__(self, keys: int) -> None:
        self._index = _Table(4 * keys)
        self._key = np.zeros(keys, np.uint64)
        self._cells = np.zeros((keys, loops.CELLS), np.int32)
        self._clock = np.zeros(1, np.int64)

    def update(
        self,
        minutes: npt.NDArray[np.int64],
        hashes: npt.NDArray[np.uint64],
        items: npt.NDArray[np.uint64],
        marking: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.float64]:
        """Mark the items of those of n flows that are `marking`; return the counts of all keys, (n,)."""
        out = np.empty(len(minutes))
        loops.update_sketch(
            minutes, hashes, items, marking, self._index.keys, self._index.values, self._index.used,
            self._key, self._cells, self._clock, out,
        )  # fmt: skip
        return out


class _Table:
    """Slots by key; grows by doubling, never past half full."""

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


def tried(flows: Flows, failed: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return whether each flow tried a service in vain: it failed, or TCP was opened and carried nothing.

    A connection that was there before (state OTH) was not opened.
    """
    empty = (flows["payload_out"] == 0) & (flows["payload_in"] == 0) & (flows["packets_out"] <= 6)
    opened = (flows["proto"] == 6) & (flows["tcp_state"] != _ONGOING)
    result: npt.NDArray[np.bool_] = failed | (opened & empty)
    return result


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
