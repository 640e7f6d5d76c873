"""Post-quantum pre-shared keys (PPK) of an IKEv2 connection, as a file for strongSwan's `swanctl`.

IKEv2 mixes the key into what its session keys are made of, so that who breaks the key exchange later still
lacks it. The file adds to a connection that is configured elsewhere::

    connections { NAME { ppk_required = yes  ppk_id = ... } }
    secrets { ppk-... { id = ...  secret = 0x... } }

The end that begins names the key; the other takes any that it has, and keeps the one before, so that a
handshake between the two renewals succeeds. A new key takes effect when the connection authenticates anew
(`reauth_time`): a rekeying derives from the old one.

Source: RFC 8784, sections 3 and 5; swanctl.conf(5), strongSwan 5.7 and later.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Final

from qwarden.core.errors import ServiceError, UsageError
from qwarden.core.files import atomic_write
from qwarden.keys.hybrid.program import run

PPK_BYTES: Final = 32
"""RFC 8784, section 6: at least 256 bits of entropy."""

_CONNECTION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_NAME: Final = re.compile(r"[0-9a-f]{16}")


class SwanctlPpk:
    """The PPK of a connection; implements `keeper.Tunnel`.

    Parameters
    ----------
    path : of the file, mode 0600; in ``/etc/swanctl/conf.d`` strongSwan finds it.
    connection : its name in the configuration.
    begins : whether this end begins the connection.
    program : `swanctl`, or its path; None: the file is written and nobody is told.

    Raises
    ------
    UsageError
        The connection has no such name.
    """

    def __init__(self, path: Path, connection: str, *, begins: bool, program: str | None = "swanctl") -> None:
        if not _CONNECTION.fullmatch(connection):
            raise UsageError(f"{connection!r} is no name of a connection")
        self.kind, self.name = "ikev2", f"ikev2 {connection}"
        self._path, self._connection, self._begins, self._program = path, connection, begins, program
        self._held: dict[str, bytes] = {}

    def put(self, psk: bytes, name: str) -> None:
        """Write the key and have strongSwan load it.

        Raises
        ------
        ServiceError
            The file cannot be written, or `swanctl` is not there or fails.
        """
        kept = {} if self._begins else dict(list(self._held.items())[-1:])
        self._load({**kept, name: psk})

    def stop(self) -> None:
        """End the connection and require a key that nobody else has; raises as `put`."""
        self._load({secrets.token_hex(8): secrets.token_bytes(PPK_BYTES)})
        if self._program is None:
            return
        sas = [self._program, "--list-sas", "--ike", self._connection]
        if run(self.name, sas).strip():
            run(self.name, [self._program, "--terminate", "--ike", self._connection, "--timeout", "5"])

    def _load(self, held: dict[str, bytes]) -> None:
        text = ppk_text(self._connection, held, begins=self._begins)
        try:
            atomic_write(self._path, text.encode(), 0o600)
        except OSError as error:
            raise ServiceError(
                f"{self.name}: {self._path}: {(error.strerror or str(error)).lower()}"
            ) from error
        self._held = held
        if self._program is not None:
            run(self.name, [self._program, "--load-creds", "--noprompt"])
            run(self.name, [self._program, "--load-conns"])


def ppk_text(connection: str, held: dict[str, bytes], *, begins: bool) -> str:
    """Return the file's text.

    Parameters
    ----------
    held : keys by their names, of 16 hexadecimal digits each, the newest last.
    begins : whether this end begins the connection, and so names the key.

    Raises
    ------
    ValueError
        A name is none, or a key is not 32 bytes.

    Examples
    --------
    >>> print(ppk_text("vpn", {"00112233445566aa": bytes(32)}, begins=True))
    # Written by Qwarden at every renewal; changes are lost.
    connections {
      vpn {
        ppk_required = yes
        ppk_id = qwarden-00112233445566aa
      }
    }
    secrets {
      ppk-qwarden-00112233445566aa {
        id = qwarden-00112233445566aa
        secret = 0x0000000000000000000000000000000000000000000000000000000000000000
      }
    }
    <BLANKLINE>
    """
    for name, key in held.items():
        if not _NAME.fullmatch(name) or len(key) != PPK_BYTES:
            raise ValueError(f"PPK {name!r} of {len(key)} bytes")
    lines = [
        "# Written by Qwarden at every renewal; changes are lost.",
        "connections {",
        f"  {connection} {{",
        "    ppk_required = yes",
    ]
    if begins:
        lines.append(f"    ppk_id = qwarden-{list(held)[-1]}")
    lines += ["  }", "}", "secrets {"]
    for name, key in held.items():
        id = f"qwarden-{name}"
        lines += [f"  ppk-{id} {{", f"    id = {id}", f"    secret = 0x{key.hex()}", "  }"]
    return "\n".join([*lines, "}", ""])
