"""Trusted nodes: a key is carried from one end to another, under a one-time pad on each link.

The end that wants a key draws it at random. On each link of the way it travels as key xor pad, with a tag
over the whole parcel; pad and tag key are drawn from what the two ends of that link share, and are used for
nothing else. A node that cannot verify a tag passes nothing on. What a parcel says of its way is under the
tag of each link. Once a parcel is lost, its pads are spent and its key is nobody's: another key goes another
way.

Source: Elliott, "Building the quantum network", New J. Phys. 4, 46 (2002), section 5 (key relays); SECOQC,
Peev et al., New J. Phys. 11, 075001 (2009).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from qwarden.core import strict
from qwarden.core.clock import uuid7
from qwarden.core.crypto.tags import KEY_BITS, TagKey
from qwarden.core.errors import InputError, KeyExhausted, KeySupplyError, QwardenError, UsageError
from qwarden.core.files import Json, canonical_json
from qwarden.core.keysupply import KeySupply
from qwarden.keys.network.routing import Links, route

PAD: Final = "relay pad"
TAG: Final = "relay tag"

Send = Callable[[str, bytes], None]
"""Brings a parcel to a neighbour; raises `LinkDown` if it cannot."""


class LinkDown(QwardenError):  # noqa: N818 - it is what was found
    """A link carries nothing now.

    Parameters
    ----------
    ends : of the link.
    """

    def __init__(self, ends: tuple[str, str], problem: str) -> None:
        self.ends = ends
        super().__init__(f"{ends[0]}-{ends[1]}: {problem}")


class NoRoute(QwardenError):  # noqa: N818 - it is what was found
    """No way with enough key leads from one end to the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """A key at one of its two ends.

    Parameters
    ----------
    id : the same at both.
    way : the nodes it went through, all of which know it.
    """

    id: str
    key: bytes = field(repr=False)
    way: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """What travels over a link.

    Parameters
    ----------
    id, way : of the key.
    pad, tag_key : ids of the keys of this link that it is hidden and tagged with.
    hidden : the key under the pad, in hexadecimal.
    """

    id: str
    way: tuple[str, ...]
    pad: str
    tag_key: str
    hidden: str

    def encode(self, tag_key: TagKey) -> bytes:
        """Return its bytes with their tag."""
        body = canonical_json(strict.to_json(self))
        return tag_key.tag(body) + body

    @classmethod
    def decode(cls, frame: bytes) -> tuple[Parcel, bytes, bytes]:
        """Read a parcel, not yet verified; return it, its bytes and its tag. Raises `InputError`."""
        tag, body = frame[:16], frame[16:]
        try:
            parcel = strict.from_json(cls, json.loads(body))
            bytes.fromhex(parcel.hidden)
        except ValueError as error:
            raise InputError("relay", f"no parcel: {error}") from error
        return parcel, body, tag


class Relay:
    """One node of the network.

    Parameters
    ----------
    name : of the node.
    supply : keys it shares with its neighbours, by their names.
    send : brings parcels to them.
    accept : takes the keys that end here.
    """

    def __init__(
        self, name: str, supply: KeySupply, send: Send, accept: Callable[[Carried], None] = lambda _: None
    ) -> None:
        self.name = name
        self._supply, self._send, self._accept = supply, send, accept

    def originate(self, way: Sequence[str], bits: int) -> Carried:
        """Make a key and carry it along a way; return this end's copy once the parcel has left.

        Raises
        ------
        LinkDown
            A link on the way carries nothing, or holds too little key.
        UsageError
            The size is no positive multiple of 8, or the way does not begin here.
        """
        if bits <= 0 or bits % 8 or len(way) < 2 or way[0] != self.name or len(set(way)) != len(way):
            raise UsageError(f"{bits} bits from {self.name} along {' - '.join(way)}: no such delivery")
        carried = Carried(id=uuid7(), key=secrets.token_bytes(bits // 8), way=tuple(way))
        self._forward(carried)
        return carried

    def receive(self, neighbour: str, frame: bytes) -> None:
        """Take a parcel from a neighbour: it ends here, or goes on.

        Raises
        ------
        InputError
            It was tampered with, was here before, or its way does not lead through this link.
        LinkDown
            The next link carries nothing.
        """
        parcel, body, tag = Parcel.decode(frame)
        try:
            tag_key = self._supply.fetch(parcel.tag_key, TAG, neighbour)
            if tag_key.bits != KEY_BITS or not TagKey(tag_key.material).verify(body, tag):
                raise InputError("relay", f"a parcel from {neighbour} does not verify")
            pad = self._supply.fetch(parcel.pad, PAD, neighbour)
        except KeySupplyError as error:
            raise InputError("relay", f"a parcel from {neighbour}: {error}") from error
        hidden = bytes.fromhex(parcel.hidden)
        here = parcel.way.index(self.name) if self.name in parcel.way else 0
        if len(hidden) != len(pad.material) or here == 0 or parcel.way[here - 1] != neighbour:
            raise InputError("relay", f"a parcel from {neighbour} has lost its way")
        carried = Carried(id=parcel.id, key=_xor(hidden, pad.material), way=parcel.way)
        if parcel.way[-1] == self.name:
            self._accept(carried)
        else:
            self._forward(carried)

    def _forward(self, carried: Carried) -> None:
        there = carried.way[carried.way.index(self.name) + 1]
        try:
            pad = self._supply.draw(8 * len(carried.key), PAD, there)
            tag_key = self._supply.draw(KEY_BITS, TAG, there)
        except KeyExhausted as error:
            raise LinkDown((self.name, there), str(error)) from error
        parcel = Parcel(
            id=carried.id, way=carried.way, pad=pad.id, tag_key=tag_key.id,
            hidden=_xor(carried.key, pad.material).hex(),
        )  # fmt: skip
        self._send(there, parcel.encode(TagKey(tag_key.material)))


def cost(bits: int) -> int:
    """Return the bits that a key takes of each link on its way: a pad as long as it, and a tag's key."""
    return bits + KEY_BITS


def deliver(
    relays: Mapping[str, Relay], links: Callable[[], Links], start: str, goal: str, bits: int
) -> Carried:
    """Carry a key from `start` to `goal` by the best way there is, around links that fail.

    Parameters
    ----------
    links : what every link has left; asked before each attempt.

    Raises
    ------
    NoRoute
        No way is left.
    UsageError
        An end is unknown, or both are the same.
    """
    if start == goal or start not in relays or goal not in relays:
        raise UsageError(f"from {start} to {goal}: expected two of {', '.join(sorted(relays))}")
    down: set[frozenset[str]] = set()
    while True:
        up = {ends: left for ends, left in links().items() if frozenset(ends) not in down}
        way = route(up, start, goal, cost(bits))
        if not way:
            failed = ", ".join("-".join(sorted(ends)) for ends in down)
            raise NoRoute(
                f"no way from {start} to {goal} has {cost(bits):,} bits of key on every link"
                + (f"; {failed} failed" if failed else "")
            )
        try:
            return relays[start].originate(way, bits)
        except LinkDown as error:
            down.add(frozenset(error.ends))


def document(carried: Carried) -> dict[str, Json]:
    """Return what may be shown of a delivery: all but the key."""
    return {"id": carried.id, "bits": 8 * len(carried.key), "way": list(carried.way)}


def _xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))
