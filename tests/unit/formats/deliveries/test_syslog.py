from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from qwarden.core.errors import ConfigError
from qwarden.formats.deliveries.syslog import SHORT, Stream, open_syslog
from qwarden.formats.delivery import parse_target
from qwarden.formats.writers.notice import Notice

from ..writers.grammar import frames, parse
from ..writers.samples import finding
from .receivers import certificate, stream_receiver

NOTICE = Notice("id-1", "opened", finding())


def test_a_datagram_is_one_message() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        sender = open_syslog(
            parse_target(f"syslog+udp://127.0.0.1:{receiver.getsockname()[1]}#facility=local4")
        )
        assert sender.send(NOTICE).result == "taken"
        read = parse(receiver.recv(65536))
        assert (read.facility, read.msgid, read.proc) == (20, "FINDING-OPENED", str(os.getpid()))
        long = finding(explanation={"title": "long", "text": "x" * 9000})
        sender.send(Notice("id-2", "closed", long))
        assert len(receiver.recv(65536)) == SHORT


def test_a_document_is_never_cut() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        sender = open_syslog(parse_target(f"syslog+udp://127.0.0.1:{receiver.getsockname()[1]}#format=ecs"))
        long = finding(explanation={"title": "long", "text": "x" * 9000})
        assert sender.send(Notice("id", "closed", long)).result == "taken"
        assert json.loads(parse(receiver.recv(65536)).text)["event"]["reason"] == "x" * 9000
        longer = finding(explanation={"title": "long", "text": "x" * 70_000})
        outcome = sender.send(Notice("id", "closed", longer))
    assert outcome.result == "never"
    assert "do not fit" in outcome.reason


@pytest.mark.parametrize("form", ["text", "cef", "eve", "ocsf"])
def test_octets_are_counted_over_tcp(form: str) -> None:
    with stream_receiver() as receiver:
        sender = open_syslog(parse_target(f"syslog+tcp://127.0.0.1:{receiver.port}#format={form}"))
        odd = finding(explanation={"title": "ümläut\nin two lines", "text": "漢"})
        for notice in (NOTICE, Notice("id-2", "closed", odd)):
            assert sender.send(notice).result == "taken"
        sender.close()
        assert receiver.ended.wait(5)
    (stream,) = receiver.received
    read = [parse(frame) for frame in frames(stream)]
    assert [r.msgid for r in read] == ["FINDING-OPENED", "FINDING-CLOSED"]


def test_tls_with_its_authority(tmp_path: Path) -> None:
    authority, chain = certificate(tmp_path)
    with stream_receiver(chain) as receiver:
        sender = open_syslog(parse_target(f"syslog+tls://127.0.0.1:{receiver.port}#ca={authority}"))
        assert sender.send(NOTICE).result == "taken"
        sender.close()
        assert receiver.ended.wait(5)
    assert [parse(f).msgid for f in frames(receiver.received[0])] == ["FINDING-OPENED"]


@pytest.mark.parametrize("wrong", ["authority", "name"])
def test_tls_to_whom_nobody_vouches_for_gets_nothing(tmp_path: Path, wrong: str) -> None:
    authority, chain = certificate(tmp_path, host="127.0.0.9" if wrong == "name" else "127.0.0.1")
    if wrong == "authority":
        authority, _ = certificate(tmp_path, "other")
    with stream_receiver(chain) as receiver:
        sender = open_syslog(parse_target(f"syslog+tls://127.0.0.1:{receiver.port}#ca={authority}"))
        outcome = sender.send(NOTICE)
    assert outcome.result == "later"
    assert "certificate is not trusted" in outcome.reason
    assert b"".join(receiver.received) == b""


def test_a_certificate_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.pem"):
        open_syslog(parse_target(f"syslog+tls://h#ca={tmp_path}/nothing.pem"))


def test_a_receiver_that_is_away_is_tried_later() -> None:
    with socket.create_server(("127.0.0.1", 0)) as once:
        port = once.getsockname()[1]
    outcome = Stream(parse_target(f"syslog+tcp://127.0.0.1:{port}")).send(NOTICE)
    assert (outcome.result, outcome.reason) == ("later", "connection refused")


def test_a_connection_that_was_closed_is_noticed_before_anything_is_lost_in_it() -> None:
    with stream_receiver(hang_up_after=1) as receiver:
        sender = open_syslog(parse_target(f"syslog+tcp://127.0.0.1:{receiver.port}"))
        assert sender.send(NOTICE).result == "taken"
        assert receiver.ended.wait(5)
        assert sender.send(Notice("id-2", "closed", finding())).result == "taken"
        receiver.ended.clear()
        sender.close()
        assert receiver.ended.wait(5)
    assert [parse(f).msgid for f in frames(receiver.received[1])] == ["FINDING-CLOSED"]
