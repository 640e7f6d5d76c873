"""Running a benchmark script of the source tree as a process of its own.

A benchmark pairs us with a peer that lives in another environment, or wants a core to itself, so it
is a script under ``bench/`` that prints one JSON document; a measure runs it and takes its figures.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from qwarden.core.errors import QwardenError, UnavailableError

ROOT = Path(__file__).resolve().parents[3]
"""The source tree, if this is one."""


def run_bench(
    script: str, *arguments: str, python: Path | None = None, timeout_s: float = 1800
) -> dict[str, Any]:
    """Run ``bench/SCRIPT`` single-threaded and return the document it prints.

    Parameters
    ----------
    script : path below ``bench/``.
    python : the interpreter of a peer's environment; ours by default. `qwarden` is importable in both.

    Raises
    ------
    UnavailableError
        This is an installed package without its source tree, so there is no such script.
    QwardenError
        The script failed; the error holds the end of what it said.
    """
    path = ROOT / "bench" / script
    if not path.exists():
        raise UnavailableError(path, "is needed: benchmarks run from a source tree only")
    one_thread = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
    environment = {**os.environ, **one_thread, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [str(python or sys.executable), str(path), *arguments],
        capture_output=True, text=True, env=environment, timeout=timeout_s, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        document = json.loads(done.stdout) if done.returncode == 0 else None
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise QwardenError(f"{path}: exit {done.returncode}: {(done.stderr or done.stdout)[-800:]}")
    return document
