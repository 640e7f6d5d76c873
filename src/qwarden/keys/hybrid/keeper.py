"""Decides what becomes of a tunnel whose pre-shared key two agents renew.

`Keeper` takes what was agreed on, or that nothing was, and says when to try again. Without a quantum key the
tunnel goes on with post-quantum keys alone where both ends allow it, and every renewal says so; where it is
not allowed, and the grace is over, the tunnel is stopped.

`wireguard` and `ikev2` have the tunnels, `agent` the calls between the ends.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, Protocol, TypeAlias

from qwarden.core.clock import Clock, WallClock
from qwarden.core.crypto.postquantum import MLDSAKey
from qwarden.core.errors import QwardenError, UsageError
from qwarden.core.events import Event
from qwarden.core.keysupply import KeySupply
from qwarden.keys.hybrid.agreement import Agreed

log = logging.getLogger(__name__)

State: TypeAlias = Literal["hybrid", "downgraded", "overdue", "stopped"]

SLACK_S: Final = 15.0
"""Time for a call to come: before that, the end that waits for it is not late."""


class Tunnel(Protocol):
    """Something that traffic passes under a pre-shared key.

    Attributes
    ----------
    kind : as ``wireguard``; a key for one kind is of no use to another.
    name : the kind, and which one.
    """

    kind: str
    name: str

    def put(self, psk: bytes, name: str) -> None:
        """Use this key from the next handshake on; `name` is the key's, the same at both ends."""

    def stop(self) -> None:
        """Let nothing pass until a key is put."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelKey(Event):
    """The pre-shared key of a tunnel was renewed, or was not when it should have been.

    Parameters
    ----------
    tunnel : as ``wireguard wg0``.
    own, peer : the ends.
    state : ``hybrid`` quantum and post-quantum; ``downgraded`` post-quantum alone; ``overdue`` the old key
        stays in use; ``stopped`` nothing passes.
    cause : why it is neither of the first; empty if it is.
    origin, quantum_key_id : of the quantum key; empty without one.
    """

    room: ClassVar[str] = "keys"
    kind: ClassVar[str] = "tunnel_key"

    tunnel: str
    own: str
    peer: str
    state: State
    cause: str = ""
    origin: str = ""
    quantum_key_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How often, and what if not.

    Parameters
    ----------
    interval_s : from one renewal to the next; WireGuard itself shakes hands every 120 s.
    grace_s : how long a renewal may be overdue before the tunnel is stopped.
    retry_s : after a first failure; doubles up to the interval.
    allow_downgrade : go on without a quantum key, and never stop the tunnel.
    """

    interval_s: float = 120.0
    grace_s: float = 300.0
    retry_s: float = 5.0
    allow_downgrade: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.interval_s <= 86_400 or self.grace_s < 0 or self.retry_s <= 0:
            raise UsageError("renewal: expected an interval of 1 to 86,400 s, and a grace of 0 s or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Who agrees with whom, and by what.

    Parameters
    ----------
    own, peer : names; those under which the quantum keys are asked for.
    signing : this end's key.
    peer_public : the other's ML-DSA-65 key.
    supply : quantum keys shared with the peer; None: there is no link.
    """

    own: str
    peer: str
    signing: MLDSAKey
    peer_public: bytes
    supply: KeySupply | None


class Keeper:
    """Decides what becomes of a tunnel.

    Parameters
    ----------
    publish : told of every renewal and of each change for the worse.
    monotonic : seconds that no clock jump changes.
    """

    def __init__(
        self,
        tunnel: Tunnel,
        ends: Ends,
        policy: Policy,
        *,
        publish: Callable[[Event], None],
        clock: Clock | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ends, self.policy = ends, policy
        self.last: TunnelKey | None = None
        self.publish, self.clock = publish, clock or WallClock()
        self._tunnel = tunnel
        self._monotonic, self._due, self._failures = monotonic, monotonic(), 0
        self._refusal = ""

    @property
    def purpose(self) -> str:
        """What keys are agreed on for."""
        return self._tunnel.kind

    def use(self, agreed: Agreed) -> None:
        """Put an agreed key to use; raises what the tunnel raises, and then nothing has changed."""
        self._tunnel.put(agreed.psk, agreed.name)
        self._due, self._failures = self._monotonic() + self.policy.interval_s, 0
        self._refusal = ""
        quantum = agreed.mode == "qkd+pqc"
        self._tell(
            "hybrid" if quantum else "downgraded",
            "" if quantum else "no quantum key: the tunnel rests on post-quantum keys alone",
            agreed,
        )

    def missed(self, cause: str) -> None:
        """Take note that an attempt failed; stop the tunnel if the grace is over."""
        self._failures += 1
        log.warning("%s: no new key: %s", self._tunnel.name, cause)
        self._worsen(cause)

    def refused(self, cause: str) -> None:
        """Take note, at the end that is called, of a call that came to nothing: it may be anyone's."""
        log.warning("%s: a call came to nothing: %s", self._tunnel.name, cause)
        self._refusal = f"; the last call: {cause}"

    def overdue(self) -> None:
        """Look, at the end that is called, whether a renewal should have come."""
        if self._monotonic() >= self._due + SLACK_S:
            self._worsen(f"the other end has not called{self._refusal}", SLACK_S)

    @property
    def grace_over(self) -> bool:
        """Whether a renewal is overdue for longer than it may be."""
        return self._grace_over(SLACK_S)

    @property
    def wait_s(self) -> float:
        """Seconds until the next attempt."""
        if self._failures:
            return min(self.policy.retry_s * 2.0 ** min(self._failures - 1, 20), self.policy.interval_s)
        return max(self._due - self._monotonic(), 0.0)

    def _grace_over(self, slack_s: float) -> bool:
        return self._monotonic() >= self._due + max(self.policy.grace_s, slack_s)

    def _worsen(self, cause: str, slack_s: float = 0.0) -> None:
        over = self._grace_over(slack_s) and not self.policy.allow_downgrade
        state: State = "stopped" if over else "overdue"
        before = self.last.state if self.last else None
        if before == state:
            return
        if over and (problem := self._stop_failed()):
            if before == "overdue":
                return  # told already; the next look tries again
            state, cause = "overdue", f"{cause}; and it cannot be stopped: {problem}"
        self._tell(state, cause)

    def _stop_failed(self) -> str:
        """Stop the tunnel; return why that failed, or nothing."""
        try:
            self._tunnel.stop()
        except QwardenError as error:
            log.error("%s: cannot be stopped: %s", self._tunnel.name, error)
            return str(error)
        return ""

    def _tell(self, state: State, cause: str, agreed: Agreed | None = None) -> None:
        self.last = TunnelKey(
            time=self.clock.now(),
            tunnel=self._tunnel.name,
            own=self.ends.own,
            peer=self.ends.peer,
            state=state,
            cause=cause,
            origin=agreed.origin if agreed else "",
            quantum_key_id=agreed.quantum_key_id if agreed else "",
        )
        level = logging.INFO if state == "hybrid" else logging.WARNING
        log.log(level, "%s: %s", self._tunnel.name, f"{state}: {cause}" if cause else state)
        self.publish(self.last)
