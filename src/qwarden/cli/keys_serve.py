"""`qwarden keys pki|laboratory|serve|pools|revoke|rotate`: the key management entity on the command line."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qwarden.cli.context import AsJson, Context, print_json
from qwarden.cli.render import say

if TYPE_CHECKING:
    from qwarden.keys.kme.config import Loaded
    from qwarden.keys.kme.laboratory import Laboratory
    from qwarden.keys.kme.serving import Running
    from qwarden.keys.kme.vault import Secret, Vault

PASSPHRASE = "QWARDEN_KEYS_PASSPHRASE"  # noqa: S105 - the variable's name

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", help="The entity's settings; by default kme.toml in the home.", show_default=False
    ),
]


def register(group: typer.Typer) -> None:
    """Add this module's commands to the group ``keys``."""
    for command in (pki, laboratory, serve, pools, revoke, rotate):
        group.command()(command)


def pki(
    folder: Annotated[
        Path, typer.Argument(help="Where certificates and keys go; an authority there signs on.")
    ],
    kme: Annotated[list[str] | None, typer.Option(help="Id of an entity; repeat for several.")] = None,
    sae: Annotated[list[str] | None, typer.Option(help="Id of an application; repeat for several.")] = None,
    host: Annotated[
        list[str] | None,
        typer.Option(help="Name or address of the entities; by default this machine's.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a laboratory's certificates: an authority, entities and applications."""
    from qwarden.keys.kme.pki import HOSTS, make

    names = [*(kme or []), *(sae or [])]
    made = make(folder, kmes=kme or [], saes=sae or [], hosts=host or HOSTS)
    if as_json:
        files = {name: made.files(name) for name in names}
        print_json(
            {
                "ca": str(folder / "ca.pem"),
                "made": {n: {"certificate": str(f.certificate), "key": str(f.key)} for n, f in files.items()},
            }
        )
        return
    typer.echo(f"authority: {folder / 'ca.pem'} (keep ca.key apart from the entities)")
    for name in names:
        typer.echo(f"{name}: {made.files(name).certificate}, {made.files(name).key}")


def laboratory(
    folder: Annotated[Path, typer.Argument(help="A new folder: both homes, certificates, filled stores.")],
    port: Annotated[
        int, typer.Option(min=1, max=65534, help="Of the first entity; the second has the next.")
    ] = 8443,
    blocks: Annotated[
        int, typer.Option(min=1, help="Blocks of key to exchange over the simulated link.")
    ] = 1,
    distance: Annotated[float, typer.Option(help="Length of the simulated fibre in km.")] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Make two entities that share simulated keys, ready to run, and show how to get keys from them."""
    from qwarden.keys.kme.laboratory import make

    made = make(folder, ports=(port, port + 1), blocks=blocks, distance_km=distance)
    if as_json:
        print_json(
            {
                "keys": made.keys,
                "sites": [
                    {"kme": s.kme, "home": str(s.home), "url": s.url, "sae": s.sae} for s in made.sites
                ],
            }
        )
    else:
        typer.echo(_how_to(made))


def serve(context: typer.Context, config: ConfigFile = None) -> None:
    """Serve keys to applications over ETSI GS QKD 014 until stopped.

    The vault is opened by the file that the settings name, or by a passphrase from QWARDEN_KEYS_PASSPHRASE or
    the terminal; the first time, it is made.
    """
    state: Context = context.obj
    from qwarden.core.bus import open_bus
    from qwarden.keys.kme.serving import serve as run

    settings = _settings(state, config)
    with state.store() as store:
        run(settings, state.home, _secret(settings), publish=open_bus(store).publish, on_open=_say_open)


def pools(context: typer.Context, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Show what a serving entity shares with others."""
    from qwarden.core.strict import to_json
    from qwarden.keys.kme.operator import Operator

    with Operator(_settings(context.obj, config)) as operator:
        found = operator.pools()
    if as_json:
        print_json({"pools": [to_json(pool) for pool in found]})
        return
    for pool in found:
        typer.echo(
            f"{pool.peer}: {pool.left:,} keys of 256 bits to draw here, {pool.theirs:,} there; "
            f"{pool.waiting:,} wait for an application; {pool.used:,} bytes used since the last block"
        )


def revoke(
    context: typer.Context,
    block: Annotated[str | None, typer.Option(help="Id of a block of key.", show_default=False)] = None,
    key: Annotated[str | None, typer.Option(help="Id of a key that waits.", show_default=False)] = None,
    peer: Annotated[str | None, typer.Option(help="All shared with this entity.", show_default=False)] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Drop keys at every end that has them. Exit status 1 if an end could not be reached."""
    from qwarden.keys.kme.operator import Operator

    with Operator(_settings(context.obj, config)) as operator:
        dropped = operator.revoke(block=block, key=key, peer=peer)
    if as_json:
        print_json({"dropped": dropped})
    else:
        for name, count in dropped.items():
            typer.echo(f"{name}: {'could not be reached' if count < 0 else f'{count:,} dropped'}")
    if any(count < 0 for count in dropped.values()):
        raise typer.Exit(1)


def rotate(
    context: typer.Context,
    config: ConfigFile = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            help="Open the vault by this file from now on; name it in the settings.", show_default=False
        ),
    ] = None,
    new_passphrase: Annotated[
        bool, typer.Option("--new-passphrase", help="Open the vault by another passphrase from now on.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Seal all stored keys anew under a new data key; this home's entity and nodes must be stopped."""
    from qwarden.core.errors import UsageError
    from qwarden.keys.kme.serving import FOLDER
    from qwarden.keys.kme.store import KeyStore
    from qwarden.keys.kme.vault import from_file, from_passphrase, open_vault

    if key_file is not None and new_passphrase:
        raise UsageError("--key-file and --new-passphrase: one of them")
    state: Context = context.obj
    settings = _settings(state, config)
    folder = state.home / FOLDER
    vault = open_vault(folder, _secret(settings), alone=True)
    _refuse_waiting(state.home, settings, vault)
    with KeyStore(folder, settings.config.name, vault) as store:
        sealed = store.reseal()
        if key_file is not None:
            store.under(from_file(key_file))
        elif new_passphrase:
            asked = typer.prompt("New passphrase", hide_input=True, confirmation_prompt=True, err=True)
            store.under(from_passphrase(asked))
    if as_json:
        print_json({"sealed": sealed})
    else:
        typer.echo(f"{sealed:,} stored keys sealed anew")


def _refuse_waiting(home: Path, settings: Loaded, vault: Vault) -> None:
    """Refuse while blocks wait in the journal of the links: they are sealed under the old data key."""
    from qwarden.core.errors import KeySupplyError
    from qwarden.keys.party.resume import FILE, BlockJournal

    folder = home / "keys"
    if not (folder / FILE).exists():
        return
    with closing(BlockJournal(folder, vault)) as journal:
        if any(journal.pending(peer) or journal.waiting(peer) for peer in settings.config.peers):
            raise KeySupplyError(f"{folder / FILE}: blocks wait there; let the nodes finish them first")


def _settings(state: Context, config: Path | None) -> Loaded:
    from qwarden.keys.kme.config import FILE, load

    return load(config or state.home / FILE)


def _secret(settings: Loaded) -> Secret:
    from qwarden.keys.kme.vault import from_file, from_passphrase

    if settings.key_file is not None:
        return from_file(settings.key_file)
    given = os.environ.get(PASSPHRASE)
    return from_passphrase(given or typer.prompt("Passphrase of the key store", hide_input=True, err=True))


def _say_open(running: Running) -> None:
    host, port = running.address
    entity = running.entity
    name = f"[{host}]" if ":" in host else host
    marked = "; simulated keys are served, and marked" if entity.mode == "laboratory" else ""
    say(f"{entity.directory.own}: https://{name}:{port}/ in {entity.mode} mode{marked}\n")


def _how_to(made: Laboratory) -> str:
    first, second = made.sites
    ours, theirs = (
        f"curl --cacert {f.ca} --cert {f.certificate} --key {f.key}"
        for f in (first.sae_files, second.sae_files)
    )
    return "\n".join(
        [
            f"{made.keys:,} simulated keys of 256 bits are stored at both ends; each may draw half.",
            "Start both entities, each in a terminal of its own:",
            *(f"  qwarden --home {site.home} keys serve" for site in made.sites),
            f"Then, as {first.sae}, ask what there is, and get a key to share with {second.sae}:",
            f"  {ours} {first.url}/api/v1/keys/{second.sae}/status",
            f"  {ours} {first.url}/api/v1/keys/{second.sae}/enc_keys",
            f"and as {second.sae}, fetch the same key by its key_ID:",
            f"  {theirs} '{second.url}/api/v1/keys/{first.sae}/dec_keys?key_ID=KEY_ID'",
        ]
    )
