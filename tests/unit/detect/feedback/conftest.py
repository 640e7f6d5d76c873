"""A home that has seen a small scenario, for the tests of feedback."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from qwarden.core.bus import Bus, open_bus
from qwarden.core.config import DetectSettings
from qwarden.core.store import Store, open_store
from qwarden.detect.archive import sources
from qwarden.detect.detector import Detector
from qwarden.detect.findings import Finding
from qwarden.detect.scenario import write_scenario
from qwarden.detect.scored import Scored
from qwarden.detect.shipped import load_default_model
from qwarden.detect.watchers import default_watchers

FPR = 0.005


class Witness:
    """Remembers the row that each flow was scored by."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}

    def scored(self, piece: Scored) -> None:
        """Take a piece."""
        for at in range(piece.flows.size):
            self.rows[piece.flows[at : at + 1].tobytes()] = piece.rows[at].tobytes()

    def ended(self, source: str) -> None:
        """There is but one source."""


@dataclass
class Seen:
    """A home, its store, what was found, and what each flow was scored by."""

    home: Path
    store: Store
    bus: Bus
    findings: list[Finding]
    rows: dict[bytes, bytes]

    @property
    def source(self) -> str:
        """The archive's only source."""
        (id,) = sources(self.home)
        return id


@pytest.fixture(scope="session")
def seen_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Finding], Witness]:
    folder = tmp_path_factory.mktemp("feedback")
    capture, home = folder / "small.pcap", folder / "home"
    write_scenario(
        capture, 7, duration_s=900, hosts=14, intensity=2.0, kinds=["beacon", "guessing", "scan_vertical"]
    )
    home.mkdir()
    store = open_store(home)
    model, settings, bus = load_default_model(), DetectSettings(fpr=FPR), open_bus(store)
    witness = Witness()
    watchers = [*default_watchers(home, settings, model, bus.publish), witness]
    result = Detector(model, settings, bus, watchers=watchers).run([capture])
    store.close()
    return home, result.findings, witness


@pytest.fixture
def seen(seen_once: tuple[Path, list[Finding], Witness], tmp_path: Path) -> Iterator[Seen]:
    """A copy of that home, to be changed at will."""
    home, findings, witness = seen_once
    shutil.copytree(home, tmp_path / "home")
    store = open_store(tmp_path / "home")
    yield Seen(tmp_path / "home", store, open_bus(store), findings, witness.rows)
    store.close()
