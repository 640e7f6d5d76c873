"""What an entity's key nodes and its operator say to it while it serves, with its own certificate.

While an entity serves it alone has the store open. A key node hands it each accepted block; an operator looks
at the pools and revokes.
"""

from __future__ import annotations

import base64
from typing import Any, Final

import httpx

from qwarden.core import strict
from qwarden.core.errors import InputError, ServiceError, UsageError
from qwarden.core.files import Json, canonical_text
from qwarden.keys.kme.config import Loaded
from qwarden.keys.kme.http import OWN_PREFIX
from qwarden.keys.kme.records import Pool, Provenance
from qwarden.keys.kme.tls import client_context

TIMEOUT_S: Final = 60.0


class Operator:
    """Speaks to an entity that serves, under its own name.

    Parameters
    ----------
    settings : the entity's.
    """

    def __init__(self, settings: Loaded) -> None:
        self._name = settings.config.name
        context = client_context(settings.files, self._name)
        url = f"https://{settings.config.listen}"
        self._client = httpx.Client(base_url=url, verify=context, timeout=TIMEOUT_S, trust_env=False)

    def __enter__(self) -> Operator:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def add(self, provenance: Provenance, material: bytes) -> int:
        """Hand over an accepted block; return how many quanta it gave.

        Raises
        ------
        ServiceError
            The entity does not answer.
        InputError
            It does not take this: simulated keys in production mode, a block it has had before.
        """
        sent: Json = {
            "provenance": strict.to_json(provenance),
            "material": base64.b64encode(material).decode(),
        }
        return int(self._post("blocks", sent)["quanta"])

    def pools(self) -> list[Pool]:
        """Return what is shared with each other entity; raises as `add`."""
        return [strict.from_json(Pool, one) for one in self._post("pools", {})["pools"]]

    def revoke(
        self, *, block: str | None = None, key: str | None = None, peer: str | None = None
    ) -> dict[str, int]:
        """Drop keys at every end that has them; return how many at each, -1 if it did not answer.

        Raises as `add`, and `UsageError` if nothing is named.
        """
        given = {"block": block, "key": key, "peer": peer}
        if all(value is None for value in given.values()):
            raise UsageError("revoke a block, a key, or all that is shared with a peer")
        return dict(self._post("revocations", given)["dropped"])

    def _post(self, method: str, document: Json) -> dict[str, Any]:
        try:
            answer = self._client.post(OWN_PREFIX + method, content=canonical_text(document).encode())
            found: dict[str, Any] = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise ServiceError(f"{self._name}: {error or type(error).__name__}") from error
        if answer.status_code == 400:
            raise InputError(self._name, str(found.get("message")))
        if answer.status_code != 200:
            raise ServiceError(f"{self._name}: {answer.status_code}: {found.get('message')}")
        return found
