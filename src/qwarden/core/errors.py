"""Every error Qwarden raises on purpose, in one tree.

::

    QwardenError                    exit 1   anything below
    ├── UsageError                  exit 2   the call makes no sense
    │   └── ConfigError             exit 2   a setting is wrong: names file and key
    ├── InputError                  exit 3   bad input: names file, place, what was expected
    │   ├── UnreadableError         exit 3   nothing at all could be read from it
    │   ├── ModelError              exit 3   a stored model is tampered with, foreign or too new
    │   └── UnavailableError        exit 3   a measure lacks its data or its peer
    ├── ServiceError                exit 4   a service is unreachable
    ├── StoreError                  exit 1   the store is damaged or of another version
    │   └── AuditError              exit 1   the audit chain does not verify
    ├── KeySupplyError              exit 1   no key can be given
    │   ├── KeyExhausted            exit 1   not enough key material is left
    │   └── KeyReused               exit 1   a one-time key was asked for twice
    ├── BacktrackExhausted          exit 1   every attempt failed its check
    └── Interrupted                 exit 130 the user stopped it

The command line maps `exit_code` to its exit status; nothing else decides it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class QwardenError(Exception):
    """Base of all errors raised on purpose; its text is fit for a user."""

    exit_code = 1


class UsageError(QwardenError):
    """The call makes no sense: contradictory or unknown options."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting is wrong.

    Parameters
    ----------
    source : where the setting stands: a file's path or ``environment``.
    key : the dotted key, as ``detect.idle_timeout_s``.
    problem : what is wrong and what was expected.
    """

    def __init__(self, source: str | Path, key: str, problem: str) -> None:
        self.source, self.key, self.problem = str(source), key, problem
        super().__init__(f"{source}: {key}: {problem}")


class InputError(QwardenError):
    """Bad input.

    Parameters
    ----------
    file : the file (or the name of the stream).
    problem : what is wrong and what was expected.
    place : where in it: ``packet 17, byte 1204`` or ``line 3``; empty if the whole file is meant.
    """

    exit_code = 3

    def __init__(self, file: str | Path, problem: str, place: str = "") -> None:
        self.file, self.problem, self.place = str(file), problem, place
        super().__init__(f"{file}: {place}: {problem}" if place else f"{file}: {problem}")


class UnreadableError(InputError):
    """Nothing at all could be read from the input."""


class ModelError(InputError):
    """A stored model is tampered with, foreign, or of a schema this version does not read."""


class UnavailableError(InputError):
    """A measure lacks its data or its peer; it never invents a value."""


class ServiceError(QwardenError):
    """A service (database, broker, quantum back end) is unreachable."""

    exit_code = 4


class StoreError(QwardenError):
    """The store is damaged or was written by another version."""


class AuditError(StoreError):
    """The audit log's hash chain does not verify."""


class KeySupplyError(QwardenError):
    """No key can be given: the supply is damaged, or knows neither the peer nor the key's id."""


class KeyExhausted(KeySupplyError):  # noqa: N818
    """Not enough key material is left.

    Parameters
    ----------
    peer : with whom the key was to be shared.
    asked, left : bits.
    """

    def __init__(self, peer: str, asked: int, left: int) -> None:
        self.peer, self.asked, self.left = peer, asked, left
        super().__init__(f"keys shared with {peer}: {asked:,} bits asked for, {left:,} left in one piece")


class KeyReused(KeySupplyError):  # noqa: N818
    """A key that may be given or used once was asked for again."""


class BacktrackExhausted(QwardenError):  # noqa: N818 - the name says what happened
    """Every attempt failed its check; the platform gives up loudly.

    Parameters
    ----------
    message : what was tried, and why each attempt was rejected.
    attempts : the record of every attempt, in order.
    """

    def __init__(self, message: str, attempts: Sequence[object] = ()) -> None:
        self.attempts = tuple(attempts)
        super().__init__(message)


class Interrupted(QwardenError):  # noqa: N818
    """The user stopped the run; what was done so far is kept."""

    exit_code = 130
