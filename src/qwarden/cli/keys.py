"""`qwarden keys`: quantum key distribution, from simulated photons to a key server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qwarden.cli import keys_hybrid, keys_monitor, keys_node, keys_serve
from qwarden.cli.context import AsJson, Context, print_json

if TYPE_CHECKING:
    from qwarden.keys.link import Link, Settings

group = typer.Typer(help="Quantum keys: simulate a link, run its ends, serve keys.", no_args_is_help=True)

Protocol = Annotated[str, typer.Option(help="bb84 (decoy states) or e91 (entangled pairs).")]
Distance = Annotated[float, typer.Option(help="Length of the fibre in km.")]
BlockBits = Annotated[
    int | None,
    typer.Option(
        help="Sifted bits of a block; by default 1,000,000 for bb84, 100,000 for e91.", show_default=False
    ),
]


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    keys_serve.register(group)
    keys_node.register(group)
    keys_monitor.register(group)
    keys_hybrid.register(group)
    app.add_typer(group, name="keys")


@group.command()
def simulate(
    context: typer.Context,
    protocol: Protocol = "bb84",
    distance: Distance = 50.0,
    attack: Annotated[
        str | None, typer.Option(help="NAME or NAME:STRENGTH, as intercept-resend:0.3.", show_default=False)
    ] = None,
    blocks: Annotated[int, typer.Option(min=1, help="Keys to exchange, each with up to three attempts.")] = 1,
    block_bits: BlockBits = None,
    seed: Annotated[int, typer.Option(help="Same seed, same photons.")] = 1,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the attempts into a .png or .svg file.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Exchange keys over a simulated link, both ends in this process; with an attack if asked for.

    Settings are the best for the distance. Exit status 1 if no block was accepted and no attack was made.
    """
    from qwarden.cli.render_keys import simulated_text
    from qwarden.keys.optimise import optimise
    from qwarden.keys.party.block import Terms
    from qwarden.keys.physics.attacks import parse
    from qwarden.keys.plot import plot_form, simulated_chart
    from qwarden.keys.simulate import simulate as run

    state: Context = context.obj
    link, settings = link_of(distance), settings_of(protocol, block_bits)
    if plot is not None:
        plot_form(plot)
    with state.store() as store:
        from qwarden.core.bus import open_bus

        bus = open_bus(store)
        done = run(
            link,
            Terms(settings=optimise(link, settings, looks=1500).settings),
            attack=parse(attack) if attack else None,
            blocks=blocks,
            seed=seed,
            publish=bus.publish,
        )
    if plot is not None:
        simulated_chart(done).write(plot)
    if as_json:
        print_json(done.to_json())
    else:
        typer.echo(simulated_text(done, link))
    if attack is None and done.secret_bits == 0:
        raise typer.Exit(1)


@group.command()
def optimise(
    context: typer.Context,  # noqa: ARG001  every command takes it
    protocol: Protocol = "bb84",
    distance: Distance = 50.0,
    block_bits: BlockBits = None,
    method: Annotated[str, typer.Option(help="classical, quantum, or both side by side.")] = "both",
    looks: Annotated[int, typer.Option(min=100, help="How often the rate may be computed.")] = 400,
    seed: Annotated[int, typer.Option(help="Of the search.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Find intensities, basis bias and renewal for a distance, by two optimisers with the same budget."""
    from qwarden.cli.render_keys import found_document, found_text
    from qwarden.core.errors import UsageError
    from qwarden.keys.optimise import optimise as search

    if method not in ("classical", "quantum", "both"):
        raise UsageError(f"--method {method}: expected classical, quantum or both")
    methods: list[Any] = ["classical", "quantum"] if method == "both" else [method]
    link, settings = link_of(distance), settings_of(protocol, block_bits)
    found = [search(link, settings, method=one, looks=looks, seed=seed) for one in methods]
    if as_json:
        print_json({"distance_km": distance, "found": [found_document(one) for one in found]})
    else:
        typer.echo("\n".join(found_text(one) for one in found))


def link_of(distance: float) -> Link:
    """Return the link of a distance."""
    from qwarden.keys.link import Link

    return Link(distance_km=distance)


def settings_of(protocol: str, block_bits: int | None) -> Settings:
    """Return a protocol's settings before they are optimised; raises `UsageError` for another protocol."""
    from qwarden.core.errors import UsageError
    from qwarden.keys.link import Settings

    if protocol == "bb84":
        return Settings(block_bits=block_bits or 1_000_000)
    if protocol == "e91":
        return Settings(protocol="e91", block_bits=block_bits or 100_000)
    raise UsageError(f"--protocol {protocol}: expected bb84 or e91")
