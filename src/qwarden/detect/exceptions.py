"""What the ignore list says about flows: which are not looked at, and which raise nothing.

An entry without a kind hides whole flows, before they are scored. One with a kind leaves them scored and
part of every window, and silences findings of that kind alone. Both are counted as suppressed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qwarden.core.lists import Rule
from qwarden.detect.behaviours import KINDS
from qwarden.formats.flows import Flows

Mask = npt.NDArray[np.bool_]


def hidden(flows: Flows, rules: Sequence[Rule]) -> Mask:
    """Return a mask of the flows that an entry without a kind covers."""
    mask = np.zeros(flows.size, bool)
    for rule in rules:
        if rule.kind is None:
            mask |= _covered(flows, rule)
    return mask


def silenced(flows: Flows, named: npt.NDArray[np.int64], rules: Sequence[Rule]) -> Mask:
    """Return a mask of the flows whose behaviour (an index into `BEHAVIOURS`) an entry of its kind covers."""
    mask = np.zeros(flows.size, bool)
    for rule in rules:
        if rule.kind in KINDS:
            of_kind = named == KINDS.index(rule.kind)
            if of_kind.any():
                mask |= of_kind & _covered(flows, rule)
    return mask


def _covered(flows: Flows, rule: Rule) -> Mask:
    covered: Mask = flows["end_ns"] / 1e9 < rule.until
    if rule.port is not None:
        covered &= flows["dst_port"] == rule.port
    for side, wanted in (("src", rule.source), ("dst", rule.destination)):
        if wanted is not None:
            covered &= wanted.hold(flows[f"{side}_hi"], flows[f"{side}_lo"])
    if rule.addresses is not None:
        sides = (rule.addresses.hold(flows[f"{side}_hi"], flows[f"{side}_lo"]) for side in ("src", "dst"))
        covered &= np.logical_or(*sides)
    return covered
