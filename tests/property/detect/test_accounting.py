"""read = scored + suppressed + dropped + malformed, whatever comes in whatever order."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from qwarden.core.config import DetectSettings
from qwarden.core.lists import IGNORE, Lists, Scope
from qwarden.core.store import open_store
from qwarden.detect import Detection, Detector, load_default_model
from qwarden.detect.evaluation import Discard
from qwarden.detect.scored import Scored

HEADER = (
    "#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tduration\torig_bytes\tconn_state"
)

addresses = st.sampled_from(["10.0.0.1", "10.0.0.2", "192.0.2.9", "2001:db8::1", "2001:db8::2"])
connections = st.tuples(
    st.floats(1e9, 1e9 + 5000), addresses, addresses, st.integers(0, 65535), st.sampled_from(["tcp", "udp"]),
    st.sampled_from(["0.1", "-", "30"]), st.sampled_from(["SF", "S0", "REJ", "-"]),
).map(lambda c: f"{c[0]:.6f}\tC1\t{c[1]}\t1024\t{c[2]}\t{c[3]}\t{c[4]}\t{c[5]}\t5\t{c[6]}")  # fmt: skip
broken = st.sampled_from(
    ["", "#close", "x", "1.0\tC1\tnowhere\t1\t2\t3\ttcp\t-\t-\tSF", "{}", "\t" * 9, "é" * 40]
)
logs = st.lists(st.one_of(connections, connections, broken), max_size=60)


class Counted:
    """A watcher that counts what it is shown."""

    def __init__(self) -> None:
        self.flows = self.told = 0
        self.ends: list[str] = []

    def scored(self, piece: Scored) -> None:
        self.flows += piece.flows.size
        self.told += int(piece.told.sum())

    def ended(self, source: str) -> None:
        self.ends.append(source)


@settings(max_examples=25, deadline=None)
@given(st.lists(logs, min_size=1, max_size=3), st.booleans(), st.booleans(), st.integers(1, 40))
def test_flows_always_add_up(texts: list[list[str]], network: bool, kind: bool, most: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder)
        lists = Lists(store)
        if network:
            lists.add(IGNORE, Scope(network="10.0.0.1"), reason="test", author="ada")
        if kind:
            lists.add(IGNORE, Scope(source="10.0.0.2", kind="scan_vertical"), reason="test", author="ada")
        paths = []
        for at, lines in enumerate(texts):
            paths.append(Path(folder) / f"{at}.log")
            paths[-1].write_text("\n".join([HEADER, *lines]), encoding="utf-8")
        counted = Counted()
        detector = Detector(
            load_default_model(), DetectSettings(max_flows=most), Discard(), fpr=0.5, lists=lists,
            watchers=[counted],
        )  # fmt: skip
        seen: list[int] = []

        def look(running: Detection) -> None:
            flows = running.flows
            seen.append(flows.read - flows.scored - flows.suppressed - flows.dropped - flows.malformed)

        result = detector.run(paths, on_batch=look)
        store.close()
    flows = result.flows
    assert flows.read == flows.scored + flows.suppressed + flows.dropped + flows.malformed
    assert all(waiting >= 0 for waiting in seen)
    lines = sum(source.lines.flows + source.lines.malformed for source in result.sources)
    assert flows.read == lines
    assert flows.malformed >= sum(source.lines.malformed for source in result.sources)
    assert counted.told == result.alarming
    assert flows.scored <= counted.flows <= flows.scored + flows.suppressed
    assert counted.ends == [str(path) for path in paths]
