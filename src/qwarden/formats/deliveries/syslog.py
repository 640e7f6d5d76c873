"""Findings by syslog: UDP, TCP with octet counting, TLS.

Syslog has no acknowledgement: UDP loses without a word, and what TCP and TLS took may be lost in a
connection that dies. A connection that the receiver has closed is noticed before a message is given to
it. Where nothing may be lost, use a webhook.

Source: RFC 5426 (UDP), RFC 6587 section 3.4.1 (octet counting), RFC 5425 (TLS), RFC 9662 (its versions).
"""

from __future__ import annotations

import os
import select
import socket
import ssl
from typing import Final

from qwarden.core.errors import ConfigError
from qwarden.formats.deliveries.machine import machine_name
from qwarden.formats.delivery import TAKEN, Delivery, Outcome, Target
from qwarden.formats.writers.notice import Notice, encode
from qwarden.formats.writers.syslog import syslog_message

CONNECT_S: Final = 5.0
SEND_S: Final = 10.0

SHORT: Final = 2048
"""Octets of a datagram that receivers should take (RFC 5426 section 3.2); a sentence is cut there."""

LARGEST: Final = 65_000
"""Octets of a datagram that can be sent at all; a document that is longer is not."""

STREAM_LIMIT: Final = 8192
"""Octets of a message that TLS receivers should take (RFC 5425 section 4.3.1)."""


def open_syslog(target: Target) -> Delivery:
    """Open a syslog target; a receiver that is away is tried again with each message."""
    return Datagrams(target) if target.transport == "udp" else Stream(target)


def message(target: Target, notice: Notice, limit: int) -> bytes:
    """Return the syslog message of a notice; a sentence is cut at `limit`, a document never."""
    sentence = target.form == "text"
    return syslog_message(
        notice.finding,
        notice.state,
        machine_name(),
        facility=target.options.get("facility", "auth"),
        process=os.getpid(),
        content=None if sentence else encode(target.form, notice, machine_name()),
        limit=limit if sentence else None,
    )


class Datagrams:
    """Syslog over UDP, one message a datagram.

    Parameters
    ----------
    target : host and port; the name is asked for anew with each message, as addresses change.
    """

    def __init__(self, target: Target) -> None:
        self._target = target

    def send(self, notice: Notice) -> Outcome:
        """Send one datagram; that it was sent is all that is known."""
        data = message(self._target, notice, SHORT)
        if len(data) > LARGEST:
            return Outcome("never", f"{len(data)} octets do not fit into a datagram")
        try:
            known = socket.getaddrinfo(self._target.host, self._target.port, type=socket.SOCK_DGRAM)
            family, kind, proto, _, address = known[0]
            with socket.socket(family, kind, proto) as sender:
                sender.sendto(data, address)
        except OSError as error:
            return Outcome("later", _text(error))
        return TAKEN

    def close(self) -> None:
        """Nothing is held open."""


class Stream:
    """Syslog over TCP or TLS, each message after its length.

    Parameters
    ----------
    target : host and port; ``ca``, ``cert`` and ``key`` are PEM files for TLS: whose signature the
        receiver's certificate must carry (the system's authorities otherwise), and our own.

    Raises
    ------
    ConfigError
        A certificate or key cannot be used.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._tls = tls_context(target) if target.transport == "tls" else None
        self._connection: socket.socket | None = None

    def send(self, notice: Notice) -> Outcome:
        """Write one message, over a new connection if the last one is gone."""
        data = message(self._target, notice, STREAM_LIMIT)
        try:
            self._drop_if_closed()
            if self._connection is None:
                self._connection = self._connect()
            self._connection.sendall(b"%d " % len(data) + data)  # MSG-LEN SP SYSLOG-MSG
        except OSError as error:  # TLS errors are some, too
            self.close()
            return Outcome("later", _text(error))
        return TAKEN

    def close(self) -> None:
        """Close the connection in good order, so that the receiver reads to its end."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                if isinstance(connection, ssl.SSLSocket):
                    connection.settimeout(1.0)
                    connection = connection.unwrap()  # close_notify: RFC 5425 section 4.4
                connection.shutdown(socket.SHUT_WR)
            except (OSError, ValueError):
                pass
            connection.close()

    def _connect(self) -> socket.socket:
        plain = socket.create_connection((self._target.host, self._target.port), CONNECT_S)
        try:
            plain.settimeout(SEND_S)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self._tls is None:
                return plain
            return self._tls.wrap_socket(plain, server_hostname=self._target.host)
        except BaseException:
            plain.close()
            raise

    def _drop_if_closed(self) -> None:
        """Receivers say nothing; what can be read is the end of the connection, or of no use."""
        connection = self._connection
        if connection is None:
            return
        while select.select([connection], [], [], 0)[0]:
            connection.settimeout(0)
            try:
                ended = not connection.recv(4096)
            except (BlockingIOError, ssl.SSLWantReadError):
                break
            except OSError:
                ended = True
            if ended:
                self.close()
                return
        connection.settimeout(SEND_S)


def tls_context(target: Target) -> ssl.SSLContext:
    """Return the TLS settings of a target: 1.2 or later, certificate and name of the receiver verified.

    Raises
    ------
    ConfigError
        A certificate or key cannot be used.
    """
    options = target.options
    try:
        context = ssl.create_default_context(cafile=options.get("ca"))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if "cert" in options:
            context.load_cert_chain(options["cert"], options.get("key"))
    except (OSError, ValueError) as error:
        files = ", ".join(options[name] for name in ("ca", "cert", "key") if name in options)
        raise ConfigError(f"output {target.label}", "certificate", f"{files}: {_text(error)}") from error
    return context


def _text(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
