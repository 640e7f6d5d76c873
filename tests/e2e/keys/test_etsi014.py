"""ETSI GS QKD 014 V1.1.1: each "shall" of clauses 4 to 6 as a test of its own, over real mutual TLS.

Names follow the clauses. What is asked of the world outside a key management entity (clause 4: sites, trusted
nodes) is not tested here.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.keys.entities import Entities, fill, prepare, serving

from qwarden.core.errors import ServiceError
from qwarden.keys.kme import pki
from qwarden.keys.kme.client import KmeClient, KmeRefused
from qwarden.keys.kme.tls import Files, client_context

BASE = "/api/v1/keys"
ENC, DEC, STATUS = f"{BASE}/sae-2/enc_keys", f"{BASE}/sae-1/dec_keys", f"{BASE}/sae-2/status"
REFUSED = (ssl.SSLError, ConnectionError)
TABLE_9 = {
    "source_KME_ID": str, "target_KME_ID": str, "master_SAE_ID": str, "slave_SAE_ID": str, "key_size": int,
    "stored_key_count": int, "max_key_count": int, "max_key_per_request": int, "max_key_size": int,
    "min_key_size": int, "max_SAE_ID_count": int,
}  # fmt: skip


@pytest.fixture(scope="module")
def entities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entities]:
    made = prepare(tmp_path_factory.mktemp("entities"))
    fill(made)
    with serving(made) as found:
        yield found


@pytest.fixture(scope="module")
def master(entities: Entities) -> Iterator[httpx.Client]:
    with entities.raw("sae-1", "kme-a") as client:
        yield client


@pytest.fixture(scope="module")
def slave(entities: Entities) -> Iterator[httpx.Client]:
    with entities.raw("sae-2", "kme-b") as client:
        yield client


def keys_of(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    keys = answer.json()["keys"]
    assert isinstance(keys, list)
    return keys


def refused(answer: httpx.Response, status: int = 400, message: str | None = None) -> None:
    assert answer.status_code == status, answer.text
    assert isinstance(answer.json()["message"], str)
    if message is not None:
        assert answer.json()["message"] == message


# --- Clause 5.1: protocol, TLS, mutual authentication --------------------------------------------------


def shake(entities: Entities, context: ssl.SSLContext, kme: str = "kme-a") -> str:
    """Connect, ask for the status, and return the TLS version."""
    host, port = entities.urls[kme].removeprefix("https://").split(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        secured.sendall(f"GET {STATUS} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = secured.recv(12)
        if not answer:  # under TLS 1.3 a client hears of a refusal after its handshake
            raise ConnectionResetError("the connection was closed")
        assert answer == b"HTTP/1.1 200"
        return secured.version() or ""


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_5_1_tls_of_version_1_2_and_1_3_is_spoken(entities: Entities, version: ssl.TLSVersion) -> None:
    context = client_context(entities.made.files("sae-1"), "kme-a")
    context.minimum_version = context.maximum_version = version
    assert shake(entities, context) == version.name.replace("_", ".").replace("TLSv1.", "TLSv1.")


def hello(version: int) -> bytes:
    """A ClientHello whose highest version is 1.`version - 1`, as a client of any age could send it."""
    extensions = bytes.fromhex("000a00060004001d0017000d0006000404030503000b00020100")
    body = (
        bytes([3, version])
        + bytes(32)
        + bytes.fromhex("000006c02bc02cc00a0100")
        + struct.pack(">H", len(extensions))
        + extensions
    )
    message = b"\x01" + struct.pack(">I", len(body))[1:] + body
    return b"\x16\x03\x01" + struct.pack(">H", len(message)) + message


@pytest.mark.parametrize(("version", "answered"), [(1, False), (2, False), (3, True)])
def test_5_1_tls_below_version_1_2_is_refused(entities: Entities, version: int, answered: bool) -> None:
    host, port = entities.urls["kme-a"].removeprefix("https://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as plain:
        plain.sendall(hello(version))
        assert plain.recv(1).startswith(b"\x16") is answered


def test_5_1_plain_http_is_not_answered(entities: Entities) -> None:
    with pytest.raises(httpx.HTTPError):
        httpx.get(entities.urls["kme-a"].replace("https", "http") + STATUS)


def test_5_1_a_caller_without_a_certificate_is_rejected(entities: Entities) -> None:
    context = ssl.create_default_context(cafile=str(entities.made.folder / "ca.pem"))
    with pytest.raises(REFUSED):
        shake(entities, context)


def test_5_1_a_certificate_of_another_authority_is_rejected(entities: Entities, tmp_path: Path) -> None:
    other = pki.make(tmp_path, saes=["sae-1"]).files("sae-1")
    files = Files(ca=entities.made.folder / "ca.pem", certificate=other.certificate, key=other.key)
    with pytest.raises(REFUSED):
        shake(entities, client_context(files, "kme-a"))


@pytest.mark.parametrize("days", [-400, 2], ids=["expired", "not yet valid"])
def test_5_1_a_certificate_out_of_its_time_is_rejected(entities: Entities, tmp_path: Path, days: int) -> None:
    shutil.copytree(entities.made.folder, tmp_path, dirs_exist_ok=True)
    made = pki.make(tmp_path, saes=["sae-1"], now=datetime.now(UTC) + timedelta(days=days))
    with pytest.raises(REFUSED):
        shake(entities, client_context(made.files("sae-1"), "kme-a"))


def test_5_1_the_sae_id_is_that_of_the_certificate(entities: Entities) -> None:
    with entities.application("sae-4") as client:
        assert client.own == "sae-4"
        assert client.status("sae-2").master_sae == "sae-4"


def test_5_1_an_entity_of_another_id_is_not_spoken_to(entities: Entities) -> None:
    with (
        KmeClient(entities.urls["kme-a"], "kme-b", entities.made.files("sae-1")) as client,
        pytest.raises(ServiceError, match="of 'kme-a', not of 'kme-b'"),
    ):
        client.get_key("sae-2")


def test_5_1_an_application_cannot_pose_as_an_entity(entities: Entities) -> None:
    """Its certificate is good for calling alone."""
    files = entities.made.files("sae-1")
    listening = socket.create_server(("127.0.0.1", 0))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)

    def answer() -> None:
        with contextlib.suppress(OSError):
            context.wrap_socket(listening.accept()[0], server_side=True).close()

    thread = threading.Thread(target=answer)
    thread.start()
    url = f"https://127.0.0.1:{listening.getsockname()[1]}"
    with KmeClient(url, "sae-1", entities.made.files("sae-4")) as client, pytest.raises(ServiceError):
        client.status("sae-2")
    thread.join(10)
    listening.close()


def test_5_1_the_three_methods_of_table_2_are_there(master: httpx.Client, slave: httpx.Client) -> None:
    assert master.get(STATUS).status_code == 200
    (got,) = keys_of(master.post(ENC, json={}))
    (post,) = keys_of(slave.post(DEC, json={"key_IDs": [{"key_ID": got["key_ID"]}]}))
    assert post["key"] == got["key"]
    (got,) = keys_of(master.get(ENC))
    (get,) = keys_of(slave.get(DEC, params={"key_ID": got["key_ID"]}))
    assert get["key"] == got["key"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", STATUS, "GET"),
        ("PUT", ENC, "GET, POST"),
        ("DELETE", DEC, "GET, POST"),
        ("PATCH", ENC, "GET, POST"),
        ("HEAD", STATUS, "GET"),
    ],
)
def test_5_1_other_access_methods_are_refused(
    master: httpx.Client, method: str, path: str, allowed: str
) -> None:
    answer = master.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("path", [STATUS, ENC])
def test_5_1_answers_are_json_in_utf_8(master: httpx.Client, path: str) -> None:
    answer = master.get(path)
    assert answer.headers["content-type"] == "application/json"
    assert isinstance(json.loads(answer.content.decode()), dict)


@pytest.mark.parametrize(
    "path",
    [
        "/", "/api/v1/keys/sae-2", "/api/v1/keys/sae-2/other", "/api/v2/keys/sae-2/status",
        "/api/v1/keys/sae-2/status/", "/api/v1/keys/sae-2/../sae-2/statusx", "/api/v1/keys//x/status",
    ],
)  # fmt: skip
def test_5_1_other_paths_are_not_there(master: httpx.Client, path: str) -> None:
    refused(master.get(path), 404)


@pytest.mark.parametrize("name", ["..%2f..%2fetc", "%00", "a%20b", "a" * 200, "%2e%2e", "-x", "é"])
def test_5_1_a_malformed_sae_id_is_refused(master: httpx.Client, name: str) -> None:
    answer = master.get(f"{BASE}/{name}/status")
    assert answer.status_code in (400, 404)
    refused(answer, answer.status_code)


def test_5_1_a_url_encoded_sae_id_is_decoded(master: httpx.Client) -> None:
    assert master.get(f"{BASE}/sae%2D2/status").json()["slave_SAE_ID"] == "sae-2"


# --- Clause 5.2 and 6.1: get status --------------------------------------------------------------------


def test_6_1_status_has_the_items_of_table_9(master: httpx.Client) -> None:
    status = master.get(STATUS).json()
    assert {name: type(status[name]) for name in TABLE_9} == TABLE_9
    assert (status["source_KME_ID"], status["target_KME_ID"]) == ("kme-a", "kme-b")
    assert (status["master_SAE_ID"], status["slave_SAE_ID"]) == ("sae-1", "sae-2")
    assert status["min_key_size"] <= status["key_size"] <= status["max_key_size"]
    assert 0 < status["stored_key_count"] <= status["max_key_count"]
    assert isinstance(status.get("status_extension", {}), dict)


def test_6_1_stored_key_count_falls_with_each_key(master: httpx.Client) -> None:
    before = master.get(STATUS).json()["stored_key_count"]
    keys_of(master.get(ENC, params={"number": "3"}))
    assert master.get(STATUS).json()["stored_key_count"] == before - 3


def test_5_2_simulated_keys_are_marked(master: httpx.Client) -> None:
    extension = master.get(STATUS).json()["status_extension"]
    assert extension == {"qwarden_mode": "laboratory", "qwarden_origin": ["simulated"]}
    assert keys_of(master.get(ENC))[0]["key_extension"]["qwarden_origin"] == "simulated"


def test_5_2_an_unknown_slave_is_a_bad_request(master: httpx.Client) -> None:
    refused(master.get(f"{BASE}/nobody/status"))


def test_5_2_an_application_of_another_entity_is_unauthorised(entities: Entities) -> None:
    with entities.raw("sae-2", "kme-a") as client:
        for path in (STATUS, ENC, DEC):
            refused(client.get(path), 401)


# --- Clause 5.3 and 6.2: get key -----------------------------------------------------------------------


@pytest.mark.parametrize("empty", [b"", b"{}", b" {} "])
def test_6_2_all_items_are_optional_and_one_key_of_the_default_size_comes(
    master: httpx.Client, empty: bytes
) -> None:
    (key,) = keys_of(master.post(ENC, content=empty))
    assert len(base64.b64decode(key["key"])) * 8 == master.get(STATUS).json()["key_size"] == 256


@pytest.mark.parametrize("size", [64, 72, 256, 264, 512, 1024, 4096])
def test_6_2_number_and_size_are_kept_to_by_get_and_post(
    master: httpx.Client, slave: httpx.Client, size: int
) -> None:
    posted = keys_of(master.post(ENC, json={"number": 3, "size": size}))
    got = keys_of(master.get(ENC, params={"number": "2", "size": str(size)}))
    assert [len(posted), len(got)] == [3, 2]
    ids = [key["key_ID"] for key in (*posted, *got)]
    fetched = keys_of(slave.post(DEC, json={"key_IDs": [{"key_ID": id} for id in ids]}))
    assert [key["key"] for key in fetched] == [key["key"] for key in (*posted, *got)]
    assert {len(base64.b64decode(key["key"])) * 8 for key in fetched} == {size}


@pytest.mark.parametrize("size", [65, 255, 257, 4095])
def test_6_2_a_size_that_is_no_multiple_of_8_is_refused_with_the_message(
    master: httpx.Client, size: int
) -> None:
    refused(master.post(ENC, json={"size": size}), 400, "size shall be a multiple of 8")
    refused(master.get(ENC, params={"size": str(size)}), 400, "size shall be a multiple of 8")


@pytest.mark.parametrize(
    "asked",
    [
        {"number": 0}, {"number": -1}, {"number": 129}, {"number": "3"}, {"number": 1.0}, {"number": True},
        {"number": None}, {"size": 0}, {"size": -8}, {"size": 56}, {"size": 4104}, {"size": "256"},
        {"size": 1 << 70}, {"other": 1}, {"additional_slave_SAE_IDs": "sae-3"},
        {"additional_slave_SAE_IDs": [3]}, {"additional_slave_SAE_IDs": ["nobody"]},
        {"additional_slave_SAE_IDs": ["../x"]}, {"additional_slave_SAE_IDs": ["sae-3"] * 9},
        {"additional_slave_SAE_IDs": ["sae-4"]}, {"extension_mandatory": {}}, {"extension_mandatory": [1]},
        {"extension_optional": "x"},
    ],
)  # fmt: skip
def test_5_3_a_request_of_a_wrong_format_is_refused_and_takes_no_key(
    master: httpx.Client, asked: dict[str, Any]
) -> None:
    before = master.get(STATUS).json()["stored_key_count"]
    refused(master.post(ENC, content=json.dumps(asked)))
    assert master.get(STATUS).json()["stored_key_count"] == before


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"[]", b"null", b'"x"', b"number=3", b'{"number":1,"number":2}', b'{"number":NaN}',
        b'{"size":1e999}', b"\xff\xfe{\x00}\x00", b'{"a":"\xff"}', b"[" * 50_000,
        b'{"number":' + b"9" * 5000 + b"}",
        b'{"extension_optional":[{"a":1,"a":2}]}',
    ],
    ids=range(13),
)  # fmt: skip
def test_5_3_a_body_that_is_no_json_object_is_refused(master: httpx.Client, body: bytes) -> None:
    refused(master.post(ENC, content=body))


@pytest.mark.parametrize(
    "query",
    ["number=x", "number=", "number=1&number=2", "size=-8", "number=1.0", "key_ID=x", "number", "n%00=1",
     "number=%31%31%31%31%31%31%31%31%31%31", "&".join(f"a{i}=1" for i in range(9)), "number=1;size=8"],
)  # fmt: skip
def test_6_2_other_uri_parameters_are_refused(master: httpx.Client, query: str) -> None:
    refused(master.get(f"{ENC}?{query}"))


def test_6_2_uri_parameters_of_a_post_are_not_passed_over(master: httpx.Client) -> None:
    refused(master.post(f"{ENC}?number=3", json={}))


def test_6_2_additional_slaves_get_the_identical_key_each_once(entities: Entities) -> None:
    with entities.application("sae-1") as ours, entities.application("sae-2") as second:
        (key,) = ours.get_key("sae-2", additional=["sae-3", "sae-3"])
        assert second.get_key_with_ids("sae-1", [key.id]) == [key]
        with pytest.raises(KmeRefused) as again:
            second.get_key_with_ids("sae-1", [key.id])
        assert again.value.status == 401
        with entities.application("sae-3") as third:
            assert third.get_key_with_ids("sae-1", [key.id]) == [key]
            with pytest.raises(KmeRefused, match="not found on KME"):
                third.get_key_with_ids("sae-1", [key.id])


def test_6_2_mandatory_extensions_that_are_not_supported_are_refused_with_the_message(
    master: httpx.Client,
) -> None:
    asked = {"extension_mandatory": [{"abc_route_type": "direct"}, {"qwarden_origin": "simulated"}]}
    answer = master.post(ENC, json=asked)
    refused(answer, 400, "not all extension_mandatory parameters are supported")
    assert answer.json()["details"] == [
        {"extension_mandatory_unsupported": "abc_route_type is not supported"}
    ]


@pytest.mark.parametrize("origin", ["vendor", "imported", "moon", 3, None, {}])
def test_6_2_mandatory_extensions_that_cannot_be_met_are_refused_with_the_message(
    master: httpx.Client, origin: object
) -> None:
    answer = master.post(ENC, json={"extension_mandatory": [{"qwarden_origin": origin}]})
    refused(answer, 400, "not all extension_mandatory request options could be met")


def test_6_2_mandatory_extensions_that_can_be_met_are(master: httpx.Client) -> None:
    asked = {"extension_mandatory": [{"qwarden_origin": "simulated"}]}
    assert keys_of(master.post(ENC, json=asked))[0]["key_extension"]["qwarden_origin"] == "simulated"


def test_6_2_optional_extensions_may_be_ignored(master: httpx.Client) -> None:
    assert keys_of(master.post(ENC, json={"extension_optional": [{"abc_max_age": 30000, "x": {"y": []}}]}))


def test_5_3_keys_that_were_delivered_are_removed_and_come_to_nobody_again(
    master: httpx.Client, slave: httpx.Client
) -> None:
    seen = [key for _ in range(4) for key in keys_of(master.post(ENC, json={"number": 16}))]
    assert len({key["key_ID"] for key in seen}) == len({key["key"] for key in seen}) == 64
    # Nor by its id to the one who got it, at either entity.
    refused(master.get(f"{BASE}/sae-2/dec_keys", params={"key_ID": seen[0]["key_ID"]}), 400)


# --- Clause 5.4, 6.3 and 6.4: get key with key IDs -----------------------------------------------------


def test_6_3_a_key_container_has_the_items_of_table_11(master: httpx.Client, slave: httpx.Client) -> None:
    (key,) = keys_of(master.get(ENC))
    (same,) = keys_of(slave.get(DEC, params={"key_ID": key["key_ID"].upper()}))
    for found in (key, same):
        assert str(uuid.UUID(found["key_ID"])) == found["key_ID"]
        assert len(base64.b64decode(found["key"], validate=True)) == 32
        assert set(found) <= {"key_ID", "key", "key_ID_extension", "key_extension"}
    assert same == key


def test_5_4_keys_are_removed_after_delivery(master: httpx.Client, slave: httpx.Client) -> None:
    (key,) = keys_of(master.get(ENC))
    keys_of(slave.get(DEC, params={"key_ID": key["key_ID"]}))
    refused(
        slave.get(DEC, params={"key_ID": key["key_ID"]}),
        400,
        "one or more keys specified are not found on KME",
    )


def test_5_4_who_was_not_named_is_unauthorised_and_the_key_waits_on(
    entities: Entities, master: httpx.Client, slave: httpx.Client
) -> None:
    ids = [key["key_ID"] for key in keys_of(master.get(ENC, params={"number": "2"}))]
    with entities.application("sae-1") as ours, entities.raw("sae-3", "kme-b") as other:
        (shared,) = ours.get_key("sae-2", additional=["sae-3"])
        refused(other.get(DEC, params={"key_ID": ids[0]}), 401)
        # One of several suffices; and nothing of the rest is handed out.
        wanted = {"key_IDs": [{"key_ID": id} for id in (shared.id, ids[1], str(uuid.uuid4()))]}
        refused(other.post(DEC, json=wanted), 401)
        assert keys_of(other.get(DEC, params={"key_ID": shared.id}))
    assert len(keys_of(slave.post(DEC, json={"key_IDs": [{"key_ID": id} for id in ids]}))) == 2


def test_5_4_the_master_itself_does_not_get_it_at_the_other_entity(entities: Entities) -> None:
    with entities.application("sae-1") as ours, entities.raw("sae-1", "kme-b") as there:
        (key,) = ours.get_key("sae-2")
        refused(there.get(DEC, params={"key_ID": key.id}), 401)


def test_6_4_another_master_has_no_such_key(master: httpx.Client, slave: httpx.Client) -> None:
    (key,) = keys_of(master.get(ENC))
    refused(
        slave.get(f"{BASE}/sae-4/dec_keys", params={"key_ID": key["key_ID"]}),
        400,
        "one or more keys specified are not found on KME",
    )
    assert keys_of(slave.get(DEC, params={"key_ID": key["key_ID"]}))


def test_6_4_unknown_ids_are_refused_with_the_message_and_nothing_is_handed_out(
    master: httpx.Client, slave: httpx.Client
) -> None:
    (key,) = keys_of(master.get(ENC))
    wanted = {"key_IDs": [{"key_ID": key["key_ID"]}, {"key_ID": str(uuid.uuid4())}]}
    refused(slave.post(DEC, json=wanted), 400, "one or more keys specified are not found on KME")
    assert keys_of(slave.get(DEC, params={"key_ID": key["key_ID"]}))


def test_6_4_extensions_of_table_12_are_taken(master: httpx.Client, slave: httpx.Client) -> None:
    (key,) = keys_of(master.get(ENC))
    wanted = {"key_IDs": [{"key_ID": key["key_ID"], "key_ID_extension": {}}], "key_IDs_extension": {}}
    assert keys_of(slave.post(DEC, json=wanted))


@pytest.mark.parametrize(
    "asked",
    [
        {}, {"key_IDs": []}, {"key_IDs": "x"}, {"key_IDs": ["x"]}, {"key_IDs": [{}]},
        {"key_IDs": [{"key_ID": 1}]}, {"key_IDs": [{"key_ID": "../../etc/passwd"}]},
        {"key_IDs": [{"key_ID": "' or 1=1 --"}]}, {"key_IDs": [{"key_ID": str(uuid.UUID(int=1)), "x": 1}]},
        {"key_IDs": [{"key_ID": str(uuid.UUID(int=i))} for i in range(129)]},
        {"key_IDs": [{"key_ID": str(uuid.UUID(int=1))}] * 2},
        {"key_IDs": [{"key_ID": str(uuid.UUID(int=1))}], "x": 1},
    ],
    ids=range(12),
)  # fmt: skip
def test_5_4_a_request_of_a_wrong_format_is_refused(slave: httpx.Client, asked: dict[str, Any]) -> None:
    refused(slave.post(DEC, content=json.dumps(asked)))


@pytest.mark.parametrize("query", ["", "key_ID=", "key_ID=x", "number=1", "key_ID=a&key_ID=b"])
def test_6_4_a_get_takes_one_key_id_alone(slave: httpx.Client, query: str) -> None:
    refused(slave.get(f"{DEC}?{query}"))


# --- Clause 6.5: errors --------------------------------------------------------------------------------


def test_6_5_errors_have_the_items_of_table_13(master: httpx.Client) -> None:
    for answer in (
        master.get(f"{ENC}?size=7"),
        master.post(ENC, json={"extension_mandatory": [{"x": 1}]}),
        master.get(f"{BASE}/nobody/enc_keys"),
        master.get(DEC.replace("sae-1", "sae-2"), params={"key_ID": str(uuid.uuid4())}),
    ):
        document = answer.json()
        assert isinstance(document["message"], str)
        assert set(document) <= {"message", "details"}
        assert all(isinstance(one, dict) for one in document.get("details", []))


def test_5_3_too_few_keys_is_an_error_of_the_server_and_takes_none(
    entities: Entities, master: httpx.Client
) -> None:
    with entities.raw("sae-2", "kme-b") as other:
        before = other.get(f"{BASE}/sae-1/status").json()["stored_key_count"]
        asked = {"number": 128, "size": 4096}  # more quanta than this end may draw
        taken = 0
        while (answer := other.post(f"{BASE}/sae-1/enc_keys", json=asked)).status_code == 200:
            taken += 128 * 16
        refused(answer, 503)
        left = other.get(f"{BASE}/sae-1/status").json()["stored_key_count"]
        assert left == before - taken
        assert left > 0


# --- Limits --------------------------------------------------------------------------------------------


def test_an_oversize_body_is_refused(master: httpx.Client) -> None:
    assert master.post(ENC, content=b" " * (256 * 1024 + 1)).status_code == 413


def test_oversize_headers_are_refused(entities: Entities) -> None:
    with entities.raw("sae-1", "kme-a") as client:
        assert client.get(STATUS, headers={"x": "y" * 20_000}).status_code == 400
        assert client.get(STATUS).status_code == 200


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /api/v1/", f"POST {ENC} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{".encode()],
    ids=["nothing", "no headers", "no body"],
)
def test_a_caller_that_is_slow_is_let_go(
    entities: Entities, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr("qwarden.keys.kme.server.REQUEST_S", 0.3)
    host, port = entities.urls["kme-a"].removeprefix("https://").split(":")
    context = client_context(entities.made.files("sae-1"), "kme-a")
    with (
        socket.create_connection((host, int(port)), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        secured.sendall(sent)
        with contextlib.suppress(ConnectionError):  # reset
            assert secured.recv(100) == b""


# --- Delivery under load, and with a tool that is not ours ---------------------------------------------


def test_sixteen_clients_at_once_get_each_key_once_and_both_ends_alike(entities: Entities) -> None:
    got: list[list[Any]] = [[] for _ in range(16)]

    def work(mine: list[Any]) -> None:
        with entities.application("sae-1") as client:
            for _ in range(8):
                mine += client.get_key("sae-2")

    threads = [threading.Thread(target=work, args=(mine,)) for mine in got]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    keys = [key for mine in got for key in mine]
    assert len(keys) == len({key.id for key in keys}) == len({key.material for key in keys}) == 128
    # At the other end all sixteen want all of them: each comes to one alone.
    taken: list[Any] = []
    refusals: set[str] = set()
    lock = threading.Lock()

    def fetch() -> None:
        with entities.application("sae-2") as client:
            for key in keys[:32]:
                try:
                    found = client.get_key_with_ids("sae-1", [key.id])
                except KmeRefused as refusal:
                    refusals.add(refusal.message)
                else:
                    with lock:
                        taken.extend(found)

    threads = [threading.Thread(target=fetch) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(key.id for key in taken) == sorted(key.id for key in keys[:32])
    assert refusals == {"one or more keys specified are not found on KME"}
    by_id = {key.id: key.material for key in keys}
    assert all(by_id[key.id] == key.material for key in taken)


def test_keys_come_by_curl(entities: Entities) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")

    def curl(sae: str, url: str) -> dict[str, Any]:
        files = entities.made.files(sae)
        command = ["curl", "--silent", "--fail", "--cacert", files.ca, "--cert", files.certificate, "--key",
                   files.key, url]  # fmt: skip
        done = subprocess.run(
            command, capture_output=True, check=True, timeout=60, env={**os.environ, "no_proxy": "*"}
        )
        found = json.loads(done.stdout)
        assert isinstance(found, dict)
        return found

    assert curl("sae-1", entities.urls["kme-a"] + STATUS)["source_KME_ID"] == "kme-a"
    (key,) = curl("sae-1", f"{entities.urls['kme-a']}{ENC}?size=512")["keys"]
    (same,) = curl("sae-2", f"{entities.urls['kme-b']}{DEC}?key_ID={key['key_ID']}")["keys"]
    assert same == key
