"""Single precision, offered for inference: half the memory, twice the rate of the matrix products.

All models are built in float64. States asked for in single precision are computed in float64 and rounded
once, at the end; kernels and forms of such states are computed in float32.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Precision: TypeAlias = Literal["double", "single"]

SingleFloatArray: TypeAlias = npt.NDArray[np.float32]
SingleComplexArray: TypeAlias = npt.NDArray[np.complex64]

RealArray: TypeAlias = npt.NDArray[np.floating[Any]]
"""Real numbers of either precision."""
StateArray: TypeAlias = npt.NDArray[np.complexfloating[Any, Any]]
"""Complex numbers of either precision."""
