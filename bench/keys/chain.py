"""From sifted to secret, both ends as processes on one machine: `keys.chain_mbps`.

Alice and Bob are processes, each on a core of its own where the machine has two, with a socket between them
on the loopback, and each with one thread. Both have what the apparatus gave them in memory; timed is what
leads from there to a secret key at both ends: sifting, estimation, reconciliation by Cascade, verification,
privacy amplification and all tags. Compilation is over before. A key's time ends when the later end has it.

Prints one JSON document.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import secrets
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from qwarden.core.keysupplies.preshared import PreSharedPool
from qwarden.keys.link import Link, Settings
from qwarden.keys.party.addresses import Address, connect, listen, listening_at
from qwarden.keys.party.block import Block, Terms, alice_block, bob_block
from qwarden.keys.party.channel import Channel
from qwarden.keys.party.transport import SocketTransport
from qwarden.keys.physics import Transmission, transmit
from qwarden.keys.physics.channel import pulses_for

SEED, BITS, RUNS = 5, 1_000_000, 7
LINK = Link()
TERMS = Terms(settings=Settings(block_bits=BITS))


def sent(seed: int) -> Transmission:
    """Send a block; both ends then take their own part of it."""
    return transmit(LINK, TERMS.settings, pulses=pulses_for(LINK, TERMS.settings), seed=seed)


def end(name: str, folder: Path, address: Address, told: Connection) -> None:
    """Be one end for all runs, the first of which is not counted; tell when each key was there."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0 if name == "alice" else -1]})
    supply = PreSharedPool(folder / name, name)
    peer = "bob" if name == "alice" else "alice"
    if name == "alice":
        with listen(address) as listener:
            told.send(listening_at(listener))
            transport = SocketTransport(listener.accept()[0])
    else:
        transport = connect(address, 10.0)
    channel = Channel(transport, own=name, peer=peer, supply=supply)
    act = as_alice if name == "alice" else as_bob
    for run in range(RUNS + 1):
        block = sent(SEED + run)
        told.send("ready")
        begin, worked = told.recv(), time.process_time()
        result = act(channel, block, bytes([run] * 16))
        told.send((time.monotonic() - begin, result.accepted, np.packbits(result.key).tobytes()))
        told.send(time.process_time() - worked)
        told.send((0 if result.detected is None else int(result.detected[0].sum()), result.qber))


def as_alice(channel: Channel, block: Transmission, id: bytes) -> Block:
    """Go through a block as Alice."""
    return alice_block(channel, id, block.alice, block.telemetry, TERMS)


def as_bob(channel: Channel, block: Transmission, id: bytes) -> Block:
    """Go through a block as Bob."""
    return bob_block(channel, id, block.bob, block.telemetry, TERMS, inspect=lambda _: "")


def main() -> None:
    spawn = multiprocessing.get_context("spawn")
    times, works, sifted, secret, qbers = [], [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        shared = secrets.token_bytes(4096)
        for name, peer in (("alice", "bob"), ("bob", "alice")):
            PreSharedPool(Path(folder, name), name).add(peer, shared)
        lines, processes = [], []
        address = Address("127.0.0.1", 0)
        for name in ("alice", "bob"):
            ours, theirs = spawn.Pipe()
            arguments = (name, Path(folder), address, theirs)
            processes.append(spawn.Process(target=end, args=arguments, daemon=True))
            processes[-1].start()
            lines.append(ours)
            if name == "alice":
                address = ours.recv()
        for run in range(RUNS + 1):
            for line in lines:
                line.recv()
            begin = time.monotonic()
            for line in lines:
                line.send(begin)
            (ours_s, fine, ours_key), (theirs_s, _, theirs_key) = (line.recv() for line in lines)
            work = sum(line.recv() for line in lines)
            counts = [line.recv() for line in lines]
            if not fine or ours_key != theirs_key:
                raise SystemExit("the ends hold different keys, or none")
            if run:
                times.append(max(ours_s, theirs_s))
                works.append(work)
                sifted.append(counts[0][0])
                secret.append(8 * len(ours_key))
                qbers.append(counts[0][1])
        for process in processes:
            process.join()
    rates = [bits / seconds / 1e6 for bits, seconds in zip(sifted, times, strict=True)]
    print(
        json.dumps(
            {
                "mbit_per_s": statistics.median(rates), "slowest": min(rates), "fastest": max(rates),
                "sifted_bits": statistics.median(sifted), "secret_bits": statistics.median(secret),
                "qber": statistics.median(qbers), "processor_s": statistics.median(works),
                "variant": TERMS.variant, "runs": RUNS, "seed": SEED,
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
