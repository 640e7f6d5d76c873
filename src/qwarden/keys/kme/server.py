"""The entity's web server: who calls is put beside each request, and nobody holds it up.

A caller without a valid certificate does not get past the handshake, and that has its time. One with a
certificate has a limited time for each request, and a limited size of headers; bodies are limited where they
are read.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from qwarden.core.errors import UsageError
from qwarden.keys.kme.http import Application
from qwarden.keys.kme.tls import common_name

HEADERS_MOST: Final = 16 * 1024
HANDSHAKE_S: Final = 10.0
REQUEST_S: Final = 15.0
"""From the start of a connection or request until it is there in full."""
IDLE_S: Final = 75
CONNECTIONS_MOST: Final = 512
_GRACE_S: Final = 5
GOODBYE_S: Final = 1.0  # a caller whose connection idles does not answer it


class Connection(HttpToolsProtocol):
    """Puts the name in the caller's certificate into the scope, and ends what takes too long or too much."""

    _deadline: asyncio.TimerHandle | None = None
    _header_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """Note the caller, once a connection."""
        super().connection_made(transport)
        name = common_name(transport.get_extra_info("peercert"))
        self.app_state = {**self.app_state, "caller": name}
        self._allow(REQUEST_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._allow(None)
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Give a request its time."""
        self._header_bytes = 0
        self._allow(REQUEST_S)
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a part of the URL."""
        self._weigh(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._weigh(name, value)
        super().on_header(name, value)

    def on_message_complete(self) -> None:
        """A request is there: answering it takes as long as it takes."""
        self._allow(None)
        super().on_message_complete()

    def _weigh(self, *parts: bytes) -> None:
        self._header_bytes += sum(map(len, parts))
        if self._header_bytes > HEADERS_MOST:  # ends in an answer 400 and a closed connection
            raise ValueError(f"headers of more than {HEADERS_MOST} bytes")

    def _allow(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self.transport.abort)


class Server(uvicorn.Server):
    """Limits the time of handshakes too, and leaves in order when it is told to.

    Attributes
    ----------
    interrupted : whether it was by the user, from a terminal.
    """

    interrupted = False

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at SIGINT and SIGTERM, answering what has been asked."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._told_to_stop, number)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _told_to_stop(self, number: int) -> None:
        self.interrupted = number == signal.SIGINT
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen at the sockets."""
        config, loop = self.config, asyncio.get_running_loop()

        def connection() -> Connection:
            return Connection(config=config, server_state=self.server_state, app_state={}, _loop=loop)

        self.servers = [
            await loop.create_server(
                connection,
                sock=listening,
                ssl=config.ssl,
                ssl_handshake_timeout=HANDSHAKE_S,
                ssl_shutdown_timeout=GOODBYE_S,
                backlog=config.backlog,
            )
            for listening in sockets or []
        ]
        self.started = True


def make_server(application: Application, context: ssl.SSLContext) -> Server:
    """Return the server, ready to run at sockets that are handed to it."""
    config = uvicorn.Config(
        application,
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        limit_concurrency=CONNECTIONS_MOST,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=_GRACE_S,
    )
    config.load()
    config.ssl = context
    return Server(config)


def listen(address: str) -> socket.socket:
    """Return a socket that listens at ``HOST:PORT``; port 0 takes any that is free.

    Raises
    ------
    UsageError
        It is no address, or it is taken.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise UsageError(f"{address}: expected HOST:PORT")
    host = host.strip("[]")
    try:
        family = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, int(port)), family=family, backlog=128)
    except OSError as error:
        raise UsageError(f"{address}: {error.strerror or error}") from error
    # Connections inherit it. asyncio sets it only where a socket names its protocol, which this one does not.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
