"""The last step of every computing layer: multiplier, shift, offset and clamp, as fields of the layer's
configuration.
"""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from dnn2fpga.graph import Unsupported
from dnn2fpga.layers.scaling import clamp_codes, multiplier_and_shift
from dnn2fpga.quantized_graph import Arithmetic, IntegerArray, QuantizedLayer, Tensor
from rtl_lib.arithmetic import Overflow
from rtl_lib.formats import Format
from rtl_lib.requantize import Requantize


class Requantized(QuantizedLayer):
    """A layer whose output lanes are ``clamp(round((accumulator * multiplier + offset) / 2**shift), low, high)``."""

    arithmetic: Arithmetic = Field(default_factory=Arithmetic)
    low: int
    high: int
    multiplier: IntegerArray
    shift: IntegerArray

    @model_validator(mode="after")
    def _clamp_is_possible(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low must not be above high, not {self.low} and {self.high}")
        whole = (self.output.format.minimum, self.output.format.maximum)
        if self.arithmetic.overflow is Overflow.WRAP and (self.low, self.high) != whole:
            raise ValueError(f"with overflow 'wrap', low and high must be {whole[0]} and {whole[1]}")
        return self

    def requantize(self, accumulator: Format, offset: np.ndarray | None = None) -> Requantize:
        """The operator behind an accumulator of this format; one lane for each entry of ``multiplier``."""
        return Requantize(
            input_format=accumulator,
            output_format=self.output.format,
            multiplier=self.multiplier,
            shift=self.shift,
            offset=np.zeros_like(self.multiplier) if offset is None else offset,
            low=self.low,
            high=self.high,
            rounding=self.arithmetic.rounding,
            overflow=self.arithmetic.overflow,
        )


def requantization(output: Tensor, ratio: np.ndarray, clamp: tuple[float, float], settings: Any) -> dict[str, Any]:
    """The fields of ``Requantized`` for accumulators of scale ``ratio * output.scale`` (one entry a lane)."""
    multiplier, shift = multiplier_and_shift(ratio)
    low, high = clamp_codes(output, *clamp)
    if settings.overflow is Overflow.WRAP and clamp != (-math.inf, math.inf):
        raise Unsupported("overflow 'wrap' cannot be joined with a clamp such as ReLU; let this layer saturate")
    return {
        "output": output,
        "arithmetic": Arithmetic(rounding=settings.rounding, overflow=settings.overflow),
        "low": low,
        "high": high,
        "multiplier": multiplier,
        "shift": shift,
    }
