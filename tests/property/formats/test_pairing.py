"""However records come, nothing of them is lost; and a flow told in parts is the flow."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from qwarden.formats import MeterSettings
from qwarden.formats.readers.pairing import Pairing
from qwarden.formats.readers.rows import OneWay, Row, to_flows
from qwarden.formats.sandbox.wire import check_flows

S = 1_000_000_000
hosts = st.tuples(
    st.just(0), st.integers(0xFFFF0A000000, 0xFFFF0A000002), st.sampled_from([-1, 22, 80, 5000, 5001])
)


@st.composite
def records(draw: st.DrawFn) -> OneWay:
    start = draw(st.integers(0, 900)) * S // 2
    counts = st.integers(0, 50)
    return OneWay(
        start,
        start + draw(st.integers(0, 700)) * S,
        draw(hosts),
        draw(hosts),
        4,
        draw(st.sampled_from([1, 6, 17])),
        draw(counts),
        draw(counts) * 40,
        draw(st.integers(-1, 63)),
        draw(st.sampled_from([-1, 0, 3])),
        120,
        draw(st.integers(-1, 63)),
        kind=draw(st.sampled_from([-1, 0, 3, 8])),
        rejected=draw(st.booleans()),
        observer=draw(st.sampled_from(["", "x"])),
    )


@given(st.lists(records(), max_size=60), st.integers(1, 12), st.booleans())
def test_nothing_is_lost_and_memory_is_bounded(made: list[OneWay], most: int, both_ways: bool) -> None:
    pairing = Pairing(MeterSettings(max_flows=most), both_ways=both_ways)
    rows: list[Row] = []
    for record in made:
        rows += pairing.add(record)
        assert pairing.held <= most
    rows += pairing.rest()
    assert pairing.held == 0
    flows = to_flows(rows, 0)
    check_flows(flows, logged=True)
    assert len(flows) <= len(made)
    packets = sum(record.packets + max(record.packets_back, 0) for record in made)
    assert sum(flows[f"packets_{way}"].clip(0).sum() for way in ("out", "in")) == packets
    seen = sum(record.bytes + (record.bytes_back if record.packets_back > 0 else 0) for record in made)
    assert sum(flows[f"bytes_{way}"].clip(0).sum() for way in ("out", "in")) == seen
    if made:
        assert int(flows["start_ns"].min()) == min(record.start for record in made)
        assert int(flows["end_ns"].max()) == max(record.end for record in made)


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 40), st.integers(0, 20), st.integers(1, 9)), min_size=1
    ),
    st.randoms(use_true_random=False),
)
def test_a_flow_in_parts_is_the_flow(parts: list[tuple[int, int, int, int]], rng: object) -> None:
    """Parts of both directions, within one minute, in any order."""
    client, server = (0, 0xFFFF0A000001, 40000), (0, 0xFFFF0A000002, 443)
    there = OneWay(0, S, client, server, 4, 6, 1, 60, 2)  # the SYN
    made = [there]
    for way, start, lasts, packets in parts:
        part = OneWay(start * S, (start + lasts) * S, client, server, 4, 6, packets, packets * 100, 16)
        made.append(replace(part, src=server, dst=client) if way else part)
    rng.shuffle(made)  # type: ignore[attr-defined]
    pairing = Pairing(MeterSettings())
    rows = [row for record in made for row in pairing.add(record)]
    rows += pairing.rest()
    [flow] = to_flows(rows, 0)
    assert (flow["src_port"], flow["dst_port"]) == (40000, 443)
    assert int(flow["end_ns"]) == max(record.end for record in made)
    for way, end in (("out", client), ("in", server)):
        mine = [record for record in made if record.src == end]
        assert flow[f"packets_{way}"] == sum(record.packets for record in mine)
        assert flow[f"bytes_{way}"] == sum(record.bytes for record in mine)
