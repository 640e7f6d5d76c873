"""A network of trusted nodes: a key for two ends that share no fibre, carried from link to link.

In: a network's links, each with keys that its two ends share. Out: the same key at two ends, once. Every node
on the way sees it: they must be trusted, and the route says which they are. Start reading at `relay`, which
carries a key; `routing` finds the way; `laboratory` builds a small network from a file.
"""

from qwarden.keys.network.laboratory import Laboratory, Plan, load_plan
from qwarden.keys.network.relay import Carried, NoRoute, Relay, deliver
from qwarden.keys.network.routing import route

__all__ = ["Carried", "Laboratory", "NoRoute", "Plan", "Relay", "deliver", "load_plan", "route"]
