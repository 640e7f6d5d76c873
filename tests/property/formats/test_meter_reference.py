"""Any sequence of packets gives the flows of the plain reference meter, column by column."""

import itertools

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.formats import craft
from tests.unit.formats.compare import assert_same_flows, reference
from tests.unit.formats.reference_meter import pcap_records

from qwarden.formats.meter.settings import MeterSettings

HOSTS4 = ("10.0.0.1", "10.0.0.2", "10.0.0.3")
HOSTS6 = ("2001:db8::1", "2001:db8::2", "fe80::1")
PORTS = (53, 80, 1023, 1024, 40000)

flags = st.sampled_from([0, 1, 2, 4, 16, 17, 18, 20, 24, 41, 63])
ports = st.sampled_from(PORTS)
data = st.integers(0, 3).map(lambda n: b"x" * (n * 100))
segments = st.one_of(
    st.tuples(st.just(6), st.builds(lambda a, b, f, d: craft.tcp(a, b, f, d), ports, ports, flags, data)),
    st.tuples(st.just(17), st.builds(lambda a, b, d: craft.udp(a, b, d), ports, ports, data)),
    st.tuples(
        st.sampled_from([1, 58]),
        st.builds(
            lambda k, c, i: craft.icmp(k, c, i),
            st.sampled_from([0, 3, 8, 13, 14, 128, 129]),
            st.integers(0, 1),
            st.integers(0, 1),
        ),
    ),
    st.tuples(st.sampled_from([47, 50, 132]), st.just(bytes(16))),
)


@st.composite
def packets(draw: st.DrawFn) -> bytes:
    """A frame between a few hosts, so that flows meet."""
    if draw(st.integers(0, 9)) == 0:
        opcode = draw(st.sampled_from([1, 2, 3, 4, 8, 9]))
        sender, target = draw(st.sampled_from(HOSTS4)), draw(st.sampled_from(HOSTS4))
        return craft.ethernet(craft.arp(opcode, sender, target), 0x0806)
    proto, segment = draw(segments)
    vlans = draw(st.sampled_from([[], [], [(0x8100, 5)], [(0x88A8, 3), (0x8100, 6)]]))
    version = draw(st.sampled_from([4, 4, 6]))
    hosts = HOSTS4 if version == 4 else HOSTS6
    ends = {"src": draw(st.sampled_from(hosts)), "dst": draw(st.sampled_from(hosts))}
    part = draw(st.sampled_from(["whole"] * 6 + ["first", "later", "extended"]))
    ident = draw(st.integers(1, 2))
    if version == 4:
        if part == "first":
            packet = craft.ipv4(segment, proto, ident=ident, more=True, ttl=draw(st.integers(1, 255)), **ends)
        elif part == "later":
            packet = craft.ipv4(bytes(64), proto, ident=ident, offset=64, **ends)
        else:
            options = b"\x01" * 8 if part == "extended" else b""
            packet = craft.ipv4(segment, proto, options=options, **ends)
        return craft.ethernet(packet, 0x0800, vlans)
    if part in ("first", "later"):
        word = 1 if part == "first" else 64
        header = bytes([proto, 0, word >> 8, word & 255, 0, 0, 0, ident])
        packet = craft.ipv6(header + (segment if part == "first" else bytes(64)), 44, **ends)
    elif part == "extended":
        packet = craft.ipv6(bytes([proto, 1]) + bytes(14) + segment, 60, **ends)
    else:
        packet = craft.ipv6(segment, proto, **ends)
    return craft.ethernet(packet, 0x86DD, vlans)


steps = st.one_of(
    st.just(0.0),
    st.floats(0, 3),
    st.floats(4, 7),
    st.floats(55, 65),
    st.floats(-58, 0),
    st.sampled_from([1e7, -1e7, 301.0]),
)
streams = st.lists(st.tuples(steps, packets()), max_size=60)


def capture(stream: list[tuple[float, bytes]]) -> bytes:
    now, records = 1e8, []
    for step, packet in stream:
        now = min(max(now + step, 0.0), 4e9)
        records.append((now, packet))
    return craft.pcap(records)


@given(streams)
def test_flows_equal_the_reference(stream: list[tuple[float, bytes]]) -> None:
    content = capture(stream)
    flows, report = craft.read(content)
    meter = reference(pcap_records(content))
    assert report.packets.malformed == meter.counts["malformed"]
    assert report.packets.metered == meter.counts["metered"]
    assert_same_flows(flows, meter.finish())


@given(streams, st.integers(1, 5), st.integers(1, 2000))
def test_no_packet_is_lost_and_no_promise_broken(
    stream: list[tuple[float, bytes]], most: int, piece: int
) -> None:
    """Whatever is evicted, and however the bytes come."""
    settings = MeterSettings(max_flows=most)
    batches, report = craft.read_batches(capture(stream), settings, piece)
    flows = sum(len(batch.flows) for batch in batches)
    total = sum(int((batch.flows["packets_out"] + batch.flows["packets_in"]).sum()) for batch in batches)
    assert (total, flows) == (report.packets.metered, report.flows_read)
    for before, batch in itertools.pairwise(batches):
        assert batch.epoch >= before.epoch
        if batch.epoch == before.epoch:
            assert batch.watermark_ns >= before.watermark_ns
            assert (batch.flows["end_ns"] >= before.watermark_ns - 60 * 10**9).all()
