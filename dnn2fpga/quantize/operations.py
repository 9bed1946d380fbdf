"""The operations that a layer kind needs to take part in training without importing TensorFlow.

``Layer.apply`` computes on real numbers, of NumPy or differentiable; ``Layer.forward_codes`` as the integer layer: its
numbers *are* the integers of the integer model (represented in floats, exactly), and gradients pass through every
rounding (straight-through estimator). So training sees the integers that the hardware computes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from dnn2fpga.quantize.settings import LayerSettings
from dnn2fpga.quantize.weight_sets import Levels
from dnn2fpga.tensors.padding import PaddingRule
from dnn2fpga.tensors.tensor import Tensor


@dataclass(frozen=True)
class Wire:
    """A tensor during training: its scales may be learned."""

    tensor: Tensor
    scales: Any  # float64 [lanes]

    @property
    def zero_points(self) -> np.ndarray:
        return self.tensor.zero_points.astype(np.float64)

    def in_lanes(self, ops: Operations, lanes: int) -> Wire:
        """The same numbers in beats of another size, a multiple of what it was."""
        return Wire(self.tensor.in_lanes(lanes), ops.tile(self.scales, lanes // self.tensor.lanes))


@dataclass(frozen=True)
class Wires:
    """The tensors that a layer reads and writes, and the way its weights become codes."""

    inputs: tuple[Wire, ...]
    output: Wire
    settings: LayerSettings
    weight_scale: Any = None  # float64 [outputs]; None for a layer that computes in binary32
    weight_zero_point: Any = None
    wide: bool = False  # accumulators may pass 2^24: float32 would round them

    @property
    def input(self) -> Wire:
        """The input of a layer that reads one tensor."""
        (wire,) = self.inputs
        return wire


class RealOperations(Protocol):
    """Operations on real numbers ``[frames, *shape]``: of NumPy (``layers.numpy_operations``), or of TensorFlow and
    differentiable (``optimize.operations``).
    """

    def clip(self, x: Any, low: Any, high: Any) -> Any: ...
    def like(self, x: Any, value: Any) -> Any:
        """``value`` in the float type of ``x``."""

    def reshape(self, x: Any, shape: tuple[int, ...]) -> Any: ...
    def matmul(self, x: Any, weights: Any) -> Any: ...
    def conv2d(self, x: Any, weights: Any, strides: tuple[int, int], padding: PaddingRule) -> Any: ...
    def depthwise_conv2d(self, x: Any, weights: Any, strides: tuple[int, int], padding: PaddingRule) -> Any:
        """``weights [K_h, K_w, outputs]``; outputs of one channel are adjacent."""

    def max_pool(
        self, x: Any, size: tuple[int, int], strides: tuple[int, int], padding: PaddingRule, outside: float
    ) -> Any:
        """Pick the largest of every window; a pixel outside the frame is ``outside``."""

    def window_sum(self, x: Any, size: tuple[int, int], strides: tuple[int, int], padding: PaddingRule) -> Any:
        """Pixels outside the frame are 0."""

    def sum_of_pixels(self, x: Any) -> Any:
        """``[batch, rows, columns, channels]`` → ``[batch, channels]``."""

    def concatenate(self, x: Sequence[Any], axis: int) -> Any:
        """One after the other along an axis (with the batch)."""

    def maximum(self, x: Any, y: Any) -> Any: ...
    def minimum(self, x: Any, y: Any) -> Any: ...
    def function(self, name: str, x: Any) -> Any:
        """tanh or sigmoid."""


class Operations(RealOperations, Protocol):
    """Differentiable operations, also on codes: integers in float tensors ``[batch, *shape]``."""

    def accumulating(self, x: Any, wide: bool) -> Any:
        """Return ``x`` in the float type that sums exactly; what follows is computed in it."""

    def float64(self, x: Any) -> Any: ...
    def tile(self, x: Any, count: int) -> Any: ...
    def largest(self, x: Any) -> Any: ...
    def at_least(self, x: Any, low: float) -> Any: ...
    def sqrt(self, x: Any) -> Any: ...
    def round(self, x: Any) -> Any:
        """Half up."""

    def nearest(self, x: Any, levels: Levels) -> Any:
        """The nearest of the levels."""

    def lookup(self, name: str, codes: Any, wires: Wires, table: np.ndarray) -> Any:
        """The table's entry for each code, with the gradient of the function."""

    def short(self, ratio: Any) -> Any:
        """Positive numbers, rounded up to few bits as `scaling.short` does."""

    def multiplier(self, ratio: Any, bits: int) -> tuple[Any, Any]:
        """``multiplier / 2**shift`` as the integer model has it, and ``2**shift``."""

    def multipliers(self, ratios: Sequence[Any]) -> tuple[list[Any], Any]:
        """The same of several ratios that have one ``shift``."""

    def fit(self, x: Any, output: Wire, clamp: tuple[float, float], settings: LayerSettings) -> Any:
        """Real numbers in units of the output's step → its codes, rounded and clamped."""

    def requantize(
        self, accumulator: Any, ratio: Any, output: Wire, clamp: tuple[float, float], settings: LayerSettings
    ) -> Any:
        """``fit`` of the accumulator (0 means zero) times ``multiplier(ratio)``, of as many bits as
        ``scaling.ratio_bits`` says."""

    def statistics(self, x: Callable[[], Any], parameters: dict[str, Any]) -> None:
        """Move ``mean`` and ``variance`` in ``parameters`` towards those of ``x()``, while they are not frozen."""
