from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from qwarden.core.errors import UsageError
from qwarden.core.logs import redact, set_up

PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIE\n-----END PRIVATE KEY-----"


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    logger = logging.getLogger("qwarden")
    before = logger.handlers[:], logger.level, logger.propagate
    yield logging.getLogger("qwarden.test")
    logger.handlers[:], logger.level, logger.propagate = before


@pytest.mark.parametrize(
    "text",
    [
        "password=hunter2",
        "password: hunter2, user: ann",
        '{"api_token": "hunter2", "user": "ann"}',
        "{'user': 'ann', 'client_secret': 'it\\'s hunter2'}",
        "Authorization: Bearer hunter2",
        "postgresql://ann:hunter2@host/db",
        "https://host/?access_token=hunter2&page=1",
        "passwd = b'hunter2'",
        f"key is {PEM.replace('MC4C', 'hunter2')} and more",
        "cut off: -----BEGIN ENCRYPTED PRIVATE KEY-----\nhunter2",
    ],
)
def test_secrets_do_not_reach_the_log(
    text: str, log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up("info")
    log.info("saw %s", text)
    log.info(text.replace("%", "%%"))
    written = capsys.readouterr().err
    assert "hunter2" not in written
    assert written.count("***") == 2
    assert "hunter2" not in redact(text)


def test_what_is_no_secret_stays() -> None:
    text = "flow 10.0.0.1:443 -> 10.0.0.2:22 scored 0.97: tokens per second, https://host/path"
    assert redact(text) == text
    assert redact("password=x, user=ann") == "password=***, user=ann"
    assert redact(f"{PEM} end") == "-----BEGIN PRIVATE KEY-----***-----END PRIVATE KEY----- end"


def test_structured_arguments_are_hidden_whole(
    log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up("info")
    log.info("%s", {"keys": [{"signing_secret": {"a": ["hunter2", "and more"]}}], "n": 1})
    log.info("%(user)s %(password)s", {"user": "ann", "password": "hunter2"})
    written = capsys.readouterr().err
    assert "hunter2" not in written
    assert "and more" not in written
    assert "ann ***" in written


def test_tracebacks_are_redacted(log: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    set_up("error")
    try:
        raise ValueError("bad token=hunter2")
    except ValueError:
        log.exception("failed")
    written = capsys.readouterr().err
    assert "Traceback" in written
    assert "hunter2" not in written


def test_the_level_decides(log: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    set_up("WARNING")
    set_up("warning")
    log.info("quiet")
    log.warning("loud")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith("WARNING qwarden.test: loud\n")
    assert captured.err.count("\n") == 1
    with pytest.raises(UsageError, match="'chatty'"):
        set_up("chatty")
