from __future__ import annotations

import pytest

from qwarden.core.errors import UsageError
from qwarden.formats.delivery import parse_target

SECRET = "hunter2hunter2"


@pytest.mark.parametrize(
    ("text", "scheme", "transport", "form", "label"),
    [
        ("eve:/var/log/q.json", "file", "", "eve", "eve:/var/log/q.json"),
        ("ocsf:a#b.json", "file", "", "ocsf", "ocsf:a#b.json"),
        ("stix:out/", "file", "", "stix", "stix:out/"),
        ("syslog+udp://log.example", "syslog", "udp", "text", "syslog+udp://log.example:514"),
        ("syslog+tcp://log.example", "syslog", "tcp", "text", "syslog+tcp://log.example:601"),
        ("syslog+tls://[2001:db8::1]", "syslog", "tls", "text", "syslog+tls://[2001:db8::1]:6514"),
        ("syslog+tls://h:7000#format=cef&facility=local4", "syslog", "tls", "cef", "syslog+tls://h:7000"),
        (f"webhook+https://u:{SECRET}@h/{SECRET}?k={SECRET}", "webhook", "https", "own", "webhook+https://h:443"),
        ("webhook+http://127.0.0.1:8080/x#format=ecs", "webhook", "http", "ecs", "webhook+http://127.0.0.1:8080"),
    ],
)  # fmt: skip
def test_targets(text: str, scheme: str, transport: str, form: str, label: str) -> None:
    target = parse_target(text)
    assert (target.scheme, target.transport, target.form, target.label) == (scheme, transport, form, label)


@pytest.mark.parametrize(
    "text",
    [
        "", "findings.json", "eve:", "xml:out", "eve:x#colour=red", "eve:x#on=sometimes", "stix:/dev/stdout",
        "syslog+udp://", "syslog+udp://h/path", "syslog+tls://h:port", "syslog+tcp://h#ca=x",
        "syslog+udp://h#facility=nine", "syslog+udp://h#format=stix", "syslog://h", "webhook+ftp://h/x",
        "webhook+https:///x", "webhook+https://h#format=stix", "webhook+http://10.0.0.1/x",
        "webhook+http://127.0.0.1.example/x",
    ],
)  # fmt: skip
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="output"):
        parse_target(text)


@pytest.mark.parametrize(
    "text", [f"webhook+http://h/{SECRET}", f"wehook+https://h/{SECRET}", f"{SECRET}", f"webhook+https://u:{SECRET}@"]
)  # fmt: skip
def test_an_error_repeats_no_secret(text: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_target(text)
    assert SECRET not in str(error.value)


def test_no_secret_shows() -> None:
    target = parse_target(f"webhook+https://u:{SECRET}@h/{SECRET}")
    assert SECRET not in repr(target) + target.label + target.name


def test_two_addresses_of_one_receiver_have_names_of_their_own() -> None:
    texts = ("webhook+https://h/a", "webhook+https://h/b", "webhook+https://h/a#format=ecs")
    names = {parse_target(text).name for text in texts}
    assert len(names) == 3


@pytest.mark.parametrize(
    ("text", "live", "telling"),
    [
        ("ecs:x", False, "closed"), ("ecs:x", True, "both"), ("eve:x", True, "opened"),
        ("eve:x", False, "closed"), ("eve:x#on=both", False, "both"), ("webhook+https://h/", False, "both"),
        ("syslog+udp://h#on=closed", True, "closed"), ("syslog+udp://h#format=eve", True, "opened"),
    ],
)  # fmt: skip
def test_when_findings_are_told(text: str, live: bool, telling: str) -> None:
    assert parse_target(text).tells(live) == telling
