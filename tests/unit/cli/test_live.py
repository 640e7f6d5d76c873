"""What a live source comes to when it was read in several goes."""

from __future__ import annotations

from dataclasses import fields

from qwarden.cli.live import _together
from qwarden.detect import Detection
from qwarden.detect.detector import FlowAccount


def run(first: int) -> Detection:
    account = FlowAccount(*range(first, first + len(fields(FlowAccount))))
    return Detection(
        "m", "1", flows=account, alarming=first + 5, seconds=0.5, second="e 1", asked=first + 6,
        evading=first + 7, problems=[f"problem {first}"],
    )  # fmt: skip


def test_every_count_of_both_goes_is_in_the_account() -> None:
    both = _together(run(100), run(1000)).document()
    assert both["flows"] == {
        "read": 1100, "scored": 1102, "suppressed": 1104, "dropped": 1106, "malformed": 1108,
        "alarming": 1110,
    }  # fmt: skip
    assert both["second_opinion"] == {"model": "e 1", "asked": 1112, "evading": 1114}
    assert both["seconds"] == 1.0
