"""What the reading process says of packets it cuts, and how far it is believed.

A message is as in `wire`: two lengths, a JSON header, a body. The body is rows of `CUT`, then the packets'
bytes, one behind the other. The parent never looks into a packet; it checks that lengths add up before it
allocates, that times lie where packets were asked for, and that counts are possible.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from qwarden.formats.accounting import SourceReport
from qwarden.formats.readers.links import LINKS
from qwarden.formats.readers.packets import CHUNK, MAX_PACKET
from qwarden.formats.sandbox.wire import (
    MOST_HEADER,
    PREFIX,
    Distrust,
    checked_cage,
    checked_integer,
    checked_object,
    checked_report,
)
from qwarden.formats.wanted import CUT

MOST_BYTES: Final = 4 << 20
"""Packets' bytes a message has at most: the reader's buffer."""


@dataclass(frozen=True, slots=True)
class CutMessage:
    """One message of a process that cuts packets.

    Attributes
    ----------
    report : counts so far, and all problems so far.
    packets : how many packets come with it.
    cut : how many were cut so far, these included.
    cage : on the first message, the measures that hold; else empty.
    last : nothing follows.
    """

    report: SourceReport
    packets: int
    cut: int
    cage: list[dict[str, Any]]
    last: bool


def encode_cut(
    message: CutMessage, cuts: npt.NDArray[np.void], data: npt.NDArray[np.uint8]
) -> tuple[bytes, memoryview, memoryview]:
    """Return prefix and header, and the two parts of the body."""
    header = json.dumps(asdict(message), separators=(",", ":")).encode()
    told = np.ascontiguousarray(cuts).view(np.uint8)
    return PREFIX.pack(len(header), told.size + data.size) + header, told.data, data.data


def check_cut_sizes(header: int, body: int) -> None:
    """Raise `Distrust` unless a message of these lengths may be read into memory."""
    if not 0 < header <= MOST_HEADER or body > CHUNK * CUT.itemsize + MOST_BYTES:
        raise Distrust(f"a message of {header} and {body} bytes")


def decode_cut_header(header: bytes, path: str) -> CutMessage:
    """Return the checked message; `path` names the source whatever the process says."""
    try:
        document = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise Distrust("a header that is no JSON") from error
    top = checked_object(document, {"report", "packets", "cut", "cage", "last"}, "the header")
    report = checked_report(top["report"], path)
    packets = checked_integer(top["packets"], 0, CHUNK, "packets")
    return CutMessage(
        report=report,
        packets=packets,
        cut=checked_integer(top["cut"], packets, report.packets.metered, "cut"),
        cage=checked_cage(top["cage"]),
        last=top["last"] is True,
    )


def split_body(
    message: CutMessage, body: npt.NDArray[np.uint8], first_ns: int, last_ns: int
) -> tuple[npt.NDArray[np.void], npt.NDArray[np.uint8]]:
    """Return the rows of `CUT` and the bytes that came with a message.

    Parameters
    ----------
    first_ns, last_ns : no packet was asked for outside of them.

    Raises
    ------
    Distrust
        Lengths do not add up, or a packet is impossible or was not asked for.
    """
    rows = message.packets * CUT.itemsize
    if body.size < rows:
        raise Distrust("fewer packets than it says")
    cuts, data = body[:rows].view(CUT), body[rows:]
    lengths = cuts["caplen"].astype(np.int64)
    if (lengths < 1).any() or (lengths > MAX_PACKET).any() or int(lengths.sum()) != data.size:
        raise Distrust("lengths of packets that do not add up")
    if not np.isin(cuts["link"], list(LINKS)).all():
        raise Distrust("a link type that is not read")
    if (cuts["ts_ns"] < first_ns).any() or (cuts["ts_ns"] > last_ns).any():
        raise Distrust("a packet of a time that was not asked for")
    return cuts, data
