"""Where an end or an apparatus listens: ``HOST:PORT``, and sockets to and at it."""

from __future__ import annotations

import socket
from typing import NamedTuple

from qwarden.core.errors import ServiceError, UsageError
from qwarden.keys.party.transport import LinkLost, SocketTransport


class Address(NamedTuple):
    """A host and a port; port 0 is any that is free."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Read ``HOST:PORT``, or ``PORT`` on the loopback.

    Raises
    ------
    UsageError
        It is none.

    Examples
    --------
    >>> parse_address("10.0.0.1:7001"), str(parse_address("7001"))
    (Address(host='10.0.0.1', port=7001), '127.0.0.1:7001')
    """
    host, colon, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) < 65536 and (host or not colon)):
        raise UsageError(f"{text!r}: expected HOST:PORT")
    return Address(host or "127.0.0.1", int(port))


def listen(address: Address) -> socket.socket:
    """Return a socket that listens; raises `ServiceError` if the address is taken or not of this machine."""
    try:
        return socket.create_server(address, backlog=8)
    except OSError as error:
        raise ServiceError(f"{address}: cannot listen: {(error.strerror or str(error)).lower()}") from error


def listening_at(listener: socket.socket) -> Address:
    """Return where a socket listens."""
    host, port = listener.getsockname()[:2]
    return Address(host, port)


def connect(address: Address, timeout_s: float) -> SocketTransport:
    """Return a connection; raises `LinkLost` if nobody listens there."""
    try:
        return SocketTransport(socket.create_connection(address, timeout_s))
    except OSError as error:
        raise LinkLost(f"{address}: {(error.strerror or str(error)).lower()}") from error
