"""The entity over HTTP: the three methods of the standard, and what entities and operators say to it.

Who calls is who the certificate says (`server`). The application is plain ASGI: a handful of routes need
no framework, and each request is on the way of a key.

Routes for applications: ``GET /api/v1/keys/{slave}/status``, ``GET|POST .../{slave}/enc_keys``,
``GET|POST .../{master}/dec_keys`` (clause 5.1, table 2). For other entities, under ``/kme/v1/``:
``assignments``, ``remaining``, ``revocations``, ``vendor-keys``. For who shows the entity's own certificate,
its key nodes and its operator: ``blocks``, ``pools``, ``revocations``.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

from qwarden.core import strict
from qwarden.core.errors import KeyReused, KeySupplyError
from qwarden.core.files import Json, canonical_text
from qwarden.keys.kme import requests
from qwarden.keys.kme.entity import Entity
from qwarden.keys.kme.records import Assignment, Provenance, Quanta
from qwarden.keys.kme.requests import Refusal

log = logging.getLogger(__name__)

BODY_MOST: Final = 256 * 1024
PREFIX: Final = "/api/v1/keys/"
OWN_PREFIX: Final = "/kme/v1/"
OWN_BODY_MOST: Final = 64 << 20
_HEADERS: Final = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
VendorKeys: TypeAlias = Callable[[str, Sequence[str]], Awaitable[int]]
"""Takes over keys that another entity got from a vendor, by their ids; returns quanta stored."""


class Application:
    """The ASGI application of one entity.

    Parameters
    ----------
    entity : serves applications.
    peers : ids of the entities that may speak to this one.
    vendor_keys : takes over a vendor's keys; None: none are taken.
    """

    def __init__(self, entity: Entity, peers: Sequence[str], vendor_keys: VendorKeys | None = None) -> None:
        self._entity, self._peers, self._vendor_keys = entity, frozenset(peers), vendor_keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        caller, headers = scope["state"].get("caller", ""), list(_HEADERS)
        try:
            status, document = 200, await self._answer(scope, receive, caller)
        except Refusal as refusal:
            status, document = refusal.status, refusal.document()
            if status == 405:
                headers.append((b"allow", b"GET" if scope["path"].endswith("/status") else b"GET, POST"))
            if status == 413:  # what still comes is not read
                headers.append((b"connection", b"close"))
        except KeySupplyError as error:
            log.error("%s", error)
            status, document = 503, {"message": "the key store does not work"}
        except Exception:
            log.exception("a request of %r failed", caller)
            status, document = 503, {"message": "internal error"}
        body = canonical_text(document).encode()
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive, caller: str) -> Json:
        path, method = scope["path"], scope["method"]
        if path.startswith(OWN_PREFIX):
            return await self._answer_own(path.removeprefix(OWN_PREFIX), method, caller, receive)
        other, _, name = path.removeprefix(PREFIX).partition("/")
        if not path.startswith(PREFIX) or name not in ("status", "enc_keys", "dec_keys"):
            raise Refusal(404, "no such method")
        self._entity.directory.caller(caller)
        requests.sae_id(other)
        get = method == "GET"
        if not get and (method != "POST" or name == "status"):
            raise Refusal(405, f"{method[:10]} is not allowed here")
        query = _query(scope["query_string"])
        if query and (not get or name == "status"):
            raise Refusal(400, "parameters in the URL are for GET enc_keys and dec_keys")
        if name == "status":
            return await self._entity.status(caller, other)
        body = b"" if get else await _body(receive, BODY_MOST)
        limits = self._entity.limits
        if name == "enc_keys":
            asked = requests.from_query(query, limits) if get else requests.from_body(body, limits)
            return requests.container(await self._entity.get_keys(caller, other, asked))
        ids = requests.key_ids_from_query(query) if get else requests.key_ids_from_body(body, limits)
        return requests.container(await self._entity.keys_by_id(caller, other, ids))

    async def _answer_own(self, name: str, method: str, caller: str, receive: Receive) -> Json:
        """Answer an entity, or who shows the certificate of this one."""
        own = caller == self._entity.directory.own
        if not own and caller not in self._peers:
            raise Refusal(401, "not an entity that shares keys with this one")
        if method != "POST":
            raise Refusal(405, f"{method[:10]} is not allowed here")
        answer = (self._for_own if own else self._for_peers).get(name)
        if answer is None:
            raise Refusal(404, "no such method")
        document = requests.json_object(await _body(receive, OWN_BODY_MOST))
        try:
            return await answer(self, caller, document)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Refusal(400, "malformed message") from error

    async def _assignments(self, caller: str, document: dict[str, Any]) -> Json:
        assignments = [strict.from_json(Assignment, one) for one in document["assignments"]]
        for one in assignments:
            requests.uuid(one.id)
        return {"taken": list(await self._entity.accept(caller, assignments))}

    async def _remaining(self, caller: str, document: dict[str, Any]) -> Json:
        remaining = strict.from_json(Quanta, {"quanta": document["remaining"]}).quanta
        dropped, missing = await self._entity.compared(caller, remaining)
        return {"dropped": dropped, "missing": strict.to_json(missing)}

    async def _peer_revokes(self, caller: str, document: dict[str, Any]) -> Json:
        what = strict.from_json(_Revocation, document)
        return {"dropped": await self._entity.revoked(caller, block=what.block, key=what.key)}

    async def _peer_has_vendor_keys(self, caller: str, document: dict[str, Any]) -> Json:
        ids = [requests.uuid(id) for id in document["ids"]]
        if self._vendor_keys is None:
            raise Refusal(400, "no vendor's keys are taken here")
        return {"quanta": await self._vendor_keys(caller, ids)}

    async def _revocations(self, caller: str, document: dict[str, Any]) -> Json:  # noqa: ARG002
        what = strict.from_json(_Revocation, document)
        dropped = await self._entity.revoke(block=what.block, key=what.key, peer=what.peer)
        return {"dropped": dropped}

    async def _pools(self, caller: str, document: dict[str, Any]) -> Json:  # noqa: ARG002
        return {"pools": [strict.to_json(pool) for pool in await self._entity.pools()]}

    async def _blocks(self, caller: str, document: dict[str, Any]) -> Json:  # noqa: ARG002
        provenance = strict.from_json(Provenance, document["provenance"])
        if provenance.peer not in self._peers:
            raise Refusal(400, "keys are not shared with this entity")
        material = base64.b64decode(document["material"], validate=True)
        try:
            return {"quanta": await self._entity.add(provenance, material)}
        except KeyReused as error:
            raise Refusal(400, str(error)) from None

    _for_peers: Final = {
        "assignments": _assignments, "remaining": _remaining, "revocations": _peer_revokes,
        "vendor-keys": _peer_has_vendor_keys,
    }  # fmt: skip
    _for_own: Final = {"blocks": _blocks, "pools": _pools, "revocations": _revocations}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Revocation:
    block: str | None = None
    key: str | None = None
    peer: str | None = None


def _query(query: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, strict_parsing=bool(query), max_num_fields=8
        )
    except ValueError as error:
        raise Refusal(400, "malformed query") from error
    if len(dict(pairs)) != len(pairs):
        raise Refusal(400, "a parameter occurs twice")
    return dict(pairs)


async def _body(receive: Receive, most: int) -> bytes:
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "the caller has gone")
        body += message.get("body", b"")
        if len(body) > most:
            raise Refusal(413, f"a body of more than {most} bytes")
        more = message.get("more_body", False)
    return bytes(body)
