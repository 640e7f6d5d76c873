from __future__ import annotations

import re

from qwarden.detect import BEHAVIOURS
from qwarden.formats.writers.attack import TECHNIQUES, technique


def test_every_behaviour_has_a_name_for_its_technique() -> None:
    assert {b.technique for b in BEHAVIOURS if b.technique} <= TECHNIQUES.keys()


def test_ids_have_their_form_and_parents_fit() -> None:
    for known in TECHNIQUES.values():
        assert re.fullmatch(r"T\d{4}(\.\d{3})?", known.id)
        assert (known.parent is not None) == ("." in known.id)
        assert known.parent is None or known.id.startswith(known.parent[0] + ".")
        assert known.tactic is not None
        assert re.fullmatch(r"TA00\d\d", known.tactic.id)


def test_an_unknown_one_is_called_by_its_id() -> None:
    unknown = technique("T9999")
    assert unknown is not None
    assert (unknown.name, unknown.parent, unknown.tactic) == ("T9999", None, None)
    assert technique(None) is None
