from __future__ import annotations

import hashlib
import hmac
import json
import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from qwarden.formats.deliveries.webhook import LONGEST_WAIT_S, Webhook, secret_file, sign, verify
from qwarden.formats.delivery import parse_target
from qwarden.formats.writers.notice import Notice

from ..writers.samples import finding
from .receivers import Request, certificate, web_receiver

NOTICE = Notice("019b0000-0000-7000-8000-00000000000a", "opened", finding())
NOW = 1_767_600_030.9


@contextmanager
def webhook(home: Path, text: str) -> Iterator[Webhook]:
    hook = Webhook(parse_target(text), home, now=lambda: NOW)
    yield hook
    hook.close()


def secret(home: Path, text: str) -> bytes:
    return secret_file(home, parse_target(text)).read_bytes().strip()


def test_a_signed_post_over_tls(tmp_path: Path) -> None:
    authority, chain = certificate(tmp_path)
    with web_receiver(chain=chain) as receiver:
        text = f"webhook+https://127.0.0.1:{receiver.port}/in?x=1#ca={authority}"
        with webhook(tmp_path, text) as hook:
            assert hook.send(NOTICE).result == "taken"
    (request,) = receiver.requests
    assert request.path == "/in?x=1"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["idempotency-key"] == f'"{NOTICE.id}"'
    assert request.headers["qwarden-event"] == "finding.opened"
    assert json.loads(request.body)["finding"] == finding()
    # As docs/outputs.md tells a receiver to do it.
    fields = dict(part.split("=", 1) for part in request.headers["qwarden-signature"].split(","))
    expected = hmac.new(secret(tmp_path, text), b"%s." % fields["t"].encode() + request.body, hashlib.sha256)
    assert fields == {"t": "1767600030", "v1": expected.hexdigest()}


def test_the_receiver_of_the_documentation_takes_ours_and_nothing_else(tmp_path: Path) -> None:
    page = (Path(__file__).parents[4] / "docs" / "outputs.md").read_text()
    code = next(block for block in page.split("```python\n")[1:] if "is_qwardens" in block).partition("```")[
        0
    ]
    names: dict[str, Any] = {}
    exec(code, names)
    now, key = int(time.time()), b"k" * 40
    assert names["is_qwardens"](sign([b"n" * 40, key], now, b"{}"), b"{}", key)
    assert not names["is_qwardens"](sign([key], now, b"{}"), b"{ }", key)
    assert not names["is_qwardens"](sign([key], now - 400, b"{}"), b"{}", key)
    assert not names["is_qwardens"](sign([b"n" * 40], now, b"{}"), b"{}", key)


def test_both_secrets_sign_while_one_replaces_the_other(tmp_path: Path) -> None:
    with web_receiver() as receiver:
        text = f"webhook+http://127.0.0.1:{receiver.port}/"
        with webhook(tmp_path, text) as hook:
            old = secret(tmp_path, text)
            secret_file(tmp_path, parse_target(text)).write_bytes(b"n" * 40 + b"\n" + old + b"\n")
            hook.send(NOTICE)
    (request,) = receiver.requests
    header = request.headers["qwarden-signature"]
    for key in (old, b"n" * 40):
        assert verify(header, request.body, [key], NOW)
    assert not verify(header, request.body, [b"x" * 40], NOW)


@pytest.mark.parametrize(
    "header",
    ["", "t=1767600030", "v1=00", "t=x,v1=00", "t=1767600030,t=1767600030,v1=00", "t=1767600030,v1=ü"],
)
def test_what_is_no_signature_is_none(header: str) -> None:
    assert not verify(header, b"{}", [b"k" * 40], NOW)


def test_signature_by_test_vector() -> None:
    # RFC 4231 test case 2 has its message as "what do ya want ..."; here time and body make it up.
    key, message = b"Jefe" * 8, b"1767600030.{}"
    header = f"t=1767600030,v1={hmac.new(key, message, hashlib.sha256).hexdigest()}"
    assert verify(header, b"{}", [key], NOW)
    assert not verify(header, b"{ }", [key], NOW)
    assert not verify(header, b"{}", [key], NOW + 301)
    assert not verify(header, b"{}", [key], NOW - 302)
    assert verify(header, b"{}", [key], NOW + 299)


@pytest.mark.parametrize(
    ("status", "headers", "result", "wait_s"),
    [
        (200, {}, "taken", 0), (204, {}, "taken", 0), (301, {"Location": "/x"}, "later", 0),
        (307, {"Location": "http://127.0.0.1:1/"}, "later", 0), (400, {}, "never", 0), (401, {}, "later", 0),
        (404, {}, "later", 0), (413, {}, "never", 0), (429, {"Retry-After": "7"}, "later", 7.0),
        (503, {"Retry-After": "99999"}, "later", LONGEST_WAIT_S),
        (503, {"Retry-After": "tomorrow"}, "later", 0),
    ],
)  # fmt: skip
def test_answers(tmp_path: Path, status: int, headers: dict[str, str], result: str, wait_s: float) -> None:
    with web_receiver(lambda _, __: (status, headers)) as receiver:
        with webhook(tmp_path, f"webhook+http://127.0.0.1:{receiver.port}/") as hook:
            outcome = hook.send(NOTICE)
        assert (outcome.result, outcome.wait_s) == (result, wait_s)
        assert len(receiver.requests) == 1


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    with web_receiver() as elsewhere:

        def to_elsewhere(_: int, request: Request) -> tuple[int, dict[str, str]]:
            return 307, {"Location": f"http://127.0.0.1:{elsewhere.port}/stolen"}

        with (
            web_receiver(to_elsewhere) as receiver,
            webhook(tmp_path, f"webhook+http://127.0.0.1:{receiver.port}/") as hook,
        ):
            outcome = hook.send(NOTICE)
        assert outcome.reason == "status 307: redirects are not followed"
        assert elsewhere.requests == []


def test_a_certificate_of_someone_else_gets_nothing(tmp_path: Path) -> None:
    _, chain = certificate(tmp_path)
    other, _ = certificate(tmp_path, "other")
    with (
        web_receiver(chain=chain) as receiver,
        webhook(tmp_path, f"webhook+https://127.0.0.1:{receiver.port}/#ca={other}") as hook,
    ):
        outcome = hook.send(NOTICE)
    assert outcome.result == "later"
    assert "certificate" in outcome.reason
    assert receiver.requests == []


def test_the_environments_proxy_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with web_receiver() as proxy, web_receiver() as receiver:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        with webhook(tmp_path, f"webhook+http://127.0.0.1:{receiver.port}/") as hook:
            assert hook.send(NOTICE).result == "taken"
        assert (len(proxy.requests), len(receiver.requests)) == (0, 1)


def test_a_receiver_that_is_away_is_tried_later(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as once:
        port = once.getsockname()[1]
    with webhook(tmp_path, f"webhook+http://127.0.0.1:{port}/") as hook:
        outcome = hook.send(NOTICE)
    assert outcome.result == "later"
    assert "refused" in outcome.reason


def test_nothing_logs_the_address_or_the_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with web_receiver(lambda n, _: (503 if n == 1 else 200, {})) as receiver:
        text = f"webhook+http://user:password-1@127.0.0.1:{receiver.port}/path-secret?key=query-secret"
        with webhook(tmp_path, text) as hook:
            logged = hook.send(NOTICE).reason + hook.send(NOTICE).reason + repr(hook.__dict__["_target"])
    logged += caplog.text
    for word in ("password-1", "path-secret", "query-secret", secret(tmp_path, text).decode()):
        assert word not in logged
    assert receiver.requests[0].headers["authorization"].startswith("Basic ")
