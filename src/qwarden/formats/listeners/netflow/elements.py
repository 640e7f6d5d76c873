"""The information elements that are read, by number.

NetFlow v9's field types 1 to 127 have the same numbers and meaning (RFC 7012, 4.1). Elements of an
enterprise are skipped by their length, but for those of RFC 5103: enterprise 29305 means the same
element, the other way.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

REVERSE_ENTERPRISE: Final = 29305
"""Private enterprise number of reverse elements (RFC 5103, 6.1)."""

VARIABLE: Final = 0xFFFF
"""Length of a field whose length stands in each record (RFC 7011, 7)."""


class Kind(Enum):
    """How an element is encoded."""

    NUMBER = "a whole number of 1 to 8 bytes"  # reduced-size encoding, RFC 7011, 6.2
    IPV4 = "4 bytes"
    IPV6 = "16 bytes"
    MAC = "6 bytes"

    def allows(self, length: int) -> bool:
        """Whether a field of this many bytes can hold it."""
        if self is Kind.NUMBER:
            return 1 <= length <= 8
        return length == {Kind.IPV4: 4, Kind.IPV6: 16, Kind.MAC: 6}[self]


_NUMBERS: Final = {
    1: "octetDeltaCount", 2: "packetDeltaCount", 4: "protocolIdentifier", 6: "tcpControlBits",
    7: "sourceTransportPort", 11: "destinationTransportPort", 21: "flowEndSysUpTime",
    22: "flowStartSysUpTime", 32: "icmpTypeCodeIPv4", 34: "samplingInterval",
    50: "samplerRandomInterval", 58: "vlanId", 60: "ipVersion", 85: "octetTotalCount",
    86: "packetTotalCount", 139: "icmpTypeCodeIPv6", 150: "flowStartSeconds", 151: "flowEndSeconds",
    152: "flowStartMilliseconds", 153: "flowEndMilliseconds", 154: "flowStartMicroseconds",
    155: "flowEndMicroseconds", 156: "flowStartNanoseconds", 157: "flowEndNanoseconds",
    158: "flowStartDeltaMicroseconds", 159: "flowEndDeltaMicroseconds", 160: "systemInitTimeMilliseconds",
    161: "flowDurationMilliseconds", 162: "flowDurationMicroseconds", 176: "icmpTypeIPv4",
    177: "icmpCodeIPv4", 178: "icmpTypeIPv6", 179: "icmpCodeIPv6", 231: "initiatorOctets",
    232: "responderOctets", 233: "firewallEvent", 239: "biflowDirection", 243: "dot1qVlanId",
    298: "initiatorPackets", 299: "responderPackets", 305: "samplingPacketInterval",
    306: "samplingPacketSpace", 323: "observationTimeMilliseconds",
}  # fmt: skip

ELEMENTS: Final = {
    **{number: (name, Kind.NUMBER) for number, name in _NUMBERS.items()},
    8: ("sourceIPv4Address", Kind.IPV4),
    12: ("destinationIPv4Address", Kind.IPV4),
    27: ("sourceIPv6Address", Kind.IPV6),
    28: ("destinationIPv6Address", Kind.IPV6),
    56: ("sourceMacAddress", Kind.MAC),
}
"""Name and encoding by number."""

_REVERSED: Final = frozenset({1, 2, 6, 85, 86})
"""Elements whose reverse is read."""


def element(number: int, enterprise: int) -> tuple[str, Kind] | None:
    """Return name and encoding of an element, None if it is not read; a reverse one has a ``-`` before it.

    >>> element(1, 0)[0], element(1, 29305)[0], element(1, 9)
    ('octetDeltaCount', '-octetDeltaCount', None)
    """
    if enterprise == 0:
        return ELEMENTS.get(number)
    if enterprise == REVERSE_ENTERPRISE and number in _REVERSED:
        name, kind = ELEMENTS[number]
        return "-" + name, kind
    return None
