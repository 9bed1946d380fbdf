"""Exact integer matrix products at floating-point speed.

A float holds every integer up to 2^24 (binary32) or 2^53 (binary64) exactly. Where no partial sum can exceed that, in
whatever order it is formed, BLAS computes the exact integer result.
"""

from __future__ import annotations

import numpy as np

from rtl_lib.core.formats import Format


def exact_product(x: np.ndarray, weights: np.ndarray, bias: np.ndarray, input_format: Format) -> np.ndarray:
    """``x @ weights + bias`` as int64; ``x [..., n]`` integers of ``input_format``, ``weights [n, m]``, ``bias [m]``.

    :raises OverflowError: when 64 bits might not hold a sum.
    """
    largest = max(-input_format.minimum, input_format.maximum)
    terms = np.abs(weights.astype(np.float64))
    bound = float((terms.sum(axis=0) * largest + np.abs(bias)).max(initial=0))
    if bound >= 2.0**62:
        raise OverflowError(f"a sum may reach {bound:.3g}, more than 64-bit integers hold")
    for dtype, limit in ((np.float32, 2.0**24), (np.float64, 2.0**53)):
        if bound < limit:
            product = x.astype(dtype, copy=False) @ weights.astype(dtype)
            product += bias.astype(dtype)
            return product.astype(np.int64)
    return x.astype(np.int64) @ weights.astype(np.int64) + bias
