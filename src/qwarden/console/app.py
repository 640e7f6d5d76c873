"""Routes: what answers where.

The pages are NiceGUI's, on its one application in the process; so `create_app` is called once.
Sign-in is plain HTML, and needs nothing that a session guards.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, Response
from jinja2 import BaseLoader, Environment
from nicegui import client as nicegui_client
from nicegui import ui

from qwarden.console.access import Access, Verdict
from qwarden.console.board import Board
from qwarden.console.gate import COOKIE, Gate, session_token
from qwarden.console.metrics import Metrics, add_metrics
from qwarden.console.pages.finding import absent_page, finding_page
from qwarden.console.pages.keys import keys_page
from qwarden.console.pages.layout import THEME_COOKIE, THEMES, theme_of
from qwarden.console.pages.login import login_html, safe_path
from qwarden.console.pages.overview import overview
from qwarden.core.errors import StoreError, UsageError
from qwarden.detect import stored_finding

if TYPE_CHECKING:
    from starlette.types import ASGIApp

log = logging.getLogger(__name__)

ASSETS = Path(__file__).parent / "assets"

_LARGEST_FORM = 4096
_CATCH_UP_S = 2.0


def create_app(
    board: Board, access: Access, fpr: float, hosts: Iterable[str], metrics: Metrics, token: bytes
) -> ASGIApp:
    """Return the console as an ASGI application.

    Parameters
    ----------
    board : what the pages show.
    access : who may look.
    fpr : the false-positive budget, shown beside scores.
    hosts : names and addresses it answers to.
    metrics, token : figures for Prometheus, and what must be brought to see them.
    """

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(_catch_up(board))
        yield
        task.cancel()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=life)
    add_plain_routes(app)
    add_sign_in(app, access)
    add_metrics(app, metrics, token)
    _add_pages(board, fpr)
    ui.run_with(
        app, title="Qwarden", favicon=ASSETS / "icon.svg", dark=None, language="en-US",
        tailwind=False, show_welcome_message=False, binding_refresh_interval=None, reconnect_timeout=10.0,
    )  # fmt: skip
    environment = nicegui_client.templates.env
    environment.loader = _WithNonce(environment.loader)
    return Gate(app, access.sessions, hosts)


async def _catch_up(board: Board) -> None:
    """Take what other processes store, for as long as the server runs."""
    while True:
        await asyncio.sleep(_CATCH_UP_S)
        try:
            await asyncio.to_thread(board.catch_up)
            await asyncio.to_thread(board.look_at_keys)
        except StoreError as error:  # locked for too long, say: it may be better the next time
            log.warning("the page is behind: %s", error)


class _WithNonce(BaseLoader):
    """Lets the scripts of NiceGUI's own template, and no others, carry the answer's nonce."""

    def __init__(self, loader: BaseLoader | None) -> None:
        assert loader is not None
        self._loader = loader

    def get_source(self, environment: Environment, template: str) -> tuple[str, str | None, Any]:
        """Return the template with a nonce in each script tag."""
        source, name, fresh = self._loader.get_source(environment, template)
        return source.replace("<script", '<script nonce="{{ request.state.nonce }}"'), name, fresh


def add_plain_routes(app: FastAPI) -> None:
    """Add health, the files of the sign-in page, and the choice of a theme."""

    @app.get("/healthz")
    def health() -> PlainTextResponse:
        return PlainTextResponse("ok")

    @app.get("/assets/{name}")
    def asset(name: str) -> Response:
        known = {"console.css", "icon.svg"}
        return FileResponse(ASSETS / name) if name in known else Response(status_code=404)

    @app.post("/theme")
    async def theme(request: Request) -> Response:
        form = await _form(request)
        answer = RedirectResponse(safe_path(form.get("next", "")), 303)
        if form.get("theme") in THEMES:
            answer.set_cookie(
                THEME_COOKIE,
                form["theme"],
                max_age=365 * 86400,
                secure=True,
                httponly=True,
                samesite="strict",
            )
        return answer


def add_sign_in(app: FastAPI, access: Access) -> None:
    """Add signing in and out."""

    @app.get("/login")
    def login_page(request: Request) -> Response:
        back = safe_path(request.query_params.get("next", "/"))
        return HTMLResponse(login_html(back=back, theme=theme_of(request)))

    @app.post("/login")
    async def login(request: Request) -> Response:
        form = await _form(request)
        back = safe_path(form.get("next", ""))
        verdict, token = await asyncio.to_thread(access.sign_in, form.get("password", ""), _address(request))
        if verdict is Verdict.RIGHT:
            answer: Response = RedirectResponse(back, 303)
            answer.set_cookie(
                COOKIE, token, max_age=int(access.lifetime_s), secure=True, httponly=True, samesite="strict"
            )
            return answer
        if verdict is Verdict.TOO_SOON:
            wait = max(1, round(access.backoff.wait_s(_address(request))))
            problem, status = f"Too many wrong passwords. Try again in {wait} s.", 429
        else:
            problem, status = "That is not the password.", 403
        return HTMLResponse(login_html(problem, back, theme_of(request)), status)

    @app.post("/logout")
    async def logout(request: Request) -> Response:
        token = session_token(request.headers)
        await asyncio.to_thread(access.sign_out, token, _address(request))
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE, secure=True, httponly=True, samesite="strict")
        return answer


def _add_pages(board: Board, fpr: float) -> None:
    @ui.page("/", title="Qwarden")
    def first(request: Request, severity: str | None = None) -> None:
        overview(request, board, severity)

    @ui.page("/keys", title="Keys · Qwarden")
    def keys(request: Request) -> None:
        keys_page(request, board)

    @ui.page("/finding/{id}", title="Finding · Qwarden")
    def finding(request: Request, id: str) -> None:
        try:
            document = stored_finding(board.store, id)
        except UsageError:
            absent_page(request, board)
        else:
            finding_page(request, board, document, fpr)


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


async def _form(request: Request) -> dict[str, str]:
    """Return a small form's fields; one that is too long has none."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LARGEST_FORM:
            return {}
    return {name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()}
