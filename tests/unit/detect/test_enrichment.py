"""What is known of hosts beside, read from lists and from other detectors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qwarden.core.errors import InputError
from qwarden.detect.enrichment import MOST, AddressBook, Enricher, read_assets, read_indicators
from qwarden.formats.alerts import SignatureAlert
from qwarden.formats.transactions import Said


def alert(
    src: str = "10.0.0.1", dst: str = "192.0.2.1", at_s: float = 100.0, name: str = "ET X"
) -> SignatureAlert:
    return SignatureAlert(int(at_s * 1e9), name, "Web", 1, 1, 2, 3, "allowed", src, 1024, dst, 80, 6)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_the_narrowest_network_counts(tmp_path: Path) -> None:
    book = read_assets(
        write(
            tmp_path / "a.csv",
            "address,name,owner\n10.0.0.0/8,office,\n10.0.0.7,printer,ada\n2001:db8::/32,lab,\n",
        )
    )
    assert book.get("10.0.0.7") == {"name": "printer", "owner": "ada"}
    assert book.get("10.0.0.8") == {"name": "office"}
    assert book.get("2001:db8::1") == {"name": "lab"}
    assert book.get("192.0.2.1") is None


def test_indicators_from_csv_and_stix(tmp_path: Path) -> None:
    bundle = {
        "type": "bundle", "id": "bundle--1", "objects": [
            {"type": "indicator", "id": "i--1", "name": "C2", "pattern": "[ipv4-addr:value = '192.0.2.9']"},
            {"type": "indicator", "name": "net", "pattern": "[ipv4-addr:value ISSUBSET '198.51.100.0/24']"},
            {"type": "indicator", "name": "name", "pattern": "[domain-name:value = 'evil.example']"},
            {"type": "indicator", "revoked": True, "pattern": "[ipv4-addr:value = '192.0.2.8']"},
            {"type": "malware", "name": "x"},
        ],
    }  # fmt: skip
    book, others = read_indicators(
        [
            write(tmp_path / "i.csv", "indicator,source\n203.0.113.5,feed\n"),
            write(tmp_path / "b.json", json.dumps(bundle)),
        ]
    )
    assert book.get("192.0.2.9") == {"name": "C2", "id": "i--1", "list": "b.json"}
    assert book.get("198.51.100.77") == {"name": "net", "list": "b.json"}
    assert book.get("203.0.113.5") == {"source": "feed", "list": "i.csv"}
    assert book.get("192.0.2.8") is None
    assert book.get("evil.example") == {"name": "name", "list": "b.json"}
    assert book.get("www.evil.example") is None  # an equation names one
    assert others == 0


def test_names_of_domains_are_indicators(tmp_path: Path) -> None:
    text = "indicator,why\nEvil.Example.,c2\n*.bad.example,kit\n192.0.2.0/24,net\n_x._tcp.a-b.example,srv\n"
    book, others = read_indicators([write(tmp_path / "i.csv", text)])
    assert book.get("evil.example") == {"why": "c2", "list": "i.csv"}
    assert book.get("a.b.bad.example") == {"why": "kit", "list": "i.csv"}
    assert book.get("bad.example") is None
    assert book.get("192.0.2.7") == {"why": "net", "list": "i.csv"}
    assert book.get("_x._tcp.a-b.example") is not None
    assert (book.get(""), book.get("example"), others) == (None, None, 0)
    url = {
        "type": "bundle",
        "objects": [{"type": "indicator", "pattern": "[url:value = 'http://a.example/']"}],
    }
    assert read_indicators([write(tmp_path / "u.json", json.dumps(url))])[1] == 1


@pytest.mark.parametrize(
    "bad", ["nowhere", "10.0.0", "a..example", "-a.example", "a b.example", "*.", "ä.example"]
)
def test_what_is_neither_an_address_nor_a_name_is_named(tmp_path: Path, bad: str) -> None:
    with pytest.raises(InputError, match=r"line 3.*indicator.*no name of a domain"):
        read_indicators([write(tmp_path / "i.csv", f"indicator\n192.0.2.1\n{bad}\n")])


def test_what_was_said_is_looked_up_and_stands_beside_a_finding(tmp_path: Path) -> None:
    lists = write(tmp_path / "i.csv", "indicator\nevil.example\n*.bad.example\n192.0.2.9\n")
    book, _ = read_indicators([lists])
    said: dict[Said, int] = {
        ("dns", (("query", f"{at}.good.example"), ("type", "A"))): 1 for at in range(3 * MOST)
    } | {
        ("dns", (("query", "x.example"), ("answers", "a.bad.example,192.0.2.9"))): 2,
        ("tls", (("sni", "EVIL.example"),)): 5,
        ("http", (("host", "evil.example:8080"), ("uri", "/"))): 1,
    }
    context = Enricher(indicators=book).context(["10.0.0.1"], ["192.0.2.1"], 0, 1, said)
    assert set(context["indicators"]) == {"a.bad.example", "192.0.2.9", "evil.example"}
    assert len(context["transactions"]) == MOST
    assert context["transactions"][:3] == [
        {"protocol": "dns", "query": "x.example", "answers": "a.bad.example,192.0.2.9", "flows": 2},
        {"protocol": "tls", "sni": "EVIL.example", "flows": 5},
        {"protocol": "http", "host": "evil.example:8080", "uri": "/", "flows": 1},
    ]
    assert "transactions" not in Enricher().context(["10.0.0.1"], [], 0, 1)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("ip,name\n", "line 1.*lacks the column address"),
        ("address,name\n10.0.0.1,a\nnowhere,b\n", "line 3.*address"),
        ("address,name\n10.0.0.1\n", "line 2.*2 columns"),
        ("address,name\n10.0.0.1,a,b\n", "line 2.*2 columns"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, text: str, place: str) -> None:
    with pytest.raises(InputError, match=place):
        read_assets(write(tmp_path / "a.csv", text))


@pytest.mark.parametrize("text", ["{", '{"type": "bundle"}', '{"type": "x", "objects": []}'])
def test_what_is_no_bundle_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="no STIX bundle"):
        read_indicators([write(tmp_path / "b.json", text)])
    with pytest.raises(InputError, match="cannot be read"):
        read_indicators([tmp_path / "none"])
    bad = {"type": "bundle", "objects": [{"type": "indicator", "pattern": "[ipv4-addr:value = 'x']"}]}
    path = write(tmp_path / "c.json", json.dumps(bad))
    with pytest.raises(InputError, match=r"objects\[0\]"):
        read_indicators([path])


def test_what_others_told_stands_beside_a_finding_of_its_time() -> None:
    enricher = Enricher(assets=AddressBook.of([]))
    for told in (alert(), alert(at_s=1e6, name="later"), alert(src="10.0.0.2", name="another host")):
        enricher.heard(told)
    context = enricher.context(["192.0.2.1"], ["10.0.0.1"], 0, int(200e9))
    assert context == {"reported": [{"signature": "ET X", "category": "Web"}]}
    assert enricher.context(["10.0.0.9"], ["10.0.0.8"], 0, 1) == {}
    for at in range(3 * MOST):
        enricher.heard(alert(name=f"n{at}"))
    assert len(enricher.context(["10.0.0.1"], ["192.0.2.1"], 0, int(200e9))["reported"]) <= MOST
