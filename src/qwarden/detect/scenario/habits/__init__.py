"""Habits: who has which session when, all of it benign.

`people` browse, mail and log on; `machines` poll, beat and keep the network together; `events` are what
happens now and then. They hold what is most easily taken for an attack: regular pollers, bursts of alike
sessions, dead printers that are tried again and again, monitoring that touches every host, logins with a
mistyped password, visitors from the Internet.
"""

from __future__ import annotations

from qwarden.detect.scenario.habits import events, machines, people
from qwarden.detect.scenario.world import World


def benign_traffic(w: World) -> None:
    """Play everything that is not an attack."""
    for person in w.plan.people:
        people.live(w, person)
    for device in w.plan.devices:
        machines.device(w, device)
    for host in w.plan.local:
        machines.housekeeping(w, host)
    machines.network(w)
    machines.servers(w)
    for event in events.EVENTS:
        # An hour has an event about as often as its weight; long captures have it several times.
        expected = event.weight * w.duration / 3_600 * min(len(w.plan.people) / 12, 1.5)
        count = int(expected) + w.dice.chance(expected - int(expected))
        for _ in range(count):
            event.play(w, w.dice.pick(w.plan.people), w.dice.between(-0.02, 0.97) * w.duration)
