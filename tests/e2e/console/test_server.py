"""The console as a stranger meets it, and as the shell does."""

from __future__ import annotations

import socket
import ssl
import stat
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from nicegui import core
from starlette.routing import Mount
from tests.e2e.console.conftest import PATIENCE_S, Console, started
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from qwarden.cli.main import main
from qwarden.console.app import add_plain_routes, add_sign_in
from qwarden.console.events import SourceRead
from qwarden.console.gate import COOKIE, OPEN
from qwarden.core.audit import Audit
from qwarden.core.store import open_store
from qwarden.detect.scenario import write_scenario


def every_path() -> list[str]:
    """Return a path for every route there is, ours and NiceGUI's, and for those there must not be."""
    ours = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    add_plain_routes(ours)
    add_sign_in(ours, None)  # type: ignore[arg-type]
    paths = ["/", "/finding/01a205c8-17dc-718a-aa2e-2cd6e022faf7", "/docs", "/redoc", "/openapi.json"]
    for route in [*ours.routes, *core.app.routes]:
        path = getattr(route, "path", "")
        for name in ("{name}", "{key:path}", "{key}", "{path:path}"):
            path = path.replace(name, "vue")
        paths.append(path + "/nicegui.js" if isinstance(route, Mount) else path)
    paths.append("/_nicegui_ws/socket.io/?EIO=4&transport=polling")
    return sorted({path for path in paths if path.startswith("/")})


def test_nothing_answers_without_a_session(console: Console) -> None:
    paths = every_path()
    assert len(paths) > 12
    with console.client() as client:
        for path in paths:
            for method in ("GET", "POST", "OPTIONS"):
                answer = client.request(method, path)
                if path not in OPEN:
                    assert (answer.status_code, answer.text) == (401, "sign in first\n"), path
                assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert client.get("/healthz").text == "ok"
        asked = client.get("/finding/x", headers={"Accept": "text/html"})
        assert (asked.status_code, asked.headers["location"]) == (303, "/login?next=/finding/x")


def socket_of(console: Console, **headers: str) -> int:
    """Ask for the page's socket; return the status."""
    trust = ssl.create_default_context(cafile=str(console.home / "tls" / "certificate.pem"))
    url = f"wss://{urlsplit(console.url).netloc}/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
    try:
        with connect(url, ssl=trust, additional_headers=headers):
            return 101
    except InvalidStatus as refusal:
        return refusal.response.status_code


def test_no_socket_opens_without_a_session_or_for_another_site(console: Console) -> None:
    here = console.url.rstrip("/")
    with console.client() as client:
        cookie = f"{COOKIE}={console.sign_in(client)}"
    assert socket_of(console, Origin=here) == 403
    assert socket_of(console, Origin=here, Cookie=f"{COOKIE}=forged") == 403
    assert socket_of(console, Origin="https://evil.example", Cookie=cookie) == 403
    assert socket_of(console, Origin=here, Cookie=cookie) == 101


def test_the_stock_documentation_is_off_and_scripts_carry_the_nonce(console: Console) -> None:
    with console.client() as client:
        console.sign_in(client)
        for path in ("/docs", "/redoc", "/openapi.json"):
            assert client.get(path).status_code == 404
        page = client.get("/")
        assert page.status_code == 200
        policy = page.headers["content-security-policy"]
        nonce = policy.partition("'nonce-")[2].partition("'")[0]
        assert page.text.count("<script") == page.text.count(f'<script nonce="{nonce}"') > 3


def test_the_cookie_is_kept_from_scripts_other_sites_and_plain_http(console: Console) -> None:
    with console.client() as client:
        answer = client.post("/login", data={"password": console.password, "next": "//evil.example"})
        assert answer.headers["location"] == "/"
        parts = {part.strip().lower() for part in answer.headers["set-cookie"].split(";")}
        assert {"httponly", "secure", "samesite=strict", "path=/"} <= parts
        assert not any(part.startswith("domain") for part in parts)
        assert client.get("/").status_code == 200
        token = client.cookies[COOKIE]
        assert client.post("/logout").headers["location"] == "/login"
        assert client.get("/", headers={"Cookie": f"{COOKIE}={token}"}).status_code == 401


def test_old_tls_and_plain_http_are_refused(console: Console) -> None:
    trust = ssl.create_default_context(cafile=str(console.home / "tls" / "certificate.pem"))
    trust.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{console.url}healthz", verify=trust)
    with pytest.raises(httpx.HTTPError):
        httpx.get(console.url.replace("https:", "http:"))


def test_what_lies_in_the_home_is_private_and_no_secret_is_said(console: Console) -> None:
    assert stat.S_IMODE((console.home / "tls" / "key.pem").stat().st_mode) == 0o600
    assert console.said.read_text().count(console.password) == 1
    for path in console.home.rglob("*"):
        if path.is_file():
            assert console.password.encode() not in path.read_bytes()


def records(capture: Path) -> int:
    """Return how many records a pcap has, counted by hand."""
    data, at, count = capture.read_bytes(), 24, 0
    while at < len(data):
        at += 16 + int.from_bytes(data[at + 8 : at + 12], "little")
        count += 1
    return count


def test_a_folder_is_read_as_captures_come_and_an_interrupt_leaves_all_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, folder = tmp_path / "home", tmp_path / "captures"
    folder.mkdir()
    write_scenario(folder / "first.pcap", 4242, duration_s=300, hosts=6)
    with started(home, "up", str(folder)) as console, console.client() as client:
        write_scenario(tmp_path / "second.pcap", 4243, duration_s=300, hosts=6)
        (tmp_path / "second.pcap").rename(folder / "second.pcap")
        store = open_store(home)
        try:
            until = time.monotonic() + PATIENCE_S
            while store.count(kind=SourceRead.kind) < 2 and time.monotonic() < until:
                time.sleep(0.2)
            read = [e for e in store.events(kind=SourceRead.kind) if isinstance(e, SourceRead)]
            assert sorted(Path(event.name).name for event in read) == ["first.pcap", "second.pcap"]
            _shuts_out_after_a_new_password(console, client, capsys)
            assert console.stop() == 130
            Audit(store).verify()
        finally:
            store.close()
    for event in read:
        done = event.flows_scored + event.flows_suppressed + event.flows_dropped + event.flows_malformed
        assert event.flows_read == done > 0
        assert event.packets_read == records(Path(event.name))
        assert event.problems == ()
    assert "Traceback" not in console.said.read_text()


def _shuts_out_after_a_new_password(
    console: Console, client: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    console.sign_in(client)
    assert client.get("/").status_code == 200
    assert main(["--home", str(console.home), "up", "--reset-password"]) == 0
    new = capsys.readouterr().err.split(": ")[1].strip()
    until = time.monotonic() + PATIENCE_S
    while client.get("/").status_code == 200 and time.monotonic() < until:
        time.sleep(0.2)  # the server asks the store once a second
    assert client.get("/").status_code == 401
    assert client.post("/login", data={"password": console.password}).status_code == 403
    assert client.post("/login", data={"password": new}).status_code == 303


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["PLACE", "--interface", "lo"], 2, "not both"),
        (["PLACE/nowhere", "--port", "0"], 3, "nowhere"),
        (["--interface", "nothere0", "--port", "0"], 2, "there is none"),
        (["--port", "TAKEN"], 2, "port TAKEN"),
    ],
)
def test_calls_that_make_no_sense(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        real = [part.replace("PLACE", str(tmp_path)).replace("TAKEN", port) for part in arguments]
        assert main(["--home", str(tmp_path / "home"), "up", *real]) == code
    assert said.replace("TAKEN", port) in capsys.readouterr().err
