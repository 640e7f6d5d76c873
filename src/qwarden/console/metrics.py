"""Figures for Prometheus: what was read and what became of it, findings, latency, outputs.

``GET /metrics`` answers who brings the token of ``HOME/keys/metrics.token`` as a bearer token, and nobody
else: findings say what goes on in a network. It is a route of the console, so the console's TLS, its check of
the host asked for and its headers hold for it as well.

Counters of traffic go back to the first source in the store; those of findings and outputs begin with the
process, which Prometheus takes for what it is.

Source: Prometheus text exposition format 0.0.4; OpenMetrics 1.0; RFC 6750 section 2.1 (bearer tokens).
"""

from __future__ import annotations

import hmac
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from qwarden import __version__
from qwarden.detect import Alert
from qwarden.formats.deliveries.secrets import shared_secrets

if TYPE_CHECKING:
    from qwarden.console.board import Account
    from qwarden.core.events import Event
    from qwarden.formats.deliveries.courier import Courier

PATH: Final = "/metrics"
TOKEN_FILE: Final = "metrics.token"  # noqa: S105  its name, not the token

LATENCY_BUCKETS_S: Final = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300,
)  # fmt: skip

_OLDEST_S: Final = 3600.0
"""An alert about older traffic comes from a capture that is read, not from a wire that is heard."""

_FLOWS: Final = {
    "read": "Flows read: scored, suppressed, dropped, malformed and waiting together.",
    "scored": "Flows scored by the model.",
    "suppressed": "Flows suppressed by an exception.",
    "dropped": "Flows dropped unscored.",
    "malformed": "Flows that could not be read.",
}
_PACKETS: Final = {
    "packets_read": "Packets read.",
    "packets_malformed": "Packets whose headers could not be parsed.",
    "packets_truncated": "Packets cut by the end of a capture.",
    "packets_lost": "Packets that were on the wire and never reached the reader.",
    "lines_read": "Lines of logs read.",
    "lines_malformed": "Lines of logs that could not be parsed.",
}


class HasAccount(Protocol):
    """What knows the account of everything read: the board."""

    def account(self) -> Account:
        """Return it."""


class Metrics:
    """Gathers figures; its `registry` is what is shown.

    Parameters
    ----------
    board : knows the account of traffic.
    couriers : bring findings to receivers.
    severities : severity of each kind of finding, so that kinds without a finding show as 0.
    now : wall clock, seconds since the epoch.
    """

    def __init__(
        self,
        board: HasAccount,
        couriers: Iterable[Courier] = (),
        severities: Mapping[str, str] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._board, self._couriers, self._now = board, tuple(couriers), now
        self._findings = Counter(dict.fromkeys((severities or {}).items(), 0))
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)
        self._latency = Histogram(
            "qwarden_alert_latency_seconds",
            "From the last packet of a flow to its alert stored; traffic of the last hour alone.",
            registry=self.registry,
            buckets=LATENCY_BUCKETS_S,
        )

    def heard(self, event: Event) -> None:
        """Take an event from the bus, in the moment it was stored."""
        if isinstance(event, Alert):
            self._findings[str(event.finding["kind"]), str(event.finding["severity"])] += 1
            seconds = self._now() - event.time
            if seconds <= _OLDEST_S:
                self._latency.observe(max(seconds, 0.0))

    def collect(self) -> Iterator[Metric]:
        """Yield what is read off when someone asks."""
        account = self._board.account()
        for name, help in _FLOWS.items():
            yield CounterMetricFamily(f"qwarden_flows_{name}", help, value=getattr(account, name))
        yield GaugeMetricFamily(
            "qwarden_flows_waiting", "Flows held until they are in order of their end.", value=account.waiting
        )
        for name, help in _PACKETS.items():
            yield CounterMetricFamily(f"qwarden_{name}", help, value=getattr(account, name))
        findings = CounterMetricFamily(
            "qwarden_findings", "Findings opened, by kind and severity.", labels=("kind", "severity")
        )
        for labels, count in sorted(self._findings.items()):
            findings.add_metric(labels, count)
        yield findings
        yield from self._outputs()
        yield InfoMetricFamily("qwarden_build", "This Qwarden.", value={"version": __version__})

    def _outputs(self) -> Iterator[Metric]:
        counters = {
            "taken": "Findings that an output has.",
            "failures": "Attempts to deliver that came to nothing.",
            "refused": "Findings passed over because the receiver would never take them.",
            "skipped": "Events passed over because too many waited.",
        }
        for name, help in counters.items():
            family = CounterMetricFamily(f"qwarden_output_{name}", help, labels=("output",))
            for courier in self._couriers:
                family.add_metric((courier.target.label,), getattr(courier.tally, name))
            yield family
        behind = GaugeMetricFamily(
            "qwarden_output_behind", "Stored events an output has not come to.", labels=("output",)
        )
        for courier in self._couriers:
            behind.add_metric((courier.target.label,), courier.behind)
        yield behind


def metrics_token(home: Path) -> bytes:
    """Return the token that may read figures, making it on first use.

    Raises
    ------
    ConfigError
        Other users may read its file, or it is too short.
    """
    return shared_secrets(home / "keys" / TOKEN_FILE)[0]


def add_metrics(app: FastAPI, metrics: Metrics, token: bytes) -> None:
    """Add the route that shows `metrics` to who brings `token`."""

    @app.get(PATH)
    def figures(request: Request) -> Response:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token):
            return PlainTextResponse("a bearer token is needed\n", 401, {"WWW-Authenticate": "Bearer"})
        encode, kind = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(metrics.registry), media_type=kind)
