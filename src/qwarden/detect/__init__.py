"""The detection room: traffic in, explained findings out.

In: captures (through `qwarden.formats`, which turns packets into canonical flows). Out: alerts and
findings, as events and documents. Start reading at `detector`, which shows the whole way; then
`features` and `windows` (what a model sees), `model` (what it says), `behaviours` and `findings` (what
that is called), `explain` (why). `scenario` writes the labelled traffic that `build` trains on.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qwarden.detect.behaviours import BEHAVIOURS as BEHAVIOURS
    from qwarden.detect.behaviours import KINDS as KINDS
    from qwarden.detect.behaviours import SEVERITIES as SEVERITIES
    from qwarden.detect.detector import Detection as Detection
    from qwarden.detect.detector import Detector as Detector
    from qwarden.detect.drift import Drift as Drift
    from qwarden.detect.findings import Alert as Alert
    from qwarden.detect.findings import Finding as Finding
    from qwarden.detect.findings import next_steps as next_steps
    from qwarden.detect.findings import score_text as score_text
    from qwarden.detect.lookup import find_model as find_model
    from qwarden.detect.lookup import flow_table as flow_table
    from qwarden.detect.lookup import stored_finding as stored_finding
    from qwarden.detect.lookup import verify_finding as verify_finding
    from qwarden.detect.model import ThreatModel as ThreatModel
    from qwarden.detect.open_finding import counted as counted
    from qwarden.detect.reported import REPORTED as REPORTED
    from qwarden.detect.shipped import load_default_model as load_default_model
    from qwarden.detect.transactions import TransactionBook as TransactionBook
    from qwarden.detect.watchers import default_enricher as default_enricher
    from qwarden.detect.watchers import default_watchers as default_watchers

_MODULE_OF = {
    "Alert": "findings",
    "BEHAVIOURS": "behaviours",
    "Detection": "detector",
    "Detector": "detector",
    "Drift": "drift",
    "Finding": "findings",
    "KINDS": "behaviours",
    "REPORTED": "reported",
    "SEVERITIES": "behaviours",
    "ThreatModel": "model",
    "TransactionBook": "transactions",
    "counted": "open_finding",
    "default_enricher": "watchers",
    "default_watchers": "watchers",
    "find_model": "lookup",
    "flow_table": "lookup",
    "load_default_model": "shipped",
    "next_steps": "findings",
    "score_text": "findings",
    "stored_finding": "lookup",
    "verify_finding": "lookup",
}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
