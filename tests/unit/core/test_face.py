from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import qwarden.core
from qwarden.core import errors


def test_every_name_of_the_face_exists() -> None:
    for name in qwarden.core.__all__:
        assert getattr(qwarden.core, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        qwarden.core.nothing  # noqa: B018


def test_the_face_is_read_from_top_to_bottom() -> None:
    assert qwarden.core.__doc__
    assert qwarden.core.__file__
    modules = {p.stem for p in Path(qwarden.core.__file__).parent.glob("*.py")} - {"__init__"}
    for module in modules:
        assert f"`{module}`" in qwarden.core.__doc__


def test_importing_what_every_command_needs_is_cheap() -> None:
    code = """
import sys
import qwarden.core, qwarden.core.errors, qwarden.core.home, qwarden.core.logs, qwarden.core.progress
import qwarden.core.clock, qwarden.core.events, qwarden.core.measure
heavy = {"pydantic", "sqlalchemy", "alembic", "rich", "cryptography", "numba", "numpy"} & set(sys.modules)
sys.exit(", ".join(heavy) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_the_tree_of_errors_is_drawn_right() -> None:
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, Exception)]
    drawing = (errors.__doc__ or "").splitlines()
    for cls in classes:
        [line] = [line for line in drawing if line.split(" exit")[0].strip("│├└─ ") == cls.__name__]
        assert f"exit {cls.exit_code} " in line
        depth = len(cls.__mro__) - len(errors.QwardenError.__mro__)
        indent = len(line.split(cls.__name__)[0]) - 4
        assert indent == 4 * depth, cls
