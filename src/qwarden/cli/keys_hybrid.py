"""`qwarden keys identity|wireguard|ikev2`: tunnels under quantum and post-quantum keys."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qwarden.cli.context import AsJson, Context, print_json
from qwarden.core.errors import UsageError

if TYPE_CHECKING:
    from qwarden.core.events import Event
    from qwarden.core.keysupply import KeySupply
    from qwarden.keys.hybrid.keeper import Keeper, Tunnel, TunnelKey

Own = Annotated[str, typer.Option(help="Name of this end; with a KME, its SAE ID.")]
Peer = Annotated[str, typer.Option(help="Name of the other end; with a KME, its SAE ID.")]
PeerIdentity = Annotated[Path, typer.Option(help="The other end's public key: its `qwarden keys identity`.")]
Call = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Where the other end's agent listens.", show_default=False),
]
Listen = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Wait here for the other end's agent.", show_default=False),
]
Kme = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="Key management entity (ETSI GS QKD 014) of this end.", show_default=False
    ),
]
KmeId = Annotated[str | None, typer.Option(help="Its id, as its certificate says.", show_default=False)]
Certificates = Annotated[
    Path | None,
    typer.Option(
        help="Folder with ca.pem, OWN.pem and OWN.key for the KME: `qwarden keys pki`.", show_default=False
    ),
]
Pool = Annotated[bool, typer.Option("--pool", help="Take keys of the home's pool, keys/pre-shared.")]
Interval = Annotated[float, typer.Option(help="Seconds from one renewal to the next.")]
Grace = Annotated[float, typer.Option(help="Seconds a renewal may be late before traffic is stopped.")]
AllowDowngrade = Annotated[
    bool,
    typer.Option("--allow-downgrade", help="Without quantum keys go on with post-quantum ones, and say so."),
]
Once = Annotated[
    bool,
    typer.Option("--once", help="One renewal; exit status 0 with a quantum key, 1 without, 4 no other end."),
]


def register(group: typer.Typer) -> None:
    """Add this module's commands to the group ``keys``."""
    for command in (identity, wireguard, ikev2):
        group.command()(command)


def identity(
    context: typer.Context,
    out: Annotated[
        Path | None,
        typer.Option(help="File for the public key; by default it is printed.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Give out this home's public key (ML-DSA-65), to be brought to the other end; made at first use."""
    from qwarden.core.files import sha256
    from qwarden.keys.hybrid.identity import keep_public, load_or_create

    state: Context = context.obj
    key = load_or_create(_identity_file(state.home))
    if out is not None:
        keep_public(key, out)
    if as_json:
        print_json({"public": key.public.hex(), "fingerprint": sha256(key.public)})
    else:
        typer.echo(key.public.hex() if out is None else f"{out}: fingerprint {sha256(key.public)}")


def wireguard(
    context: typer.Context,
    interface: Annotated[str, typer.Argument(help="As wg0; it and the peer are set up already.")],
    peer_key: Annotated[str, typer.Argument(help="The peer's WireGuard public key, in base64.")],
    own: Own,
    peer: Peer,
    peer_identity: PeerIdentity,
    call: Call = None,
    listen: Listen = None,
    kme: Kme = None,
    kme_id: KmeId = None,
    certificates: Certificates = None,
    pool: Pool = False,
    interval: Interval = 120.0,
    grace: Grace = 300.0,
    allow_downgrade: AllowDowngrade = False,
    once: Once = False,
    as_json: AsJson = False,
) -> None:
    """Renew the pre-shared key of a WireGuard peer: quantum and post-quantum, an agent at each end.

    Without quantum keys traffic is stopped when the grace is over, or goes on with --allow-downgrade at both
    ends.
    """
    from qwarden.keys.hybrid.wireguard import WireGuardPeer

    link = _Link(own, peer, peer_identity, call, listen, kme, kme_id, certificates, pool)
    times = _Times(interval, grace, allow_downgrade, once)
    _keep(context.obj, WireGuardPeer(interface, peer_key), link, times, as_json)


def ikev2(
    context: typer.Context,
    connection: Annotated[str, typer.Argument(help="Name of the connection in swanctl's configuration.")],
    own: Own,
    peer: Peer,
    peer_identity: PeerIdentity,
    file: Annotated[Path, typer.Option(help="The file that is written, mode 0600.")] = Path(
        "/etc/swanctl/conf.d/qwarden.conf"
    ),
    load: Annotated[bool, typer.Option(help="Have swanctl load it.")] = True,
    call: Call = None,
    listen: Listen = None,
    kme: Kme = None,
    kme_id: KmeId = None,
    certificates: Certificates = None,
    pool: Pool = False,
    interval: Interval = 1800.0,
    grace: Grace = 300.0,
    allow_downgrade: AllowDowngrade = False,
    once: Once = False,
    as_json: AsJson = False,
) -> None:
    """Renew the post-quantum pre-shared key (RFC 8784) of a strongSwan connection, with an agent at each end.

    The end with --call is the one that begins the IKE connection. What happens without quantum keys is as
    for wireguard.
    """
    from qwarden.keys.hybrid.ikev2 import SwanctlPpk

    link = _Link(own, peer, peer_identity, call, listen, kme, kme_id, certificates, pool)
    times = _Times(interval, grace, allow_downgrade, once)
    program = "swanctl" if load else None
    tunnel = SwanctlPpk(file, connection, begins=call is not None, program=program)
    _keep(context.obj, tunnel, link, times, as_json)


@dataclass(frozen=True, slots=True)
class _Link:
    """Options that say who speaks with whom, and where quantum keys come from."""

    own: str
    peer: str
    peer_identity: Path
    call: str | None
    listen: str | None
    kme: str | None
    kme_id: str | None
    certificates: Path | None
    pool: bool

    @contextlib.contextmanager
    def supply(self, home: Path) -> Iterator[KeySupply | None]:
        """Open the supply that the options mean; None if they mean none."""
        given = [self.kme, self.kme_id, self.certificates]
        if any(given) and (not all(given) or self.pool):
            raise UsageError("--kme, --kme-id and --certificates go together, and without --pool")
        if self.pool:
            from qwarden.core.keysupplies.preshared import PreSharedPool

            yield PreSharedPool(home / "keys" / "pre-shared", self.own)
        elif self.kme and self.kme_id and self.certificates:
            from qwarden.keys.hybrid.supply import KmeSupply
            from qwarden.keys.kme.client import KmeClient
            from qwarden.keys.kme.pki import Pki

            with KmeClient(self.kme, self.kme_id, Pki(folder=self.certificates).files(self.own)) as client:
                yield KmeSupply(client)
        else:
            yield None


@dataclass(frozen=True, slots=True)
class _Times:
    """Options that say how often, and what if not."""

    interval: float
    grace: float
    allow_downgrade: bool
    once: bool


def _keep(state: Context, tunnel: Tunnel, link: _Link, times: _Times, as_json: bool) -> None:
    from qwarden.core.bus import open_bus
    from qwarden.keys.hybrid.identity import load_or_create, load_public
    from qwarden.keys.hybrid.keeper import Ends, Keeper, Policy, TunnelKey

    if (link.call is None) == (link.listen is None):
        raise UsageError("one of --call and --listen is needed")
    policy = Policy(interval_s=times.interval, grace_s=times.grace, allow_downgrade=times.allow_downgrade)
    with link.supply(state.home) as supply, state.store() as store:
        if supply is None and not policy.allow_downgrade:
            raise UsageError("no quantum keys: give --kme or --pool, or --allow-downgrade")
        bus = open_bus(store)

        def publish(event: Event) -> None:
            bus.publish(event)
            if isinstance(event, TunnelKey):
                _show(event, as_json)

        ends = Ends(
            own=link.own,
            peer=link.peer,
            signing=load_or_create(_identity_file(state.home)),
            peer_public=load_public(link.peer_identity),
            supply=supply,
        )
        keeper = Keeper(tunnel, ends, policy, publish=publish)
        asyncio.run(_run(keeper, link, times.once))
    if times.once and keeper.last is not None and keeper.last.state != "hybrid":
        raise typer.Exit(1)


async def _run(keeper: Keeper, link: _Link, once: bool) -> None:
    from qwarden.keys.hybrid.agent import call, keep_calling, keep_listening
    from qwarden.keys.party.addresses import listen, parse_address

    if link.listen is not None:
        await keep_listening(keeper, listen(parse_address(link.listen)), once=once)
    elif link.call is not None:
        await (call if once else keep_calling)(keeper, parse_address(link.call))


def _show(event: TunnelKey, as_json: bool) -> None:
    """Print a renewal, or that there was none: a line, or a document."""
    from qwarden.core.files import canonical_text

    body = {**event.body(), "time": event.time}
    if as_json:
        typer.echo(canonical_text(body))
        return
    colour = {"hybrid": "green", "downgraded": "yellow"}.get(event.state, "red")
    key = f"quantum key {event.quantum_key_id} ({event.origin})" if event.quantum_key_id else event.cause
    typer.echo(f"{event.tunnel}: {typer.style(event.state, fg=colour)}: {key}")


def _identity_file(home: Path) -> Path:
    return home / "keys" / "identity.key"
