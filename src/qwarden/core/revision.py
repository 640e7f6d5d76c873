"""Which version of the code is running: the commit a figure belongs to."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

import qwarden

PACKAGE = Path(qwarden.__file__).parent


@cache
def revision() -> str:
    """Return the commit of the running code, with ``-dirty`` if the tree differs from it.

    Files below ``docs`` do not make a tree dirty: they are where figures are written to, and are not
    what is measured. Without git, or where the package is not installed from its own repository, the
    package's version is returned.
    """
    root = _git("rev-parse", "--show-toplevel")
    # An installed copy may lie in a virtual environment inside somebody else's repository.
    if root is None or Path(root) / "src" / "qwarden" != PACKAGE.resolve():
        return qwarden.__version__
    commit = _git("rev-parse", "HEAD")
    if commit is None:  # a repository before its first commit
        return f"{qwarden.__version__}-dirty"
    changes = _git("status", "--porcelain", "--", ":/", ":(exclude,top)docs")
    return f"{commit}-dirty" if changes else commit


def _git(*arguments: str) -> str | None:
    # Without optional locks `status` leaves the index alone.
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", "-C", str(PACKAGE), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
            env=environment,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
