"""The console over a live source: what comes is accounted for, and the account is stored at the end."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path

from tests.e2e.console.conftest import PATIENCE_S, started
from tests.unit.formats.listeners import exporter as x

from qwarden.console.events import SourceRead
from qwarden.core.store import open_store


def test_netflow_is_accounted_for_when_the_console_ends(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
        one.close()
        with (
            started(home, "up", "--netflow", str(port)) as console,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as router,
        ):
            for number in range(20):
                record = x.v5_record(sport=1000 + number, proto=17)
                router.sendto(x.v5([record], sequence=number, when=int(time.time())), ("127.0.0.1", port))
            router.sendto(b"nonsense", ("127.0.0.1", port))
            spool = home / "spool" / f"netflow-{port}"
            until = time.monotonic() + PATIENCE_S
            while not any(file.read_bytes().count(b"cflow") == 21 for file in spool.glob("*.pcap")):
                assert time.monotonic() < until
                time.sleep(0.1)
            time.sleep(1)
            console.process.send_signal(signal.SIGTERM)
            assert console.process.wait(PATIENCE_S) == 0
            assert "Traceback" not in console.said.read_text()
    store = open_store(home)
    try:
        [event] = [e for e in store.events(kind=SourceRead.kind) if isinstance(e, SourceRead)]
    finally:
        store.close()
    assert (event.name, event.format) == (f"netflow 127.0.0.1:{port}", "netflow")
    assert (event.flows_read, event.flows_scored, event.flows_malformed) == (21, 20, 1)
    assert (event.lines_read, event.lines_malformed, event.packets_lost) == (21, 1, 0)
    assert "expected NetFlow 5 or 9" in event.problems[0]
