"""Read back by Prometheus' own parsers: of its text format, and of OpenMetrics, which is strict."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from qwarden.console.board import Board
from qwarden.console.gate import Gate
from qwarden.console.metrics import PATH, Metrics, add_metrics, metrics_token
from qwarden.core.bus import open_bus
from qwarden.core.store import Store
from qwarden.detect import BEHAVIOURS
from qwarden.formats.deliveries.courier import Courier
from qwarden.formats.delivery import TAKEN, Outcome, parse_target
from qwarden.formats.writers.notice import Notice

from .makers import alert, finding, source

TOKEN = b"only-prometheus-knows-this-token-of-ours"
NOW = 1_000.0
OPENMETRICS = "application/openmetrics-text;version=1.0.0"


def get(app: Any, host: str = "127.0.0.1", **headers: bytes) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=f"https://{host}") as client:
            return await client.get(PATH, headers=list(headers.items()))

    return asyncio.run(ask())


class Took:
    """A receiver that takes everything."""

    def send(self, notice: Notice) -> Outcome:
        return TAKEN

    def close(self) -> None:
        pass


class Shop:
    """A board, its metrics and a client of the route."""

    def __init__(self, store: Store, home: Path) -> None:
        self.bus = open_bus(store)
        board = Board(store)
        board.open(self.bus)
        target = parse_target("webhook+https://user:password-1@h/path-secret")
        self.courier = Courier(store, target, Took(), "both", home)
        severities = {b.kind: b.severity for b in BEHAVIOURS}
        self.metrics = Metrics(board, [self.courier], severities, now=lambda: NOW)
        self.bus.subscribe(self.metrics.heard)
        self.app = FastAPI()
        add_metrics(self.app, self.metrics, TOKEN)

    def text(self, accept: str = "") -> str:
        answer = get(self.app, authorization=b"Bearer " + TOKEN, accept=accept.encode())
        assert answer.status_code == 200
        return answer.text

    def samples(self, accept: str = "") -> dict[tuple[str, ...], float]:
        parse = openmetrics if accept else prometheus
        return {
            (sample.name, *(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
            for family in parse(self.text(accept))
            for sample in family.samples
        }


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    return Shop(store, tmp_path)


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_the_account_of_traffic(shop: Shop, accept: str) -> None:
    shop.bus.publish(source("a.pcap", 10), source("b.pcap", 30))
    read = shop.samples(accept)
    names = ("read", "scored", "suppressed", "dropped", "malformed")
    flows = {name: read[f"qwarden_flows_{name}_total",] for name in names}
    assert flows == {"read": 40, "scored": 32, "suppressed": 4, "dropped": 2, "malformed": 2}
    assert flows["read"] == sum(flows.values()) - flows["read"] + read["qwarden_flows_waiting",]
    assert read["qwarden_packets_lost_total",] == 4


def test_findings_by_kind_and_severity(shop: Shop) -> None:
    shop.bus.publish(alert(finding(at=NOW - 0.03)), alert(finding(at=NOW - 0.2)))
    read = shop.samples()
    assert read["qwarden_findings_total", "kind=beacon", "severity=high"] == 2
    assert read["qwarden_findings_total", "kind=arp_sweep", "severity=medium"] == 0
    assert sum(1 for name in read if name[0] == "qwarden_findings_total") == len(BEHAVIOURS)


def test_latency_of_traffic_that_is_heard_not_read(shop: Shop) -> None:
    times = (NOW - 0.0015, NOW - 0.0301, NOW - 0.2, NOW + 5, NOW - 40 * 86_400)
    shop.bus.publish(*(alert(finding(at=at)) for at in times))
    read = shop.samples(OPENMETRICS)
    buckets = {k[1]: v for k, v in read.items() if k[0] == "qwarden_alert_latency_seconds_bucket"}
    counts = [buckets[f"le={le}"] for le in ("0.001", "0.002", "0.05", "0.25", "+Inf")]
    assert counts == [1, 2, 3, 4, 4]
    assert read["qwarden_alert_latency_seconds_sum",] == pytest.approx(0.2316)


def test_outputs(shop: Shop, store: Store) -> None:
    shop.bus.publish(finding(), finding(at=101.0))
    output = "output=webhook+https://h:443"
    assert shop.samples()["qwarden_output_behind", output] == 2
    shop.courier.start()
    shop.courier.end(10)
    assert shop.courier.join() is None
    read = shop.samples()
    assert read["qwarden_output_taken_total", output] == 2
    assert read["qwarden_output_behind", output] == 0
    assert "secret" not in shop.text()
    assert "password" not in shop.text()


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer wrong", "Basic " + TOKEN.decode(), TOKEN.decode(), "Bearer \xfc"]
)
def test_nobody_else_is_answered(shop: Shop, header: str) -> None:
    answer = get(shop.app, **({"authorization": header.encode("latin-1")} if header else {}))
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "qwarden_" not in answer.text


def test_the_gate_keeps_other_hosts_out(shop: Shop) -> None:
    class NoSessions:
        def valid(self, token: str) -> bool:
            return False

    gate = Gate(shop.app, NoSessions(), ["127.0.0.1"])  # type: ignore[arg-type]
    assert get(gate, "evil.example", authorization=b"Bearer " + TOKEN).status_code == 421


def test_the_token_is_made_once(tmp_path: Path) -> None:
    token = metrics_token(tmp_path)
    assert len(token) >= 43
    assert metrics_token(tmp_path) == token
    assert (tmp_path / "keys" / "metrics.token").stat().st_mode & 0o777 == 0o600
