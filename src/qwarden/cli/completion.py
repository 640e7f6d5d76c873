"""What the shell offers at TAB: findings, measures, models, severities.

Whatever goes wrong offers nothing: a message would end up in the middle of somebody's command.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import typer

_FINDINGS = 50
"""So many of the newest findings are offered."""

Completer = Callable[[typer.Context, str], list[tuple[str, str]]]


def _offered(candidates: Callable[[typer.Context], Iterable[tuple[str, str]]]) -> Completer:
    """Turn what returns candidates, each with a word about it, into what the shell asks."""

    def complete(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
        with suppress(Exception):
            return [pair for pair in candidates(context) if pair[0].startswith(incomplete)]
        return []

    return complete


@_offered
def finding_ids(context: typer.Context) -> Iterable[tuple[str, str]]:
    """Return the newest findings of the home, by their ids."""
    from qwarden.core.config import Settings
    from qwarden.core.store import open_store
    from qwarden.detect.findings import Finding

    home = _home(context)
    store = open_store(home, Settings.load(home).store.url)
    try:
        found = store.events(room=Finding.room, kind=Finding.kind, limit=_FINDINGS)
        return [(f.id, f"{f.behaviour} {f.src_ip}") for f in found if isinstance(f, Finding)]
    finally:
        store.close()


@_offered
def measure_names(context: typer.Context) -> Iterable[tuple[str, str]]:  # noqa: ARG001
    """Return the names of all measures."""
    from qwarden.cli import measures
    from qwarden.core.measure import REGISTRY

    measures.load()
    return [(measure.name, measure.definition) for measure in REGISTRY]


@_offered
def rooms(context: typer.Context) -> Iterable[tuple[str, str]]:  # noqa: ARG001
    """Return the rooms that have measures."""
    from qwarden.cli import measures
    from qwarden.core.measure import REGISTRY

    measures.load()
    return [(room, "") for room in sorted({measure.room for measure in REGISTRY})]


@_offered
def model_references(context: typer.Context) -> Iterable[tuple[str, str]]:
    """Return the models of the home: each name, and each of its versions."""
    from qwarden.detect.lookup import SHIPPED, model_registry

    registry = model_registry(_home(context))
    versions = [(f"{name}@{version}", "") for name in registry.names() for version in registry.versions(name)]
    return [(SHIPPED, "came with Qwarden"), *((name, "") for name in registry.names()), *versions]


@_offered
def severities(context: typer.Context) -> Iterable[tuple[str, str]]:  # noqa: ARG001
    """Return the severities of findings, mildest first."""
    from qwarden.detect import SEVERITIES

    return [(severity, "") for severity in SEVERITIES]


def _home(context: typer.Context) -> Path:
    """Return the home folder that the command would use."""
    from qwarden.core.home import home_folder

    return home_folder(context.find_root().params.get("home"))
