"""Who looks at what was scored, by default: the archive of flows, and the watch for drift."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qwarden.core.config import DetectSettings
from qwarden.core.events import Event
from qwarden.detect.archive import FlowArchive
from qwarden.detect.drift import DriftWatch
from qwarden.detect.model import ThreatModel
from qwarden.detect.scored import Watcher


def default_watchers(
    home: Path, settings: DetectSettings, model: ThreatModel, publish: Callable[[Event], None]
) -> list[Watcher]:
    """Return the watchers that the settings ask for and the model allows."""
    found: list[Watcher] = []
    if settings.archive_mib:
        found.append(FlowArchive(home, settings.archive_mib))
    if model.baseline is not None:
        found.append(DriftWatch(model.baseline, f"{model.name} {model.version}", publish))
    return found
