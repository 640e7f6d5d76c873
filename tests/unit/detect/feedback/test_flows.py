"""Rows derived from the archive are those that were scored, and nothing else passes for one."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from qwarden.core.errors import InputError, UsageError
from qwarden.detect.archive import FOLDER, Query, search
from qwarden.detect.behaviours import KINDS
from qwarden.detect.feedback.flows import KnownFlow, derive, find_flow, sources_at
from qwarden.detect.lookup import find_finding

from .conftest import Seen


def test_a_derived_row_is_what_the_flow_was_scored_by(seen: Seen) -> None:
    """Who watched the detector saw every row: an oracle for what is derived."""
    pieces = list(derive(seen.home, seen.source))
    assert sum(piece.flows.size for piece in pieces) == len(seen.rows) > 500
    for piece in pieces:
        assert piece.sound.all()
        for at in range(piece.flows.size):
            assert piece.rows[at].tobytes() == seen.rows[piece.flows[at : at + 1].tobytes()]
    known = find_flow(seen.home, pieces[-1].id(-1))
    assert known.row.tobytes() == seen.rows[known.flow.tobytes()]


def test_a_flow_survives_as_a_document(seen: Seen) -> None:
    flows = search(seen.home, Query(), limit=3)
    for id in flows.ids():
        known = find_flow(seen.home, id)
        again = KnownFlow.read(known.document(), id)
        assert again.flow.tobytes() == known.flow.tobytes()
        assert again.row.tobytes() == known.row.tobytes()
        assert (again.behaviour, again.cause) == (known.behaviour, known.cause)


def test_what_is_of_another_version_is_refused(seen: Seen) -> None:
    finding = seen.findings[0]
    document = dict(find_finding(seen.store, finding.id).evidence)
    assert KnownFlow.read(document, "x").kind == finding.behaviour
    short = base64.b64encode(np.zeros(9).tobytes()).decode()
    for wrong in (
        {"row": short},
        {"flow": "!!"},
        {"behaviour": "a kind of tomorrow"},
        {"behaviour": None},
        {"row": base64.b64encode(np.zeros(len(KnownFlow.read(document, "x").row)).tobytes()).decode()},
    ):
        with pytest.raises(InputError, match=r"finding 7: .*another version"):
            KnownFlow.read({**document, **wrong}, "finding 7")
    with pytest.raises(InputError, match="missing"):
        KnownFlow.read({}, "finding 7")


def test_flows_that_are_not_there(seen: Seen) -> None:
    for id in ("0123456789ab:1", f"{seen.source}:99999999", "seven", f"{seen.source}:x"):
        with pytest.raises(UsageError):
            find_flow(seen.home, id)


def test_a_source_in_part_is_no_ground_for_rows(seen: Seen) -> None:
    id = search(seen.home, Query(), limit=1).ids()[0]
    folder = seen.home / FOLDER / seen.source
    (folder / "000000.parquet").rename(folder / "000001.parquet")
    with pytest.raises(InputError, match="first flows of this source are gone"):
        find_flow(seen.home, id)


def test_a_row_that_shows_another_behaviour_than_was_kept_is_not_sound(
    seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the archive had been written by a version with other conditions."""
    id = search(seen.home, Query(), limit=1).ids()[0]
    from qwarden.detect.feedback import flows

    kind = np.int64(KINDS.index("dns_tunnel"))
    monkeypatch.setattr(flows, "name_behaviours", lambda rows: np.full(len(rows), kind))
    with pytest.raises(InputError, match="archived by another version"):
        find_flow(seen.home, id)


def test_sources_are_found_by_time(seen: Seen) -> None:
    everything = search(seen.home, Query()).flows
    first, last = everything["start_ns"].min() / 1e9, everything["end_ns"].max() / 1e9
    assert sources_at(seen.home, first, last) == [seen.source]
    assert sources_at(seen.home, last + 10, last + 20) == []
