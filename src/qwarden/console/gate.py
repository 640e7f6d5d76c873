"""The gate: what every request and every socket passes before anything else sees it.

In this order: the host it asks for must be ours (or a foreign name could be pointed at us: DNS
rebinding), whatever changes something or opens a socket must come from our own page (Origin), and all
but the sign-in page needs a session. What goes out carries the security headers.

A socket outlives the request that opened it, so its session is looked at again with every message.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from qwarden.console.access import Sessions

COOKIE: Final = "__Host-qwarden"
"""The prefix makes browsers insist on Secure, on Path=/ and on no Domain (RFC 6265bis, 4.1.3.2)."""

OPEN: Final = frozenset({"/login", "/healthz", "/assets/console.css", "/assets/icon.svg", "/metrics"})
"""What answers without a session; figures ask for a token of their own."""

_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})

_STRICT: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
# Quasar and Vue set styles at run time; scripts run from our files, or with this answer's nonce.
_PAGE: Final = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)

# No Strict-Transport-Security: it holds for a host with all its ports, and would lock people out of
# whatever else runs on their localhost. No plain HTTP is served here anyway.
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with "no-referrer" forms would be sent with Origin: null
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


class Gate:
    """ASGI middleware around the whole application.

    Parameters
    ----------
    app : what lies behind.
    sessions : which tokens are good.
    hosts : names and addresses we answer to.
    """

    def __init__(self, app: ASGIApp, sessions: Sessions, hosts: Iterable[str]) -> None:
        self._app, self._sessions = app, sessions
        self._hosts = {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        token = session_token(headers)
        nonce = secrets.token_urlsafe(18)
        refusal = self._refusal(scope, headers, token)
        if scope["type"] == "websocket":
            if refusal is not None:
                await send({"type": "websocket.close", "code": 1008})
                return
            receive, send = self._watched(receive, send, token)
        else:
            send = _with_headers(send, nonce)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        scope.setdefault("state", {})["nonce"] = nonce
        # Behind no proxy of ours: what claims to come from one is the client's own word.
        scope["headers"] = [(k, v) for k, v in scope["headers"] if not k.startswith(b"x-forwarded-")]
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers, token: str) -> Response | None:
        """Return the answer to what may not pass, None for what may."""
        host = headers.get("host", "")
        if host_name(host) not in self._hosts:
            return PlainTextResponse("this host is not served here\n", 421)
        changes = scope["type"] == "websocket" or scope["method"] not in _SAFE_METHODS
        if changes and headers.get("origin", "").lower() != f"https://{host}".lower():
            return PlainTextResponse("from another site\n", 403)
        path = scope["path"]
        if path in OPEN or self._sessions.valid(token):
            return None
        if not changes and "text/html" in headers.get("accept", ""):
            back = f"?next={quote(path, safe='/')}" if path != "/" else ""
            return RedirectResponse(f"/login{back}", 303)
        return PlainTextResponse("sign in first\n", 401)

    def _watched(self, receive: Receive, send: Send, token: str) -> tuple[Receive, Send]:
        """Close a socket when its session ends: nothing goes out or in after that."""
        closed = False

        async def checked_receive() -> Message:
            message = await receive()
            if self._sessions.valid(token):
                return message
            return {"type": "websocket.disconnect", "code": 1008}

        async def checked_send(message: Message) -> None:
            nonlocal closed
            if closed:
                return
            if not self._sessions.valid(token):
                closed = True
                message = {"type": "websocket.close", "code": 1008}
            await send(message)

        return checked_receive, checked_send


def _with_headers(send: Send, nonce: str) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            built_by_nicegui = "x-nicegui-content" in headers
            headers["Content-Security-Policy"] = _PAGE.format(nonce=nonce) if built_by_nicegui else _STRICT
            for name, value in _HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return with_headers


def session_token(headers: Headers) -> str:
    """Return the session's token from a request's cookies, empty if it has none."""
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookies[COOKIE].value if COOKIE in cookies else ""


def host_name(host: str) -> str:
    """Return the name or address in a Host header, without the port.

    >>> host_name("[::1]:9443"), host_name("LocalHost:9443"), host_name("127.0.0.1")
    ('::1', 'localhost', '127.0.0.1')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()
