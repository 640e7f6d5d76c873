"""What all tests share: the data folder, the hypothesis profiles, and no silent skips in CI."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent

hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real captures; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("QWARDEN_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "pcaps").is_dir():
        pytest.skip(f"real captures are not at {folder} (set QWARDEN_DATA)")
    return folder
