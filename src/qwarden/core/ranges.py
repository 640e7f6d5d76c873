"""Sets of IP addresses: networks compiled to sorted ranges, asked one address or a million at a time.

Addresses are 128-bit numbers, IPv4 mapped into IPv6 (``::ffff:a.b.c.d``, RFC 4291 section 2.5.5.2), and an
address written either way is the same one. An IPv6 network holds no IPv4 address unless it is written as a
mapped one: ``::/0`` is all of IPv6, ``0.0.0.0/0`` all of IPv4.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from functools import cached_property, lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Network = IPv4Network | IPv6Network

_MAPPED: Final = 0xFFFF << 32
_MAPPED_END: Final = _MAPPED + (1 << 32) - 1


def parse_network(text: str, *, strict: bool = True) -> Network:
    """Read a network or a single address; a mapped one becomes IPv4.

    Parameters
    ----------
    strict : refuse a network whose host bits are set, since ``10.0.0.5/8`` may mean two things.

    Raises
    ------
    ValueError
        It is neither, or has host bits set.

    Examples
    --------
    >>> parse_network("10.0.0.5"), parse_network("::ffff:10.0.0.0/104")
    (IPv4Network('10.0.0.5/32'), IPv4Network('10.0.0.0/8'))
    """
    network = ip_network(text.strip(), strict=strict)
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - 96))
    return network


@lru_cache(maxsize=4096)
def address_number(text: str) -> int:
    """Return the 128-bit number of an address.

    >>> hex(address_number("10.0.0.1")), address_number("::ffff:10.0.0.1") == address_number("10.0.0.1")
    ('0xffff0a000001', True)
    """
    return _number(ip_address(text))


def _number(address: IPv4Address | IPv6Address) -> int:
    return _MAPPED | int(address) if isinstance(address, IPv4Address) else int(address)


class AddressRanges:
    """The addresses of some networks.

    Examples
    --------
    >>> inside = AddressRanges([parse_network("10.0.0.0/8"), parse_network("2001:db8::/32")])
    >>> inside.holds("10.1.2.3"), inside.holds("2001:db8::1"), inside.holds("11.0.0.1")
    (True, True, False)
    """

    def __init__(self, networks: Iterable[Network]) -> None:
        self._low: list[int] = []
        self._high: list[int] = []
        for low, high in sorted(piece for network in networks for piece in _pieces(network)):
            if self._high and low <= self._high[-1] + 1:
                self._high[-1] = max(self._high[-1], high)
            else:
                self._low.append(low)
                self._high.append(high)

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """First and last number of each range; sorted, with gaps between them."""
        return list(zip(self._low, self._high, strict=True))

    def holds(self, address: str) -> bool:
        """Say whether an address is among them; ValueError if it is none."""
        number = address_number(address)
        at = bisect_right(self._low, number) - 1
        return at >= 0 and number <= self._high[at]

    def hold(self, high: npt.NDArray[np.uint64], low: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Say of many addresses whether they are among them.

        Parameters
        ----------
        high, low : shape (n,); the halves of their numbers.
        """
        import numpy as np

        if not self._low:
            return np.zeros(high.size, np.bool_)
        numbers = _as_text(high, low)
        first, last = self._texts
        at = np.searchsorted(first, numbers, "right") - 1
        inside: npt.NDArray[np.bool_] = numbers <= last[at]
        return inside & (at >= 0)

    @cached_property
    def _texts(self) -> tuple[npt.NDArray[np.bytes_], npt.NDArray[np.bytes_]]:
        return _as_text(*_halves(self._low)), _as_text(*_halves(self._high))


def _pieces(network: Network) -> list[tuple[int, int]]:
    """Return the ranges of one network: two, if the IPv4 addresses must be cut out of its middle."""
    low, high = _number(network[0]), _number(network[-1])
    if isinstance(network, IPv4Network) or low > _MAPPED_END or high < _MAPPED:
        return [(low, high)]
    around = [(low, _MAPPED - 1), (_MAPPED_END + 1, high)]
    return [(first, last) for first, last in around if first <= last]


def _halves(numbers: list[int]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    import numpy as np

    return (
        np.array([number >> 64 for number in numbers], np.uint64),
        np.array([number & (1 << 64) - 1 for number in numbers], np.uint64),
    )


def _as_text(high: npt.NDArray[np.uint64], low: npt.NDArray[np.uint64]) -> npt.NDArray[np.bytes_]:
    # NumPy compares 16-byte texts in one go and in the order of the numbers, which it has no type for.
    import numpy as np

    return np.stack((high, low), axis=1).astype(">u8").view("S16").ravel()
