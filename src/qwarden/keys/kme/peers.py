"""How an entity speaks to others: JSON over mutual TLS, each other entity confirmed by its certificate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx

from qwarden.core import strict
from qwarden.core.errors import ServiceError
from qwarden.core.files import Json, canonical_text
from qwarden.keys.kme.entity import Unreached
from qwarden.keys.kme.http import OWN_PREFIX
from qwarden.keys.kme.records import Assignment, Left, Quanta
from qwarden.keys.kme.tls import Files, client_context

TIMEOUT_S: Final = 10.0


class Peers:
    """Speaks to other entities; implements `entity.Others`.

    Parameters
    ----------
    urls : ``https://host:port`` of each, by id.
    files : this entity's certificate, and the authority that says who they are.
    """

    def __init__(self, urls: Mapping[str, str], files: Files) -> None:
        self._clients = {
            name: httpx.AsyncClient(
                base_url=url, verify=client_context(files, name), timeout=TIMEOUT_S, trust_env=False
            )
            for name, url in urls.items()
        }

    async def tell(self, peer: str, assignments: Sequence[Assignment]) -> list[bool]:
        """Tell an entity of assignments; raises `ServiceError` if it does not answer."""
        sent: Json = {"assignments": [strict.to_json(one) for one in assignments]}
        taken = (await self._post(peer, "assignments", sent)).get("taken")
        if not isinstance(taken, list) or len(taken) != len(assignments):
            raise ServiceError(f"{peer}: answers something else")
        return [one is True for one in taken]

    async def compare(self, peer: str, remaining: Left) -> tuple[int, Left]:
        """Have an entity drop what this one has used; return how much that was, and what it misses."""
        sent: Json = {"remaining": {block: [list(run) for run in runs] for block, runs in remaining.items()}}
        answer = await self._post(peer, "remaining", sent)
        try:
            missing = strict.from_json(Quanta, {"quanta": answer.get("missing")}).quanta
        except strict.Mismatch as error:
            raise ServiceError(f"{peer}: answers something else") from error
        return _whole(peer, answer, "dropped"), missing

    async def revoke(self, peer: str, what: Mapping[str, str]) -> int:
        """Have an entity drop what was revoked here; return how much that was."""
        return _whole(peer, await self._post(peer, "revocations", what), "dropped")

    async def vendor_keys(self, peer: str, ids: Sequence[str]) -> int:
        """Have an entity fetch a vendor's keys by their ids; return how many quanta they gave."""
        return _whole(peer, await self._post(peer, "vendor-keys", {"ids": list(ids)}), "quanta")

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.aclose()

    async def _post(self, peer: str, method: str, document: Json) -> dict[str, Any]:
        client = self._clients.get(peer)
        if client is None:
            raise ServiceError(f"{peer}: no address is known")
        try:
            answer = await client.post(OWN_PREFIX + method, content=canonical_text(document).encode())
            answer.raise_for_status()
            found = answer.json()
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unreached(f"{peer}: {error}") from error
        except (httpx.HTTPError, ValueError) as error:
            raise ServiceError(f"{peer}: {error or type(error).__name__}") from error
        if not isinstance(found, dict):
            raise ServiceError(f"{peer}: answers something else")
        return found


def _whole(peer: str, answer: Mapping[str, Any], name: str) -> int:
    value = answer.get(name)
    if type(value) is not int:
        raise ServiceError(f"{peer}: answers something else")
    return value
