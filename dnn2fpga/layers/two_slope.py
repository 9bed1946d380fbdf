"""TwoSlope: a leaky ReLU."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from dnn2fpga.exact.accumulator import Accumulator
from dnn2fpga.exact.lowered import Lowered, Sums
from dnn2fpga.exact.pieces import Bend
from dnn2fpga.layers.activation import QuantizedClamp
from dnn2fpga.layers.base import BuildableLayer, OnSums
from dnn2fpga.layers.linear import UNLIMITED
from dnn2fpga.layers.requantization import requantization
from dnn2fpga.quantize.operations import Operations, RealOperations, Wires
from dnn2fpga.quantize.scaling import MULTIPLIER_BITS, Observed, QuantizationChoice, activation_tensor
from dnn2fpga.quantize.settings import LayerSettings
from dnn2fpga.tensors.basics import Shape, Unsupported
from dnn2fpga.tensors.tensor import Tensor


@dataclass(frozen=True, eq=False)
class TwoSlope(OnSums, BuildableLayer):
    """``x`` from 0 on, and ``x * slope`` below it: two multipliers, of which the sign picks one.

    :param slope: above 0.
    """

    slope: float | Fraction

    kind: ClassVar[str] = "two_slope"

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def compute(self, x: np.ndarray) -> np.ndarray:
        return np.where(x >= 0, x, x * x.dtype.type(float(self.slope)))

    def after_sums(self, sums: Accumulator) -> Lowered:
        return Sums(sums.then([Bend(Fraction(self.slope))]))

    def choose(self, seen: Observed, settings: LayerSettings, input: Tensor) -> QuantizationChoice:
        if input.zero_points.any():
            raise Unsupported("needs an input whose zero point is 0; quantize activations symmetrically")
        return QuantizationChoice(activation_tensor(input.shape, input.lanes, seen, settings))

    def quantize(self, choice: QuantizationChoice, settings: LayerSettings, input: Tensor) -> QuantizedClamp:
        output = choice.output
        fields = requantization(output, input.scales / output.scales, UNLIMITED, settings, accumulators=None)
        falling = np.floor(fields["multiplier"] * float(self.slope) + 0.5).astype(np.int64)
        return QuantizedClamp(name=self.name, negative_multiplier=falling, negative_offset=fields["offset"], **fields)

    def apply(self, ops: RealOperations, x: Any) -> Any:
        return self._bent(ops, x, x * float(self.slope))

    def _bent(self, ops: RealOperations, above: Any, below: Any) -> Any:
        """One line from 0 on, the other below it; they meet there."""
        return ops.maximum(above, below) if self.slope <= 1 else ops.minimum(above, below)

    def forward_codes(self, ops: Operations, wires: Wires, parameters: dict[str, Any], q: Any) -> Any:
        source, output = wires.input, wires.output
        lanes = source.tensor.lanes
        levels = ops.float64(ops.reshape(q, (-1, q.shape[-1] // lanes, lanes)) if q.shape[-1] != lanes else q)
        multiplier, steps = ops.multiplier(source.scales / output.scales, MULTIPLIER_BITS)
        falling = ops.round(multiplier * steps * float(self.slope)) / steps
        bent = self._bent(ops, levels * multiplier, levels * falling)
        fitted = ops.fit(bent, output, UNLIMITED, wires.settings)
        return ops.reshape(fitted, (-1, *output.tensor.shape))
