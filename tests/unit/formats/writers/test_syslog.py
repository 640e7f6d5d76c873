from __future__ import annotations

from typing import Any

import pytest

from qwarden.formats.writers.syslog import FACILITIES, SEVERITY, syslog_message

from .grammar import parse
from .samples import FINDINGS, STATES, TITLE, finding

OURS = "qwarden@32473"


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("sample", FINDINGS.values(), ids=FINDINGS)
def test_every_message_fits_the_grammar(sample: dict[str, Any], state: str) -> None:
    read = parse(syslog_message(sample, state, "sensor-1", process=17))
    assert (read.host, read.app, read.proc) == ("sensor-1", "qwarden", "17")
    assert read.data[OURS]["id"] == sample["id"]
    assert read.data[OURS]["src"] == sample["src_ip"]
    assert read.data[OURS].get("dstPort") == (None if sample["dst_port"] is None else str(sample["dst_port"]))
    assert not any(ord(c) < 32 for c in read.text)


@pytest.mark.parametrize(
    "wrong",
    [
        b"<192>1 - - - - - -", b"<04>1 - - - - - -", b"<4>1 - - - - -", b"<4>1 - a b c d [x y=\"z\"]",
        b'<4>1 - a b c d [x@1 y="z]"]', b'<4>1 - a b c d [x@1 y="z"]m',
        b"<4>1 2026-13-01T00:00:00Z - - - - -",
        "<4>1 - - - - - - ü".encode(),
    ],
)  # fmt: skip
def test_the_grammar_can_say_no(wrong: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse(wrong)


def test_example_of_the_standard() -> None:
    # RFC 5424 section 6.5, example 4.
    read = parse(
        b'<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut="3" '
        b'eventSource="Application" eventID="1011"][examplePriority@32473 class="high"]'
    )
    assert (read.facility, read.severity, read.data["examplePriority@32473"]) == (20, 5, {"class": "high"})


def test_structured_data_come_back_as_they_were() -> None:
    value = 'a "quoted" \\ back ] slash = ümläut'
    read = parse(syslog_message(finding(kind=value), sensor="s"))
    assert read.data[OURS]["kind"] == value


def test_text_is_marked_as_utf8_only_where_it_must_be() -> None:
    assert not parse(syslog_message(finding())).has_bom
    odd = parse(syslog_message(FINDINGS["odd text"]))
    assert odd.has_bom
    assert odd.text.startswith(TITLE)


@pytest.mark.parametrize(("name", "number"), SEVERITY.items())
def test_priority(name: str, number: int) -> None:
    read = parse(syslog_message(finding(severity=name), facility="local4"))
    assert (read.facility, read.severity) == (20, number)


def test_facilities_are_all_24() -> None:
    assert sorted(FACILITIES.values()) == list(range(24))


@pytest.mark.parametrize(("state", "msgid"), [("opened", "FINDING-OPENED"), ("closed", "FINDING-CLOSED")])
def test_the_state_is_the_msgid(state: str, msgid: str) -> None:
    assert parse(syslog_message(finding(), state)).msgid == msgid


def test_time_is_the_findings() -> None:
    assert parse(syslog_message(finding())).time == "2026-01-05T08:00:00.250000Z"


def test_a_host_without_a_usable_name_is_nil() -> None:
    assert parse(syslog_message(finding(), sensor="")).host == "-"
    assert parse(syslog_message(finding(), sensor="ä b")).host == "b"


@pytest.mark.parametrize("limit", [700, 800, 801, 802, 803, 1000])
def test_text_is_cut_at_a_character(limit: int) -> None:
    long = finding(explanation={"title": "漢" * 400})
    message = syslog_message(long, sensor="s", limit=limit)
    assert limit - 4 < len(message) <= limit
    assert set(parse(message).text) <= set("漢")


def test_structured_data_are_never_cut() -> None:
    message = syslog_message(finding(), sensor="s", limit=10)
    assert parse(message).text == ""
    assert parse(message).data[OURS]["flows"] == "40"
