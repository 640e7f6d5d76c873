"""From a flow's last packet to its alert in the store, at a live rate. Prints one JSON document.

A process writes packets into a pipe as time goes by, each stamped with the wall time at which it is written:
TCP connections that close (FIN), and scanners whose probes are reset. `Detector.run` reads the pipe as it
reads any capture, sandboxed reading process included, and publishes to a store on disk. The latency of an
alert is the wall time at which it is committed less the stamp of the last packet of the flow that raised it.

Its stages: `read` until the batch with the flow leaves the reader, `order` until a batch comes that lets it
be scored, `score` until the alert is published, `store` until it is committed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from qwarden.core.bus import open_bus
from qwarden.core.config import DetectSettings
from qwarden.core.store import open_store
from qwarden.detect import Detector, detector, load_default_model

SYN, FIN, RST, PSH, ACK = 0x02, 0x01, 0x04, 0x08, 0x10
TICK_S, PROBES, SPACING = 0.005, 40, 2
WARM_S = 3.0
"""Alerts of the first seconds are not counted: both processes still read code from the disk."""
CLIENT, SERVER, SCANNER, TARGET = 0x0A000000, 0xC6336400, 0x0A630000, 0x0A640001


def packet(src: int, dst: int, sport: int, dport: int, flags: int, payload: int) -> bytes:
    """Return one Ethernet frame with IPv4 and TCP."""
    ethernet = struct.pack(">HIHIH", 0x0200, dst, 0x0200, src, 0x0800)
    ip = struct.pack(">BBHHHBBHII", 0x45, 0, 40 + payload, 0, 0x4000, 64, 6, 0, src, dst)
    tcp = struct.pack(">HHIIBBHHH", sport, dport, 1, 1, 0x50, flags, 64240, 0, 0)
    return ethernet + ip + tcp + b"\x5a" * payload


def exchange(number: int, rng: np.random.Generator) -> list[bytes]:
    """Return an ordinary connection: request, answer, both sides close."""
    ends = (CLIENT + number % 250, SERVER + number % 40)
    ports = (1024 + number % 60_000, 443)
    sizes = rng.integers(100, 1400, 2).tolist()
    out, back = (*ends, *ports), (*ends[::-1], *ports[::-1])
    return [
        packet(*out, SYN, 0), packet(*back, SYN | ACK, 0), packet(*out, ACK, 0),
        packet(*out, PSH | ACK, sizes[0]), packet(*back, PSH | ACK, sizes[1]),
        packet(*out, FIN | ACK, 0), packet(*back, FIN | ACK, 0), packet(*out, ACK, 0),
    ]  # fmt: skip


def probe(scanner: int, port: int) -> list[bytes]:
    """Return a probe of a closed port."""
    return [
        packet(SCANNER + scanner, TARGET, 40_000 + port, port, SYN, 0),
        packet(TARGET, SCANNER + scanner, port, 40_000 + port, RST | ACK, 0),
    ]


def feed(path: str, seconds: float, rate: int, seed: int) -> None:
    """Write packets into the pipe: `rate` flows a second, a fifth of them probes."""
    rng = np.random.default_rng(seed)
    ordinary, probes = round(rate * 0.8 * TICK_S), round(rate * 0.2 * TICK_S)
    ticks = round(seconds / TICK_S)
    plan: list[list[bytes]] = [[] for _ in range(ticks + 8 * SPACING)]
    number = 0
    for tick in range(ticks):  # an exchange is spread over ticks, a probe is not
        for _ in range(ordinary):
            for at, frame in enumerate(exchange(number, rng)):
                plan[tick + at * SPACING].append(frame)
            number += 1
        for at in range(probes):
            count = tick * probes + at
            plan[tick] += probe(count // PROBES, 1 + count % PROBES * 7)
    with Path(path).open("wb", buffering=0) as pipe:
        pipe.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        begin = time.time()
        for tick, frames in enumerate(plan):
            time.sleep(max(0.0, begin + tick * TICK_S - time.time()))
            now = time.time_ns() // 1000
            stamp = struct.pack("<II", now // 1_000_000, now % 1_000_000)
            pipe.write(b"".join(stamp + struct.pack("<II", len(f), len(f)) + f for f in frames))


class Clocked:
    """The bus, with the wall time before and after each alert."""

    def __init__(self, bus: Any) -> None:
        self._bus = bus
        self.alerts: list[tuple[float, float, float]] = []

    def publish(self, event: Any) -> None:
        """Publish, and remember an alert's flow and moments."""
        asked = time.time()
        self._bus.publish(event)
        if event.kind == "alert":
            self.alerts.append((event.finding["end"], asked, time.time()))


class Batches:
    """What the detector reads, with the wall time at which each batch came."""

    def __init__(self) -> None:
        self.came: list[float] = []
        self.ends: list[np.ndarray[Any, Any]] = []

    def watched(self, reader: Any) -> Iterator[Any]:
        """Yield a reader's batches."""
        for batch in reader:
            self.came.append(time.time())
            self.ends.append(np.unique(np.concatenate([batch.flows["end_ns"], batch.reports["end_ns"]])))
            yield batch

    def first_with(self, end_s: float) -> float:
        """Return when the first batch came that has a flow or report of this last packet."""
        for came, ends in zip(self.came, self.ends, strict=True):
            at = np.searchsorted(ends, round(end_s * 1e9) - 1000)
            if at < len(ends) and ends[at] <= round(end_s * 1e9) + 1000:
                return came
        return float("nan")


def main(seconds: float, rate: int, seed: int) -> dict[str, Any]:
    """Run the feed through the detector and sum up."""
    model, batches = load_default_model(), Batches()
    opened: Any = getattr(detector, "open_capture")  # noqa: B009  it is the detector's own import

    class Watched:
        """A capture reader whose batches are clocked."""

        def __init__(self, *given: Any, **named: Any) -> None:
            self._reader = opened(*given, **named)

        def __enter__(self) -> Watched:
            self._reader.__enter__()
            return self

        def __exit__(self, *given: Any) -> None:
            self._reader.__exit__(*given)

        def __iter__(self) -> Iterator[Any]:
            return batches.watched(self._reader)

        @property
        def report(self) -> Any:
            return self._reader.report

    setattr(detector, "open_capture", Watched)  # noqa: B010
    with tempfile.TemporaryDirectory() as folder:
        pipe = str(Path(folder) / "pipe")
        os.mkfifo(pipe)
        clocked = Clocked(open_bus(open_store(folder)))
        feeder = multiprocessing.Process(target=feed, args=(pipe, seconds, rate, seed))
        feeder.start()
        result = Detector(model, DetectSettings(), clocked).run([Path(pipe)])
        feeder.join()
    if not clocked.alerts or not result.readable:
        raise SystemExit(f"no alert: {result.problems}")
    rows = []
    for end, asked, stored in clocked.alerts:
        if end < batches.came[0] + WARM_S:
            continue
        seen = batches.first_with(end)
        last = max((came for came in batches.came if came <= asked), default=float("nan"))
        rows.append((stored - end, seen - end, last - seen, asked - last, stored - asked))
    table = 1e3 * np.array(rows)
    names = ("all", "read", "order", "score", "store")
    return {
        "p50_ms": round(float(np.median(table[:, 0])), 3),
        "p99_ms": round(float(np.quantile(table[:, 0], 0.99)), 3),
        "stages_p50_ms": {n: round(float(np.nanmedian(c)), 3) for n, c in zip(names, table.T, strict=True)},
        "stages_p99_ms": {
            n: round(float(np.nanquantile(c, 0.99)), 3) for n, c in zip(names, table.T, strict=True)
        },
        "alerts": len(rows),
        "flows": result.flows.read,
        "flows_per_s": round(result.flows.read / seconds),
        "batches_per_s": round(len(batches.came) / seconds),
        "early": model.looks_early,
        "seed": seed,
        "model": f"{model.name} {model.version}",
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    print(json.dumps(main(**vars(parser.parse_args()))))
