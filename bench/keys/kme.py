"""Keys a second from a key management entity: two entities as processes, applications over mutual TLS.

Prints one JSON document. Each client keeps its connection and asks for one key a request, as soon as it has
the last. Every key is then fetched at the other entity by its id and compared; none may come twice.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from qwarden.keys.kme.client import KmeClient
from qwarden.keys.kme.laboratory import KMES, SAES, Site, fill, open_store, prepare
from qwarden.keys.kme.tls import client_context

MATERIAL_BYTES: Final = 32 << 15
TOGETHER: Final = 128


def main() -> None:
    """Start the entities, ask them, and print the figures."""
    options = argparse.ArgumentParser()
    options.add_argument("--clients", type=int, default=16)
    options.add_argument("--seconds", type=float, default=5.0)
    options.add_argument("--runs", type=int, default=3)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="qwarden-kme-") as folder:
        sites = prepare(Path(folder) / "laboratory", ports=(free_port(), free_port()))
        stores = [open_store(site) for site in sites]
        for block in range(4):
            material = secrets.token_bytes(MATERIAL_BYTES)
            fill(stores, f"bench-{block}", material, epsilon=1e-10, method="none: random bytes")
        for store in stores:
            store.close()
        processes = [start(site) for site in sites]
        try:
            for site in sites:
                wait_for(site)
            asyncio.run(ask(sites[0], chosen.clients, 1.0))
            rates: list[float] = []
            keys: dict[str, str] = {}
            for _ in range(chosen.runs):
                began = time.perf_counter()
                got = asyncio.run(ask(sites[0], chosen.clients, chosen.seconds))
                rates.append(len(got) / (time.perf_counter() - began))
                assert not keys.keys() & got.keys(), "a key came twice"
                keys.update(got)
            compare(sites[1], keys)
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(20)
    rates.sort()
    print(
        json.dumps(
            {
                "keys_per_s": rates[len(rates) // 2],
                "rates": rates,
                "keys": len(keys),
                "clients": chosen.clients,
            }
        )
    )


async def ask(site: Site, clients: int, seconds: float) -> dict[str, str]:
    """Get keys for so long; return them by id."""
    until = time.perf_counter() + seconds
    found = await asyncio.gather(*(_one_client(site, until) for _ in range(clients)))
    keys = {id: key for each in found for id, key in each}
    assert len(keys) == sum(map(len, found)), "a key came twice"
    return keys


async def _one_client(site: Site, until: float) -> list[tuple[str, str]]:
    host, port = site.url.removeprefix("https://").split(":")
    context = client_context(site.sae_files, site.kme)
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    request = f"GET /api/v1/keys/{SAES[1]}/enc_keys HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()
    got = []
    while time.perf_counter() < until:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
        body = await reader.readexactly(length)
        assert head.startswith(b"http/1.1 200"), body
        (key,) = json.loads(body)["keys"]
        got.append((key["key_ID"], key["key"]))
    writer.close()
    return got


def compare(site: Site, keys: dict[str, str]) -> None:
    """Fetch all keys at the other entity; each must be the same."""
    ids = list(keys)
    with KmeClient(site.url, site.kme, site.sae_files) as client:
        for at in range(0, len(ids), TOGETHER):
            for key in client.get_key_with_ids(SAES[0], ids[at : at + TOGETHER]):
                assert base64.b64encode(key.material).decode() == keys[key.id], "the ends hold different keys"


def start(site: Site) -> subprocess.Popen[bytes]:
    """Run an entity as a process."""
    command = [sys.executable, "-m", "qwarden", "--home", str(site.home), "keys", "serve"]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def wait_for(site: Site) -> None:
    """Wait until an entity answers and has found the other one."""
    other = SAES[1 - KMES.index(site.kme)]
    until = time.monotonic() + 60
    while True:
        try:
            with KmeClient(site.url, site.kme, site.sae_files) as client:
                client.get_key(other)
            return
        except Exception:
            if time.monotonic() > until:
                raise
            time.sleep(0.3)


def free_port() -> int:
    """Return a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


if __name__ == "__main__":
    main()
