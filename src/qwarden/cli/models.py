"""`qwarden models`: which models there are, which one is used, and how the shipped one is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from qwarden.cli.completion import model_references
from qwarden.cli.context import AsJson, Context, print_json
from qwarden.cli.render import say

if TYPE_CHECKING:
    from qwarden.learn.registry import Entry

group = typer.Typer(help="The detection models.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    app.add_typer(group, name="models")


@group.command()
def build(
    context: typer.Context,
    version: Annotated[str, typer.Option(help="What findings will call it.")] = "1",
    seed: Annotated[int, typer.Option(help="Of everything random in the training.")] = 0,
) -> None:
    """Train the shipped model anew on the traffic range and sign it."""
    from qwarden.detect.build import build as train
    from qwarden.detect.build import judge
    from qwarden.detect.model import ModelSettings
    from qwarden.detect.shipped import FOLDER, ship

    state: Context = context.obj
    model, fingerprint = train(version, ModelSettings(seed=seed), state.progress)
    model.figures = judge(model, state.progress)
    ship(model, fingerprint)
    say(f"written to {FOLDER}")
    print_json(model.figures)


@group.command("second-opinion")
def second_opinion(
    context: typer.Context,
    reference: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME[@VERSION]]", help="By default the active model.", autocompletion=model_references
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random in the training.")] = 0,
) -> None:
    """Train, on the traffic range, the second opinion that looks for what evades a model; sign it."""
    from qwarden.detect.evasion_training import train_beside

    state: Context = context.obj
    folder, figures = train_beside(reference, state.home, seed=seed, progress=state.progress)
    say(f"written to {folder}")
    print_json(figures)


@group.command("list")
def list_models(context: typer.Context, as_json: AsJson = False) -> int:
    """List the models, the active one marked; exit 3 if one of them is refused."""
    from qwarden.core.errors import ModelError
    from qwarden.detect.lookup import SHIPPED, model_registry

    state: Context = context.obj
    registry = model_registry(state.home)
    entries, refused = registry.entries()
    try:
        active = registry.active_reference() or registry.get(SHIPPED).reference
    except ModelError as error:
        active = None
        refused.append(error)
    if as_json:
        models = [{**entry.document(), "active": entry.reference == active} for entry in entries]
        print_json({"models": models, "refused": [str(problem) for problem in refused]})
    else:
        for entry in entries:
            mark = "*" if entry.reference == active else " "
            recall, false = (entry.figures.get(key, "-") for key in ("recall", "false_per_1000"))
            figures = f"recall {recall:<7} false/1000 {false:<7}"
            typer.echo(f"{mark} {entry.reference:<20} {entry.created:<26} {figures} {entry.origin.data}")
    for problem in refused:
        say(f"qwarden: {problem}")
    return ModelError.exit_code if refused else 0


@group.command()
def show(
    context: typer.Context,
    reference: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME[@VERSION]]", help="By default the active model.", autocompletion=model_references
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a model is, what it was made of, and what it reached."""
    from qwarden.detect.lookup import SHIPPED, model_registry

    state: Context = context.obj
    registry = model_registry(state.home)
    entry = registry.get(reference or registry.active_reference() or SHIPPED)
    if as_json:
        print_json(entry.document())
    else:
        typer.echo(entry_text(entry))


@group.command()
def promote(
    context: typer.Context,
    reference: Annotated[
        str,
        typer.Argument(
            metavar="NAME[@VERSION]",
            help="The newest version of NAME, or the one named; 'shipped': the one that came with Qwarden.",
            autocompletion=model_references,
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Make a model the one that detection uses."""
    from qwarden.detect.training import promote as promote_model

    state: Context = context.obj
    with state.store() as store:
        entry = promote_model(reference, state.home, store)
    if as_json:
        print_json({**entry.document(), "active": True})
    else:
        typer.echo(f"{entry.reference} is active")


def entry_text(entry: Entry) -> str:
    """Return an entry as a few lines."""
    origin = entry.origin
    facts = {
        "created": entry.created, "trained on": origin.data, "split": origin.split, "seed": origin.seed,
        "parent": origin.parent, "notes": origin.notes, "fingerprint": origin.fingerprint,
        "signed by": entry.key_id, **entry.figures,
    }  # fmt: skip
    lines = [entry.reference]
    for name, value in facts.items():
        if isinstance(value, dict):
            lines += [f"  {name + ' ' + key:<28} {inner}" for key, inner in value.items()]
        elif value not in (None, ""):
            lines.append(f"  {name:<28} {value}")
    return "\n".join(lines)
