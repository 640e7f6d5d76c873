"""Which way a key goes: the fewest trusted nodes, and of equal ways the one with most key left."""

from __future__ import annotations

import heapq
from collections.abc import Mapping

Links = Mapping[tuple[str, str], int]
"""Bits of key that the first end of each link can still draw towards the second, for links that are up."""


def route(links: Links, start: str, goal: str, bits: int) -> tuple[str, ...]:
    """Return the nodes from `start` to `goal`, both included; none if there is no way.

    Every node on the way learns the key, so the fewest come first. Between ways of the same length that one
    is taken whose scarcest link has most key, so that no link is drained while another is full.

    Parameters
    ----------
    bits : that the key takes of each link it goes over.

    Examples
    --------
    >>> links = {("a", "b"): 900, ("b", "d"): 900, ("a", "c"): 4000, ("c", "d"): 2000, ("a", "d"): 100}
    >>> route(links, "a", "d", 512), route(links, "a", "d", 64), route(links, "d", "a", 1)
    (('a', 'c', 'd'), ('a', 'd'), ())
    """
    # Hops first, then the scarcest link's key, the more the better: both only grow worse along a way.
    waiting: list[tuple[int, float, tuple[str, ...]]] = [(0, -float("inf"), (start,))]
    reached: set[str] = set()
    while waiting:
        hops, scarcest, way = heapq.heappop(waiting)
        node = way[-1]
        if node == goal:
            return way
        if node in reached:
            continue
        reached.add(node)
        for (here, there), left in links.items():
            if here == node and there not in reached and left >= bits:
                heapq.heappush(waiting, (hops + 1, max(scarcest, -left), (*way, there)))
    return ()
