"""What protocols said, joined to the flows of which they said it: by the name that the sensor gave the flow.

A sensor writes a query, a request, a handshake when it sees one, and the flow when that has ended. So what
was said waits for its flow, and then until that flow is scored. Both are bounded: of flows whose line does
not come, the one first heard of longest ago is forgotten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from qwarden.formats import FlowBatch
from qwarden.formats.flows import Flows
from qwarden.formats.transactions import Said

MOST_FLOWS: Final = 1 << 18
"""Flows of which something is kept until their own line comes."""
MOST_TEXT: Final = 1 << 26
"""Characters that are kept of those, and again of flows that wait to be scored."""
MOST_WANTED: Final = 1 << 14
"""Flows of which something is kept for the alert of another detector."""
MOST_OF_A_FLOW: Final = 16
"""Transactions of one flow that are kept: the first that differ."""

Joined = Mapping[int, Sequence[Said]]
"""What was said within flows, each thing once a flow, by their number (`seq`) within the source."""

_NEXT, _PART = "\x1e", "\x1f"  # no value holds them


class _Kept:
    """What was said within flows, by their name: one text a flow, a tenth of the memory that its parts take.

    Within bounds: of which flow was first heard longest ago goes first, and is counted in `forgotten`.
    """

    def __init__(self, most_flows: int, most_text: int) -> None:
        self.size = self.forgotten = 0
        self._most_flows, self._most_text = most_flows, most_text
        self._texts: dict[str, str] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._texts

    def __len__(self) -> int:
        return len(self._texts)

    def get(self, name: str) -> str:
        """Return what is kept of a flow; empty if it is nothing."""
        return self._texts.get(name, "")

    def add(self, name: str, said: str) -> None:
        """Keep more of a flow; what is empty only names it."""
        before = self._texts.get(name, "")
        known = before.split(_NEXT) if before else []
        if said in known or len(known) >= MOST_OF_A_FLOW:
            return
        text = self._texts[name] = f"{before}{_NEXT}{said}" if before else said
        self.size += len(text) - len(before)
        while len(self._texts) > self._most_flows or self.size > self._most_text:
            self.pop(next(iter(self._texts)))
            self.forgotten += 1

    def pop(self, name: str) -> str:
        """Return what is kept of a flow, and keep it no longer."""
        text = self._texts.pop(name)
        self.size -= len(text)
        return text


class TransactionBook:
    """Keeps what was said until the flow comes, and until that is scored.

    Parameters
    ----------
    lasting : flows may come in a later run.
    """

    def __init__(self, *, lasting: bool = False) -> None:
        self.lasting = lasting
        self._waiting = _Kept(MOST_FLOWS, MOST_TEXT)
        self._wanted = _Kept(MOST_WANTED, MOST_TEXT // 4)
        self._joined: dict[int, str] = {}
        self._joined_size = self._left_out = 0

    def begin(self) -> None:
        """Start with another source: its flows have numbers of their own."""
        self._joined.clear()
        self._joined_size = 0

    def reckon(self) -> int:
        """Return of how many flows something was dropped, to keep within bounds, since it was last asked."""
        forgotten = self._left_out + self._waiting.forgotten
        self._left_out = self._waiting.forgotten = 0
        return forgotten

    def want(self, flow_id: str) -> None:
        """Keep, as well, what was and will be said within a flow of which another detector told."""
        if flow_id and flow_id not in self._wanted:
            self._wanted.add(flow_id, self._waiting.get(flow_id))

    def wanted(self, flow_ids: Iterable[str]) -> Counter[Said]:
        """Return what was said within flows that are wanted, and in how many of them."""
        texts = map(self._wanted.get, flow_ids)
        return Counter(said for text in texts if text for said in _parts(text))

    def heard(self, batch: FlowBatch) -> None:
        """Take what a batch says, and join it to the flows that have come."""
        for transaction in batch.transactions:
            said = _packed(transaction.said)
            self._waiting.add(transaction.flow_id, said)
            if transaction.flow_id in self._wanted:
                self._wanted.add(transaction.flow_id, said)
        if self._waiting and batch.flow_ids:
            for seq, name in zip(batch.flows["seq"].tolist(), batch.flow_ids, strict=True):
                if name in self._waiting:
                    self._join(seq, self._waiting.pop(name))

    def take(self, flows: Flows) -> Joined:
        """Return what was said within `flows`, which are now dealt with."""
        if not self._joined:
            return {}
        found = {seq: self._joined.pop(seq) for seq in flows["seq"].tolist() if seq in self._joined}
        self._joined_size -= sum(map(len, found.values()))
        return {seq: _parts(text) for seq, text in found.items()}

    def _join(self, seq: int, text: str) -> None:
        if self._joined_size + len(text) > MOST_TEXT:
            self._left_out += 1
            return
        self._joined[seq] = text
        self._joined_size += len(text)


def _packed(said: Said) -> str:
    protocol, values = said
    return _PART.join((protocol, *(part for pair in values for part in pair)))


def _parts(text: str) -> list[Said]:
    return [_unpacked(said) for said in text.split(_NEXT)]


def _unpacked(text: str) -> Said:
    protocol, *parts = text.split(_PART)
    return protocol, tuple(zip(parts[::2], parts[1::2], strict=True))
