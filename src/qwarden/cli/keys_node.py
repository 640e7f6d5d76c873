"""`qwarden keys node|fibre|pool|network`: the ends of a link as processes, and what they share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qwarden.cli.context import AsJson, Context, print_json
from qwarden.cli.keys_serve import PASSPHRASE
from qwarden.cli.render import say
from qwarden.core.errors import ServiceError, UsageError

if TYPE_CHECKING:
    from qwarden.keys.kme.config import Loaded
    from qwarden.keys.kme.vault import Secret
    from qwarden.keys.link import Settings
    from qwarden.keys.observables import Observables
    from qwarden.keys.party.addresses import Address
    from qwarden.keys.party.block import Terms
    from qwarden.keys.party.node import Account
    from qwarden.keys.party.site import Site

LOOKS = 1500
pool_group = typer.Typer(help="Keys for tags that both ends were given by hand.", no_args_is_help=True)

Name = Annotated[
    str | None,
    typer.Option(help="Of this end; by default that in the home's kme.toml.", show_default=False),
]
Protocol = Annotated[str, typer.Option(help="bb84 (decoy states) or e91 (entangled pairs).")]
Distance = Annotated[float, typer.Option(help="Length of the fibre in km.")]
Attacked = Annotated[
    str | None,
    typer.Option("--attack", help="NAME or NAME:STRENGTH, done to the fibre.", show_default=False),
]
AttackBlocks = Annotated[
    int | None,
    typer.Option(min=1, help="Attack the first so many blocks alone.", show_default=False),
]
Seed = Annotated[
    int | None, typer.Option(help="Of the photons; by default none is like another.", show_default=False)
]


def register(group: typer.Typer) -> None:
    """Add this module's commands to the group ``keys``."""
    for command in (node, fibre, network, watch):
        group.command()(command)
    pool_group.command("add")(pool_add)
    pool_group.command("show")(pool_show)
    group.add_typer(pool_group, name="pool")


def node(
    context: typer.Context,
    role: Annotated[str, typer.Option(help="alice, who listens and leads, or bob, who connects.")],
    peer: Annotated[str, typer.Option(help="Name of the other end.")],
    name: Name = None,
    listen: Annotated[
        str | None, typer.Option(help="Alice: where Bob comes in, HOST:PORT.", show_default=False)
    ] = None,
    connect: Annotated[
        str | None, typer.Option(help="Bob: where Alice listens, HOST:PORT.", show_default=False)
    ] = None,
    fibre: Annotated[
        str | None,
        typer.Option(
            help="Where the apparatus listens; by default Alice starts a simulated one and tells Bob.",
            show_default=False,
        ),
    ] = None,
    protocol: Protocol = "bb84",
    distance: Distance = 50.0,
    block_bits: Annotated[
        int | None,
        typer.Option(
            help="Sifted bits of a block; by default 1,000,000 for bb84, 100,000 for e91.",
            show_default=False,
        ),
    ] = None,
    blocks: Annotated[
        int | None, typer.Option(min=1, help="End after so many keys; by default go on.", show_default=False)
    ] = None,
    at_most: Annotated[int, typer.Option(min=1, help="Alice: attempts a key before she gives up.")] = 3,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that the other end may be silent.")] = 30.0,
    attack: Attacked = None,
    attack_blocks: AttackBlocks = None,
    seed: Seed = None,
    monitor: Annotated[
        bool, typer.Option(help="Bob: have the monitor look at each block; without it, errors alone count.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Run one end of a link: exchange keys with the other end, and store them.

    Both ends are given the same protocol, distance and block size, and the same pre-shared keys
    (`qwarden keys pool add`). Ctrl-C ends it; no key is ever left at one end alone. Exit status 1 if the
    link gave up.
    """
    from qwarden.core.bus import open_bus
    from qwarden.keys.overview import entity_of
    from qwarden.keys.party.addresses import parse_address
    from qwarden.keys.party.node import AliceNode, BobNode
    from qwarden.keys.party.session import Place
    from qwarden.keys.party.site import open_site

    _check_role(role, listen, connect)
    if (role == "bob" or fibre) and any(option is not None for option in (attack, attack_blocks, seed)):
        raise UsageError("--attack, --attack-blocks, --seed: are the fibre's, which this end does not start")
    state: Context = context.obj
    entity = entity_of(state.home)
    own = own_name(name, entity)
    at = parse_address(fibre) if fibre else None
    fibre_options = _fibre_options(distance, attack, attack_blocks, seed)
    with (
        state.store() as store,
        open_site(state.home, own, secret_of(state.home, entity), entity) as site,
        _terminated_as_interrupted(),
    ):
        place = Place(
            name=own, peer=peer, terms=_terms(protocol, distance, block_bits), pool=site.pool,
            journal=site.journal, timeout_s=timeout,
        )  # fmt: skip
        _check_pool(site, peer)
        publish = open_bus(store).publish
        if role == "bob":
            inspect, expect = _monitor(distance, place.terms, monitor)
            bob = BobNode(
                place=place, deliver=site.deliver, publish=publish, alice=parse_address(connect or ""),
                inspect=inspect, expect=expect, fibre=at,
            )  # fmt: skip
            _run(bob.run, blocks, bob.account, as_json)
            return
        from qwarden.keys.party.addresses import listen as open_listener
        from qwarden.keys.party.addresses import listening_at

        with open_listener(parse_address(listen or "")) as listener, _fibre(at, fibre_options) as where:
            alice = AliceNode(
                place=place, deliver=site.deliver, publish=publish, listener=listener, fibre=where,
                at_most=at_most,
            )  # fmt: skip
            say(f"{own}: waiting for {peer} at {listening_at(listener)}\n")
            _run(alice.run, blocks, alice.account, as_json)


def fibre(
    listen: Annotated[str, typer.Option(help="Where both ends come in, HOST:PORT.")] = "127.0.0.1:7002",
    distance: Distance = 50.0,
    attack: Attacked = None,
    attack_blocks: AttackBlocks = None,
    seed: Seed = None,
    with_parent: Annotated[
        bool, typer.Option("--with-parent", hidden=True, help="End when standard input does.")
    ] = False,
) -> None:
    """Run a simulated fibre with its source and detectors: it tells each end what that end holds."""
    import secrets
    import threading

    from qwarden.cli.keys import link_of
    from qwarden.keys.party.addresses import listen as open_listener
    from qwarden.keys.party.addresses import listening_at, parse_address
    from qwarden.keys.party.fibre import Fibre
    from qwarden.keys.physics.attacks import parse
    from qwarden.keys.simulate import SimulatedLink

    chosen = parse(attack) if attack else None
    if chosen is not None and chosen.classical:
        raise UsageError(f"--attack {attack}: acts on the classical channel, no fibre shows it")
    served = Fibre(
        SimulatedLink(
            link_of(distance),
            lambda block: chosen if attack_blocks is None or block < attack_blocks else None,
            secrets.randbits(32) if seed is None else seed,
        )
    )
    with open_listener(parse_address(listen)) as listener:
        typer.echo(f"fibre: {listening_at(listener)}")
        sys.stdout.flush()
        if with_parent:
            threading.Thread(target=_end_with_parent, daemon=True).start()
        served.serve(listener)


def network(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="TOML: nodes, and links with their ends and distances.")],
    start: Annotated[str, typer.Option("--from", help="Node that wants a key.")],
    to: Annotated[str, typer.Option(help="Node that shall have it too.")],
    bits: Annotated[int, typer.Option(min=8, help="Of each key; a multiple of 8.")] = 256,
    keys: Annotated[int, typer.Option(min=1, help="Keys to carry, one after the other.")] = 1,
    cut: Annotated[
        list[str] | None, typer.Option(help="A-B: let nothing through after the first key.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Build a laboratory of trusted nodes, exchange keys on every link, and carry keys across.

    Every node on the way learns the key. No key is shown: it is at both ends, and they are this process.
    """
    import tempfile

    from qwarden.core.bus import open_bus
    from qwarden.keys.network import Laboratory, load_plan
    from qwarden.keys.network.relay import document

    plan = load_plan(file)
    state: Context = context.obj
    with state.store() as store, tempfile.TemporaryDirectory(prefix="qwarden-network-") as folder:
        laboratory = Laboratory(plan=plan, folder=Path(folder), publish=open_bus(store).publish)
        secret = laboratory.exchange()
        carried: list[dict[str, Any]] = []
        for number in range(keys):
            sent, came = laboratory.deliver(start, to, bits)
            carried.append({**document(sent), "equal": sent.key == came.key})
            for pair in (cut or []) if number == 0 else []:
                laboratory.cut(*_pair(pair))
    if as_json:
        print_json({"links": secret, "keys": carried})
        return
    for link, count in secret.items():
        typer.echo(f"{link}: {count:,} secret bits")
    for one in carried:
        typer.echo(f"{one['bits']} bits by {' - '.join(one['way'])}" + ("" if one["equal"] else ": UNEQUAL"))


def watch(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Look once and end.")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between looks.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each change.")] = False,
) -> None:
    """Watch this home's links: rate, errors, keys and tags left, alarms. Ctrl-C ends it."""
    import time

    from qwarden.cli.render_links import links_table, shown_live, state_line
    from qwarden.keys.overview import entity_of, links

    state: Context = context.obj
    entity = entity_of(state.home)
    with state.store() as store:
        if as_json or once or not sys.stdout.isatty():
            before = None
            while True:
                now = links(store, state.home, entity)
                if now != before:
                    typer.echo(state_line(now) if as_json else links_table(now, time.time()))
                    sys.stdout.flush()
                if once:
                    return
                before = now
                time.sleep(every)
        shown_live(lambda: links(store, state.home, entity), every)


def pool_add(
    context: typer.Context,
    peer: Annotated[str, typer.Argument(help="Who else has the file.")],
    file: Annotated[Path, typer.Argument(help="Random bytes, an even number; the same at both ends.")],
    name: Name = None,
    as_json: AsJson = False,
) -> None:
    """Take in key material that both ends were given by hand; half of it is for each to draw."""
    from qwarden.keys.overview import entity_of
    from qwarden.keys.party.site import open_pool

    state: Context = context.obj
    pool = open_pool(state.home, own_name(name, entity_of(state.home)))
    part = pool.add(peer, file.read_bytes())
    left = pool.available(peer)
    if as_json:
        print_json({"peer": peer, "part": part, "available_bits": left})
    else:
        typer.echo(f"{peer}: part {part}; {left:,} bits to draw here, {left // 256:,} tags")
        typer.echo(f"Now destroy {file}, here and there: who has it can speak as either end.")


def pool_show(
    context: typer.Context,
    peer: Annotated[str, typer.Argument(help="The other end.")],
    name: Name = None,
    as_json: AsJson = False,
) -> None:
    """Show what is left for tags, and what was used for what."""
    from qwarden.keys.overview import entity_of
    from qwarden.keys.party.site import open_pool

    state: Context = context.obj
    pool = open_pool(state.home, own_name(name, entity_of(state.home)))
    record, left = pool.record(peer), pool.available(peer)
    used: dict[str, int] = {}
    for entry in record:
        if entry["did"] != "add":
            what = f"{entry['did']}: {entry['purpose']}"
            used[what] = used.get(what, 0) + 8 * int(entry["bytes"])
    added = [{"part": entry["part"], "bytes": entry["bytes"]} for entry in record if entry["did"] == "add"]
    if as_json:
        print_json({"peer": peer, "available_bits": left, "added": added, "used_bits": used})
        return
    typer.echo(f"{peer}: {left:,} bits to draw here, {left // 256:,} tags; {len(added)} additions")
    for what, bits in used.items():
        typer.echo(f"  {what}: {bits:,} bits")


def own_name(given: str | None, entity: Loaded | None) -> str:
    """Return the name of this end.

    Raises
    ------
    UsageError
        None is known, or two that differ.
    """
    known = entity.config.name if entity else None
    if given and known and given != known:
        raise UsageError(f"--name {given}: this home's key store belongs to {known}")
    if not (given or known):
        raise UsageError("--name: say how this end is called")
    return given or known or ""


def secret_of(home: Path, entity: Loaded | None) -> Secret:
    """Return what opens the home's vault: as its settings say, by passphrase, or by the home's own file."""
    from qwarden.keys.kme.vault import from_file, from_passphrase
    from qwarden.keys.party.site import own_master

    if entity is not None and entity.key_file is not None:
        return from_file(entity.key_file)
    if given := os.environ.get(PASSPHRASE):
        return from_passphrase(given)
    if entity is not None:
        return from_passphrase(typer.prompt("Passphrase of the key store", hide_input=True, err=True))
    return own_master(home)


def _pair(text: str) -> tuple[str, str]:
    a, dash, b = text.partition("-")
    if not (a and dash and b):
        raise UsageError(f"--cut {text}: expected two nodes, A-B")
    return a, b


def _check_role(role: str, listen: str | None, connect: str | None) -> None:
    if role not in ("alice", "bob"):
        raise UsageError(f"--role {role}: expected alice or bob")
    if (role == "alice") != (listen is not None) or (role == "bob") != (connect is not None):
        raise UsageError("alice takes --listen, bob takes --connect")


def _check_pool(site: Site, peer: str) -> None:
    """Refuse to start where the first tag would fail, and say what to do."""
    from qwarden.core.errors import KeySupplyError

    try:
        left = site.pool.available(peer)
    except KeySupplyError:
        left = 0
    if left < 256:
        raise KeySupplyError(
            f"{site.name} and {peer} share no keys for tags: give both the same random file by "
            "`qwarden keys pool add`"
        )


def _monitor(
    distance: float, terms: Terms, wanted: bool
) -> tuple[Callable[[Observables], str], Callable[[Settings], None]]:
    """Return what looks at each block, and what tells it the settings."""
    if not wanted:
        return (lambda _: ""), (lambda _: None)
    from qwarden.cli.keys import link_of
    from qwarden.keys.monitor.watch import Monitor

    monitor = Monitor(link_of(distance), terms.settings)
    return monitor, monitor.use


def _terms(protocol: str, distance: float, block_bits: int | None) -> Terms:
    """Return the terms that both ends come to on their own."""
    from dataclasses import replace

    from qwarden.cli.keys import link_of, settings_of
    from qwarden.keys.optimise import optimise
    from qwarden.keys.party.block import Terms

    found = optimise(link_of(distance), settings_of(protocol, block_bits), looks=LOOKS).settings
    # Two machines may differ in a last digit; both round it off.
    mu1, mu2, mu3 = (float(f"{value:.3g}") for value in found.intensities)
    p1, p2 = (round(value, 3) for value in found.probabilities[:2])
    settings = replace(
        found,
        intensities=(mu1, mu2, mu3),
        probabilities=(p1, p2, round(1 - p1 - p2, 3)),
        key_basis=round(found.key_basis, 3),
    )
    return Terms(settings=settings, variant="auto")


def _fibre_options(
    distance: float, attack: str | None, attack_blocks: int | None, seed: int | None
) -> list[str]:
    options = ["--distance", str(distance)]
    for option, value in (("--attack", attack), ("--attack-blocks", attack_blocks), ("--seed", seed)):
        if value is not None:
            options += [option, str(value)]
    return options


@contextmanager
def _fibre(at: Address | None, options: list[str]) -> Iterator[Callable[[], Address]]:
    """Yield where the apparatus is: given, or a simulated one that lives as long as this process."""
    from qwarden.keys.party.addresses import parse_address

    if at is not None:
        yield lambda: at
        return
    # Its standard input ends with this process, however that ends.
    child = subprocess.Popen(
        [sys.executable, "-m", "qwarden", "keys", "fibre", "--listen", "127.0.0.1:0", "--with-parent",
         *options],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert child.stdout is not None
    try:
        said = child.stdout.readline().decode().partition(": ")[2].strip()
        if not said:
            raise ServiceError(f"the simulated fibre did not start (exit status {child.wait()})")
        address = parse_address(said)

        def where() -> Address:
            if child.poll() is not None:
                raise ServiceError(f"the simulated fibre has ended (exit status {child.returncode})")
            return address

        yield where
    finally:
        child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                stream.close()


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Have SIGTERM end a node as Ctrl-C does."""

    def interrupt(number: int, frame: object) -> None:  # noqa: ARG001
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(run: Callable[[int | None], Account], blocks: int | None, account: Account, as_json: bool) -> None:
    """Run a node, and give account of it however it ended."""
    try:
        run(blocks)
    finally:
        document: Any = account.to_json()
        if as_json:
            print_json(document)
        else:
            typer.echo(
                f"{account.accepted} accepted, {account.aborted} dropped, {account.alarms} alarms: "
                f"{account.secret_bits:,} secret bits"
            )
