"""Backtracking: attempt, check, accept; or undo, say why, change something and try again.

One mechanism for the whole platform: a key exchange that was disturbed, a threat score that is
ambiguous, a response that made things worse, a login that is doubtful, a plan that breaks a rule.
Each step is an event. When the attempts are used up it gives up loudly, with `BacktrackExhausted`.

What holds, whatever the callables do:

- a result that is not accepted is undone exactly once, also when its check raises or is interrupted;
- a result that is accepted is not undone, and its acceptance has been recorded: if the record cannot be
  kept, the result is undone as well, so nothing stands that is not on record;
- an undo that fails is loud: its effect still stands, and nothing further is tried;
- no attempt is made past the limit or the deadline.

Source: the article's component on backtracking (Hossain et al. 2024).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Generic, Literal, TypeAlias, TypeVar

from qwarden.core.clock import Clock, WallClock, uuid7
from qwarden.core.errors import BacktrackExhausted, QwardenError
from qwarden.core.events import Event
from qwarden.core.files import Json

T = TypeVar("T")
Parameters: TypeAlias = Mapping[str, Json]
Step: TypeAlias = Literal["attempted", "accepted", "rejected", "undone", "failed", "undo_failed", "exhausted"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found.

    Examples
    --------
    >>> Verdict.accept(), bool(Verdict.reject("qber 0.14 above 0.11"))
    (Verdict(accepted=True, reason=''), False)
    """

    accepted: bool
    reason: str = ""

    @classmethod
    def accept(cls, reason: str = "") -> Verdict:
        """The result stands."""
        return cls(True, reason)

    @classmethod
    def reject(cls, reason: str) -> Verdict:
        """The result is to be undone; `reason` is what the record says."""
        return cls(False, reason)

    def __bool__(self) -> bool:
        return self.accepted


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktrackStep(Event):
    """One step of a backtracked action.

    Parameters
    ----------
    run : the same for all steps of one action.
    by : the room that acts.
    subject : what it acts on.
    step : ``attempted``, then ``accepted``, or ``rejected`` and ``undone``; ``failed`` if the attempt or
        its check raised; ``undo_failed``; at last ``exhausted``.
    attempt, at_most : the how-manieth of how many, from 1.
    parameters : what the attempt was made with.
    reason : why.
    """

    room: ClassVar[str] = "core"
    kind: ClassVar[str] = "backtrack_step"

    run: str
    by: str
    subject: str
    step: Step
    attempt: int
    at_most: int
    parameters: Parameters
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Attempt(Generic[T]):
    """One attempt as it went."""

    parameters: Parameters
    result: T
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Backtracked(Generic[T]):
    """An accepted result and the way to it; the last attempt is the accepted one."""

    run: str
    result: T
    attempts: tuple[Attempt[T], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtrack(Generic[T]):
    """How an action is attempted, checked, undone and changed.

    Parameters
    ----------
    by : the room that acts.
    subject : what it acts on, for the record.
    attempt : makes a result from parameters. If it raises, nothing was made and nothing is undone.
    check : says whether the result stands.
    undo : takes back all effects of a result.
    change : given the rejected attempt, returns the parameters of the next one.
    publish : keeps the steps; the bus's ``publish`` as a rule.
    at_most : how many attempts are made.
    deadline : no attempt begins at or after this time of `clock`; None: no deadline.
    clock : traffic or wall time.

    Raises
    ------
    BacktrackExhausted
        From `run`: every attempt was rejected, or the deadline came; its ``attempts`` tell the story.
    QwardenError
        From `run`: an undo failed; the effect of that attempt still stands.

    Examples
    --------
    >>> steps = []
    >>> action = Backtrack(
    ...     by="keys", subject="exchange 7", attempt=lambda p: p["pulses"] * 2,
    ...     check=lambda bits: Verdict.accept() if bits >= 256 else Verdict.reject(f"{bits} bits"),
    ...     undo=lambda bits: None, change=lambda last: {"pulses": last.parameters["pulses"] * 2},
    ...     publish=steps.append, at_most=3)
    >>> action.run({"pulses": 100}).result
    400
    >>> [step.step for step in steps]
    ['attempted', 'rejected', 'undone', 'attempted', 'accepted']
    """

    by: str
    subject: str
    attempt: Callable[[Parameters], T]
    check: Callable[[T], Verdict]
    undo: Callable[[T], None]
    change: Callable[[Attempt[T]], Parameters]
    publish: Callable[[Event], None]
    at_most: int = 3
    deadline: float | None = None
    clock: Clock = field(default_factory=WallClock)

    def __post_init__(self) -> None:
        if self.at_most < 1:
            raise ValueError(f"at_most is {self.at_most}; at least one attempt is made")

    def run(self, parameters: Parameters) -> Backtracked[T]:
        """Act until a result is accepted; the first attempt is made with `parameters`."""
        record = _Record(self, uuid7())
        attempts: list[Attempt[T]] = []
        while len(attempts) < self.at_most and not self._late():
            if attempts:
                parameters = self.change(attempts[-1])
            attempts.append(self._try(parameters, record))
            if attempts[-1].verdict.accepted:
                return Backtracked(record.run, attempts[-1].result, tuple(attempts))
        why = "; ".join(f"{i}: {a.verdict.reason}" for i, a in enumerate(attempts, 1))
        limit = "deadline passed" if len(attempts) < self.at_most else "gave up"
        record.say("exhausted", parameters, limit)
        raise BacktrackExhausted(
            f"{self.by}: {self.subject}: {limit} after {len(attempts)} attempts ({why})", attempts
        )

    def _late(self) -> bool:
        return self.deadline is not None and self.clock.now() >= self.deadline

    def _try(self, parameters: Parameters, record: _Record[T]) -> Attempt[T]:
        record.attempt += 1
        try:
            result = self.attempt(parameters)
        except BaseException as error:
            record.say_if_possible("failed", parameters, _text(error))
            raise
        try:
            record.say("attempted", parameters)
            verdict = self.check(result)
            record.say("accepted" if verdict.accepted else "rejected", parameters, verdict.reason)
        except BaseException as error:
            self._take_back(result, parameters, record)
            record.say_if_possible("failed", parameters, _text(error))
            raise
        if not verdict.accepted:
            self._take_back(result, parameters, record)
        return Attempt(parameters, result, verdict)

    def _take_back(self, result: T, parameters: Parameters, record: _Record[T]) -> None:
        try:
            self.undo(result)
        except BaseException as error:  # an interrupted undo is a failed one
            record.say_if_possible("undo_failed", parameters, _text(error))
            raise QwardenError(
                f"{self.by}: {self.subject}: attempt {record.attempt} could not be undone and still stands: "
                f"{_text(error)}"
            ) from error
        record.say_if_possible("undone", parameters)


@dataclass(slots=True)
class _Record(Generic[T]):
    """Publishes the steps of one run."""

    action: Backtrack[T]
    run: str
    attempt: int = 0
    told: bool = False

    def say(self, step: Step, parameters: Parameters, reason: str = "") -> None:
        """Publish a step; an error of the publisher is the caller's to handle."""
        self.action.publish(
            BacktrackStep(
                time=self.action.clock.now(),
                run=self.run,
                by=self.action.by,
                subject=self.action.subject,
                step=step,
                attempt=self.attempt,
                at_most=self.action.at_most,
                parameters=parameters,
                reason=reason,
            )
        )

    def say_if_possible(self, step: Step, parameters: Parameters, reason: str = "") -> None:
        """Publish a step where a worse error is on its way, or the effect is gone already."""
        try:
            self.say(step, parameters, reason)
        except Exception as error:
            if not self.told:  # a store that is full stays so for the steps that follow
                log.error(
                    "%s: %s: step %r could not be recorded: %s", self.action.by, self.action.subject, step,
                    _text(error), exc_info=not isinstance(error, QwardenError),
                )  # fmt: skip
            self.told = True


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
