"""The one way to compile a hot loop.

`compiled` is Numba's ``njit`` with the house's settings: cached on disk (the cache is filled during
set-up by `qwarden doctor --warm`, never inside the first alert), without the GIL, and typed, so that
mypy sees the Python signature.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])

# Reassociation and contraction let LLVM vectorise reductions; NaN and infinity keep their meaning.
REASSOCIATE = frozenset({"reassoc", "contract", "nsz", "arcp"})


def compiled(function: F) -> F:
    """Compile `function` with strict IEEE order of operations."""
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def compiled_fast(function: F) -> F:
    """Compile `function`, allowing sums to be reordered (needed to vectorise reductions)."""
    return cast(
        F, numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=set(REASSOCIATE))(function)
    )


def inlined(function: F) -> F:
    """Compile a small helper that LLVM shall inline into its callers."""
    return cast(
        F,
        numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=set(REASSOCIATE), inline="never")(
            function
        ),
    )
