"""Delivery: the contract of what carries findings out, and how a target is written.

A target is a text, as `qwarden detect --output` and ``detect.outputs`` take it::

    eve:PATH  ecs:PATH  ocsf:PATH       one JSON document a line, appended
    stix:PATH  stix:FOLDER/             one bundle at the end, or one a finding
    syslog+udp://HOST[:514]             RFC 5424 over UDP; +tcp (601) and +tls (6514) likewise
    webhook+https://HOST/PATH           a signed POST a finding; +http to this machine alone

and after it, behind a ``#``, options: ``syslog+tls://siem.example#ca=/etc/siem.pem&format=cef``. Addresses
of webhooks may hold secrets, so a target is shown as its `label`, never as it was written.

`deliveries` holds one module a way of carrying; `deliveries/outputs.py` ties targets to findings.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol
from urllib.parse import SplitResult, parse_qsl, urlsplit

from qwarden.core.errors import UsageError

if TYPE_CHECKING:
    from qwarden.formats.writers.notice import Notice

Result = Literal["taken", "later", "never"]
Telling = Literal["opened", "closed", "both"]

FILE_FORMATS: Final = ("eve", "ecs", "ocsf", "stix")
SYSLOG_PORTS: Final = {"udp": 514, "tcp": 601, "tls": 6514}
"""RFC 5426 section 3.3, RFC 3195 section 9.2 (syslog-conn), RFC 5425 section 4.1."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a notice on its way.

    Parameters
    ----------
    result : ``taken``; ``later``: try again; ``never``: the receiver will not take this one.
    reason : why not, without secrets.
    wait_s : how long the receiver asks to wait before the next attempt.
    """

    result: Result
    reason: str = ""
    wait_s: float = 0.0


TAKEN: Final = Outcome("taken")


class Delivery(Protocol):
    """Carries notices to one target."""

    def send(self, notice: Notice) -> Outcome:
        """Hand over one notice; the same one may come again after a crash."""

    def close(self) -> None:
        """Let go of the target, completing what is written there.

        Raises
        ------
        InputError
            A file could not be completed; names it.
        """


@dataclass(frozen=True, slots=True)
class Target:
    """Where to, and how.

    Parameters
    ----------
    scheme : ``file``, ``syslog`` or ``webhook``.
    transport : ``udp``, ``tcp``, ``tls``, ``http``, ``https``; empty for files.
    form : the format.
    place : path or URL; secret, so that it never shows in a representation.
    host, port : of a network target.
    options : what stood behind the ``#``.
    """

    scheme: Literal["file", "syslog", "webhook"]
    transport: str
    form: str
    place: str = field(repr=False)
    host: str = ""
    port: int = 0
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The target as it may be shown: a file with its path, a receiver without path and password."""
        if self.scheme == "file":
            return f"{self.form}:{self.place}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}+{self.transport}://{host}:{self.port}"

    @property
    def name(self) -> str:
        """The target's own name, under which its position in the store is kept; tells no secret."""
        whole = "\0".join((self.scheme, self.transport, self.place, self.form))
        return f"output:{self.label}:{hashlib.sha256(whole.encode()).hexdigest()[:16]}"

    @property
    def path(self) -> Path:
        """The path of a file target."""
        return Path(self.place)

    def tells(self, live: bool) -> Telling:
        """Return when findings are told.

        A stream that lives tells them twice, when they open and when they have ended; but EVE, in which two
        alerts are two alerts, when they open. What is read to its end is told once.
        """
        chosen = self.options.get("on")
        if chosen in ("opened", "closed", "both"):
            return chosen  # type: ignore[return-value]  # one of the three
        if not live and self.scheme == "file":
            return "closed"
        return "opened" if self.form == "eve" else "both"


def parse_target(text: str) -> Target:
    """Read a target.

    Raises
    ------
    UsageError
        It is none, or has an option that it does not know. The text itself is not repeated.

    Examples
    --------
    >>> parse_target("ocsf:findings.json").label
    'ocsf:findings.json'
    >>> parse_target("webhook+https://hooks.example/T0/secret#format=ocsf").label
    'webhook+https://hooks.example:443'
    """
    body, options = _options(text)
    form, colon, path = body.partition(":")
    if colon and form in FILE_FORMATS:
        if not path:
            raise UsageError(f"output {form}: expected a path after the colon, as {form}:findings.json")
        _known(form, options, {"on"})
        if form == "stix" and path.startswith("/dev/"):
            raise UsageError("output stix: a bundle is written as a whole; expected a file or a FOLDER/")
        return Target("file", "", form, path, options=options)
    scheme, plus, transport = form.partition("+")
    try:
        url = urlsplit(body.partition("+")[2])
        host, port = url.hostname or "", url.port
    except ValueError:
        raise UsageError(f"output {form}: its address is no URL") from None
    if plus and scheme == "syslog" and transport in SYSLOG_PORTS:
        return _syslog(url, host, port, options)
    if plus and scheme == "webhook" and transport in ("http", "https"):
        return _webhook(url, host, port, options)
    ways = ", ".join([*(f"{f}:PATH" for f in FILE_FORMATS), *(f"syslog+{t}://HOST" for t in SYSLOG_PORTS)])
    raise UsageError(f"output {_shown(form)}: expected one of {ways}, webhook+https://HOST/PATH")


def open_delivery(target: Target, home: Path, *, at_end: bool = False) -> Delivery:
    """Open the way to a target.

    Parameters
    ----------
    target : where to.
    home : the home folder; the secret of a webhook is kept in it.
    at_end : whether a bundle is written once, when the delivery is closed.

    Raises
    ------
    InputError
        A file cannot be opened.
    ConfigError
        A certificate or a secret cannot be used.
    """
    from qwarden.formats.deliveries.files import open_file
    from qwarden.formats.deliveries.syslog import open_syslog

    if target.scheme == "file":
        return open_file(target, at_end=at_end)
    if target.scheme == "syslog":
        return open_syslog(target)
    from qwarden.formats.deliveries.webhook import Webhook  # httpx takes its time

    return Webhook(target, home)


def _options(text: str) -> tuple[str, dict[str, str]]:
    body, mark, tail = text.rpartition("#")
    if not mark or not re.match(r"[a-z]+=", tail):
        return text, {}
    return body, dict(parse_qsl(tail, keep_blank_values=True))


def _known(form: str, options: Mapping[str, str], names: set[str]) -> None:
    for name in options:
        if name not in names:
            raise UsageError(f"output {form}: unknown option {name}; there are {', '.join(sorted(names))}")
    if options.get("on", "both") not in ("opened", "closed", "both"):
        raise UsageError(f"output {form}: on: expected opened, closed or both")


def _syslog(url: SplitResult, host: str, port: int | None, options: dict[str, str]) -> Target:
    from qwarden.formats.writers.syslog import FACILITIES

    form = f"syslog+{url.scheme}"
    tls = {"ca", "cert", "key"} if url.scheme == "tls" else set()
    _known(form, options, {"on", "format", "facility"} | tls)
    if not host or url.path not in ("", "/") or url.query or url.username:
        raise UsageError(f"output {form}: expected {form}://HOST[:PORT]")
    _choice(form, "format", options, ("text", "cef", "eve", "ecs", "ocsf"))
    _choice(form, "facility", options, tuple(FACILITIES))
    written = options.get("format", "text")
    where = f"{host}:{port or SYSLOG_PORTS[url.scheme]}"
    return Target("syslog", url.scheme, written, where, host, port or SYSLOG_PORTS[url.scheme], options)


def _webhook(url: SplitResult, host: str, port: int | None, options: dict[str, str]) -> Target:
    form = f"webhook+{url.scheme}"
    _known(form, options, {"on", "format", "ca"})
    _choice(form, "format", options, ("own", "eve", "ecs", "ocsf"))
    if not host:
        raise UsageError(f"output {form}: expected {form}://HOST/PATH")
    if url.scheme == "http" and not _is_loopback(host):
        raise UsageError(f"output {form}: findings go to other machines over https alone")
    usual = 443 if url.scheme == "https" else 80
    written = options.get("format", "own")
    return Target("webhook", url.scheme, written, url.geturl(), host, port or usual, options)


def _choice(form: str, name: str, options: Mapping[str, str], choices: tuple[str, ...]) -> None:
    if name in options and options[name] not in choices:
        raise UsageError(f"output {form}: {name}: expected one of {', '.join(choices)}")


def _is_loopback(host: str) -> bool:
    return host == "localhost" or host == "::1" or bool(re.fullmatch(r"127(\.\d{1,3}){3}", host))


def _shown(form: str) -> str:
    """Return the start of a target that was not understood, if it can be no secret."""
    return form if re.fullmatch(r"[a-z+]{1,20}", form) else "target"
