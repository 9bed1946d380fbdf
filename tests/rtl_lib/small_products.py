"""Small matrix products, with every setting of their requantizers."""

from __future__ import annotations

from typing import Any

import numpy as np

from rtl_lib.core.arithmetic import Overflow, Rounding
from rtl_lib.core.formats import Format
from rtl_lib.elementwise.requantize import Requantize
from rtl_lib.matrix.constant_matrix import ConstantMatrix
from rtl_lib.matrix.matrix_product import MatrixProduct

S8, S5 = Format(True, 8), Format(True, 5)

# A requantizer of four outputs, of which each has its own.
PER_LANE: dict[str, Any] = {
    "multiplier": np.array([3, 0, -7, 8]),
    "shift": np.array([4, 1, 6, 9]),
    "offset": np.array([5, -6, 9, -100]),
    "low": np.array([-32, 0, -5, -8]),
    "high": np.array([31, 31, 5, 7]),
    "output_format": Format(True, 6),
}


def product(
    weights: Any,
    input_format: Format = S5,
    *,
    bias: Any = None,
    lanes: int | None = None,
    multiplier: Any = 1,
    shift: Any = 0,
    offset: Any = 0,
    output_format: Format = S8,
    low: Any = None,
    high: Any = None,
    rounding: Rounding = Rounding.HALF_UP,
    overflow: Overflow = Overflow.SATURATE,
    **bounds: np.ndarray,
) -> MatrixProduct:
    weights = np.array(weights)
    outputs = weights.shape[1]
    matrix = ConstantMatrix(weights, np.resize(0 if bias is None else bias, outputs), input_format, **bounds)
    multiplier, shift, offset = (np.resize(numbers, outputs) for numbers in (multiplier, shift, offset))
    requantize = Requantize(
        matrix.output_format,
        output_format,
        multiplier,
        shift,
        offset,
        output_format.minimum if low is None else low,
        output_format.maximum if high is None else high,
        rounding,
        overflow,
    )
    return MatrixProduct(matrix, requantize, lanes or len(weights))
