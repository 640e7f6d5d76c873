"""Compiled ranges against the standard library's networks, asked one by one."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network
from itertools import pairwise

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from qwarden.core.ranges import AddressRanges, address_number, parse_network

MAPPED = 0xFFFF << 32
SPECIAL = [
    0,
    1,
    MAPPED - 1,
    MAPPED,
    MAPPED + 0x0A000000,
    MAPPED + 0xFFFFFFFF,
    MAPPED + (1 << 32),
    (1 << 128) - 1,
]
NUMBERS = st.one_of(
    st.sampled_from(SPECIAL), st.integers(MAPPED, MAPPED + 0xFFFFFFFF), st.integers(0, (1 << 128) - 1)
)


def network_text(number: int, prefix: int, as_ipv4: bool) -> str:
    if as_ipv4:
        return str(ip_network((IPv4Address(number & 0xFFFFFFFF), prefix % 33), strict=False))
    return str(ip_network((IPv6Address(number), prefix), strict=False))


NETWORKS = st.lists(st.builds(network_text, NUMBERS, st.integers(0, 128), st.booleans()), max_size=12)


def oracle(number: int, networks: list[str]) -> bool:
    """By membership in `ipaddress`, where IPv4 and IPv6 never mix; what is mapped counts as IPv4."""
    address: IPv4Address | IPv6Address = IPv6Address(number)
    address = address.ipv4_mapped or address
    for text in networks:
        network = ip_network(text)
        if network.version == 6 and network.prefixlen >= 96 and network[0].ipv4_mapped:  # type: ignore[union-attr]
            network = ip_network((network[0].ipv4_mapped, network.prefixlen - 96))  # type: ignore[union-attr]
        if address in network:
            return True
    return False


@given(NETWORKS, st.lists(NUMBERS, min_size=1, max_size=20))
@example(["::/0"], SPECIAL)
@example(["::/80"], SPECIAL)
@example(["0.0.0.0/0", "::/0"], SPECIAL)
@example(["::ffff:0:0/96"], SPECIAL)
@example(["::fffe:0:0/95"], SPECIAL)
def test_one_and_many_addresses_are_found_as_by_the_standard_library(
    networks: list[str], numbers: list[int]
) -> None:
    ranges = AddressRanges(map(parse_network, networks))
    around = [n for low, high in ranges.ranges for n in (low - 1, low, high, high + 1) if 0 <= n < 1 << 128]
    numbers = numbers + around
    expected = [oracle(number, networks) for number in numbers]
    assert [ranges.holds(str(IPv6Address(number))) for number in numbers] == expected
    high = np.array([number >> 64 for number in numbers], np.uint64)
    low = np.array([number & (1 << 64) - 1 for number in numbers], np.uint64)
    assert ranges.hold(high, low).tolist() == expected


@given(NETWORKS)
def test_ranges_are_sorted_and_apart(networks: list[str]) -> None:
    ranges = AddressRanges(map(parse_network, networks)).ranges
    assert all(low <= high for low, high in ranges)
    assert all(before[1] + 1 < after[0] for before, after in pairwise(ranges))


@given(st.integers(0, 0xFFFFFFFF))
def test_both_ways_of_writing_an_address_are_one(number: int) -> None:
    plain = IPv4Address(number)
    assert address_number(str(plain)) == address_number(f"::ffff:{plain}") == MAPPED + number
