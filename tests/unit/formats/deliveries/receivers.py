"""Receivers that run here: syslog over TCP and TLS, webhooks over HTTP and HTTPS, and their certificates."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def certificate(folder: Path, name: str = "receiver", host: str = "127.0.0.1") -> tuple[Path, Path]:
    """Write an authority's certificate and, signed by it, chain and key of a receiver; return both files."""
    now = datetime.datetime.now(datetime.UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, n)]) for n in (f"{name} authority", name)]
    made = []
    for at, (key, subject) in enumerate(zip(keys, names, strict=True)):
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(names[0])
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=at == 0, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        if at:
            address = x509.IPAddress(ip_address(host))
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        made.append(builder.sign(keys[0], hashes.SHA256()))
    pem = serialization.Encoding.PEM
    authority, chain = folder / f"{name}-ca.pem", folder / f"{name}.pem"
    authority.write_bytes(made[0].public_bytes(pem))
    private = keys[1].private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    chain.write_bytes(made[1].public_bytes(pem) + private)
    return authority, chain


@dataclass
class StreamReceiver:
    """Takes connections one after the other and keeps what each one sent."""

    port: int = 0
    received: list[bytes] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    hang_up_after: int = 0
    """Close the first connection after so many octets."""


@contextmanager
def stream_receiver(chain: Path | None = None, hang_up_after: int = 0) -> Iterator[StreamReceiver]:
    """Listen on this machine for octet streams, over TLS if there is a certificate."""
    listening = socket.create_server(("127.0.0.1", 0))
    state = StreamReceiver(listening.getsockname()[1], hang_up_after=hang_up_after)
    context = None
    if chain is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(chain)

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            at = len(state.received)
            state.received.append(b"")
            try:
                if context is not None:
                    connection = context.wrap_socket(connection, server_side=True)
                while data := connection.recv(65536):
                    state.received[at] += data
                    if at == 0 and 0 < state.hang_up_after <= len(state.received[0]):
                        break
            except OSError:
                pass
            connection.close()
            state.ended.set()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class WebReceiver:
    """Keeps requests; `answer` gives status and headers for each, in order of coming."""

    port: int
    requests: list[Request] = field(default_factory=list)


Answer = Callable[[int, Request], tuple[int, dict[str, str]]]


def accept(number: int, request: Request) -> tuple[int, dict[str, str]]:
    return 204, {}


@contextmanager
def web_receiver(answer: Answer = accept, chain: Path | None = None, port: int = 0) -> Iterator[WebReceiver]:
    """Serve HTTP, or HTTPS if there is a certificate, on this machine."""
    state: WebReceiver
    turn = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = Request(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            with turn:
                state.requests.append(request)
                status, headers = answer(len(state.requests), request)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    if chain is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(chain)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    state = WebReceiver(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
