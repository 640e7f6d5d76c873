"""The sign-in routes by themselves, without a server."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from fastapi import FastAPI

from qwarden.console.access import Access, Backoff
from qwarden.console.app import add_plain_routes, add_sign_in
from qwarden.console.gate import COOKIE
from qwarden.core.store import Store


class Person:
    """Asks an application, one request at a time."""

    def __init__(self, access: Access) -> None:
        self._app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        add_plain_routes(self._app)
        add_sign_in(self._app, access)

    def __call__(self, method: str, path: str, **request: object) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, client=("192.0.2.1", 1))
            async with httpx.AsyncClient(transport=transport, base_url="https://here") as client:
                return await client.request(method, path, **request)  # type: ignore[arg-type]

        return asyncio.run(ask())


@pytest.fixture
def access(store: Store, monkeypatch: pytest.MonkeyPatch) -> Access:
    made = Access(store, 600)
    made.backoff = Backoff(now=lambda: 0.0)
    monkeypatch.setattr(made.password, "verify", lambda attempt: attempt == "right")
    return made


def test_after_wrong_passwords_the_right_one_must_wait_as_well(access: Access) -> None:
    person = Person(access)
    statuses = [person("POST", "/login", data={"password": f"{at}"}).status_code for at in range(5)]
    assert statuses == [403, 403, 403, 403, 429]
    answer = person("POST", "/login", data={"password": "right"})
    assert answer.status_code == 429
    assert "Try again in 1 s" in answer.text
    assert "set-cookie" not in answer.headers


def test_a_person_comes_back_to_where_they_were(access: Access) -> None:
    finding = "/finding/01a205c8-17dc-718a-aa2e-2cd6e022faf7"
    person = Person(access)
    assert f'value="{finding}"' in person("GET", f"/login?next={finding}").text
    answer = person("POST", "/login", data={"password": "right", "next": finding})
    assert (answer.status_code, answer.headers["location"]) == (303, finding)
    assert access.sessions.valid(answer.cookies[COOKIE])
    assert "Max-Age=600" in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    "body", [b"", b"password", b"\xff\xfe", b"password=" + b"x" * 10_000, b"password=right&" + b"x" * 5000]
)
def test_what_is_no_form_of_ours_is_a_wrong_password(access: Access, body: bytes) -> None:
    assert Person(access)("POST", "/login", content=body).status_code == 403


def test_a_theme_is_one_of_three(access: Access) -> None:
    person = Person(access)
    answer = person("POST", "/theme", data={"theme": "dark", "next": "/"})
    assert "__Host-qwarden-theme=dark" in answer.headers["set-cookie"]
    assert "set-cookie" not in person("POST", "/theme", data={"theme": "x; Domain=evil"}).headers


@pytest.mark.parametrize("name", ["app.py", "..%2fapp.py", "%2e%2e/app.py", "console.css%00"])
def test_no_other_file_is_an_asset(access: Access, name: str) -> None:
    assert Person(access)("GET", f"/assets/{name}").status_code == 404
