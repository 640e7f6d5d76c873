"""What `backtrack` promises, whatever the callables do."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from qwarden.core.backtrack import Backtrack, BacktrackStep, Parameters, Verdict
from qwarden.core.errors import BacktrackExhausted, QwardenError
from qwarden.core.events import Event

Fate = st.sampled_from(["accept", "reject", "attempt raises", "check raises", "undo raises"])


class Boom(Exception):
    pass


class World:
    """Follows a script, one fate an attempt, and counts what is done and taken back."""

    def __init__(self, fates: list[str], mute: int | None) -> None:
        self.fates, self.mute = fates, mute
        self.made: list[int] = []
        self.taken_back: Counter[int] = Counter()
        self.steps: list[BacktrackStep] = []
        self.published = 0

    def attempt(self, parameters: Parameters) -> int:
        index = parameters["index"]
        assert isinstance(index, int)
        if self.fates[index] == "attempt raises":
            raise Boom
        self.made.append(index)
        return index

    def check(self, index: int) -> Verdict:
        if self.fates[index] == "check raises":
            raise Boom
        return Verdict.accept() if self.fates[index] == "accept" else Verdict.reject("no")

    def undo(self, index: int) -> None:
        self.taken_back[index] += 1
        if self.fates[index] == "undo raises":
            raise Boom

    def publish(self, event: Event) -> None:
        assert isinstance(event, BacktrackStep)
        self.published += 1
        if self.published - 1 == self.mute:
            raise Boom
        self.steps.append(event)


@given(
    st.lists(Fate, min_size=1, max_size=6),
    st.none() | st.integers(0, 20),
)
def test_promises(fates: list[str], mute: int | None) -> None:
    world = World(fates, mute)
    action: Backtrack[int] = Backtrack(
        by="test",
        subject="world",
        attempt=world.attempt,
        check=world.check,
        undo=world.undo,
        change=lambda last: {"index": last.result + 1},
        publish=world.publish,
        at_most=len(fates),
    )
    outcome: Any
    try:
        outcome = action.run({"index": 0})
    except (BacktrackExhausted, QwardenError, Boom) as error:
        outcome = error

    # Attempts are made in order, each once, never more than allowed.
    assert world.made == list(range(len(world.made)))

    # Every result but an accepted one is undone exactly once; nothing that was not made is undone.
    stands = [outcome.result] if not isinstance(outcome, Exception) else []
    assert world.taken_back == Counter(i for i in world.made if i not in stands)

    # Nothing is tried after an acceptance, an exception or a failed undo.
    steps = [s.step for s in world.steps]
    if stands:
        assert fates[stands[0]] == "accept"
        assert world.made[-1] == stands[0]
        assert [len(outcome.attempts) - 1] == stands

    # The record tells the same story.
    if mute is None or world.published <= mute:
        assert steps.count("attempted") == len(world.made)
        assert steps.count("undone") + steps.count("undo_failed") == sum(world.taken_back.values())
        assert steps.count("accepted") == len(stands)
        assert steps.count("exhausted") == isinstance(outcome, BacktrackExhausted)
        assert steps[-1] in {"accepted", "exhausted", "failed", "undo_failed"}
        assert len({s.run for s in world.steps}) == 1
    if isinstance(outcome, BacktrackExhausted):
        assert [a.result for a in outcome.attempts] == world.made
