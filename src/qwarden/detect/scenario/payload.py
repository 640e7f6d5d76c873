"""What applications say first: enough of each protocol that a dissector follows it.

Each function returns the known bytes of a message; what comes after them is pseudo-random, as
encrypted or compressed content is. Sources: RFC 1035 (DNS), 2131 (DHCP), 4253 (SSH), 8446 (TLS 1.3),
9000 and 8999 (QUIC invariants), 5905 (NTP), 4120 (Kerberos), 3416 (SNMP), C706 (DCE-RPC).
"""

from __future__ import annotations

import struct
from typing import Final

from qwarden.detect.scenario.dice import Dice

_TLS_RECORD: Final = 16_384

# --- TLS and QUIC -----------------------------------------------------------------------------------


def client_hello(dice: Dice, name: str, size: int) -> bytes:
    """Return a TLS 1.3 ClientHello record for server `name`, padded to about `size` bytes."""
    host = name.encode()
    extensions = (
        struct.pack(">HHHBH", 0, len(host) + 5, len(host) + 3, 0, len(host)) + host
        + bytes.fromhex("002b0003020304" "000a00040002001d")
        + bytes.fromhex("000d0006000404030804" "003300260024001d0020") + dice.few_bytes(32)
    )  # fmt: skip
    head = b"\x03\x03" + dice.few_bytes(32) + b"\x20" + dice.few_bytes(32)
    head += bytes.fromhex("00061301130213030100")
    bare = 5 + 4 + len(head) + 2 + len(extensions)
    if size >= bare + 4:
        extensions += struct.pack(">HH", 21, size - bare - 4) + bytes(size - bare - 4)
    body = head + struct.pack(">H", len(extensions)) + extensions
    handshake = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + struct.pack(">H", len(handshake)) + handshake


def server_hello(dice: Dice, size: int) -> tuple[tuple[int, bytes], ...]:
    """Return the marks of a server's first flight of `size` bytes: ServerHello, CCS, encrypted rest."""
    extensions = bytes.fromhex("002b0002030400330024001d0020") + dice.few_bytes(32)
    body = b"\x03\x03" + dice.few_bytes(32) + b"\x20" + dice.few_bytes(32) + b"\x13\x01\x00"
    body += struct.pack(">H", len(extensions)) + extensions
    hello = b"\x02" + len(body).to_bytes(3, "big") + body
    first = b"\x16\x03\x03" + struct.pack(">H", len(hello)) + hello + b"\x14\x03\x03\x00\x01\x01"
    return ((0, first), *_records(len(first), size))


SERVER_HELLO_SIZE: Final = 133 + 5
"""Smallest server flight `server_hello` can mark."""


def _records(start: int, size: int) -> tuple[tuple[int, bytes], ...]:
    """Return headers of application data records that fill a message from `start` to `size`."""
    marks = []
    while size - start > 5:
        body = min(size - start - 5, _TLS_RECORD)
        if 0 < size - start - 5 - body <= 5:
            body -= 16  # leave room for the next header and a byte
        marks.append((start, b"\x17\x03\x03" + struct.pack(">H", body)))
        start += 5 + body
    return tuple(marks)


def tls_data(size: int) -> bytes | tuple[tuple[int, bytes], ...]:
    """Return the marks of `size` bytes (at least 6) of TLS application data."""
    if size - 5 <= _TLS_RECORD:
        return b"\x17\x03\x03" + struct.pack(">H", size - 5)
    return _records(0, size)


TLS_FINISHED: Final = b"\x14\x03\x03\x00\x01\x01\x17\x03\x03"


def tls_finished(size: int) -> bytes:
    """Return the client's second flight: change cipher spec and an encrypted record."""
    return TLS_FINISHED + struct.pack(">H", size - 11)


def quic_long(dice: Dice, destination: bytes, source: bytes, size: int) -> bytes:
    """Return the header of a QUIC v1 Initial packet that fills `size` bytes (RFC 9000 17.2.2)."""
    first = bytes([0xC0 | dice.integer(0, 15)])
    head = first + b"\x00\x00\x00\x01\x08" + destination + b"\x08" + source + b"\x00"
    return head + struct.pack(">H", 0x4000 | (size - len(head) - 2))


# --- names ------------------------------------------------------------------------------------------

A, NS, CNAME, SOA, PTR, TXT, AAAA, SRV, NULL, HTTPS = 1, 2, 5, 6, 12, 16, 28, 33, 10, 65


def dns_name(name: str) -> bytes:
    """Return a domain name in wire form (RFC 1035 3.1)."""
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".") if part) + b"\x00"


def dns_query(dice: Dice, name: str, kind: int = A, edns: bool = False, flags: int = 0x0100) -> bytes:
    """Return a query for `name`."""
    message = struct.pack(">HHHHHH", dice.integer(0, 65535), flags, 1, 0, 0, int(edns))
    message += dns_name(name) + struct.pack(">HH", kind, 1)
    return message + (b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00" if edns else b"")


def dns_answer(dice: Dice, query: bytes, kind: int, size: int, code: int = 0) -> bytes:
    """Return the response to `query` with records of `kind`, of about `size` bytes or the least there is."""
    edns = query[11] == 1
    question = query[12 : len(query) - 11] if edns else query[12:]
    extra = query[len(query) - 11 :] if edns else b""
    room = size - 12 - len(question) - len(extra)
    records: list[bytes] = []
    if code == 3:  # no such name: the zone's SOA comes as authority
        data = b"\x02ns\xc0\x0c\x04root\xc0\x0c" + struct.pack(">IIIII", 2026010501, 7200, 900, 1209600, 300)
        records.append(_record(SOA, data))
    elif kind in (A, AAAA):
        length = 4 if kind == A else 16
        alias = 12 + length
        if room > 8 * alias:  # long answers are chains of names
            data = bytes([50]) + b"edge-" + b"x" * 45 + b"\xc0\x0c"
            records.append(_record(CNAME, data))
        total = max(1, min(12, (room - sum(map(len, records))) // alias))
        records += [_record(kind, dice.few_bytes(length)) for _ in range(total)]
    else:
        records.append(_record(kind, _data(dice, kind, max(room - 12, 8))))
    counts = (0, len(records)) if code == 3 else (len(records), 0)
    head = query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, *counts, int(edns))
    return head + question + b"".join(records) + extra


def _record(kind: int, data: bytes) -> bytes:
    return b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 300, len(data)) + data


def _data(dice: Dice, kind: int, size: int) -> bytes:
    if kind == TXT:
        out = b""
        while size > 1:
            piece = min(size - 1, 255)
            out += bytes([piece]) + dice.few_bytes(piece).hex()[:piece].encode()
            size -= piece + 1
        return out or b"\x00"
    if kind in (PTR, NS, CNAME):
        return dns_name("host-" + dice.few_bytes(4).hex() + ".example.net")
    if kind == SRV:
        return struct.pack(">HHH", 0, 100, 389) + dns_name("dc.corp.example")
    if kind == HTTPS:
        return b"\x00\x01\x00\x00\x01\x00\x06\x02h3\x02h2"
    return dice.few_bytes(size)


_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"


def encoded_labels(dice: Dice, size: int) -> str:
    """Return about `size` characters of base-32 data as DNS labels (RFC 4648 6)."""
    text = "".join(_ALPHABET[int(32 * dice.unit())] for _ in range(size))
    return ".".join(text[i : i + 60] for i in range(0, size, 60))


# --- text protocols ---------------------------------------------------------------------------------


def http_request(host: str, path: str, agent: str, size: int, method: str = "GET", body: int = 0) -> bytes:
    """Return an HTTP request head of about `size` bytes."""
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nAccept: */*\r\n"
    if body:
        head += f"Content-Type: application/octet-stream\r\nContent-Length: {body}\r\n"
    room = size - len(head) - 2 - len("Cookie: \r\n")
    if room > 0:
        head += f"Cookie: {('k=' + 'e3b0c44298fc1c14' * (room // 16 + 1))[:room]}\r\n"
    return (head + "\r\n").encode()


def http_response(
    size: int, status: str = "200 OK", kind: str = "application/octet-stream"
) -> tuple[int, bytes]:
    """Return a response's size, `size` or the least there is, and its head, which announces the rest."""
    head = f"HTTP/1.1 {status}\r\nServer: nginx\r\nConnection: keep-alive\r\n"
    head += f"Content-Type: {kind}\r\nContent-Length: "
    room = size - len(head) - 4
    body = max(room - len(str(max(room, 0))), 0)
    while body > 0 and len(head) + len(str(body)) + 4 + body > size:
        body -= 1
    full = f"{head}{body}\r\n\r\n".encode()
    return len(full) + body, full


def line(text: str) -> tuple[int, bytes]:
    """Return (size, bytes) of one line of a text dialogue."""
    data = text.encode() + b"\r\n"
    return len(data), data


# --- binary protocols -------------------------------------------------------------------------------


def ssh_kexinit(dice: Dice, size: int) -> bytes:
    """Return an SSH_MSG_KEXINIT packet (RFC 4253 7.1) of `size` bytes (at least 240, a multiple of 8)."""
    lists = [
        "curve25519-sha256", "ssh-ed25519", "aes128-ctr", "aes128-ctr", "hmac-sha2-256", "hmac-sha2-256",
        "none", "none", "", "",
    ]  # fmt: skip
    missing = size - 5 - 22 - sum(4 + len(text) for text in lists) - 12
    while missing > 30:  # more algorithms, as real lists have them
        name = f",alg-{len(lists[0]):015d}@example.net"
        lists[0] += name
        missing -= len(name)
    body = b"\x14" + dice.few_bytes(16) + b"".join(struct.pack(">I", len(t)) + t.encode() for t in lists)
    return _ssh_packet(body + bytes(5), max(size - 5 - len(body) - 5, 4))


def ssh_message(code: int, size: int) -> bytes:
    """Return a key exchange message holding one string (30: client's key, 31: server's), `size` bytes."""
    padding = 8
    inner = size - 6 - padding
    strings = b"\x00\x00\x00\x20" + bytes(range(32, 64)) if code == 30 else b""
    if code == 31:
        signature = 83
        key = max(inner - signature - 40 - 4, 16)
        strings = struct.pack(">I", key)
        strings += b"\x00\x00\x00\x0bssh-ed25519" + struct.pack(">I", key - 19) + bytes(key - 19)
        strings += b"\x00\x00\x00\x20" + bytes(range(64, 96))
        strings += b"\x00\x00\x00\x53\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x40" + bytes(64)
    return _ssh_packet(bytes([code]) + strings, padding)


def _ssh_packet(body: bytes, padding: int) -> bytes:
    padding += -(5 + len(body) + padding) % 8
    return struct.pack(">IB", 1 + len(body) + padding, padding) + body + bytes(padding)


SSH_NEWKEYS: Final = _ssh_packet(b"\x15", 10)


def smb_encrypted(dice: Dice, size: int, session: int) -> bytes:
    """Return the NetBIOS and SMB3 transform headers of an encrypted message of `size` bytes (at least 72)."""
    head = struct.pack(">I", size - 4) + b"\xfdSMB" + dice.few_bytes(16) + dice.few_bytes(11) + bytes(5)
    return head + struct.pack("<IHHQ", size - 56, 0, 1, session) + bytes(4)


def dcerpc(kind: int, size: int, call: int) -> bytes:
    """Return a DCE-RPC message head (C706 12.6): 11 bind, 12 bind ack, 0 request, 2 response."""
    head = struct.pack("<BBBBIHHI", 5, 0, kind, 3, 0x10, size, 0, call)
    interface = bytes.fromhex("0badcafe00000000c000000000000046") + struct.pack("<HH", 1, 0)
    transfer = bytes.fromhex("045d888aeb1cc9119fe808002b104860") + struct.pack("<I", 2)
    if kind == 11:
        return head + struct.pack("<HHIBBHHBB", 5840, 5840, 0, 1, 0, 0, 0, 1, 0) + interface + transfer
    if kind == 12:
        port = b"135\x00"
        known = struct.pack("<HHIH", 5840, 5840, 1, len(port)) + port + bytes(2)
        return head + known + struct.pack("<BBHHH", 1, 0, 0, 0, 0) + transfer
    return head + struct.pack("<IHH", max(size - 24, 0), 0, 3)


def _tlv(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    if len(body) < 128:
        return bytes([tag, len(body)]) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


def kerberos(dice: Dice, realm: str, answer: bool, size: int) -> bytes:
    """Return a Kerberos message over TCP: an AS-REQ, or the KRB-ERROR that asks for more (RFC 4120 5)."""

    def integer(tag: int, value: int) -> bytes:
        return _tlv(tag, _tlv(2, value.to_bytes(2, "big")))

    realm_name = _tlv(0x1B, realm.upper().encode())
    service = _tlv(
        0x30, _tlv(0xA0, _tlv(2, b"\x02")), _tlv(0xA1, _tlv(0x30, _tlv(0x1B, b"krbtgt"), realm_name))
    )
    blob = bytes(max(size - 190, 16))
    when = _tlv(0x18, b"20370913024805Z")
    if answer:
        text = _tlv(0xAB, _tlv(0x1B, b"e" * len(blob)))
        body = _tlv(
            0x30, integer(0xA0, 5), integer(0xA1, 30), _tlv(0xA4, when), _tlv(0xA5, _tlv(2, b"\x01")),
            integer(0xA6, 25), _tlv(0xA9, realm_name), _tlv(0xAA, service), text,
        )  # fmt: skip
        message = _tlv(0x7E, body)
    else:
        nonce, ciphers = _tlv(2, b"\x1a" + dice.few_bytes(3)), _tlv(0x30, _tlv(2, b"\x12"))
        request = _tlv(
            0x30, _tlv(0xA0, _tlv(3, b"\x00\x40\x81\x00\x10")), _tlv(0xA2, realm_name),
            _tlv(0xA3, service), _tlv(0xA5, when), _tlv(0xA7, nonce), _tlv(0xA8, ciphers),
        )  # fmt: skip
        pad = _tlv(0x30, _tlv(0xA1, _tlv(2, b"\x0f\xfe")), _tlv(0xA2, _tlv(4, blob)))
        message = _tlv(
            0x6A,
            _tlv(0x30, integer(0xA1, 5), integer(0xA2, 10), _tlv(0xA3, _tlv(0x30, pad)), _tlv(0xA4, request)),
        )
    return struct.pack(">I", len(message)) + message


def snmp_get(dice: Dice, objects: int, answer: bool) -> bytes:
    """Return an SNMPv2c get-request or its response for `objects` counters."""
    binds = []
    for i in range(objects):
        name = _tlv(6, b"\x2b\x06\x01\x02\x01\x02\x02\x01" + bytes([10 + i % 10, 1 + i]))
        value = _tlv(0x41, b"\x01" + dice.few_bytes(3)) if answer else _tlv(5)
        binds.append(_tlv(0x30, name, value))
    number = _tlv(2, b"\x01" + dice.few_bytes(2))
    pdu = _tlv(0xA2 if answer else 0xA0, number, _tlv(2, b"\0"), _tlv(2, b"\0"), _tlv(0x30, *binds))
    return _tlv(0x30, _tlv(2, b"\x01"), _tlv(4, b"public"), pdu)


def ntp(dice: Dice, answer: bool) -> bytes:
    """Return a 48-byte NTP message."""
    head = b"\x24\x02\x06\xec" if answer else b"\x23\x00\x06\xec"
    return head + bytes(8) + dice.few_bytes(4) + b"".join(b"\xed\x06" + dice.few_bytes(6) for _ in range(4))


DISCOVER, OFFER, REQUEST, ACKNOWLEDGE, RELEASE, INFORM = 1, 2, 3, 5, 7, 8


def dhcp(
    dice: Dice, kind: int, mac: int, transaction: int, address: int, server: int, size: int = 0
) -> bytes:
    """Return a DHCP message (RFC 2131 2); `address` is offered, asked for or in use; padded to `size`."""
    reply = kind in (OFFER, ACKNOWLEDGE)
    ciaddr = address if kind == INFORM else 0
    head = struct.pack(">BBBBIHH", 2 if reply else 1, 1, 6, 0, transaction, dice.integer(0, 3), 0)
    head += struct.pack(">IIII", ciaddr, address if reply else 0, server if reply else 0, 0)
    head += mac.to_bytes(6, "big") + bytes(10) + bytes(64) + bytes(128) + b"\x63\x82\x53\x63"
    options = bytes([53, 1, kind])
    if reply:
        options += (
            b"\x36\x04" + struct.pack(">I", server) + b"\x33\x04\x00\x00\x0e\x10\x01\x04\xff\xff\xff\x00"
        )
        options += b"\x03\x04" + struct.pack(">I", server) + b"\x06\x04" + struct.pack(">I", server)
    elif kind != RELEASE:
        options += b"\x37\x04\x01\x03\x06\x0f\x3d\x07\x01" + mac.to_bytes(6, "big")
        if kind == REQUEST:
            options += b"\x32\x04" + struct.pack(">I", address)
    message = head + options + b"\xff"
    return message + bytes(max(0, size - len(message)))


def unreachable(
    client_ip: int, server_ip: int, ttl: int, client_port: int, server_port: int, body: int
) -> bytes:
    """Return what an ICMP port unreachable quotes: the datagram's IPv4 and UDP headers (RFC 792)."""
    head = struct.pack(">BBHHHBBHII", 0x45, 0, 28 + body, 0x1234, 0, ttl, 17, 0, client_ip, server_ip)
    total = sum(struct.unpack(">10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack(">H", ~total & 0xFFFF) + head[12:]
    return head + struct.pack(">HHHH", client_port, server_port, 8 + body, 0)
