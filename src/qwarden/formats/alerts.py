"""What another detector said: the alert of a signature, as Suricata logs it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SignatureAlert:
    """One alert.

    Attributes
    ----------
    time_ns : when, nanoseconds since the epoch in traffic time.
    signature, category : what the rule is called, and its class; cut at 200 and 100 characters, printable.
    severity : 1 is the gravest; -1 if unknown.
    gid, sid, rev : the rule's generator, number and revision; -1 if unknown.
    action : ``allowed`` or ``blocked``; empty if unknown.
    src_ip, dst_ip : addresses of the packet that raised it, as text.
    src_port, dst_port : -1 without ports.
    proto : IANA protocol number, -1 if unknown.
    flow_id : what the sensor calls the flow it was raised on; empty if unknown.
    """

    time_ns: int
    signature: str
    category: str
    severity: int
    gid: int
    sid: int
    rev: int
    action: str
    src_ip: str
    src_port: int
    dst_ip: str
    dst_port: int
    proto: int
    flow_id: str = ""
