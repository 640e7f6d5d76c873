"""Connection states of whole conversations, against the table of states Zeek documents."""

import json
from pathlib import Path

import pytest
from tests.unit.formats import craft

from qwarden.formats.flows import TCP_STATES

TABLE = json.loads(Path(__file__).with_name("tcp_states.json").read_text())
FLAGS = {"F": craft.FIN, "S": craft.SYN, "R": craft.RST, "P": craft.PSH, "A": craft.ACK, "U": craft.URG}


def conversation(segments: list[str]) -> bytes:
    records = []
    for place, segment in enumerate(segments):
        way, flags, *data = segment.split(" ")
        ports, ends = (40000, 80), {"src": craft.CLIENT, "dst": craft.SERVER}
        if way == "<":
            ports, ends = ports[::-1], {"src": craft.SERVER, "dst": craft.CLIENT}
        payload = b"data" if data == ["d"] else b""
        bits = sum(FLAGS[flag] for flag in flags)
        records.append((place / 10, craft.frame4(craft.tcp(*ports, bits, payload), 6, **ends)))
    return craft.pcap(records)


@pytest.mark.parametrize(
    "case", TABLE["sequences"], ids=lambda case: f"{case['state']}: {' '.join(case['segments'])}"
)
def test_state_of(case: dict[str, object]) -> None:
    segments = case["segments"]
    assert isinstance(segments, list)
    flows, report = craft.read(conversation(segments))
    assert (len(flows), report.packets.metered) == (1, len(segments))
    assert TCP_STATES[flows[0]["tcp_state"]] == case["state"]
    assert flows[0]["src_port"] == 40000


def test_every_state_has_a_sequence() -> None:
    assert {case["state"] for case in TABLE["sequences"]} == set(TCP_STATES)
