"""Pulses a second of BB84, beside SeQUeNCe: `keys.pulses_vs_sequence`.

The same link for all: 1 km at 0.2 dB/km, receivers of efficiency 0.1, 0.5 photons a pulse, 80 MHz, dead for
40 ns after a detection (SeQUeNCe's default: each detector by itself; ours: the receiver), dark counts and
misalignment; ours with afterpulses besides, which SeQUeNCe lacks. Timed is what leads from nothing to what
both ends hold of each detected pulse; SeQUeNCe's own sifting is part of it and costs little. One thread each,
in turns, processor time; start of the interpreter, compilation and set-up are not counted.

Prints one JSON document. ``python pulses_vs_sequence.py --peer PYTHON``, SeQUeNCe's interpreter.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

from qwarden.keys.link import Link, Settings
from qwarden.keys.physics import Engine, transmit

CLOCK_HZ, MEAN, KM, DEAD_S = 8e7, 0.5, 1.0, 40e-9
LINK = Link(distance_km=KM, receiver_efficiency=0.1, dead_time_s=DEAD_S, clock_hz=CLOCK_HZ)
RARE = 1e-9
SETTINGS = Settings(intensities=(MEAN, 0.2, 2e-4), probabilities=(1 - 2 * RARE, RARE, RARE), key_basis=0.5)
"""All pulses but a few are signal: SeQUeNCe knows no decoys."""

_PEER = """
import importlib.metadata, json, sys, time
from sequence.components.optical_channel import ClassicalChannel, QuantumChannel
from sequence.kernel.timeline import Timeline
from sequence.qkd.BB84 import pair_bb84_protocols
from sequence.topology.node import QKDNode
given = json.loads(sys.argv[1])
metres, batch = given["km"] * 1e3, 20_000
timeline = Timeline(given["pulses"] / given["clock_hz"] * 1e12 + 1e9)
nodes = []
for name in ("alice", "bob"):
    node = QKDNode(name, timeline, stack_size=1)
    node.set_seed(given["seed"] + len(nodes))
    node.update_lightsource_params("mean_photon_num", given["mean"])
    node.update_lightsource_params("frequency", given["clock_hz"])
    detector = node.components[name + ".qsdetector"]
    for i in range(2):
        detector.set_detector(i, efficiency=given["efficiency"], count_rate=1 / given["dead_s"],
                              dark_count=given["dark_count"] * given["clock_hz"])
    nodes.append(node)
alice, bob = nodes
for sender, receiver in (nodes, nodes[::-1]):
    quantum = QuantumChannel("q_" + sender.name, timeline, attenuation=2e-4, distance=metres,
                             polarization_fidelity=1 - given["misalignment"], frequency=given["clock_hz"])
    quantum.set_ends(sender, receiver.name)
    ClassicalChannel("c_" + sender.name, timeline, distance=metres).set_ends(sender, receiver.name)
pair_bb84_protocols(alice.protocol_stack[0], bob.protocol_stack[0])
sent = 0
source = alice.components["alice.lightsource"]
emit = source.emit
def counted(states):
    global sent
    sent += len(states)
    emit(states)
source.emit = counted
clicks = 0
get_bits = bob.get_bits
def kept(*arguments):
    global clicks
    bits = get_bits(*arguments)
    clicks += sum(bit != -1 for bit in bits)
    return bits
bob.get_bits = kept
timeline.init()
alice.protocol_stack[0].push(round(batch * given["mean"]), 10**9, given["pulses"] / given["clock_hz"] * 1e12)
begin = time.process_time()
timeline.run()
spent = time.process_time() - begin
print(json.dumps({"seconds": spent, "pulses": sent, "clicks": clicks,
                  "version": importlib.metadata.version("sequence")}))
"""


def ours(engine: Engine, pulses: int, seed: int) -> dict[str, Any]:
    """Send one block."""
    begin = time.process_time()
    block = transmit(LINK, SETTINGS, pulses=pulses, seed=seed, engine=engine)
    spent = time.process_time() - begin
    return {"seconds": spent, "pulses": pulses, "clicks": block.bob.index.size}


def theirs(python: Path, pulses: int, seed: int) -> dict[str, Any]:
    """Let SeQUeNCe send pulses."""
    given = {
        "km": KM, "clock_hz": CLOCK_HZ, "mean": MEAN, "efficiency": LINK.receiver_efficiency,
        "dark_count": LINK.dark_count, "misalignment": LINK.misalignment, "dead_s": DEAD_S, "pulses": pulses,
        "seed": seed,
    }  # fmt: skip
    command = [str(python), "-c", _PEER, json.dumps(given)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise SystemExit(f"SeQUeNCe failed: {done.stderr[-800:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(peer: Path, pulses: int, repeats: int, seed: int) -> dict[str, Any]:
    """Send in turns; each ratio is the median of those of the repeats."""
    for engine in ("pulses", "counts"):
        ours(engine, 1_000, seed)  # compiles
    runs = [
        {
            "per_pulse": ours("pulses", 100 * pulses, seed + repeat),
            "count_exact": ours("counts", 2_000 * pulses, seed + repeat),
            "sequence": theirs(peer, pulses, seed + repeat),
        }
        for repeat in range(repeats)
    ]
    rates = {side: [run[side]["pulses"] / run[side]["seconds"] for run in runs] for side in runs[0]}
    clicks = {side: [run[side]["clicks"] / run[side]["pulses"] for run in runs] for side in runs[0]}
    found: dict[str, Any] = {}
    for side in ("per_pulse", "count_exact"):
        ratios = [own / other for own, other in zip(rates[side], rates["sequence"], strict=True)]
        found[side] = round(statistics.median(ratios), 1)
        found[f"{side}_range"] = [round(min(ratios), 1), round(max(ratios), 1)]
    return {
        **found,
        "pulses_per_s": {side: round(statistics.median(values)) for side, values in rates.items()},
        "clicks_per_pulse": {side: round(statistics.median(values), 5) for side, values in clicks.items()},
        "pulses": {side: runs[0][side]["pulses"] for side in rates},
        "repeats": repeats,
        "seed": seed,
        "sequence": runs[0]["sequence"]["version"],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=Path, required=True)
    parser.add_argument("--pulses", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    print(json.dumps(main(**vars(parser.parse_args())), indent=2))
