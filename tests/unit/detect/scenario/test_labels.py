from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qwarden.core.errors import InputError
from qwarden.detect.scenario import LABEL, Labels, label_flows, read_labels
from qwarden.detect.scenario.labels import HEADER, write_labels
from qwarden.formats.flows import PROTO_ARP, UNKNOWN, Flows, split_address, unknown_flows


def label(
    attack: int, proto: int, src: str, sport: int, dst: str, dport: int, start: float, end: float, count: int
) -> Labels:
    name = "beacon" if attack else "benign"
    row = (
        attack, name, "T1571" if attack else "", proto, *split_address(src), sport,
        *split_address(dst), dport, round(start * 1e6), round(end * 1e6), count,
    )  # fmt: skip
    return np.array([row], LABEL)


def flow(proto: int, src: str, sport: int, dst: str, dport: int, start: float, end: float) -> Flows:
    row = unknown_flows(1)
    row["proto"], row["src_port"], row["dst_port"] = proto, sport, dport
    for name, text in (("src", src), ("dst", dst)):
        row[f"{name}_hi"], row[f"{name}_lo"] = split_address(text)
    row["start_ns"], row["end_ns"] = round(start * 1e9), round(end * 1e9)
    return row


LABELS = np.concatenate(
    (
        label(0, 6, "10.0.0.1", 4000, "10.0.0.2", 443, 100.0, 110.0, 20),
        label(3, 6, "10.0.0.1", 4000, "10.0.0.2", 443, 200.0, 210.0, 30),  # the port was used again
        label(0, 17, "2001:db8::1", 5353, "ff02::fb", 5353, 50.0, 50.0, 1),
        label(4, 1, "10.0.0.9", UNKNOWN, "10.0.0.2", UNKNOWN, 10.0, 20.0, 400),
        label(5, PROTO_ARP, "10.0.0.9", UNKNOWN, "10.0.0.7", UNKNOWN, 10.0, 10.0, 1),
    )
)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (flow(6, "10.0.0.1", 4000, "10.0.0.2", 443, 101, 109), 0),
        (flow(6, "10.0.0.2", 443, "10.0.0.1", 4000, 100, 110), 0),  # the other way round
        (flow(6, "10.0.0.1", 4000, "10.0.0.2", 443, 201, 202), 1),  # part of the later one
        (flow(6, "10.0.0.1", 4000, "10.0.0.2", 443, 100, 210), 1),  # joined: the greater one counts
        (flow(6, "10.0.0.1", 4000, "10.0.0.2", 443, 120, 150), -1),  # nobody spoke then
        (flow(6, "10.0.0.1", 4001, "10.0.0.2", 443, 101, 109), -1),
        (flow(17, "10.0.0.1", 4000, "10.0.0.2", 443, 101, 109), -1),
        (flow(17, "2001:db8::1", 5353, "ff02::fb", 5353, 50, 50), 2),
        (flow(1, "10.0.0.2", 0, "10.0.0.9", 8, 11, 19), 3),  # a reader may put ICMP types into ports
        (flow(PROTO_ARP, "10.0.0.9", UNKNOWN, "10.0.0.7", UNKNOWN, 10, 10), 4),
    ],
)
def test_flows_find_their_row(row: Flows, expected: int) -> None:
    index, attack = label_flows(row, LABELS)
    assert index.tolist() == [expected]
    assert attack.tolist() == [LABELS["attack_id"][expected] if expected >= 0 else -1]


def test_many_flows_at_once_are_the_same_as_one_by_one() -> None:
    flows = np.concatenate([flow(6, "10.0.0.1", 4000, "10.0.0.2", 443, t, t + 3) for t in range(95, 215)])
    together, _ = label_flows(flows, LABELS)
    alone = [int(label_flows(flows[i : i + 1], LABELS)[0][0]) for i in range(len(flows))]
    assert together.tolist() == alone
    assert set(alone) == {-1, 0, 1}


def test_nothing_to_join() -> None:
    assert label_flows(unknown_flows(0), LABELS)[0].tolist() == []
    assert label_flows(unknown_flows(2), LABELS[:0])[1].tolist() == [-1, -1]


def test_labels_survive_the_file(tmp_path: Path) -> None:
    write_labels(tmp_path / "l.csv", LABELS)
    assert np.array_equal(read_labels(tmp_path / "l.csv"), LABELS)
    lines = (tmp_path / "l.csv").read_text().splitlines()
    assert lines[0] == "attack_id,label,technique,proto,src_ip,src_port,dst_ip,dst_port,start,end,packets"
    assert lines[1] == "0,benign,,6,10.0.0.1,4000,10.0.0.2,443,100.000000,110.000000,20"
    assert lines[5] == "5,beacon,T1571,2054,10.0.0.9,,10.0.0.7,,10.000000,10.000000,1"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "line 1"),
        ("a,b,c\n", "line 1"),
        (",".join(HEADER) + "\n0,benign,,6,10.0.0.1,1,10.0.0.2,2,0.0,1.0,3\n0,benign,,6,host,1\n", "line 3"),
        (",".join(HEADER) + "\n0,benign,,6,10.0.0.1,1,nowhere,2,0.0,1.0,3\n", "line 2"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(tmp_path: Path, text: str, place: str) -> None:
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(InputError, match=place) as caught:
        read_labels(tmp_path / "l.csv")
    assert str(tmp_path) in str(caught.value)


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_labels(tmp_path / "none.csv")
