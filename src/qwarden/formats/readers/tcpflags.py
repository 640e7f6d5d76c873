"""What is known of a TCP connection of which only the flags of either way are told.

Argus, NetFlow, the cloud's flow logs and Suricata's events keep, for each direction, the union of the
flags of its packets: which came, not how often nor in what order.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from qwarden.formats.flows import FLAG_NAMES, TCP_STATES, UNKNOWN
from qwarden.formats.readers.rows import EVERY, NO_FLAGS, SOME

FIN, SYN, RST, PSH, ACK, URG = (1 << at for at in range(len(FLAG_NAMES)))
ALL: Final = (1 << len(FLAG_NAMES)) - 1
"""The flags that are looked at; those of congestion notification are not."""

STATES: Final = {name: number for number, name in enumerate(TCP_STATES)}


def flag_state(out: int, back: int, packets_in: int) -> str:
    """Return the connection state that the flags of both ways amount to, as Zeek would name it.

    Reset before finished, as in `qwarden.formats.meter.tcp.name_state`; the order in which flags came is
    not told.

    >>> flag_state(SYN, RST | ACK, 1), flag_state(SYN, 0, 0), flag_state(SYN | RST | ACK, 0, 0)
    ('REJ', 'S0', 'RSTOS0')
    """
    opened, answered = bool(out & SYN), bool(back & SYN)
    if back & RST:
        if not opened:
            return "RSTRH" if answered else "OTH"
        return "RSTR" if answered else "REJ"
    if out & RST:
        if opened and packets_in == 0:
            return "RSTOS0"
        return "RSTO" if opened and answered else "OTH"
    if not opened:
        return "SHR" if answered and back & FIN else "OTH"
    if not answered:
        return "SH" if out & FIN else "S0" if not back else "OTH"
    if out & FIN:
        return "SF" if back & FIN else "S2"
    return "S3" if back & FIN else "S1"


@lru_cache(maxsize=1 << 6)
def flag_counts(bits: int) -> tuple[int, ...]:
    """Return what is known of the flag counts of one way that showed `bits`; of none, if they are unknown."""
    if bits == UNKNOWN:
        return NO_FLAGS
    seen = EVERY if bits.bit_count() == 1 else SOME
    return tuple(seen if bits >> at & 1 else 0 for at in range(len(FLAG_NAMES)))


def carries_nothing(bits: int, packets: int) -> bool:
    """Whether flags alone say that no packet of that way had payload.

    Payload comes with ACK (RFC 9293, 3.10.7.4: a segment without it is dropped), and the one packet
    of a way that is a SYN or a RST has none.

    >>> carries_nothing(SYN | RST, 2), carries_nothing(RST | ACK, 1), carries_nothing(PSH | ACK, 1)
    (True, True, False)
    """
    if bits == UNKNOWN:
        return False
    return not bits & ACK or (packets == 1 and bool(bits & (SYN | RST)) and not bits & PSH)


_LETTERS: Final = {
    ".": 0,
    "-": 0,
    "C": 0,
    "E": 0,
    "U": URG,
    "A": ACK,
    "P": PSH,
    "R": RST,
    "S": SYN,
    "F": FIN,
    "X": ALL,
}


@lru_cache(maxsize=1 << 10)
def flag_bits(text: str) -> int:
    """Return the flags that a text names: letters (``...AP.SF``), or a decimal or hexadecimal number.

    An X stands for more flags than nfdump has letters for. An empty text is `UNKNOWN`.

    Raises
    ------
    ValueError : it is none of these.

    >>> flag_bits("...A..S.") == ACK | SYN, flag_bits("27") == flag_bits("0x1b") == FIN | SYN | PSH | ACK
    (True, True)
    """
    if not text:
        return UNKNOWN
    if len(text) <= 8 and set(text) <= _LETTERS.keys():
        found = 0
        for letter in text:
            found |= _LETTERS[letter]
        return found
    digits, base = (text[2:], 16) if text[:2] == "0x" else (text.removesuffix(".0"), 10)
    if not (1 <= len(digits) <= 5 and digits.isascii() and digits.isalnum()):
        raise ValueError(text)
    return int(digits, base) & ALL
