"""The flow meter: when flows begin and end, who begins them, and in which order they come out."""

import numpy as np
import pytest

from qwarden.core.errors import UsageError
from qwarden.formats.accounting import END_OF_TIME
from qwarden.formats.flows import END_ACTIVE, END_EVICTED, END_IDLE, END_OF_INPUT, END_TCP_CLOSED
from qwarden.formats.meter.settings import MeterSettings

from . import craft
from .compare import assert_same_flows, reference
from .craft import ACK, FIN, RST, SYN
from .reference_meter import pcap_records


def out(flags: int, sport: int = 4000, dport: int = 80, data: bytes = b"") -> bytes:
    return craft.frame4(craft.tcp(sport, dport, flags, data), 6)


def back(flags: int, sport: int = 80, dport: int = 4000, data: bytes = b"") -> bytes:
    return craft.frame4(craft.tcp(sport, dport, flags, data), 6, src=craft.SERVER, dst=craft.CLIENT)


def datagram(n: int) -> bytes:
    """A UDP datagram of the flow number `n`."""
    return craft.frame4(craft.udp(1024 + n % 50000, 6000), 17, src=f"10.0.{n // 50000}.1")


def ended(records: list[tuple[float, bytes]], **settings: float) -> list[tuple[int, int]]:
    """Packets and end reason of each flow."""
    flows, _ = craft.read(craft.pcap(records), MeterSettings(**{"max_flows": 64, **settings}))  # type: ignore[arg-type]
    return [(int(f["packets_out"] + f["packets_in"]), int(f["end_reason"])) for f in flows]


def test_idle_time_out_is_exclusive() -> None:
    records = [(0, datagram(0)), (60, datagram(0)), (120.001, datagram(0))]
    assert ended(records) == [(2, END_IDLE), (1, END_OF_INPUT)]


def test_active_time_out_cuts_a_lasting_flow() -> None:
    records = [(t, datagram(0)) for t in range(0, 700, 50)]
    assert ended(records) == [(7, END_ACTIVE), (7, END_OF_INPUT)]


def test_a_cut_connection_keeps_initiator_and_state() -> None:
    records = [(0.0, out(SYN)), (0.1, back(SYN | ACK)), (0.2, out(ACK))]
    records += [(t, back(ACK, data=b"x")) for t in range(50, 400, 50)] + [
        (401, back(FIN | ACK)),
        (402, out(FIN | ACK)),
    ]
    flows, _ = craft.read(craft.pcap(records))
    assert [int(reason) for reason in flows["end_reason"]] == [END_ACTIVE, END_TCP_CLOSED]
    assert flows["src_port"].tolist() == [4000, 4000]
    assert flows["tcp_state"].tolist() == [1, 2]  # S1, then SF
    assert flows["packets_out"].tolist() == [2, 1]


def test_closed_connections_wait_for_late_packets() -> None:
    closing = [(0.0, out(SYN)), (0.1, back(RST | ACK))]
    assert ended([*closing, (5.1, out(ACK)), (20, datagram(0))]) == [(3, END_TCP_CLOSED), (1, END_OF_INPUT)]
    assert ended([*closing, (5.2, out(ACK))]) == [(2, END_TCP_CLOSED), (1, END_OF_INPUT)]
    assert ended([*closing, (5.2, out(ACK))], closed_linger_s=30) == [(3, END_TCP_CLOSED)]
    # Never longer than the idle time-out, on which the order of the batches rests.
    assert ended([*closing, (60.2, out(ACK))], closed_linger_s=300) == [
        (2, END_TCP_CLOSED),
        (1, END_OF_INPUT),
    ]


def test_a_syn_on_a_closed_connection_is_a_new_one() -> None:
    closing = [(0.0, out(SYN)), (0.1, back(RST | ACK))]
    assert ended([*closing, (0.2, out(SYN)), (0.3, back(RST | ACK))]) == [(2, END_TCP_CLOSED)] * 2
    # On an open one it is a repetition.
    assert ended([(0, out(SYN)), (1, out(SYN)), (3, out(SYN))]) == [(3, END_OF_INPUT)]


@pytest.mark.parametrize(
    ("first", "src_port"),
    [
        (out(SYN), 4000),
        (back(SYN | ACK), 4000),
        (back(ACK), 4000),  # from a service
        (back(RST), 4000),
        (back(ACK, 8080, 4000), 8080),  # no telling: the sender
        (back(ACK, 80, 443), 80),
        (back(SYN, 80, 4000), 80),
        (craft.frame4(craft.udp(53, 5353), 17), 5353),
        (craft.frame4(craft.udp(5353, 53), 17), 5353),
        (craft.frame4(craft.udp(123, 123), 17), 123),
    ],
)
def test_who_began(first: bytes, src_port: int) -> None:
    flows, _ = craft.read(craft.pcap([(0, first)]))
    assert flows[0]["src_port"] == src_port


def test_a_swapped_flow_takes_the_other_hardware_address() -> None:
    flows, _ = craft.read(craft.pcap([(0, back(SYN | ACK)), (1, out(ACK))]))
    assert flows[0]["src_mac"] == 0x020000000002  # the frame's destination
    assert (flows[0]["packets_out"], flows[0]["packets_in"]) == (1, 1)


def test_both_ends_alike_is_all_one_way() -> None:
    packet = craft.frame4(craft.udp(7, 7), 17, src=craft.CLIENT, dst=craft.CLIENT)
    flows, _ = craft.read(craft.pcap([(0, packet), (1, packet)]))
    assert flows["packets_out"].tolist() == [2]


def test_statistics_of_a_flow() -> None:
    sizes, times = [0, 10, 40, 10], [0.0, 1.0, 3.0, 3.5]
    records = [(t, out(ACK, data=bytes(n))) for t, n in zip(times, sizes, strict=True)]
    flow = craft.read(craft.pcap(records))[0][0]
    gaps = np.diff(times)
    for way, stat, expected in (
        ("iat", "mean", gaps.mean()), ("iat", "std", gaps.std()), ("iat", "max", 2.0),
        ("size", "mean", 15.0), ("size", "std", np.std(sizes)), ("size", "max", 40.0),
    ):  # fmt: skip
        assert flow[f"{way}_{stat}_out"] == pytest.approx(expected, rel=1e-12)
        assert np.isnan(flow[f"{way}_{stat}_in"])


def test_pauses_are_silences_of_both_ends() -> None:
    heard = [(0.0, out), (0.01, back), (10.0, out), (10.2, back), (22.0, back), (22.3, out), (22.79, back)]
    flow = craft.read(craft.pcap([(at, way(ACK, data=b"x")) for at, way in heard]))[0][0]
    assert flow["pauses"] == 2
    assert flow["pause_mean"] == pytest.approx((9.99 + 11.8) / 2)
    assert flow["pause_std"] == pytest.approx(np.std([9.99, 11.8]))


def test_a_flow_without_a_pause_has_none() -> None:
    flow = craft.read(craft.pcap([(0.1 * i, out(ACK)) for i in range(5)]))[0][0]
    assert flow["pauses"] == 0
    assert np.isnan(flow["pause_mean"])
    assert np.isnan(flow["pause_std"])


def test_a_regular_beacon_has_no_spread_however_long() -> None:
    """A million seconds apart in value, a microsecond in spread: no cancellation."""
    records = [(1_000_000_000 + 50 * i + (1e-6 if i % 2 else 0), datagram(0)) for i in range(200)]
    settings = MeterSettings(active_timeout_s=1e7, max_flows=4)
    flow = craft.read(craft.pcap(records), settings)[0][0]
    assert flow["iat_std_out"] == pytest.approx(1e-6, rel=0.01)


def test_time_going_back_starts_an_epoch() -> None:
    records = [
        (1e9, out(SYN)),
        (1e9 + 1, datagram(0)),
        (5.0, datagram(0)),
        (6.0, out(SYN)),
        (1e9, datagram(0)),
    ]
    batches, report = craft.read_batches(craft.pcap(records))
    assert report.flows_read == 5
    assert [
        (batch.epoch, len(batch.flows), batch.watermark_ns == END_OF_TIME)
        for batch in batches
        if len(batch.flows)
    ] == [
        (0, 2, True),
        (1, 2, False),  # ended by the jump forward, which is no epoch
        (1, 1, True),
    ]


def test_small_steps_back_are_tolerated() -> None:
    records = [(100, datagram(0)), (99, datagram(0)), (41, datagram(0)), (100.5, datagram(0))]
    flows, _ = craft.read(craft.pcap(records))
    assert len(flows) == 1
    assert (flows[0]["start_ns"], flows[0]["end_ns"]) == (41 * 10**9, 100_500_000_000)
    assert flows[0]["iat_max_out"] == 0.5


def test_equal_times_are_fine() -> None:
    flows, _ = craft.read(craft.pcap([(7, datagram(n % 10)) for n in range(1000)]))
    assert len(flows) == 10
    assert flows["iat_max_out"].tolist() == [0.0] * 10


def test_jumping_to_and_fro_costs_no_more_than_its_packets() -> None:
    """Each jump ends the flows of an epoch: never more than were begun in it."""
    records = [((n % 2) * 1e9, datagram(n)) for n in range(20_000)]
    flows, report = craft.read(craft.pcap(records), MeterSettings())
    assert (len(flows), report.packets.metered) == (20_000, 20_000)


def test_eviction_takes_the_flow_idle_longest() -> None:
    records = [(float(n), datagram(n)) for n in range(4)] + [
        (4, datagram(0)),
        (5, datagram(9)),
        (6, datagram(10)),
    ]
    flows, report = craft.read(craft.pcap(records), MeterSettings(max_flows=4))
    assert report.flows_evicted == 2
    evicted = flows[flows["end_reason"] == END_EVICTED]
    assert evicted["src_port"].tolist() == [1025, 1026]
    assert flows["packets_out"].sum() == 7


@pytest.mark.parametrize(("closed_at", "evicted"), [(0.0, 4000), (1.5, 1024)])
def test_eviction_weighs_closed_and_open_flows_alike(closed_at: float, evicted: int) -> None:
    """The one touched first goes: the connection just closed, or the open flow."""
    refused = [(closed_at, out(SYN)), (closed_at + 0.1, back(RST | ACK))]
    records = sorted([*refused, (1.0, datagram(0)), (2.0, datagram(1))])
    flows, report = craft.read(craft.pcap(records), MeterSettings(max_flows=2))
    assert report.flows_evicted == 1
    assert flows["src_port"][flows["end_reason"] == END_EVICTED].tolist() == [evicted]


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_a_tiny_table_loses_no_packet(limit: int) -> None:
    rng = np.random.default_rng(limit)
    records = [(i / 100, datagram(int(n))) for i, n in enumerate(rng.integers(0, 40, 3000))]
    flows, report = craft.read(craft.pcap(records), MeterSettings(max_flows=limit))
    assert flows["packets_out"].sum() == report.packets.metered == 3000
    assert report.flows_evicted == (flows["end_reason"] == END_EVICTED).sum() > 100
    assert flows["seq"].tolist() == list(range(len(flows)))


def test_more_flows_than_a_batch_holds() -> None:
    """A sweep ends 20,000 flows at once; the batches hold them all, in order of their last packet."""
    records = [(n / 1e5, datagram(n)) for n in range(20_000)] + [(100, datagram(49_999))]
    batches, _ = craft.read_batches(craft.pcap(records), MeterSettings())
    assert max(len(batch.flows) for batch in batches) <= 8192
    order = np.concatenate([batch.flows["seq"] for batch in batches])
    assert order.tolist() == list(range(20_001))


def disorder(seed: int, count: int = 4000) -> list[tuple[float, bytes]]:
    """Traffic whose packets come up to 20 s late, with connections that close."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(0, 2000, count)) - rng.choice([0, 0, 0, 1], count) * rng.uniform(0, 20, count)
    records = []
    for t, n, kind in zip(times, rng.integers(0, 60, count), rng.integers(0, 4, count), strict=True):
        flags = (SYN, ACK, FIN | ACK, RST)[kind]
        packet = (
            datagram(int(n))
            if n % 2
            else (out if n % 4 else back)(flags, *((4000 + int(n), 80) if n % 4 else (80, 4000 + int(n))))
        )
        records.append((max(float(t), 0.0), packet))
    return records


@pytest.mark.parametrize("seed", range(4))
def test_no_flow_ends_behind_the_watermark(seed: int) -> None:
    """The order the consumer relies on, with packets out of order, closed, cut and evicted flows."""
    settings = MeterSettings(idle_timeout_s=40, active_timeout_s=150, max_flows=30)
    data = craft.pcap(disorder(seed))
    batches, _ = craft.read_batches(data, settings, piece=1500)
    marks = [batch.watermark_ns for batch in batches]
    assert marks == sorted(marks)
    assert len(set(marks)) > 50
    for before, batch in zip(marks, batches[1:], strict=False):
        assert (batch.flows["end_ns"] >= before - 40 * 10**9).all()


@pytest.mark.parametrize("seed", range(4))
def test_disorder_equals_the_reference(seed: int) -> None:
    data = craft.pcap(disorder(seed))
    flows, _ = craft.read(data, MeterSettings(idle_timeout_s=40, active_timeout_s=150, max_flows=1000))
    meter = reference(pcap_records(data), idle=40, active=150)
    assert_same_flows(flows, meter.finish())


def test_the_result_does_not_depend_on_how_the_bytes_come() -> None:
    data = craft.pcap(disorder(9))
    whole, _ = craft.read(data)
    pieces, _ = craft.read(data, piece=97)
    assert whole.tobytes() == pieces.tobytes()


@pytest.mark.parametrize(
    "wrong",
    [
        {"idle_timeout_s": 0},
        {"active_timeout_s": -1},
        {"closed_linger_s": 1e9},
        {"max_flows": 0},
        {"max_flows": 1 << 30},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        MeterSettings(**wrong)  # type: ignore[arg-type]
