"""A small network in one process: nodes with homes of their own, simulated links, relays between them.

::

    nodes = ["a", "b", "c", "d"]

    [[links]]
    ends = ["a", "b"]
    distance_km = 10.0

    [[links]]
    ends = ["b", "d"]
    attack = "cut"             # what is done to its fibre, if anything

Each link's two ends exchange keys as they do between two cities (`exchange`), and put them where their relays
draw from. What is said between relays stays in this process.
"""

from __future__ import annotations

import secrets
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from qwarden.core import strict
from qwarden.core.errors import ConfigError, KeySupplyError, QwardenError
from qwarden.core.events import Event
from qwarden.core.keysupplies.preshared import PreSharedPool
from qwarden.core.keysupply import Key
from qwarden.keys.exchange import Ends, Exchange
from qwarden.keys.link import Link, Settings
from qwarden.keys.network.relay import Carried, LinkDown, Relay, deliver
from qwarden.keys.network.routing import Links
from qwarden.keys.party.block import Terms
from qwarden.keys.physics import parse
from qwarden.keys.simulate import POOL_BYTES, SimulatedLink

SETTINGS: Final = Settings(
    block_bits=50_000, intensities=(0.516, 0.16, 2e-4), probabilities=(0.07, 0.54, 0.39), key_basis=0.64
)
"""About the best for blocks of 50,000 bits over 10 km."""
ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedLink:
    """A link of the file."""

    ends: tuple[str, str]
    distance_km: float = 10.0
    attack: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A network as its file describes it."""

    nodes: tuple[str, ...]
    links: tuple[PlannedLink, ...]


def load_plan(path: str | Path) -> Plan:
    """Read a network's file.

    Raises
    ------
    ConfigError
        It is missing, no TOML, or describes no network.
    """
    place = Path(path)
    try:
        plan = strict.from_json(Plan, tomllib.loads(place.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(place, "network", (error.strerror or str(error)).lower()) from error
    except strict.Mismatch as mismatch:
        raise ConfigError(place, mismatch.place, mismatch.problem) from mismatch
    except ValueError as error:
        raise ConfigError(place, "TOML", str(error)) from error
    for link in plan.links:
        if len(set(link.ends)) != 2 or not set(link.ends) <= set(plan.nodes):
            raise ConfigError(place, "links", f"{' - '.join(link.ends)}: expected two different nodes")
        try:
            parse(link.attack or "cut")
            Link(distance_km=link.distance_km)
        except QwardenError as error:
            raise ConfigError(place, f"links {' - '.join(link.ends)}", str(error)) from error
    if len({frozenset(link.ends) for link in plan.links}) != len(plan.links):
        raise ConfigError(place, "links", "two links have the same ends")
    return plan


@dataclass(slots=True)
class Laboratory:
    """A network that runs.

    Parameters
    ----------
    plan : what there is.
    folder : each node's keys are in a folder of its own here.
    publish : takes the events of the links.
    """

    plan: Plan
    folder: Path
    publish: Callable[[Event], None] = lambda _: None
    seed: int = 5
    arrived: dict[str, list[Carried]] = field(default_factory=dict)
    _pools: dict[str, PreSharedPool] = field(default_factory=dict)
    _relays: dict[str, Relay] = field(default_factory=dict)
    _down: set[frozenset[str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        for name in self.plan.nodes:
            self._pools[name] = PreSharedPool(self.folder / name, name)
            self.arrived[name] = []
            self._relays[name] = Relay(name, self._pools[name], self._sender(name), self.arrived[name].append)

    def exchange(self) -> dict[str, int]:
        """Have every link exchange a key; return the secret bits of each, 0 where it gave none."""
        return {"-".join(link.ends): self._exchange(number) for number, link in enumerate(self.plan.links)}

    def cut(self, a: str, b: str) -> None:
        """Let nothing through between two nodes any more."""
        self._down.add(frozenset((a, b)))

    def links(self) -> Links:
        """Return the bits that each end of each link can draw."""
        found = {}
        for link in self.plan.links:
            for here, there in (link.ends, link.ends[::-1]):
                try:
                    found[here, there] = self._pools[here].available(there)
                except KeySupplyError:  # never had a key
                    found[here, there] = 0
        return found

    def deliver(self, start: str, goal: str, bits: int) -> tuple[Carried, Carried]:
        """Carry a key; return both ends' copies. Raises as `relay.deliver`."""
        sent = deliver(self._relays, self.links, start, goal, bits)
        (came,) = [one for one in self.arrived[goal] if one.id == sent.id]
        return sent, came

    def _sender(self, name: str) -> Callable[[str, bytes], None]:
        def send(there: str, frame: bytes) -> None:
            if frozenset((name, there)) in self._down:
                raise LinkDown((name, there), "the link is cut")
            self._relays[there].receive(name, frame)

        return send

    def _exchange(self, number: int) -> int:
        link = self.plan.links[number]
        a, b = link.ends
        attack = parse(link.attack) if link.attack else None
        first, second = self._pools[a], self._pools[b]
        shared = secrets.token_bytes(POOL_BYTES * ATTEMPTS)
        first.add(b, shared)
        second.add(a, shared)
        secret: list[int] = []

        def keep(ends: Ends) -> None:
            material = np.packbits(ends.alice.key[: ends.alice.key.size // 16 * 16]).tobytes()
            first.add(b, material)
            second.add(a, material)
            secret.append(8 * len(material))

        Exchange(
            name="-".join(link.ends),
            apparatus=SimulatedLink(
                Link(distance_km=link.distance_km), lambda _: attack, self.seed + 1000 * number
            ),
            terms=Terms(settings=SETTINGS),
            supplies=(_Towards(first, b), _Towards(second, a)),
            inspect=lambda _: "",
            publish=self.publish,
            keep=keep,
            at_most=ATTEMPTS,
        ).run()
        return sum(secret)


class _Towards:
    """A node's keys for one neighbour, whatever the exchange calls that end."""

    def __init__(self, pool: PreSharedPool, neighbour: str) -> None:
        self._pool, self._neighbour = pool, neighbour

    def draw(self, bits: int, purpose: str, peer: str) -> Key:  # noqa: ARG002
        """See `KeySupply`."""
        return self._pool.draw(bits, purpose, self._neighbour)

    def fetch(self, id: str, purpose: str, peer: str, bits: int | None = None) -> Key:  # noqa: ARG002
        """See `KeySupply`."""
        return self._pool.fetch(id, purpose, self._neighbour)

    def available(self, peer: str) -> int:  # noqa: ARG002
        """See `KeySupply`."""
        return self._pool.available(self._neighbour)
