"""`qwarden data`: the public data sets that measures stand on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from qwarden.cli.context import AsJson, Context, print_json
from qwarden.cli.render import say
from qwarden.core.errors import QwardenError

group = typer.Typer(help="The public data sets that measures stand on.", no_args_is_help=True)

_VARIABLE = "QWARDEN_DATA"

Folder = Annotated[
    Path | None,
    typer.Option(
        "--to", metavar="DIR", help=f"Where the sets are; by default {_VARIABLE}, else HOME/data.",
        show_default=False,
    ),
]  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    app.add_typer(group, name="data")


def _set_names(context: typer.Context) -> list[tuple[str, str]]:  # noqa: ARG001
    from qwarden.detect.datasets.catalogue import catalogue

    return [(data.name, data.title) for data in catalogue().values()]


def _folder(state: Context, given: Path | None) -> Path:
    return given or Path(os.environ.get(_VARIABLE) or state.home / "data")


@group.command("list")
def list_sets(context: typer.Context, to: Folder = None, as_json: AsJson = False) -> None:
    """List the data sets: what they are, where they come from, their terms, which are here."""
    from qwarden.detect.datasets.catalogue import catalogue
    from qwarden.detect.datasets.fetch import files_of

    folder = _folder(context.obj, to)
    sets: list[dict[str, Any]] = []
    for data in catalogue().values():
        names = files_of(data)
        sets.append(
            {
                "name": data.name, "title": data.title, "bytes": data.size, "files": len(names),
                "here": sum((folder / data.name / name).exists() for name in names),
                "terms": data.terms, "accept_terms": data.restricted, "origin": data.origin,
                "site": data.home, "cite": data.cite,
            }
        )  # fmt: skip
    if as_json:
        print_json({"folder": str(folder), "sets": sets})
        return
    for each in sets:
        asks = "; needs --accept-terms" if each["accept_terms"] else ""
        here = f"{each['here']} of {each['files']} files here" if each["here"] else "not here"
        typer.echo(f"{each['name']}  {each['bytes'] / 1e6:,.1f} MB to download, {here}{asks}")
        for key, said in (("", "title"), ("from ", "origin"), ("terms: ", "terms"), ("cite: ", "cite")):
            typer.echo(f"    {key}{each[said]}")
    typer.echo(f"folder: {folder}")


@group.command()
def fetch(
    context: typer.Context,
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...", help="As `qwarden data list` prints them.", autocompletion=_set_names
        ),
    ],
    to: Folder = None,
    accept_terms: Annotated[
        bool, typer.Option("--accept-terms", help="Accept the terms of sets that restrict their use.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Download data sets and check every file before it is put in place."""
    from qwarden.detect.datasets.catalogue import find_set
    from qwarden.detect.datasets.fetch import fetch as download

    state: Context = context.obj
    folder = _folder(state, to)
    sets = [find_set(name) for name in dict.fromkeys(names)]
    done = []
    try:
        for data in sets:
            say(f"qwarden: {data.name}: {data.terms} Cite {data.cite}.")
            found = download(data, folder, accept_terms=accept_terms, progress=state.progress)
            done.append(
                {
                    "name": found.name, "folder": str(found.folder), "written": list(found.written),
                    "kept": list(found.kept),
                }
            )  # fmt: skip
            if not as_json:
                typer.echo(
                    f"{found.name}: {len(found.written)} files written, {len(found.kept)} were there and are "
                    f"right, in {found.folder}"
                )
    except QwardenError:
        if as_json and done:
            print_json({"sets": done})
        raise
    if as_json:
        print_json({"sets": done})
    if os.environ.get(_VARIABLE) != str(folder):
        say(f"qwarden: measures find it with {_VARIABLE}={folder.absolute()}")
