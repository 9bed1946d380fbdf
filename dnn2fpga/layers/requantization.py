"""The last step of every computing layer: multiplier, shift, offset and clamp, as fields of the layer's
configuration.
"""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from dnn2fpga.exact.accumulator import Requantizer
from dnn2fpga.exact.requantizing import smallest
from dnn2fpga.layers.quantized import QuantizedLayer
from dnn2fpga.quantize.scaling import MULTIPLIER_BITS, clamp_codes, multiplier_and_shift, ratio_bits
from dnn2fpga.quantize.settings import LayerSettings, Scales
from dnn2fpga.tensors.basics import Shape, Unsupported
from dnn2fpga.tensors.tensor import Arithmetic, Integer, IntegerArray, OptionalIntegerArray, Tensor, one_or_each
from rtl_lib.core.arithmetic import Overflow, is_whole_range
from rtl_lib.core.lane_map import LaneMap
from rtl_lib.core.stream import Beat
from rtl_lib.elementwise.requantize import Requantize


class Fitted(QuantizedLayer):
    """A layer whose last step rounds into ``low`` … ``high`` (one pair for all lanes, or one per lane)."""

    arithmetic: Arithmetic = Field(default_factory=Arithmetic)
    low: Integer | tuple[Integer, ...]
    high: Integer | tuple[Integer, ...]

    @model_validator(mode="after")
    def _clamp_is_possible(self) -> Self:
        for name in ("low", "high"):
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != self.output.lanes:
                raise ValueError(f"{name} must be one integer, or one for each of the {self.output.lanes} lanes")
        if np.any(np.asarray(self.low) > self.high):
            raise ValueError(f"low must not be above high, not {self.low} and {self.high}")
        if self.arithmetic.overflow is Overflow.WRAP and not np.all(
            is_whole_range(np.asarray(self.low), np.asarray(self.high))
        ):
            raise ValueError(
                "with overflow 'wrap', low and high of a lane must be 0 and 2^n - 1, or -2^(n-1) and 2^(n-1) - 1, not "
                f"{self.low} and {self.high}"
            )
        return self


class Scaled(Fitted):
    """A layer that multiplies with ``multiplier / 2**shift`` before."""

    multiplier: IntegerArray
    shift: IntegerArray
    offset: IntegerArray

    @property
    def operator_fields(self) -> dict[str, Any]:
        """The fields of an operator that does so."""
        return {
            "output_format": self.output.format,
            "multiplier": self.multiplier,
            "shift": self.shift,
            "offset": self.offset,
            "low": np.asarray(self.low),
            "high": np.asarray(self.high),
            "rounding": self.arithmetic.rounding,
            "overflow": self.arithmetic.overflow,
        }


class Requantized(Scaled):
    """A layer whose output lanes are ``clamp(round((accumulator * multiplier + offset) / 2**shift), low, high)``.

    Accumulators below 0 may have a ``negative_multiplier`` and a ``negative_offset`` of their own. With ``sources``,
    lane ``k`` is made from accumulator ``sources[k]``; without, from its own.
    """

    negative_multiplier: OptionalIntegerArray = None
    negative_offset: OptionalIntegerArray = None
    sources: OptionalIntegerArray = None

    @model_validator(mode="after")
    def _sources_are_a_list(self) -> Self:
        if self.sources is not None and self.sources.ndim != 1:
            raise ValueError(f"sources must be a list of lanes, not of shape {self.sources.shape}")
        return self

    def output_shape(self, *inputs: Any) -> Shape:
        return self.of_sources(super().output_shape(*inputs))

    def of_sources(self, accumulators: Shape) -> Shape:
        """The shape of the output, of that of the accumulators (all channels of which are in one beat)."""
        return accumulators if self.sources is None else (*accumulators[:-1], len(self.sources))

    @property
    def operator_fields(self) -> dict[str, Any]:
        return {
            **super().operator_fields,
            "negative_multiplier": self.negative_multiplier,
            "negative_offset": self.negative_offset,
        }

    def requantize(self, accumulators: Beat) -> Requantize:
        """The operator after these accumulators; one lane for each entry of ``multiplier``."""
        lane_map = None if self.sources is None else LaneMap(accumulators.lanes, tuple(self.sources.tolist()))
        return Requantize(input_format=accumulators.format, lane_map=lane_map, **self.operator_fields)

    def requantize_input(self, input: Tensor) -> Requantize:
        """The operator, where the input itself is what it requantizes."""
        if self.sources is not None and input.lanes != input.shape[-1]:
            raise ValueError(f"sources need all {input.shape[-1]} channels in one beat, not in {input.lanes} lanes")
        return self.requantize(Beat(input.format, input.lanes))


def fitting(output: Tensor, clamp: tuple[float, float], settings: LayerSettings) -> dict[str, Any]:
    """Return the fields of ``Fitted`` for a clamp to real bounds."""
    if settings.overflow is Overflow.WRAP and clamp != (-math.inf, math.inf):
        raise Unsupported("overflow 'wrap' cannot be joined with a clamp such as ReLU; let this layer saturate")
    low, high = (one_or_each([int(code) for code in codes]) for codes in clamp_codes(output, *clamp))
    arithmetic = Arithmetic(rounding=settings.rounding, overflow=settings.overflow)
    return {"output": output, "arithmetic": arithmetic, "low": low, "high": high}


def requantized_fields(output: Tensor, last: Requantizer) -> dict[str, Any]:
    """The fields of ``Scaled`` for a requantizer whose integers are known."""
    fields = {
        "output": output,
        "arithmetic": Arithmetic(rounding=last.rounding, overflow=last.overflow),
        "low": one_or_each([int(code) for code in last.low]),
        "high": one_or_each([int(code) for code in last.high]),
        "multiplier": last.multiplier,
        "shift": last.shift,
        "offset": last.offset,
    }
    if last.negative is not None:
        fields |= {"negative_multiplier": last.negative[0], "negative_offset": last.negative[1]}
    if last.sources is not None:
        fields["sources"] = last.sources
    return fields


def requantization(
    output: Tensor,
    ratio: np.ndarray,
    clamp: tuple[float, float],
    settings: LayerSettings,
    accumulators: tuple[np.ndarray, np.ndarray] | None,
    zero: np.ndarray | int = 0,
    added: np.ndarray | None = None,
) -> dict[str, Any]:
    """Return the fields of ``Requantized`` for accumulators of scale ``ratio * output.scale`` (one entry per lane).

    With free scales the multiplier is the smallest with the codes of the ratio, of as many bits as ``ratio_bits`` says.

    :param accumulators: the least and the largest that can occur, ``[lanes]``; None: there is another line beside this
        one, and the multiplier just is near the ratio.
    :param zero: the accumulator that means 0.
    :param added: what is added before the rounding, ``[lanes]``, in steps of the output.
    """
    bits = MULTIPLIER_BITS if accumulators is None else ratio_bits(output, settings)
    multiplier, shift = multiplier_and_shift(ratio, bits)
    offset: np.ndarray | int = 0
    if added is not None:
        # A shift of its own would round it to the output's steps: it has eight more bits at least.
        extra = np.maximum(8 - shift, 0)
        multiplier, shift = multiplier << extra, shift + extra
        offset = np.floor(np.ldexp(added, shift) + 0.5).astype(np.int64)
    fields = fitting(output, clamp, settings)
    own = Requantizer(
        multiplier=multiplier,
        shift=shift,
        offset=offset + (output.zero_points << shift) - zero * multiplier,
        low=np.broadcast_to(fields["low"], multiplier.shape),
        high=np.broadcast_to(fields["high"], multiplier.shape),
        rounding=settings.rounding,
        overflow=settings.overflow,
    )
    if settings.scales is Scales.FREE and accumulators is not None:
        own = smallest(own, *accumulators)
    return requantized_fields(output, own)
