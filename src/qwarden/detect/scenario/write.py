"""From a seed to a capture on disk."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import UsageError
from qwarden.core.progress import SILENT, Progress
from qwarden.detect.scenario.assembly import POOL, Assembler, packet_columns
from qwarden.detect.scenario.attacks import play_attacks
from qwarden.detect.scenario.dice import Dice
from qwarden.detect.scenario.habits import benign_traffic
from qwarden.detect.scenario.labels import KINDS, Labels, belonging, labels_path, write_labels
from qwarden.detect.scenario.plan import make_plan
from qwarden.detect.scenario.wire import Wire
from qwarden.detect.scenario.world import World
from qwarden.formats.flows import join_address
from qwarden.formats.writers.pcap import PcapWriter

SHORTEST_S: Final = 30.0
FEWEST_HOSTS: Final = 4

# Independent streams of a seed; attacks use 3 and 4 (see `attacks.play_attacks`).
_PLAN, _BENIGN, _WIRE, _BYTES, _MISSED = 0, 1, 2, 5, 6


@dataclass(frozen=True)
class AttackInfo:
    """One attack of a scenario, as it was captured."""

    attack_id: int
    label: str
    technique: str
    source: str  # who started most of its conversations
    targets: int
    start: float  # epoch seconds
    end: float
    conversations: int
    packets: int


@dataclass(frozen=True)
class ScenarioSummary:
    """What was written."""

    path: Path
    labels: Path
    seed: int
    start: float  # epoch seconds
    duration_s: float
    hosts: int
    packets: int
    bytes: int
    conversations: dict[str, int]  # by label
    attacks: tuple[AttackInfo, ...]


def write_scenario(
    path: str | Path,
    seed: int,
    *,
    duration_s: float | None = None,
    hosts: int | None = None,
    intensity: float = 1.0,
    kinds: Collection[str] | None = None,
    missed: float = 0.0,
    progress: Progress | None = None,
) -> ScenarioSummary:
    """Write a labelled capture: ``path`` and ``path.labels.csv``.

    The same arguments give the same bytes on every machine. Benign traffic does not depend on which
    kinds of attack are chosen, up to conversations that collide with an attack's.

    Parameters
    ----------
    path : the capture to write.
    seed : which scenario; 0 or more.
    duration_s : seconds of traffic, at least 30; by default 30 to 60 minutes, by the seed.
    hosts : local machines, at least 4; by default 20 to 40, by the seed.
    intensity : how busy the people are, 1 is usual.
    kinds : kinds of attack (`KINDS`); None for all, empty for benign traffic only.
    missed : share of the packets that the capture missed, as a busy tap does; 0 to below 1.
    progress : where to show progress.

    Returns
    -------
    ScenarioSummary

    Raises
    ------
    UsageError
        An argument makes no sense.
    InputError
        A file cannot be written.
    """
    plan_dice = Dice(_checked_seed(seed), _PLAN)
    duration = plan_dice.between(1_800, 3_600) if duration_s is None else float(duration_s)
    if not duration >= SHORTEST_S:
        raise UsageError(f"a scenario lasts at least {SHORTEST_S:g} s, not {duration_s}")
    count = plan_dice.integer(20, 40) if hosts is None else hosts
    if count < FEWEST_HOSTS or count > 200:
        raise UsageError(f"a scenario has {FEWEST_HOSTS} to 200 hosts, not {hosts}")
    if not 0 < intensity <= 100:
        raise UsageError(f"the intensity is between 0 and 100, not {intensity}")
    if not 0 <= missed < 1:
        raise UsageError(f"the share of missed packets is at least 0 and below 1, not {missed}")
    chosen = KINDS if kinds is None else tuple(kinds)
    unknown = sorted(set(chosen) - set(KINDS))
    if unknown:
        raise UsageError(f"unknown kinds of attack: {', '.join(unknown)}; there are {', '.join(KINDS)}")

    plan = make_plan(plan_dice, duration, count)
    plan.tempo *= intensity
    wire = Wire(int(duration * 1e6), Dice(seed, _WIRE))
    world = World(plan, wire, Dice(seed, _BENIGN))
    with (progress or SILENT).task("write scenario", total=100) as task:
        benign_traffic(world)
        task.advance(30)
        play_attacks(world, seed, chosen)
        task.advance(10)
        packets = packet_columns(wire)
        if missed:
            caught = _uniforms(Dice(seed, _MISSED), len(packets["time"])) >= missed
            packets = {name: column[caught] for name, column in packets.items()}
        owners = belonging(wire, packets, plan.start_us)
        stays = ~owners.dropped[packets["conversation"]]
        packets = {name: column[stays] for name, column in packets.items()}
        task.advance(10)
        dice = Dice(seed, _BYTES)
        noise = np.frombuffer(dice.many_bytes(32 * len(wire.talks)), np.uint64).reshape(-1, 4)
        assembler = Assembler(wire, packets, plan.start_us, dice.many_bytes(POOL), noise, plan.padded)
        total = len(packets["time"])
        with PcapWriter(path) as capture:
            for written, block in assembler.blocks():
                capture.write_block(block)
                task.advance(45 * written / max(total, 1))
        labels = labels_path(path)
        write_labels(labels, owners.labels)
        task.advance(5)
    return ScenarioSummary(
        Path(path), labels, seed, plan.start_us / 1e6, duration, len(plan.local), total,
        capture.bytes_written, _counts(owners.labels), _attacks(owners.labels),
    )  # fmt: skip


def _uniforms(dice: Dice, count: int) -> npt.NDArray[np.float64]:
    """Return `count` numbers in [0, 1)."""
    return np.frombuffer(dice.many_bytes(4 * count), np.uint32) / 2**32


def _checked_seed(seed: int) -> int:
    if seed < 0:
        raise UsageError(f"a seed is 0 or more, not {seed}")
    return seed


def _counts(labels: Labels) -> dict[str, int]:
    names, counts = np.unique(labels["label"], return_counts=True)
    return {str(name): int(count) for name, count in zip(names, counts, strict=True)}


def _attacks(labels: Labels) -> tuple[AttackInfo, ...]:
    found = []
    for attack in np.unique(labels["attack_id"]).tolist():
        if attack == 0:
            continue
        rows = labels[labels["attack_id"] == attack]
        ends = {name: rows[[f"{name}_hi", f"{name}_lo"]] for name in ("src", "dst")}
        sources, many = np.unique(ends["src"], return_counts=True)
        source = sources[int(np.argmax(many))].tolist()
        found.append(
            AttackInfo(
                attack, str(rows["label"][0]), str(rows["technique"][0]), join_address(*source),
                len(np.unique(ends["dst"])), int(rows["start_us"].min()) / 1e6,
                int(rows["end_us"].max()) / 1e6, len(rows), int(rows["packets"].sum()),
            )
        )  # fmt: skip
    return tuple(found)
