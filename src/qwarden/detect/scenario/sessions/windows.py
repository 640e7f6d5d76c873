"""Sessions of a Windows domain: SMB, DCE-RPC, Kerberos, LDAP."""

from __future__ import annotations

from qwarden.detect.scenario import payload
from qwarden.detect.scenario.plan import Host
from qwarden.detect.scenario.ranges import SMB
from qwarden.detect.scenario.sessions.web import handshake, tls
from qwarden.detect.scenario.wire import Turn
from qwarden.detect.scenario.world import World


def smb_message(w: World, way: int, gap: float, size: int, session: int) -> Turn:
    """Return a turn of an encrypted SMB3 message."""
    size = max(size, 72)
    return (gap, way, size, payload.smb_encrypted(w.dice, size, session))


def _smb_opening(w: World, session: int) -> list[Turn]:
    sizes = ((0, 248), (1, 536), (0, 166), (1, 305), (0, 585), (1, 105), (0, 118), (1, 84))
    return [smb_message(w, way, 0.0008, size + w.dice.integer(0, 24), session) for way, size in sizes]


def smb(
    w: World,
    client: Host,
    server: Host,
    start: float,
    *,
    scale: float = 1.0,
    opened: bool = True,
    beat: float = 0.0,
) -> float:
    """Play an SMB session: lists, reads and writes for some minutes; `beat` > 0 adds echoes that often."""
    d = w.dice
    session = d.integer(1, 1 << 40)
    out, back = int(d.of(SMB.out) * scale), int(d.of(SMB.back) * scale)
    span = d.of(SMB.duration)
    turns = _smb_opening(w, session) if opened else []
    for _ in range(d.integer(12, 40)):  # names and attributes
        turns.append(smb_message(w, 0, d.between(0, 2) * span / 60, d.integer(108, 400), session))
        turns.append(smb_message(w, 1, 0.0004, d.integer(76, 560), session))
    for way, total in ((0, out), (1, back)):
        while total > 0:
            piece = min(total, d.pick((4_096, 16_384, 65_536, 65_536)))
            turns.append(
                smb_message(w, 0, d.between(0, 2) * span * 0.02, (piece if way == 0 else 0) + 120, session)
            )
            turns.append(smb_message(w, 1, 0.0006, (piece if way else 0) + 84, session))
            total -= piece
    passed = span * 0.5
    while beat and start + passed < w.duration:
        turns += [smb_message(w, 0, beat, 124, session), smb_message(w, 1, 0.0004, 124, session)]
        passed += beat
    return w.tcp(
        start,
        client,
        server,
        445,
        turns,
        close="open" if beat else d.pick(("fin", "rst", "rst")),
        linger=span * 0.1,
        opened=opened,
    )


def endpoint_mapper(w: World, client: Host, server: Host, start: float) -> float:
    """Play the question at port 135 where a service listens."""
    d = w.dice
    turns: list[Turn] = [
        (0.01, 0, 72, payload.dcerpc(11, 72, 1)), (0.001, 1, 60, payload.dcerpc(12, 60, 1)),
        (d.between(0.002, 0.05), 0, 156, payload.dcerpc(0, 156, 2)),
        (0.001, 1, 152, payload.dcerpc(2, 152, 2)),
    ]  # fmt: skip
    return w.tcp(start, client, server, 135, turns, linger=d.between(0.02, 0.2))


def remote_call(
    w: World, client: Host, server: Host, start: float, port: int, calls: list[tuple[int, int]],
    hold: float, *, opened: bool = True,
) -> float:  # fmt: skip
    """Play calls of (request, response) bytes on a service's dynamic port."""
    bind: list[Turn] = [(0.05, 0, 72, payload.dcerpc(11, 72, 1)), (0.001, 1, 60, payload.dcerpc(12, 60, 1))]
    turns = bind if opened else []
    for i, (ask, answer) in enumerate(calls):
        turns.append((w.dice.between(0.002, 0.1), 0, ask, payload.dcerpc(0, ask, i + 2)))
        turns.append((w.dice.between(0.0005, 0.006), 1, answer, payload.dcerpc(2, answer, i + 2)))
    return w.tcp(start, client, server, port, turns, linger=hold, opened=opened)


def logon(w: World, client: Host, server: Host, start: float) -> float:
    """Play what a domain member does at logon: Kerberos, LDAP, a few remote calls, the policy share."""
    d = w.dice
    realm = w.plan.domain
    at = start
    for _ in range(d.integer(1, 4)):
        ask, answer = (
            payload.kerberos(d, realm, False, d.integer(220, 1_400)),
            payload.kerberos(d, realm, True, d.integer(220, 1_500)),
        )
        turns: list[Turn] = [(0.0006, 0, len(ask), ask), (0.002, 1, len(answer), answer)]
        at = w.tcp(at + d.between(0.001, 0.1), client, server, 88, turns)
    turns = handshake(w, server.name, resumed=False, modern=False)
    for _ in range(d.integer(2, 9)):
        turns += [
            tls(0, d.between(0.001, 0.05), d.integer(90, 500)),
            tls(1, 0.002, d.integer(120, 4_000)),
        ]
    w.tcp(at, client, server, 636, turns)
    service = d.integer(49_664, 49_700)
    for _ in range(d.integer(1, 3)):
        at = endpoint_mapper(w, client, server, at + 0.02)
        calls = [(24 + d.integer(20, 900), 24 + d.integer(20, 1_300)) for _ in range(d.integer(2, 12))]
        at = remote_call(w, client, server, at, service, calls, d.between(0.1, 30))
    return at
