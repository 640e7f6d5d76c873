"""The pre-shared key of a WireGuard peer, set through `wg`.

WireGuard mixes the key into its own handshake; the kernel's module and the userspace programs (wireguard-go,
boringtun) alike take it from `wg`. It goes there over standard input: no process list and no file holds it.

Source: J. Donenfeld, "WireGuard: Next Generation Kernel Network Tunnel" (NDSS 2017), sections 5.2 and 5.4.2;
wg(8).
"""

from __future__ import annotations

import base64
import re
import secrets
from typing import Final

from qwarden.core.errors import ServiceError, UsageError
from qwarden.keys.hybrid.program import run

KEY_BYTES: Final = 32
_INTERFACE: Final = re.compile(r"[A-Za-z0-9_=+.-]{1,15}")


class WireGuardPeer:
    """A peer of an interface that is set up already; implements `keeper.Tunnel`.

    Parameters
    ----------
    interface : as ``wg0``.
    public_key : of the peer, as `wg` shows it.
    program : `wg`, or its path.

    Raises
    ------
    UsageError
        One of them is malformed.
    """

    def __init__(self, interface: str, public_key: str, *, program: str = "wg") -> None:
        if not _INTERFACE.fullmatch(interface) or interface.startswith("-"):
            raise UsageError(f"{interface!r} is no name of an interface")
        if not _is_key(public_key):
            raise UsageError(f"{public_key!r} is no WireGuard key: expected 32 bytes in base64")
        self.kind, self.name = "wireguard", f"wireguard {interface}"
        self._interface, self._peer, self._program = interface, public_key, program

    def put(self, psk: bytes, name: str = "") -> None:  # noqa: ARG002  WireGuard keys have no names
        """Set the key; WireGuard uses it from its next handshake on, at most 120 s later.

        Raises
        ------
        ServiceError
            There is no such interface or peer, or `wg` fails.
        """
        self._setting("allowed-ips")  # `wg set` would add a peer that is not there
        self._wg("set", self._interface, "peer", self._peer, *_FROM_INPUT, secret=psk)

    def stop(self) -> None:
        """Drop the running session, and set a random key under which no other comes about.

        A new key alone would leave the session running for up to three minutes, so the peer is taken out and
        put back in one step, with the addresses, endpoint and keepalive that it had.

        Raises
        ------
        ServiceError
            As `put`.
        """
        command = ["set", self._interface, "peer", self._peer, "remove", "peer", self._peer, *_FROM_INPUT]
        addresses = self._setting("allowed-ips")
        command += ["allowed-ips", "" if addresses == "(none)" else addresses.replace(" ", ",")]
        if (endpoint := self._setting("endpoints")) != "(none)":
            command += ["endpoint", endpoint]
        if (keepalive := self._setting("persistent-keepalive")) != "off":
            command += ["persistent-keepalive", keepalive]
        self._wg(*command, secret=secrets.token_bytes(KEY_BYTES))

    def _setting(self, name: str) -> str:
        """Return what `wg` shows of the peer under a name that holds no key."""
        for line in self._wg("show", self._interface, name).splitlines():
            peer, _, value = line.partition("\t")
            if peer == self._peer:
                return value
        raise ServiceError(f"{self.name}: has no peer {self._peer}")

    def _wg(self, *arguments: str, secret: bytes | None = None) -> str:
        given = base64.b64encode(secret) + b"\n" if secret is not None else b""
        return run(self.name, [self._program, *arguments], given)


_FROM_INPUT: Final = ("preshared-key", "/dev/stdin")


def _is_key(text: str) -> bool:
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        return False
    # Four texts decode to one key; `wg` shows one of them.
    return len(key) == KEY_BYTES and base64.b64encode(key).decode() == text
