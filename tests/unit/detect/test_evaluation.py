from __future__ import annotations

from dataclasses import replace

import pytest

from qwarden.detect.evaluation import Attack, Verdicts
from qwarden.detect.findings import Finding

ATTACK = Attack(1, "guessing", frozenset({"10.0.0.5"}), frozenset({"10.0.0.9"}), 100.0, 200.0)

FINDING = Finding(
    time=150.0, behaviour="guessing", severity="high", technique="", threat_score=0.9, twin_score=0.9,
    src_ip="10.0.0.5", dst_ip="10.0.0.9", dst_port=22, proto="tcp", start=120.0, end=150.0, flows=5,
    packets=9,
    bytes=9, sources=1, destinations=1, ports=1, source="x", explanation={},
)  # fmt: skip


def counted(*findings: Finding, attack: Attack = ATTACK) -> tuple[int, int, int]:
    verdicts = Verdicts()
    verdicts.add([attack], findings, 1000)
    return verdicts.found, verdicts.false, verdicts.misnamed


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (1, 0, 0)),
        ({"behaviour": "beacon"}, (0, 0, 1)),
        ({"src_ip": "10.0.0.6"}, (0, 1, 0)),
        ({"start": 300.0, "end": 400.0}, (0, 1, 0)),
        ({"start": 0.0, "end": 90.0}, (0, 1, 0)),
    ],
)
def test_a_finding_is_found_false_or_misnamed(
    changes: dict[str, object], expected: tuple[int, int, int]
) -> None:
    assert counted(replace(FINDING, **changes)) == expected  # type: ignore[arg-type]


def test_a_flood_with_forged_sources_is_known_by_its_victim() -> None:
    flood = replace(ATTACK, kind="flood_syn")
    finding = replace(FINDING, behaviour="flood_syn", src_ip="203.0.113.7")
    assert counted(finding, attack=flood) == (1, 0, 0)
    assert counted(replace(finding, dst_ip="10.0.0.77"), attack=flood) == (0, 1, 0)


def test_data_that_leave_through_name_queries_are_rightly_called_a_tunnel() -> None:
    assert counted(replace(FINDING, behaviour="dns_tunnel"), attack=replace(ATTACK, kind="exfiltration")) == (
        1,
        0,
        0,
    )


def test_two_findings_of_one_attack_find_it_once() -> None:
    assert counted(FINDING, FINDING) == (1, 0, 0)


def test_rates() -> None:
    verdicts = Verdicts()
    verdicts.add(
        [ATTACK, replace(ATTACK, id=2, kind="beacon")], [FINDING, replace(FINDING, src_ip="1.1.1.1")], 2000
    )
    assert verdicts.recall == 0.5
    assert verdicts.false_per_1000 == 0.5
    assert verdicts.missed == ["beacon"]
