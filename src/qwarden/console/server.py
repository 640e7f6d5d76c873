"""The way from a home folder to a page: password, certificate, feed, HTTPS."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import uvicorn

from qwarden.console.access import Access
from qwarden.console.app import create_app
from qwarden.console.board import Board, Watch
from qwarden.console.feeds.reading import Show, SourceReader
from qwarden.console.metrics import Metrics, metrics_token
from qwarden.console.tls import LOOPBACK, Certificate, ensure_certificate
from qwarden.core.bus import open_bus
from qwarden.core.errors import QwardenError, UsageError
from qwarden.core.lists import Lists
from qwarden.detect import BEHAVIOURS, find_model
from qwarden.formats.deliveries.outputs import open_outputs
from qwarden.keys.overview import entity_of, links

if TYPE_CHECKING:
    from qwarden.console.feeds import Feed
    from qwarden.core.config import Settings
    from qwarden.core.store import Store

log = logging.getLogger(__name__)

_RENEW_EVERY_S: Final = 12 * 3600
_FEED_PATIENCE_S: Final = 20.0
_GRACE_S: Final = 2


@dataclass(frozen=True, slots=True)
class Opened:
    """What a person must know to look: shown once, when the console opens.

    Parameters
    ----------
    url : where.
    fingerprint : of the certificate, to compare with what the browser shows.
    password : the admin password, if it was made just now; nobody can show it again.
    """

    url: str
    fingerprint: str
    password: str | None


def serve(
    home: Path,
    settings: Settings,
    store: Store,
    make_feed: Callable[[SourceReader], Feed] | None,
    *,
    port: int | None,
    on_open: Callable[[Opened], None],
    on_alert: Show | None = None,
) -> None:
    """Serve the console until interrupted.

    Parameters
    ----------
    home : the certificate stands in it.
    store : what is shown, and where findings go.
    make_feed : makes the feed that reads traffic; None shows what is stored.
    port : overrides the settings'; 0 takes any that is free.
    on_open : told how to look.
    on_alert : called with a finding's document when it opens.

    Raises
    ------
    UsageError
        The port is taken, or the feed cannot be opened.
    KeyboardInterrupt
        The user stopped it; everything is closed by then.
    """
    console = settings.console
    bus, watch = open_bus(store), Watch()
    board = Board(store, watch, lambda: links(store, home, entity_of(home)))
    board.open(bus)
    access = Access(store, console.session_hours * 3600)
    certificate = ensure_certificate(home / "tls", console.host)
    outputs = open_outputs(settings.detect.outputs, home, store, bus=bus, live=True)
    metrics = Metrics(board, outputs.couriers, {b.kind: b.severity for b in BEHAVIOURS})
    bus.subscribe(metrics.heard, room="detect", kind="alert")
    feed, model = None, find_model(home)
    model.threads = settings.detect.scoring_threads
    if make_feed is not None:
        lists = Lists(store, settings.detect.ignore)
        reader = SourceReader(
            model, settings.detect, bus, watch, lists=lists, on_alert=on_alert, home=home
        )  # fmt: skip
        feed = make_feed(reader)
    with outputs, _listen(console.host, console.port if port is None else port) as listening:
        if feed is not None:
            feed.open()
        at = listening.getsockname()[1]
        app = create_app(
            board, access, settings.detect.fpr or model.budget, (*LOOPBACK, console.host), metrics,
            metrics_token(home),
        )  # fmt: skip
        server = _server(app, certificate)
        name = f"[{console.host}]" if ":" in console.host else console.host
        on_open(Opened(f"https://{name}:{at}/", certificate.fingerprint, access.password.ensure()))
        with _running(feed, watch), _renewing(server, home / "tls", console.host):
            # Its own handler stops the server first; this is for what comes after.
            signal.signal(signal.SIGTERM, _terminated)
            server.run(sockets=[listening])


def _server(app: Any, certificate: Certificate) -> uvicorn.Server:
    config = uvicorn.Config(
        app, ssl_certfile=certificate.chain, ssl_keyfile=certificate.key, log_config=None, access_log=False,
        server_header=False, proxy_headers=False, ws_max_size=1 << 20, limit_concurrency=200,
        timeout_graceful_shutdown=_GRACE_S,
    )  # fmt: skip
    config.load()
    assert config.ssl is not None
    config.ssl.minimum_version = ssl.TLSVersion.TLSv1_3
    return uvicorn.Server(config)


@contextmanager
def _listen(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise UsageError(f"{host} port {port}: {(error.strerror or str(error)).lower()}") from error
    with listening:
        yield listening


@contextmanager
def _running(feed: Feed | None, watch: Watch) -> Iterator[None]:
    """Run a feed in its thread for the time of a ``with``."""
    if feed is None:
        yield
        return
    stop = threading.Event()

    def run() -> None:
        try:
            feed.run(stop)
            watch.doing = "the source has ended"
        except QwardenError as error:
            watch.failed = str(error)
            log.error("the feed has stopped: %s", error)
        except Exception as error:
            watch.failed = f"{type(error).__name__}, see the log"
            log.exception("the feed has failed")

    thread = threading.Thread(target=run, name="feed", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_FEED_PATIENCE_S)


@contextmanager
def _renewing(server: uvicorn.Server, folder: Path, host: str) -> Iterator[None]:
    """Renew the certificate in time, for connections made from then on."""
    done = threading.Event()

    def renew() -> None:
        while not done.wait(_RENEW_EVERY_S):
            with contextlib.suppress(OSError, QwardenError):
                certificate = ensure_certificate(folder, host)
                assert server.config.ssl is not None
                server.config.ssl.load_cert_chain(certificate.chain, certificate.key)

    threading.Thread(target=renew, name="renew certificate", daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _terminated(number: int, frame: object) -> None:  # noqa: ARG001
    raise SystemExit(0)
