"""The functions of layers on NumPy, in the float type of their inputs: the float reference."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dnn2fpga.layers.image import ANY_FORMAT, image_windows
from dnn2fpga.tensors.padding import PaddingRule
from rtl_lib.image.windows import Windows

Pair = tuple[int, int]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (np.tanh(0.5 * x) + 1)


FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"tanh": np.tanh, "sigmoid": _sigmoid}


class NumPyOperations:
    """``quantize.operations.RealOperations`` on arrays ``[frames, *shape]``."""

    def clip(self, x: Any, low: float, high: float) -> Any:
        return x if (low, high) == (-math.inf, math.inf) else np.clip(x, low, high)

    def like(self, x: Any, value: Any) -> Any:
        return np.asarray(value, x.dtype)

    def reshape(self, x: Any, shape: tuple[int, ...]) -> Any:
        return np.reshape(x, shape)

    def matmul(self, x: Any, weights: Any) -> Any:
        return x @ weights

    def conv2d(self, x: Any, weights: Any, strides: Pair, padding: PaddingRule) -> Any:
        windows = _windows(x, weights.shape[:2], strides, padding)
        y = windows.compute(_pixels(x)) @ weights.reshape(-1, weights.shape[-1])
        return y.reshape(len(x), *windows.output_size, -1)

    def depthwise_conv2d(self, x: Any, weights: Any, strides: Pair, padding: PaddingRule) -> Any:
        windows, channels = _windows(x, weights.shape[:2], strides, padding), x.shape[-1]
        patches = windows.compute(_pixels(x)).reshape(len(x), windows.output_windows, -1, channels)
        y = np.einsum("fptc,tcm->fpcm", patches, weights.reshape(patches.shape[2], channels, -1))
        return y.reshape(len(x), *windows.output_size, weights.shape[-1])

    def max_pool(self, x: Any, size: Pair, strides: Pair, padding: PaddingRule, outside: float) -> Any:
        return self._pooled(x, _windows(x, size, strides, padding, outside)).max(axis=3)

    def window_sum(self, x: Any, size: Pair, strides: Pair, padding: PaddingRule) -> Any:
        return self._pooled(x, _windows(x, size, strides, padding)).sum(axis=3)

    @staticmethod
    def _pooled(x: Any, windows: Windows) -> np.ndarray:
        """Return ``[frames, rows, columns, kernel rows * kernel columns, channels]``."""
        return windows.compute(_pixels(x)).reshape(len(x), *windows.output_size, math.prod(windows.kernel), x.shape[-1])

    def sum_of_pixels(self, x: Any) -> Any:
        return x.sum(axis=(1, 2))

    def concatenate(self, x: Sequence[Any], axis: int) -> Any:
        return np.concatenate(x, axis)

    def maximum(self, x: Any, y: Any) -> Any:
        return np.maximum(x, y)

    def minimum(self, x: Any, y: Any) -> Any:
        return np.minimum(x, y)

    def function(self, name: str, x: Any) -> Any:
        return FUNCTIONS[name](x)


def _windows(x: np.ndarray, kernel: Pair, strides: Pair, padding: PaddingRule, outside: Any = 0) -> Windows:
    return image_windows(x.shape[1:], ANY_FORMAT, kernel, strides, padding, outside)


def _pixels(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1, x.shape[-1])


NUMPY = NumPyOperations()
