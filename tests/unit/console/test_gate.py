"""The gate before an application that would tell everything to anybody."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from qwarden.console.access import Sessions
from qwarden.console.gate import COOKIE, OPEN, Gate

ORIGIN = "https://127.0.0.1:9443"


class Known:
    """A password that does not change."""

    def hash(self) -> str:
        return "$argon2id$..."


class Chatty:
    """Answers everything, and keeps what it was asked."""

    def __init__(self, *headers: tuple[bytes, bytes]) -> None:
        self.headers = list(headers)
        self.scope: dict[str, Any] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] != "websocket.disconnect":
                await send({"type": "websocket.send", "text": message.get("text", "")})
            return
        await send({"type": "http.response.start", "status": 200, "headers": self.headers})
        await send({"type": "http.response.body", "body": b"secret"})


@pytest.fixture
def sessions() -> Sessions:
    return Sessions(Known(), 60)  # type: ignore[arg-type]


class Door:
    """A client of the gate."""

    def __init__(self, sessions: Sessions, app: Chatty | None = None) -> None:
        self.app = app or Chatty()
        self.gate = Gate(self.app, sessions, ["127.0.0.1", "localhost", "::1"])

    def ask(
        self, path: str = "/", method: str = "GET", token: str = "", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        sent: list[Any] = []
        asyncio.run(self.gate(self._scope("http", path, token, headers, method), self._nothing, keep(sent)))
        start, *parts = sent
        names = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        return start["status"], names, b"".join(part.get("body", b"") for part in parts)

    def talk(self, token: str, incoming: list[Any], **headers: str) -> list[Any]:
        """Open a socket, send messages (or call what is callable in between); return what came back."""
        sent: list[Any] = []
        queue = iter(incoming)

        async def receive() -> Any:
            message = next(queue)
            while callable(message):
                message()
                message = next(queue)
            return message

        scope = self._scope("websocket", "/_nicegui_ws/socket.io/", token, headers, "GET")
        asyncio.run(self.gate(scope, receive, keep(sent)))
        return sent

    @staticmethod
    def _scope(kind: str, path: str, token: str, headers: dict[str, str], method: str) -> dict[str, Any]:
        named = {"host": "127.0.0.1:9443", **{k.replace("_", "-"): v for k, v in headers.items()}}
        if token:
            named["cookie"] = f"other=1; {COOKIE}={token}"
        raw = [(name.encode(), value.encode()) for name, value in named.items()]
        return {"type": kind, "path": path, "method": method, "headers": raw, "query_string": b""}

    @staticmethod
    async def _nothing() -> Any:
        return {"type": "http.request", "body": b""}


def keep(sent: list[Any]) -> Any:
    async def send(message: Any) -> None:
        sent.append(message)

    return send


PATHS = ["/", "/finding/x", "/docs", "/openapi.json", "/logout", "/theme", "/_nicegui_ws/socket.io/",
         "/_nicegui/3/nicegui.js", "/assets/other.css", "/login/", "//login", "/healthz/x"]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_nothing_answers_without_a_session(sessions: Sessions, path: str) -> None:
    door = Door(sessions)
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
        status, _, body = door.ask(path, method, origin=ORIGIN)
        assert (status, body) == (401, b"sign in first\n")
    assert door.app.scope == {}


def test_a_page_asked_for_by_a_person_leads_to_the_sign_in(sessions: Sessions) -> None:
    status, headers, _ = Door(sessions).ask("/finding/7//x?", accept="text/html,*/*")
    assert (status, headers["location"]) == (303, "/login?next=/finding/7//x%3F")


def test_signing_in_and_health_are_open(sessions: Sessions) -> None:
    assert {"/login", "/healthz"} <= OPEN
    for path in OPEN:
        assert Door(sessions).ask(path)[2] == b"secret"


def test_a_session_opens_and_its_end_shuts(sessions: Sessions) -> None:
    token = sessions.open()
    assert Door(sessions).ask(token=token)[0] == 200
    sessions.close(token)
    assert Door(sessions).ask(token=token)[0] == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:9443", "", "[::2]:9443", "10.0.0.1"]
)
def test_other_hosts_are_not_served_even_with_a_session(sessions: Sessions, host: str) -> None:
    door = Door(sessions)
    assert door.ask(token=sessions.open(), host=host)[0] == 421
    assert door.ask("/login", host=host)[0] == 421


@pytest.mark.parametrize("host", ["localhost:9443", "LOCALHOST", "[::1]:9443", "127.0.0.1"])
def test_our_own_names_are(sessions: Sessions, host: str) -> None:
    assert Door(sessions).ask(token=sessions.open(), host=host)[0] == 200


@pytest.mark.parametrize(
    "origin", ["", "null", "https://evil.example", "http://127.0.0.1:9443", ORIGIN + "0"]
)
def test_changes_and_sockets_from_other_sites_are_refused(sessions: Sessions, origin: str) -> None:
    token = sessions.open()
    headers = {"origin": origin} if origin else {}
    assert Door(sessions).ask("/logout", "POST", token, **headers)[0] == 403
    assert Door(sessions).ask("/login", "POST", **headers)[0] == 403
    assert Door(sessions).talk(token, [], **headers) == [{"type": "websocket.close", "code": 1008}]


def test_a_socket_needs_a_session(sessions: Sessions) -> None:
    assert Door(sessions).talk("", [], origin=ORIGIN) == [{"type": "websocket.close", "code": 1008}]


def test_a_socket_closes_with_its_session(sessions: Sessions) -> None:
    token = sessions.open()
    said = {"type": "websocket.receive", "text": "hello"}
    sent = Door(sessions).talk(token, [said, lambda: sessions.close(token), said, said], origin=ORIGIN)
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.send"]


def test_nothing_is_sent_on_a_socket_whose_session_is_over(sessions: Sessions) -> None:
    token, sent = sessions.open(), list[Any]()

    async def pushing(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        sessions.close(token)
        await send({"type": "websocket.send", "text": "secret"})
        await send({"type": "websocket.send", "text": "secret"})

    gate = Gate(pushing, sessions, ["127.0.0.1"])
    scope = Door._scope("websocket", "/", token, {"origin": ORIGIN}, "GET")
    asyncio.run(gate(scope, Door._nothing, keep(sent)))
    assert sent == [{"type": "websocket.accept"}, {"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize("path", ["/login", "/", "/secret"])
def test_every_answer_carries_the_headers(sessions: Sessions, path: str) -> None:
    _, headers, _ = Door(sessions).ask(path)
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "same-origin"


def test_scripts_run_from_our_files_or_with_the_nonce_of_this_answer(sessions: Sessions) -> None:
    door = Door(sessions, Chatty((b"x-nicegui-content", b"page")))
    nonces = set()
    for _ in range(2):
        policy = door.ask(token=sessions.open())[1]["content-security-policy"]
        found = re.search(r"script-src 'self' 'nonce-([\w-]{24})';", policy)
        assert found
        assert found[1] == door.app.scope["state"]["nonce"]
        assert "unsafe-eval" not in policy
        assert "http" not in policy
        nonces.add(found[1])
    assert len(nonces) == 2


def test_what_claims_to_come_from_a_proxy_is_dropped(sessions: Sessions) -> None:
    door = Door(sessions)
    door.ask(token=sessions.open(), x_forwarded_prefix="/evil", x_forwarded_for="10.0.0.1")
    names = {name for name, _ in door.app.scope["headers"]}
    assert not any(name.startswith(b"x-forwarded") for name in names)
    assert b"cookie" in names
