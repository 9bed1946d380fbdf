"""The part that the layers share that read several tensors and compute with them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from dnn2fpga.layers.base import BuildableLayer
from dnn2fpga.layers.linear import UNLIMITED
from dnn2fpga.layers.requantization import Scaled, fitting
from dnn2fpga.quantize.operations import Operations, Wire, Wires
from dnn2fpga.quantize.scaling import (
    Observed,
    QuantizationChoice,
    activation_tensor,
    multipliers_and_shift,
)
from dnn2fpga.quantize.settings import LayerSettings
from dnn2fpga.tensors.basics import Shape, Unsupported
from dnn2fpga.tensors.tensor import Tensor


class Aligned(Scaled):
    """Inputs of different scales, brought to one by ``multiplier[input, lane] / 2**shift[lane]``. What is added up or
    compared is rounded once.
    """

    reads_several: ClassVar[bool] = True

    def aligning_fields(self, inputs: tuple[Tensor, ...]) -> dict[str, Any]:
        """The fields of the operator.

        :raises ValueError: when the inputs do not match.
        """
        require_one_shape(f"'{self.kind}'", tuple(one.shape for one in inputs))
        if any(one.lanes != self.output.lanes for one in inputs):
            raise ValueError(f"all inputs must have the {self.output.lanes} lanes of the output")
        return {**self.operator_fields, "input_formats": tuple(one.format for one in inputs)}


def alignment(
    output: Tensor, ratios: np.ndarray, clamp: tuple[float, float], settings: LayerSettings
) -> dict[str, Any]:
    """The fields of ``Aligned``, but for the offset.

    :param ratios: ``[inputs, lanes]``, of what is added up or compared to the output's scale.
    """
    multiplier, shift = multipliers_and_shift(ratios)
    return {**fitting(output, clamp, settings), "multiplier": multiplier, "shift": shift}


@dataclass(frozen=True, eq=False)
class Join(BuildableLayer):
    """A layer that computes with the numbers of several tensors that lie in the same place, and then clamps."""

    clamp: tuple[float, float] = field(default=UNLIMITED, kw_only=True)

    def absorb_clamp(self, low: float, high: float) -> Self:
        return replace(self, clamp=(max(low, self.clamp[0]), min(high, self.clamp[1])))

    def input_lanes(self, *inputs: Tensor) -> tuple[int, ...]:
        """The least that all of them divide: scales of lanes stay scales of lanes."""
        return (math.lcm(*(one.lanes for one in inputs)),) * len(inputs)

    def choose(self, seen: Observed, settings: LayerSettings, *inputs: Tensor) -> QuantizationChoice:
        shape = self.output_shape(*(one.shape for one in inputs))
        return QuantizationChoice(activation_tensor(shape, inputs[0].lanes, seen, settings))


def in_pixels(ops: Operations, wires: Wires) -> tuple[list[Wire], Wire]:
    """The wires of a layer that reads several tensors, as if whole pixels (or vectors) travelled in every beat."""
    inputs = [wire.in_lanes(ops, wire.tensor.shape[-1]) for wire in wires.inputs]
    return inputs, wires.output.in_lanes(ops, wires.output.tensor.shape[-1])


def require_one_shape(what: str, shapes: tuple[Shape, ...]) -> Shape:
    """The shape that all have.

    :param what: is computed, for the message.
    :raises Unsupported: when they differ, or there is none.
    """
    if len(set(shapes)) != 1:
        shown = ", ".join(str(list(shape)) for shape in shapes) or "nothing"
        raise Unsupported(f"{what} needs inputs of one shape, not {shown}")
    return shapes[0]
