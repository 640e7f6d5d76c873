"""Logging: to standard error, at the level asked for, and never a secret.

`set_up` is called once by the command line. Rooms use the standard library:
``log = logging.getLogger(__name__)``.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping

from qwarden.core.errors import UsageError

LEVELS = ("debug", "info", "warning", "error")
HIDDEN = "***"

_SECRET_NAME = re.compile(
    r"secret|passw|passphrase|token|credential|api_?key|private_?key|authorization", re.I
)

_SECRETS_IN_TEXT = [
    # PEM private keys, whole or cut off by the end of the message.
    re.compile(
        r"(?P<keep>-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?=-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S
    ),
    # The password in a URL: scheme://user:password@host.
    re.compile(r"(?P<keep>\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s/@]+(?=@)", re.I),
    # name = value, "name": "value", Authorization: Bearer value.
    re.compile(
        rf"""(?P<keep>[\w.-]*(?:{_SECRET_NAME.pattern})[\w.-]*["']?\s*[:=]\s*(?:(?:bearer|basic)\s+)?)"""
        r"""(?:b?"(?:\\.|[^"\\])*"|b?'(?:\\.|[^'\\])*'|[^\s,;&)}\]]+)""",
        re.I,
    ),
]


def redact(text: str) -> str:
    """Hide secrets in a text: values named as such, passwords in URLs, private keys in PEM.

    Examples
    --------
    >>> redact("connecting to postgresql://qwarden:hunter2@db with api_token='x y'")
    'connecting to postgresql://qwarden:***@db with api_token=***'
    """
    for pattern in _SECRETS_IN_TEXT:
        text = pattern.sub(rf"\g<keep>{HIDDEN}", text)
    return text


def redact_values(value: object) -> object:
    """Hide what stands under a secret's name anywhere in nested mappings, lists and tuples.

    Examples
    --------
    >>> redact_values({"user": "ann", "tokens": ["a", "b"]})
    {'user': 'ann', 'tokens': '***'}
    """
    if isinstance(value, Mapping):
        return _hide_named(value)
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)(map(redact_values, value))
    return value


def _hide_named(values: Mapping[str, object]) -> dict[str, object]:
    return {
        key: HIDDEN if isinstance(key, str) and _SECRET_NAME.search(key) else redact_values(item)
        for key, item in values.items()
    }


class SecretFilter(logging.Filter):
    """Hides secrets in a record's arguments, where their structure is still known."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record's arguments; every record passes."""
        if isinstance(record.args, Mapping):
            record.args = _hide_named(record.args)
        elif record.args:
            record.args = tuple(map(redact_values, record.args))
        return True


class SecretFormatter(logging.Formatter):
    """Hides secrets in the finished text, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        """Format the record and redact the result."""
        return redact(super().format(record))


def set_up(level: str = "warning") -> None:
    """Send Qwarden's log to standard error; a later call replaces the earlier set-up.

    Parameters
    ----------
    level : one of `LEVELS`.

    Raises
    ------
    UsageError
        There is no such level.
    """
    if level.lower() not in LEVELS:
        raise UsageError(f"log level {level!r}: expected one of {', '.join(LEVELS)}")
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(SecretFilter())
    handler.setFormatter(SecretFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("qwarden")
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
