"""The traffic range: captures of our own, with real packets and a label for every one of them.

A seed goes in; a pcap and its labels come out. The network, its people and its attackers are drawn
anew for every seed, within what was measured on real captures (`ranges`), so that a model trained
here meets the width of the world and not the habits of a generator.

Start reading in `write` (seed to file), then: `plan` (the network) -> `habits` (who does what when) and
`attacks` -> `sessions` (what one exchange looks like) -> `wire` (turns to packets) -> `assembly` (packets
to bytes) and `labels` (who they belong to). `telling` says what logs would have told of it.

>>> import tempfile
>>> from pathlib import Path
>>> with tempfile.TemporaryDirectory() as folder:
...     summary = write_scenario(Path(folder) / "range.pcap", 1, duration_s=60, hosts=4, kinds=["guessing"])
...     rows = read_labels(summary.labels)
>>> summary.packets == int(rows["packets"].sum()), sorted(summary.conversations)
(True, ['benign', 'guessing'])
"""

from __future__ import annotations

from qwarden.detect.scenario.labels import (
    KINDS,
    LABEL,
    Labels,
    label_flows,
    labels_path,
    read_labels,
)
from qwarden.detect.scenario.write import AttackInfo, ScenarioSummary, write_scenario

__all__ = [
    "KINDS",
    "LABEL",
    "AttackInfo",
    "Labels",
    "ScenarioSummary",
    "label_flows",
    "labels_path",
    "read_labels",
    "write_scenario",
]
