"""What an explanation says of a feature is a sentence, not the name of a column."""

from __future__ import annotations

import pytest

from qwarden.detect.explain import describe
from qwarden.detect.features import FEATURE_NAMES


@pytest.mark.parametrize("name", FEATURE_NAMES)
def test_every_feature_has_words_of_its_own(name: str) -> None:
    said = describe(name, 3.0, 1.0)
    assert "_" not in said
    assert not said.startswith(name.removesuffix("_300s").removesuffix("_1h").replace("_", " ") + " 3")
    assert "usually" in said
    assert ("3" in said) != ("yes" in said)


def test_no_two_features_read_alike() -> None:
    assert len({describe(name, 1.0, 0.0) for name in FEATURE_NAMES}) == len(FEATURE_NAMES)
