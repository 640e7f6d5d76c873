"""An application's client before an entity that answers anything at all."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from qwarden.core.errors import InputError, ServiceError
from qwarden.keys.kme import pki
from qwarden.keys.kme.client import KmeClient, KmeRefused
from qwarden.keys.kme.tls import Files

ID, OTHER = (str(uuid.UUID(int=n)) for n in (7, 8))
KEY = base64.b64encode(bytes(range(32))).decode()
STATUS = {
    "source_KME_ID": "AAAABBBBCCCCDDDD", "target_KME_ID": "EEEEFFFFGGGGHHHH",
    "master_SAE_ID": "IIIIJJJJKKKKLLLL",
    "slave_SAE_ID": "MMMMNNNNOOOOPPPP", "key_size": 352, "stored_key_count": 25000, "max_key_count": 100000,
    "max_key_per_request": 128, "max_key_size": 1024, "min_key_size": 64, "max_SAE_ID_count": 0,
}  # fmt: skip
"""The example of clause 6.1."""

Answering = Callable[[httpx.Response], tuple[KmeClient, list[httpx.Request]]]


@pytest.fixture
def answering(tmp_path: Path) -> Answering:
    files = pki.make(tmp_path, saes=["sae-1"]).files("sae-1")

    def make(response: httpx.Response) -> tuple[KmeClient, list[httpx.Request]]:
        asked: list[httpx.Request] = []

        def answer(request: httpx.Request) -> httpx.Response:
            asked.append(request)
            return response

        client = KmeClient("https://kme", "KME", files)
        client._client = httpx.Client(transport=httpx.MockTransport(answer), base_url="https://kme")
        return client, asked

    return make


def test_the_standard_s_examples_are_read(answering: Answering) -> None:
    client, asked = answering(httpx.Response(200, json=STATUS))
    status = client.status("MMMM/NNNN")
    assert (status.source_kme, status.key_size, status.max_sae_id_count) == ("AAAABBBBCCCCDDDD", 352, 0)
    assert asked[0].url.raw_path == b"/api/v1/keys/MMMM%2FNNNN/status"  # clause 5.2: URL-encoded
    keys = [
        {
            "key_ID": "bc490419-7d60-487f-adc1-4ddcc177c139",
            "key": "wHHVxRwDJs3/bXd38GHP3oe4svTuRpZS0yCC7x4Ly+s=",
        },
        {
            "key_ID": "0a782fb5-3434-48fe-aa4d-14f41d46cf92",
            "key": "OeGMPxh1+2RpJpNCYixWHFLYRubpOKCw94FcCI7VdJA=",
        },
    ]
    client, asked = answering(httpx.Response(200, json={"keys": keys, "key_container_extension": {}}))
    found = client.get_key("s", 2, 256, additional=["t"], mandatory=[{"abc_route_type": "direct"}])
    assert [(key.id, base64.b64encode(key.material).decode(), key.origin) for key in found] == [
        (key["key_ID"], key["key"], "vendor") for key in keys
    ]
    assert json.loads(asked[0].content) == {
        "number": 2, "size": 256, "additional_slave_SAE_IDs": ["t"],
        "extension_mandatory": [{"abc_route_type": "direct"}],
    }  # fmt: skip
    assert "wHHV" not in repr(found)


def test_keys_by_ids_come_in_the_order_that_was_asked_for(answering: Answering) -> None:
    keys = [{"key_ID": id, "key": KEY} for id in (OTHER.upper(), ID)]
    client, asked = answering(httpx.Response(200, json={"keys": keys}))
    assert [key.id for key in client.get_key_with_ids("m", [ID, OTHER])] == [ID, OTHER]
    assert json.loads(asked[0].content) == {"key_IDs": [{"key_ID": ID}, {"key_ID": OTHER}]}


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"[]", b"{", b'{"keys":1}', b'{"keys":[1]}', b'{"keys":[{}]}', b'{"keys":[],"keys":[]}', b"\xff",
        json.dumps({"keys": []}), json.dumps({"keys": [{"key_ID": "x", "key": KEY}]}),
        json.dumps({"keys": [{"key_ID": ID, "key": "a"}]}), json.dumps({"keys": [{"key_ID": ID, "key": ""}]}),
        json.dumps({"keys": [{"key_ID": ID, "key": KEY + "\n!"}]}),
        json.dumps({"keys": [{"key_ID": ID, "key": 5}]}),
        json.dumps({"keys": [{"key_ID": OTHER, "key": KEY}]}),
        json.dumps({"keys": [{"key_ID": ID, "key": KEY}] * 2}),
        json.dumps({"keys": [{"key_ID": ID, "key": KEY}, {"key_ID": OTHER, "key": KEY}]}),
    ],
    ids=range(17),
)  # fmt: skip
def test_other_answers_than_the_standard_s_are_none(answering: Answering, answer: bytes | str) -> None:
    client, _ = answering(httpx.Response(200, content=answer))
    with pytest.raises(ServiceError, match="KME: answers something else") as found:
        client.get_key_with_ids("m", [ID])
    assert KEY not in str(found.value)


@pytest.mark.parametrize("size", [128, 512])
def test_keys_of_another_size_or_number_are_refused(answering: Answering, size: int) -> None:
    client, _ = answering(httpx.Response(200, json={"keys": [{"key_ID": ID, "key": KEY}]}))
    assert client.get_key("s", 1, 256)
    for number, bits in ((1, size), (2, 256)):
        with pytest.raises(ServiceError, match="other keys"):
            client.get_key("s", number, bits)


@pytest.mark.parametrize("name", sorted(STATUS))
@pytest.mark.parametrize("value", [None, 1.0, True, [], "x", 5])
def test_a_status_of_wrong_types_is_none(answering: Answering, name: str, value: Any) -> None:
    if type(value) is type(STATUS[name]):
        return
    client, _ = answering(httpx.Response(200, json=STATUS | {name: value}))
    with pytest.raises(ServiceError, match="something else"):
        client.status("s")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, KmeRefused), (401, KmeRefused), (503, ServiceError), (302, ServiceError), (204, ServiceError)],
)
@pytest.mark.parametrize("body", [b'{"message":"why"}', b"<html>", b""])
def test_errors_are_told_apart(answering: Answering, status: int, kind: type[Exception], body: bytes) -> None:
    client, _ = answering(httpx.Response(status, content=body))
    with pytest.raises(kind, match=rf"KME: {status}: ({'why' if b'why' in body else 'no error data'})"):
        client.get_key("s")


def test_an_entity_that_is_not_there_is_a_service_that_is_not(tmp_path: Path) -> None:
    files = pki.make(tmp_path, saes=["sae-1"]).files("sae-1")
    with KmeClient("https://127.0.0.1:9", "KME", files) as client, pytest.raises(ServiceError, match="KME: "):
        client.status("s")


def test_a_certificate_without_a_name_or_none_at_all_is_named(tmp_path: Path) -> None:
    files = pki.make(tmp_path, saes=["sae-1"]).files("sae-1")
    missing = Files(ca=files.ca, certificate=tmp_path / "none.pem", key=files.key)
    with pytest.raises(InputError, match=r"none\.pem"):
        KmeClient("https://kme", "KME", missing)
    for wrong in (
        Files(ca=files.key, certificate=files.certificate, key=files.key),
        Files(ca=files.ca, certificate=files.ca, key=files.key),
    ):
        with pytest.raises(InputError, match=r"authority|no pair"):
            KmeClient("https://kme", "KME", wrong)
