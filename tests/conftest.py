"""What all tests share: the data folder, the hypothesis profiles, and no silent skips in CI."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


SKIPS_ALLOWED_IN_CI = {
    "a tunnel takes /dev/net/tun": "where CI has no tun device",
    "network namespaces take privileges": "where CI may not make them",
    "real captures are not at": "the data set stands beside the project, and not everywhere",
}
"""The only reasons a test may be skipped for under CI=true, and why."""


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Fail a test that CI skips for a reason that is not listed."""
    outcome: Any = yield
    report = outcome.get_result()
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr[2])
        if not any(allowed in reason for allowed in SKIPS_ALLOWED_IN_CI):
            report.outcome, report.longrepr = "failed", f"skipped in CI: {reason}"
