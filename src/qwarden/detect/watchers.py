"""Who looks at what was scored, by default, and what is known of hosts: as the settings say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qwarden.core.config import DetectSettings
from qwarden.core.events import Event
from qwarden.detect.archive import FlowArchive
from qwarden.detect.drift import DriftWatch
from qwarden.detect.enrichment import Enricher, read_assets, read_indicators
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


def default_enricher(home: Path, settings: DetectSettings) -> Enricher:
    """Return what the settings say of hosts; paths are below the home folder unless they are absolute.

    Raises
    ------
    InputError
        A list cannot be read.
    """
    enricher = Enricher()
    if settings.assets is not None:
        enricher.assets = read_assets(home / settings.assets)
    if settings.indicators:
        enricher.indicators, _ = read_indicators([home / path for path in settings.indicators])
    return enricher
