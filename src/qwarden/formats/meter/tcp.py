"""The state of a TCP connection, as Zeek's `conn_state` tells it.

Each end goes through the states below by the flags it sends; at the end the pair of states names
the connection. Source: Zeek's documentation of conn.log and the behaviour of its TCP analyser.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled
from qwarden.formats.meter.state import IN, OUT

FIN, SYN, RST, PSH, ACK, URG = (1 << bit for bit in range(6))

INACTIVE, SYN_SENT, SYN_ACK_SENT, PARTIAL, ESTABLISHED, FINISHED, RESET = range(7)
"""States of one end. `PARTIAL`: joined in the middle. `FINISHED`: it sent its FIN."""

S0, S1, SF, REJ, S2, S3, RSTO, RSTR, RSTOS0, RSTRH, SH, SHR, OTH = range(13)
"""Indices into `qwarden.formats.flows.TCP_STATES`."""

Ends = npt.NDArray[np.int32]


@compiled
def _enter(now: Ends, before: Ends, way: int, state: int) -> None:
    before[way] = now[way]
    now[way] = state


@compiled
def advance(now: Ends, before: Ends, way: int, flags: int, payload: int) -> None:
    """Take one segment into account.

    Parameters
    ----------
    now, before : state and previous state of each end (index `OUT`, `IN`); changed in place.
    way : which end sent it.
    flags : its six flag bits.
    payload : its payload in bytes.
    """
    state = now[way]
    other = 1 - way
    if state == INACTIVE:
        if flags & SYN:
            if way == OUT:
                _enter(now, before, OUT, SYN_ACK_SENT if flags & ACK else SYN_SENT)
            else:
                if now[OUT] == SYN_SENT:
                    _enter(now, before, OUT, ESTABLISHED)
                _enter(now, before, IN, ESTABLISHED)
        if flags & FIN:
            _enter(now, before, way, FINISHED)
        if flags & RST:
            _enter(now, before, way, RESET)
        if now[way] == INACTIVE:
            if way == IN and payload == 0 and now[OUT] == SYN_SENT:
                pass  # some stacks acknowledge a SYN before they answer it
            elif flags & ACK and now[other] == ESTABLISHED:
                _enter(now, before, way, ESTABLISHED)  # only the first SYN was missed
            else:
                _enter(now, before, way, PARTIAL)
    elif state in (SYN_SENT, SYN_ACK_SENT):
        if flags & FIN:
            _enter(now, before, way, FINISHED)
        if flags & RST:
            _enter(now, before, way, RESET)
    elif state in (ESTABLISHED, PARTIAL):
        if flags & SYN and not flags & ACK and state == PARTIAL and now[other] == INACTIVE:
            _enter(now, before, way, SYN_SENT)
        if flags & FIN and not flags & RST:
            _enter(now, before, way, FINISHED)
            if now[other] == RESET and before[other] == FINISHED:
                _enter(now, before, other, FINISHED)  # FIN, then RST: an ordinary end after all
        if flags & RST:
            _enter(now, before, way, RESET)
    elif state == FINISHED and flags & RST and now[other] != FINISHED:
        _enter(now, before, way, RESET)


@compiled
def is_closed(now: Ends) -> bool:
    """Return whether the connection is over: a FIN from both ends, or a RST."""
    return bool((now[OUT] == FINISHED and now[IN] == FINISHED) or now[OUT] == RESET or now[IN] == RESET)


@compiled
def name_state(now: Ends, payload: int) -> int:
    """Return the connection's state (index into `TCP_STATES`); `payload` is that of both ways."""
    out, back = now[OUT], now[IN]
    out_unseen = out in (INACTIVE, PARTIAL)
    back_unseen = back in (INACTIVE, PARTIAL)
    if back == RESET:
        if out in (SYN_SENT, SYN_ACK_SENT) or (out == RESET and payload == 0):
            return REJ
        return RSTRH if out_unseen else RSTR
    if out == RESET:
        return RSTOS0 if back_unseen else RSTO
    if out == FINISHED and back == FINISHED:
        return SF
    if out == FINISHED:
        return SH if back_unseen else S2
    if back == FINISHED:
        return SHR if out_unseen else S3
    if out == SYN_SENT and back == INACTIVE:
        return S0
    if out == ESTABLISHED and back == ESTABLISHED:
        return S1
    return OTH
