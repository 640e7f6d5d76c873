"""How long the monitor takes: to judge a block, and from an irregular one to a stored alarm.

`inspect_ms`: `Monitor.inspect` on blocks of a million bits. `alert_ms`: an exchange between both ends over a
link under attack, with the platform's store on disk; from the last message of reconciliation or post-mortem
that passes between them until `LinkAlarm` is committed, by when both ends have dropped the block. Prints one
JSON document.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from qwarden.core.bus import open_bus
from qwarden.core.store import open_store
from qwarden.keys.events import LinkAlarm
from qwarden.keys.exchange import Exchange
from qwarden.keys.link import Link, Settings
from qwarden.keys.monitor.watch import Monitor
from qwarden.keys.observables import observe_both
from qwarden.keys.party.block import Terms
from qwarden.keys.party.messages import Kind, decode
from qwarden.keys.party.transport import Transport
from qwarden.keys.physics import Attack, pulses_for, transmit
from qwarden.keys.simulate import SimulatedLink, _supplies

SEED, BLOCKS, ALARMS = 505, 20, 24
ATTACKS = ("intercept-resend:1", "intercept-resend:0.05", "pns:0.3", "time-shift:0.1")
COMPLETE = (Kind.RECONCILED, Kind.REVEAL)


class Clocked:
    """A transport that remembers when the block was complete."""

    last = 0.0

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def send(self, frame: bytes) -> None:
        self._note(frame)
        self._transport.send(frame)

    def receive(self, timeout_s: float) -> bytes:
        frame = self._transport.receive(timeout_s)
        self._note(frame)
        return frame

    def _note(self, frame: bytes) -> None:
        if decode(frame).kind in COMPLETE:
            Clocked.last = time.perf_counter()

    def close(self) -> None:
        self._transport.close()


def inspect_ms(link: Link, settings: Settings) -> list[float]:
    """Judge blocks, and return what each took."""
    monitor, taken = Monitor(link, settings), []
    for number in range(BLOCKS):
        sent = transmit(link, settings, pulses=pulses_for(link, settings), seed=SEED + number)
        seen = observe_both(settings.protocol, sent.alice, sent.bob, sent.telemetry)
        begin = time.perf_counter()
        monitor.inspect(seen)
        taken.append(1e3 * (time.perf_counter() - begin))
    return taken


def alert_ms(link: Link, settings: Settings) -> list[float]:
    """Attack a link, and return what each alarm took."""
    taken: list[float] = []
    with tempfile.TemporaryDirectory() as name, closing(open_store(Path(name))) as store:
        bus = open_bus(store)

        def publish(event: Any) -> None:
            bus.publish(event)
            if isinstance(event, LinkAlarm):
                taken.append(1e3 * (time.perf_counter() - Clocked.last))

        for number in range(ALARMS):
            attack = _parsed(ATTACKS[number % len(ATTACKS)])
            monitor = Monitor(link, settings)
            Exchange(
                name="bench", apparatus=SimulatedLink(link, _always(attack), SEED + number),
                terms=Terms(settings=settings), supplies=_supplies(Path(name) / str(number), 1),
                inspect=monitor, publish=publish, meddle=Clocked, at_most=1,
            ).run()  # fmt: skip
    return taken


def _always(attack: Attack) -> Callable[[int], Attack]:
    return lambda _: attack


def _parsed(text: str) -> Attack:
    name, strength = text.split(":")
    return Attack(name, float(strength))


def main() -> None:
    link, settings = Link(distance_km=50), Settings()
    inspected, alerted = inspect_ms(link, settings), alert_ms(link, settings)
    if len(alerted) != ALARMS:
        raise SystemExit(f"{ALARMS - len(alerted)} attacks raised no alarm")
    print(
        json.dumps(
            {
                "inspect_ms": statistics.median(inspected[1:]),
                "alert_ms": statistics.median(alerted),
                "alert_ms_most": max(alerted),
                "inspected": len(inspected) - 1,
                "alarms": len(alerted),
                "seed": SEED,
            }
        )
    )


if __name__ == "__main__":
    main()
