"""A parser of RFC 5424, section 6, written from its ABNF and from nothing of ours."""

from __future__ import annotations

import re
from dataclasses import dataclass

# NAME            = 1*255PRINTUSASCII;  PRINTUSASCII = %d33-126
PRINT = r"[\x21-\x7e]"
# SD-NAME         = 1*32PRINTUSASCII ; except '=', SP, ']', %d34 (")
SD_NAME = r"[\x21\x23-\x3c\x3e-\x5c\x5e-\x7e]{1,32}"
# FULL-DATE "T" FULL-TIME, with TIME-SECFRAC = "." 1*6DIGIT, upper case T and Z, no leap seconds
TIMESTAMP = (
    r"-|\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
    r"T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)"
)
# HEADER = PRI VERSION SP TIMESTAMP SP HOSTNAME SP APP-NAME SP PROCID SP MSGID; PRIVAL 0..191
HEADER = re.compile(
    rf"<(?P<pri>0|[1-9]\d?|1[0-8]\d|19[01])>(?P<version>[1-9]\d{{0,2}}) (?P<time>{TIMESTAMP}) "
    rf"(?P<host>{PRINT}{{1,255}}) (?P<app>{PRINT}{{1,48}}) (?P<proc>{PRINT}{{1,128}}) "
    rf"(?P<msgid>{PRINT}{{1,32}}) "
)
# SD-ELEMENT = "[" SD-ID *(SP SD-PARAM) "]"; SD-PARAM = PARAM-NAME "=" %d34 PARAM-VALUE %d34
# PARAM-VALUE: '"', '\' and ']' MUST be escaped
PARAM = re.compile(rf' (?P<name>{SD_NAME})="(?P<value>(?:[^"\\\]]|\\.)*)"', re.S)
ELEMENT = re.compile(rf"\[(?P<id>{SD_NAME})")
IANA_IDS = {"timeQuality", "origin", "meta"}


@dataclass
class Syslog:
    facility: int
    severity: int
    time: str
    host: str
    app: str
    proc: str
    msgid: str
    data: dict[str, dict[str, str]]
    text: str
    has_bom: bool


def parse(octets: bytes) -> Syslog:
    """Read one SYSLOG-MSG = HEADER SP STRUCTURED-DATA [SP MSG]; raise ValueError where it is none."""
    body = octets.decode()  # UTF-8 throughout here; the header is ASCII by its pattern
    header = HEADER.match(body)
    if header is None:
        raise ValueError("header")
    at = header.end()
    data: dict[str, dict[str, str]] = {}
    if body[at : at + 1] == "-":
        at += 1
    else:
        while element := ELEMENT.match(body, at):
            at, name, params = element.end(), element["id"], dict[str, str]()
            if name in data or (name not in IANA_IDS and not re.fullmatch(r"[^@]+@\d+(\.\d+)*", name)):
                raise ValueError(f"SD-ID {name}")
            while param := PARAM.match(body, at):
                params[param["name"]] = re.sub(r'\\(["\\\]])', r"\1", param["value"])
                at = param.end()
            if body[at : at + 1] != "]":
                raise ValueError(f"SD-ELEMENT {name} at {at}")
            at += 1
            data[name] = params
        if not data:
            raise ValueError("STRUCTURED-DATA")
    rest = body[at:]
    if rest and not rest.startswith(" "):
        raise ValueError("MSG")
    text = rest[1:]
    bom = text.startswith("\ufeff")
    if not bom and not text.isascii():
        raise ValueError("MSG in UTF-8 without its BOM")
    facility, severity = divmod(int(header["pri"]), 8)
    return Syslog(
        facility, severity, header["time"], header["host"], header["app"], header["proc"], header["msgid"],
        data, text.removeprefix("\ufeff"), bom,
    )  # fmt: skip


def frames(stream: bytes) -> list[bytes]:
    """Take octet-counted frames apart: SYSLOG-FRAME = MSG-LEN SP SYSLOG-MSG (RFC 6587, RFC 5425)."""
    found = []
    while stream:
        length = re.match(rb"([1-9]\d*) ", stream)
        if length is None:
            raise ValueError("MSG-LEN")
        end = length.end() + int(length[1])
        if end > len(stream):
            raise ValueError("cut")
        found.append(stream[length.end() : end])
        stream = stream[end:]
    return found
