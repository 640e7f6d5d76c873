from __future__ import annotations

from pathlib import Path

import pytest

from qwarden.core import crypto


def test_every_name_of_the_face_exists_and_every_module_is_told_of() -> None:
    for name in crypto.__all__:
        assert getattr(crypto, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        crypto.nothing  # noqa: B018
    assert crypto.__file__
    assert crypto.__doc__
    for module in Path(crypto.__file__).parent.glob("[a-z]*.py"):
        assert f"`{module.stem}`" in crypto.__doc__
