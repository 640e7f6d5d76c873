"""An application's client for any key management entity that speaks ETSI GS QKD 014: ours or a vendor's.

The handshake fails unless the server's certificate is of the entity that is meant (clause 5.1); what comes
back is read strictly.

Source: ETSI GS QKD 014 V1.1.1, clauses 5 and 6.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

import httpx
from cryptography import x509
from cryptography.x509.oid import NameOID

from qwarden.core.errors import InputError, KeySupplyError, ServiceError
from qwarden.core.files import Json, canonical_json
from qwarden.core.keysupply import Key
from qwarden.keys.kme import requests
from qwarden.keys.kme.requests import ORIGIN, Refusal
from qwarden.keys.kme.tls import Files, client_context

TIMEOUT_S: Final = 10.0
T = TypeVar("T")
VENDOR: Final = "vendor"
"""Origin of a key whose entity says nothing about it."""


class KmeRefused(KeySupplyError):  # noqa: N818 - it is what was answered
    """The entity answered that it gives no such key.

    Parameters
    ----------
    status : 400 or 401.
    message : the entity's.
    """

    def __init__(self, kme: str, status: int, message: str) -> None:
        self.status, self.message = status, message
        super().__init__(f"{kme}: {status}: {message}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What an entity can give, clause 6.1.

    Parameters
    ----------
    source_kme, target_kme, master_sae, slave_sae : ids.
    key_size, min_key_size, max_key_size : bits.
    stored_key_count, max_key_count, max_key_per_request, max_sae_id_count : counts.
    extension : what else it says.
    """

    source_kme: str
    target_kme: str
    master_sae: str
    slave_sae: str
    key_size: int
    stored_key_count: int
    max_key_count: int
    max_key_per_request: int
    max_key_size: int
    min_key_size: int
    max_sae_id_count: int
    extension: Mapping[str, Any]


class KmeClient:
    """Speaks to one entity, for one application; connections are kept.

    Parameters
    ----------
    url : ``https://host:port``.
    kme : id of the entity, as its certificate must say.
    files : the application's certificate and key, and the authority it trusts.

    Attributes
    ----------
    own : the application's id: the common name of its certificate.

    Raises
    ------
    InputError
        A file is missing or no such thing.
    """

    def __init__(self, url: str, kme: str, files: Files, timeout_s: float = TIMEOUT_S) -> None:
        self.kme, self.own = kme, _common_name(files.certificate)
        context = client_context(files, kme)
        self._client = httpx.Client(base_url=url, verify=context, timeout=timeout_s, trust_env=False)

    def __enter__(self) -> KmeClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def status(self, slave: str) -> Status:
        """Return what can be had to share with a slave application, clause 5.2.

        Raises
        ------
        ServiceError
            The entity cannot be reached, is another, or answers something else than the standard's.
        KmeRefused
            It does not give it.
        """
        return self._asked("GET", slave, "status", None, _status)

    def get_key(
        self,
        slave: str,
        number: int = 1,
        size: int | None = None,
        *,
        additional: Sequence[str] = (),
        mandatory: Sequence[Mapping[str, Json]] = (),
    ) -> list[Key]:
        """Get new keys to share with a slave application, clause 5.3; raises as `status`.

        Parameters
        ----------
        size : bits of each; the entity's default if not given.
        additional : further slaves.
        mandatory : extensions that the entity must know.
        """
        asked: dict[str, Json] = {"number": number}
        if size is not None:
            asked["size"] = size
        if additional:
            asked["additional_slave_SAE_IDs"] = list(additional)
        if mandatory:
            asked["extension_mandatory"] = list(mandatory)
        keys = self._asked("POST", slave, "enc_keys", asked, _keys)
        if len(keys) != number or any(size is not None and key.bits != size for key in keys):
            raise self._other("other keys than were asked for")
        return keys

    def get_key_with_ids(self, master: str, ids: Sequence[str]) -> list[Key]:
        """Get the keys that a master application has got, in the order of `ids`, clause 5.4.

        Raises as `status`.
        """
        asked: Json = {"key_IDs": [{"key_ID": id} for id in ids]}
        keys = {key.id: key for key in self._asked("POST", master, "dec_keys", asked, _keys)}
        wanted = [id.lower() for id in ids]
        if sorted(keys) != sorted(wanted):
            raise self._other("other keys than were asked for")
        return [keys[id] for id in wanted]

    def _asked(self, method: str, sae: str, name: str, body: Json, read: Callable[[dict[str, Any]], T]) -> T:
        try:
            answer = self._client.request(
                method,
                f"/api/v1/keys/{quote(sae, safe='')}/{name}",
                content=None if body is None else canonical_json(body),
                headers={"content-type": "application/json"},
            )
        except httpx.HTTPError as error:
            raise ServiceError(f"{self.kme}: {error or type(error).__name__}") from error
        if answer.status_code in (400, 401):
            raise KmeRefused(self.kme, answer.status_code, _message(answer.content))
        if answer.status_code != 200:
            raise ServiceError(f"{self.kme}: {answer.status_code}: {_message(answer.content)}")
        try:
            return read(requests.json_object(answer.content))
        except (Refusal, ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._other("no data format of the standard") from error

    def _other(self, problem: str) -> ServiceError:
        return ServiceError(f"{self.kme}: answers something else: {problem}")


def _status(document: dict[str, Any]) -> Status:
    texts = ("source_KME_ID", "target_KME_ID", "master_SAE_ID", "slave_SAE_ID")
    wholes = (
        "key_size", "stored_key_count", "max_key_count", "max_key_per_request", "max_key_size",
        "min_key_size", "max_SAE_ID_count",
    )  # fmt: skip
    found: dict[str, Any] = {}
    for name in (*texts, *wholes):
        value = document[name]
        if type(value) is not (str if name in texts else int):
            raise ValueError(f"{name}: {type(value).__name__}")
        found[name.lower().removesuffix("_id") if name in texts else name.lower()] = value
    extension = document.get("status_extension", {})
    return Status(**found, extension=extension if isinstance(extension, dict) else {})


def _keys(document: dict[str, Any]) -> list[Key]:
    keys = []
    for one in document["keys"]:
        extension = one.get("key_extension")
        origin = extension.get(ORIGIN) if isinstance(extension, dict) else None
        keys.append(
            Key(
                id=requests.uuid(one["key_ID"]),
                material=base64.b64decode(one["key"], validate=True),
                origin=origin if isinstance(origin, str) else VENDOR,
            )
        )
    if len({key.id for key in keys}) != len(keys) or not all(key.material for key in keys):
        raise ValueError("a key occurs twice or is empty")
    return keys


def _message(body: bytes) -> str:
    try:
        return str(requests.json_object(body).get("message", ""))[:200]
    except Refusal:
        return "no error data of the standard"


def _common_name(certificate: Path) -> str:
    try:
        subject = x509.load_pem_x509_certificate(certificate.read_bytes()).subject
    except (OSError, ValueError) as error:
        raise InputError(certificate, "is no certificate that can be read") from error
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) != 1:
        raise InputError(certificate, "expected one common name, the SAE ID")
    return str(names[0].value)
