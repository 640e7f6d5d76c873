"""Findings by webhook: one signed POST each, until the receiver says that it has it.

Each request carries::

    Qwarden-Signature: t=1767600000,v1=5257a869...
    Idempotency-Key: "019b0000-0000-7000-8000-0123456789ab"

``v1`` is the HMAC-SHA256, in hexadecimal, over ``t``, a full stop and the body as it was sent, under the
secret in ``HOME/keys/webhooks/HOST_PORT.secret``; while that file holds two secrets there are two of them. A
receiver compares in constant time, refuses a ``t`` that is minutes away from its clock (replay), and
treats a key it has seen as done: after a crash a notice comes again. `verify` does the first two.

The address comes from the one who owns the settings, never from traffic, and no redirect is followed: a
receiver cannot send our findings, or our requests, elsewhere. Proxies and passwords of the environment are
not used.

Source: RFC 2104 (HMAC), RFC 9110 sections 15.4, 10.2.3 (redirection, Retry-After),
draft-ietf-httpapi-idempotency-key-header-07.
"""

from __future__ import annotations

import hmac
import logging
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import httpx

from qwarden.core.errors import ConfigError
from qwarden.formats.deliveries.machine import machine_name
from qwarden.formats.deliveries.secrets import shared_secrets
from qwarden.formats.deliveries.syslog import tls_context
from qwarden.formats.delivery import TAKEN, Outcome, Target
from qwarden.formats.writers.fields import VERSION
from qwarden.formats.writers.notice import EVENTS, Notice, encode

TIMEOUT_S: Final = 10.0
CONNECT_S: Final = 5.0
TOLERANCE_S: Final = 300.0
LONGEST_WAIT_S: Final = 300.0

# What says that this very request will never be taken; all else may change, so it is tried again.
_NEVER: Final = frozenset({400, 413, 422})


class Webhook:
    """Posts notices to one address.

    Parameters
    ----------
    target : the URL; option ``ca`` is a PEM file of who must have signed the receiver's certificate.
    home : the home folder, in which the receiver's secret is kept.
    now : wall clock, seconds since the epoch.

    Raises
    ------
    ConfigError
        The secret or the certificate cannot be used.
    """

    def __init__(self, target: Target, home: Path, now: Callable[[], float] = time.time) -> None:
        self._target, self._now = target, now
        self._secret_file = secret_file(home, target)
        shared_secrets(self._secret_file)
        for name in ("httpx", "httpcore"):  # they log addresses, and an address may be a secret
            logging.getLogger(name).setLevel(logging.WARNING)
        try:
            self._url = httpx.URL(target.place)
        except httpx.InvalidURL:
            raise ConfigError(f"output {target.label}", "URL", "is none") from None
        self._client = httpx.Client(
            verify=tls_context(target),
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(TIMEOUT_S, connect=CONNECT_S),
            headers={"User-Agent": f"qwarden/{VERSION}", "Content-Type": "application/json"},
        )

    def send(self, notice: Notice) -> Outcome:
        """Post one notice; taken is what is answered with 2xx."""
        body = encode(self._target.form, notice, machine_name()).encode(errors="replace")
        try:
            signature = sign(shared_secrets(self._secret_file), int(self._now()), body)
        except ConfigError as error:
            return Outcome("later", str(error))
        headers = {
            "Qwarden-Signature": signature,
            "Qwarden-Event": EVENTS[notice.state],
            "Idempotency-Key": f'"{notice.id}"',
        }
        try:
            # The answer's body is never read: it tells us nothing, and could be endless.
            with self._client.stream("POST", self._url, content=body, headers=headers) as answer:
                return self._outcome(answer)
        except (httpx.HTTPError, OSError) as error:
            return Outcome("later", _text(error))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _outcome(self, answer: httpx.Response) -> Outcome:
        status = answer.status_code
        if 200 <= status < 300:
            return TAKEN
        if 300 <= status < 400:
            return Outcome("later", f"status {status}: redirects are not followed")
        if status in _NEVER:
            return Outcome("never", f"status {status}")
        return Outcome("later", f"status {status}", _retry_after(answer.headers.get("Retry-After", "")))


def secret_file(home: Path, target: Target) -> Path:
    """Return where the secret that is shared with a receiver stands."""
    host = re.sub(r"[^a-z0-9.-]", "-", target.host.lower())
    return home / "keys" / "webhooks" / f"{host}_{target.port}.secret"


def sign(keys: Iterable[bytes], at: int, body: bytes) -> str:
    """Return the value of ``Qwarden-Signature``.

    Parameters
    ----------
    keys : the secrets, one signature each.
    at : wall time, whole seconds since the epoch.
    body : of the request.
    """
    signed = b"%d." % at + body
    return ",".join([f"t={at}", *(f"v1={hmac.digest(key, signed, 'sha256').hex()}" for key in keys)])


def verify(
    header: str, body: bytes, keys: Iterable[bytes], now: float, within_s: float = TOLERANCE_S
) -> bool:
    """Say whether a request is ours and fresh: what a receiver does.

    Parameters
    ----------
    header : the value of ``Qwarden-Signature``.
    body : as received, before any parsing.
    keys : the secrets, as they stand in the file.
    now : wall time, seconds since the epoch.
    within_s : how old, or how far ahead, a request may be.

    Examples
    --------
    >>> secret = b"only-this-receiver-and-qwarden-know-it"
    >>> header = sign([secret], 1_767_600_000, b'{"event": "finding.opened"}')
    >>> verify(header, b'{"event": "finding.opened"}', [secret], now=1_767_600_030)
    True
    >>> verify(header, b'{"event": "finding.closed"}', [secret], now=1_767_600_030)
    False
    >>> verify(header, b'{"event": "finding.opened"}', [secret], now=1_767_610_000)
    False
    """
    parts = [part.partition("=")[::2] for part in header.split(",")]
    times = [value for name, value in parts if name == "t"]
    if len(times) != 1 or not re.fullmatch(r"\d{1,12}", times[0]) or abs(now - int(times[0])) > within_s:
        return False
    given = [value.encode() for name, value in parts if name == "v1"]
    signed = f"{times[0]}.".encode() + body
    expected = [hmac.digest(key, signed, "sha256").hex().encode() for key in keys]
    return any(hmac.compare_digest(mine, theirs) for mine in expected for theirs in given)


def _retry_after(value: str) -> float:
    """Return how long a receiver asks to wait; a date is not read, our own pace does then."""
    return min(float(value), LONGEST_WAIT_S) if re.fullmatch(r"\d{1,9}", value) else 0.0


def _text(error: Exception) -> str:
    """Return what went wrong; errors of this library name no address."""
    said = str(error) or type(error).__name__
    return re.sub(r"[^\x20-\x7e]", " ", said)[:200].lower()
