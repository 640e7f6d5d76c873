"""The name of this machine, as receivers see it."""

from __future__ import annotations

import socket
from functools import cache


@cache
def machine_name() -> str:
    """Return the host's name, as the kernel has it; no name server is asked."""
    return socket.gethostname()
