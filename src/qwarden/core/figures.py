"""The file of last figures: how documents are kept, and the report rendered from them.

A *document* is one measure's result; its fields are those of the acceptance file. `merge_into` keeps
the last document of each measure in ``docs/evaluation.json``; `render` writes them as Markdown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TypeAlias, cast

from qwarden.core.errors import InputError
from qwarden.core.files import Json, atomic_write

Document: TypeAlias = dict[str, Json]

FIELDS = (
    "name", "definition", "data", "split", "seeds", "n", "configurations_tried", "values", "unit",
    "ci95", "twin", "resources", "article", "seconds", "commit", "time",
)  # fmt: skip
"""The fields of a document, in the order they are written."""


def read_documents(path: Path) -> list[Document]:
    """Read the file of last figures; an absent file holds none.

    Raises
    ------
    InputError
        The file is not what `merge_into` writes.
    """
    try:
        content = json.loads(path.read_bytes())
        documents = content["measures"]
        if not all(set(document) == set(FIELDS) for document in documents):
            raise KeyError(f"a document's fields are not {', '.join(FIELDS)}")
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(path, f'expected {{"measures": [document, ...]}}: {error}') from error
    return list(documents)


def merge_into(path: Path, documents: Sequence[Document]) -> None:
    """Replace the entries of the same name in the file of last figures, and keep the others.

    The file is sorted by name and written all or nothing; its folder is made if needed.
    """
    merged = {str(document["name"]): document for document in (*read_documents(path), *documents)}
    text = json.dumps({"measures": [merged[name] for name in sorted(merged)]}, indent=1, ensure_ascii=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, text.encode() + b"\n")


_HEAD = (
    "| measure | figure | unit | value | 95 % interval | twin | article |\n|---|---|---|---|---|---|---|\n"
)


def render(documents: Sequence[Document]) -> str:
    """Write documents as Markdown: a section a room, a table of figures, then what each stands on.

    Examples
    --------
    >>> document = {
    ...     "name": "engine.exactness", "definition": "Largest difference to the oracle.",
    ...     "data": "random circuits, seed 1", "split": "none", "seeds": [1], "n": 50,
    ...     "configurations_tried": 1, "values": {"max_abs_diff": 2e-15}, "unit": {"max_abs_diff": "1"},
    ...     "ci95": {}, "twin": None, "resources": None, "article": None, "seconds": 1.5,
    ...     "commit": "abc", "time": "2026-01-01T00:00:00+00:00"}
    >>> print(render([document]))
    ## engine
    <BLANKLINE>
    | measure | figure | unit | value | 95 % interval | twin | article |
    |---|---|---|---|---|---|---|
    | engine.exactness | max_abs_diff | 1 | 2e-15 | – | – | – |
    <BLANKLINE>
    - **engine.exactness**: Largest difference to the oracle. Data: random circuits, seed 1; split: none;
      seeds: 1; n = 50; configurations tried: 1. Took 1.5 s at abc, 2026-01-01T00:00:00+00:00.
    <BLANKLINE>
    """
    parts = []
    ordered = sorted(documents, key=lambda document: str(document["name"]))
    for room, group in groupby(ordered, key=lambda document: str(document["name"]).partition(".")[0]):
        members = list(group)
        rows = "".join(_row(document, key) for document in members for key in _part(document, "values"))
        notes = "".join(map(_note, members))
        parts.append(f"## {room}\n\n{_HEAD}{rows}\n{notes}")
    return "\n".join(parts)


def _part(document: Document, name: str) -> Mapping[str, object]:
    return cast(Mapping[str, object], document[name] or {})


def _row(document: Document, key: str) -> str:
    interval = cast(Sequence[float] | None, _part(document, "ci95").get(key))
    cells = (
        document["name"],
        key,
        _part(document, "unit")[key],
        _figure(_part(document, "values")[key]),
        "–" if interval is None else f"{_figure(interval[0])} to {_figure(interval[1])}",
        _figure(_part(document, "twin").get(key)),
        _figure(_part(document, "article").get(key)),
    )
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |\n"


def _figure(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "–" if value is None else str(value)


def _note(document: Document) -> str:
    seeds = ", ".join(map(str, cast(Sequence[int], document["seeds"]))) or "none"
    resources = "; ".join(
        f"{key.replace('_', ' ')}: {'exact' if value is None else value}"
        for key, value in _part(document, "resources").items()
    )
    return (
        f"- **{document['name']}**: {document['definition']} Data: {document['data']};"
        f" split: {document['split']};\n  seeds: {seeds}; n = {document['n']};"
        f" configurations tried: {document['configurations_tried']}.{f' {resources}.' if resources else ''}"
        f" Took {document['seconds']} s at {document['commit']}, {document['time']}.\n"
    )
