"""Runs the program that sets a tunnel's key; what is secret goes to its standard input alone."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Final

from qwarden.core.errors import ServiceError

_WAIT_S: Final = 10.0
_SAID_MOST: Final = 200


def run(who: str, command: Sequence[str], given: bytes = b"") -> str:
    """Run a program and return what it printed.

    Parameters
    ----------
    who : on whose behalf, for the error.
    command : its arguments can be seen by every user of the machine.
    given : for its standard input.

    Raises
    ------
    ServiceError
        It is not there, does not end within 10 s, or fails.
    """
    try:
        done = subprocess.run(command, input=given, capture_output=True, timeout=_WAIT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ServiceError(f"{who}: {command[0]} does not end") from error
    except OSError as error:
        raise ServiceError(f"{who}: {command[0]}: {(error.strerror or str(error)).lower()}") from error
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        said = lines[-1][:_SAID_MOST] if lines else f"ended with status {done.returncode}"
        raise ServiceError(f"{who}: {command[0]}: {said}")
    return done.stdout.decode(errors="replace")
