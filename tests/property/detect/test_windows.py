"""Host windows against a plain recount of the flows inside each window."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwarden.detect.features import FeatureExtractor, failed
from qwarden.detect.windows import CONTEXT_NAMES, SPANS, HostWindows, host_hashes, tried
from qwarden.formats.flows import Flows, unknown_flows

SECOND = 1_000_000_000


def random_flows(seed: int, count: int, span_s: int) -> Flows:
    rng = np.random.default_rng(seed)
    flows = unknown_flows(count)
    flows["end_ns"] = np.sort(rng.integers(0, span_s, count)) * SECOND
    flows["start_ns"] = flows["end_ns"] - SECOND // 2
    flows["src_lo"] = rng.integers(1, 6, count)
    flows["dst_lo"] = rng.integers(1, 9, count)
    flows["dst_port"] = rng.choice([22, 80, 443, 5000], count)
    flows["proto"] = rng.choice([6, 17], count)
    flows["tcp_state"] = np.where(flows["proto"] == 6, rng.integers(0, 13, count), -1)
    for name in ("packets_out", "packets_in", "bytes_out", "bytes_in", "payload_out", "payload_in"):
        flows[name] = rng.integers(0, 40, count)
    return flows


def recount(flows: Flows, lost: np.ndarray, i: int, span_s: int) -> dict[str, float]:
    """Count by looking at every flow again."""
    now = flows["end_ns"][i]
    seen = flows[: i + 1]
    lost = lost[: i + 1]
    inside = seen["end_ns"] >= now - span_s * SECOND
    me = flows[i]
    src = inside & (seen["src_lo"] == me["src_lo"])
    dst = inside & (seen["dst_lo"] == me["dst_lo"])
    port = (seen["dst_port"] == me["dst_port"]) & (seen["proto"] == me["proto"])
    fan, pair, contact, service = src & port, src & dst, src & dst & port, dst & port

    def distinct(mask: np.ndarray, *names: str) -> int:
        return len({tuple(row) for row in seen[mask][list(names)].tolist()})

    out, back = int(seen["bytes_out"][pair].sum()), int(seen["bytes_in"][pair].sum())
    src_out, src_in = int(seen["bytes_out"][src].sum()), int(seen["bytes_in"][src].sum())
    return {
        "source_flows": src.sum(),
        "source_failed_share": lost[src].mean(),
        "source_peers": distinct(src, "dst_lo"),
        "source_services": distinct(src, "proto", "dst_port"),
        "fan_peers": distinct(fan, "dst_lo"),
        "fan_failed_share": distinct(fan & lost, "dst_lo") / distinct(fan, "dst_lo"),
        "pair_ports": distinct(pair, "proto", "dst_port"),
        "contacts": contact.sum(),
        "contacts_failed_share": lost[contact].mean(),
        "victim_flows": dst.sum(),
        "victim_failed_share": lost[dst].mean(),
        "victim_sources": distinct(dst, "src_lo"),
        "service_sources": distinct(service, "src_lo"),
        "service_packets": seen["packets_out"][service].sum(),
        "pair_bytes_out": out,
        "pair_upload_share": (out - back) / (out + back + 1),
        "source_upload_share": (src_out - src_in) / (src_out + src_in + 1),
    }


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), span_s=st.sampled_from([30, 900, 9000]))
def test_every_window_column_equals_a_recount(seed: int, span_s: int) -> None:
    flows = random_flows(seed, 160, span_s)
    lost = failed(flows)
    context = HostWindows(capacity=1 << 9, services=256).update(flows, lost)
    for i in range(0, len(flows), 7):
        for name, span in SPANS.items():
            for key, value in recount(flows, lost, i, span).items():
                assert context[i, CONTEXT_NAMES.index(f"{key}_{name}")] == np.float64(value), (i, key, name)


def retell(flows: Flows, i: int) -> dict[str, float]:
    """Compare a flow with those before it by looking at every one of them again."""
    seen, me, at = flows[: i + 1], flows[i], flows["start_ns"]
    port = (seen["dst_port"] == me["dst_port"]) & (seen["proto"] == me["proto"])
    src, dst = seen["src_lo"] == me["src_lo"], seen["dst_lo"] == me["dst_lo"]
    sizes = [np.log1p(seen[name].astype(float)) for name in ("payload_out", "payload_in")]
    sizes.append(np.log1p((seen["packets_out"] + seen["packets_in"]).astype(float)))
    close = np.all(
        [abs(size - size[i]) <= limit for size, limit in zip(sizes, (0.1, 0.1, 0.25), strict=True)], axis=0
    )

    def held(mask: np.ndarray) -> np.ndarray:
        return np.flatnonzero(mask)[-24:]

    def age(mask: np.ndarray) -> float:
        return float(np.clip(at[i] - at[np.flatnonzero(mask)[0]], 0, 86_400 * SECOND)) * 1e-9

    contact, fan = held(src & dst & port), held(src & port)
    recent = abs(at[fan] - at[i]) <= 300 * SECOND
    many = len(contact) >= 4
    hours = [int(t) // (3600 * SECOND) for t in at[np.flatnonzero(src & dst & port)]]
    return {
        "contacts_ever": (src & dst & port).sum(),
        "contact_gap_s": np.ptp(at[contact]) * 1e-9 / (len(contact) - 1) if many else np.nan,
        "contact_age_s": age(src & dst & port),
        "contact_hours_1d": len({h for h in hours if h > max(hours) - 24}),
        "fan_alike": (close[fan] & recent).sum(),
        "fan_alike_share": (close[fan] & recent).sum() / recent.sum(),
        "destination_age_s": age(dst),
        "source_age_s": age(src),
    }


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), span_s=st.sampled_from([30, 900, 9000, 400_000]))
def test_every_history_column_equals_a_retelling(seed: int, span_s: int) -> None:
    flows = random_flows(seed, 160, span_s)
    context = HostWindows(capacity=1 << 9, services=256).update(flows, failed(flows))
    for i in range(0, len(flows), 7):
        for key, value in retell(flows, i).items():
            np.testing.assert_allclose(context[i, CONTEXT_NAMES.index(key)], value, err_msg=f"{i} {key}")


def cell(word: int) -> int:
    """The cell of a hash: its six highest bits."""
    return int(word) >> 58


def resketch(flows: Flows, i: int) -> dict[str, float]:
    """Linear counting over every flow of the day up to this one: the marked cells of 64."""
    seen, hashes = flows[: i + 1], host_hashes(flows[: i + 1])
    inside = seen["end_ns"] // (60 * SECOND) > seen["end_ns"][i] // (60 * SECOND) - 1440
    vain = tried(seen, failed(seen))

    def count(key: int, item: int, mask: np.ndarray) -> float:
        marked = {cell(word) for word in hashes[mask & (hashes[:, key] == hashes[i, key]), item]}
        return -64 * log(1 - len(marked) / 64)

    destination, pair, fan, contact = range(1, 5)
    return {
        "pair_tried_1d": count(pair, contact, inside & vain),
        "fan_tried_1d": count(fan, contact, inside & vain),
        "victim_triers_1d": count(destination, pair, inside & vain),
        "destination_sources_1d": count(destination, pair, inside),
    }


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), span_s=st.sampled_from([900, 100_000, 400_000]))
def test_every_column_of_a_day_equals_a_recount(seed: int, span_s: int) -> None:
    flows = random_flows(seed, 160, span_s)
    context = HostWindows(capacity=1 << 9, services=256).update(flows, failed(flows))
    for i in range(0, len(flows), 7):
        for key, value in resketch(flows, i).items():
            np.testing.assert_allclose(context[i, CONTEXT_NAMES.index(key)], value, err_msg=f"{i} {key}")


@pytest.mark.parametrize("ports", [3, 9, 30, 100])
def test_a_day_s_count_is_near_the_number_of_ports(ports: int) -> None:
    estimates = []
    for seed in range(20):
        flows = random_flows(seed, ports, 80_000)
        flows["src_lo"], flows["dst_lo"], flows["proto"], flows["tcp_state"] = 1, 2 + seed, 6, 0
        flows["dst_port"] = np.arange(ports) + 100 * seed
        context = HostWindows(capacity=1 << 9, services=256).update(flows, np.ones(ports, bool))
        estimates.append(context[-1, CONTEXT_NAMES.index("pair_tried_1d")])
    assert abs(np.mean(estimates) - ports) <= max(0.7, 0.1 * ports)


def test_hundreds_of_ports_are_at_least_hundreds() -> None:
    flows = random_flows(1, 2000, 80_000)
    flows["src_lo"], flows["dst_lo"], flows["proto"], flows["tcp_state"] = 1, 2, 6, 0
    flows["dst_port"] = np.arange(2000)
    context = HostWindows().update(flows, np.ones(2000, bool))
    assert context[-1, CONTEXT_NAMES.index("pair_tried_1d")] > 200


def test_a_forgotten_key_starts_anew() -> None:
    flows = random_flows(3, 200, 3000)
    flows["src_lo"] = np.arange(200) // 50 + 1
    context = HostWindows(capacity=1 << 9, services=1).update(flows, failed(flows))
    assert context[:, CONTEXT_NAMES.index("contacts_ever")].max() < 50


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(1, 50))
def test_context_does_not_depend_on_how_flows_are_batched(seed: int, cut: int) -> None:
    flows = random_flows(seed, 200, 2000)
    whole = FeatureExtractor().rows(flows)
    extractor = FeatureExtractor()
    parts = np.vstack([extractor.rows(flows[at : at + cut]) for at in range(0, len(flows), cut)])
    np.testing.assert_array_equal(whole, parts)


def test_a_full_ring_forgets_the_oldest_and_counts_them() -> None:
    flows = random_flows(1, 300, 60)
    windows = HostWindows(capacity=100, services=64)
    context = windows.update(flows, failed(flows))
    assert windows.forgotten > 0
    last = context[-1, CONTEXT_NAMES.index("source_flows_1h")]
    assert last == (flows["src_lo"][-100:] == flows["src_lo"][-1]).sum()


def test_traffic_time_that_jumps_backwards_neither_hangs_nor_empties_the_window() -> None:
    flows = random_flows(2, 50, 100)
    flows["end_ns"][25:] -= 10 * 365 * 86_400 * SECOND
    context = HostWindows().update(flows, failed(flows))
    assert (
        context[-1, CONTEXT_NAMES.index("source_flows_1h")] == (flows["src_lo"] == flows["src_lo"][-1]).sum()
    )
