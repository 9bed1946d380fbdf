"""The surroundings of an operator of a ``.tflite`` file: tensors, constants, name, and rounding of its result."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.layers.activation import Clamp
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.quantizer import IntegerRule, Quantizer, Rule
from dnn2fpga.read.builder import GraphBuilder, SymbolicTensor
from dnn2fpga.read.flatbuffer import DamagedFile, Table
from dnn2fpga.read.limits import LARGEST_EXTENT
from dnn2fpga.read.tflite_rules import Arithmetic, Grid, Step
from dnn2fpga.read.tflite_schema import Activation, Kind, TfliteModel, TfliteOperator, TfliteTensor
from dnn2fpga.tensors.basics import Shape, Unsupported
from dnn2fpga.tensors.padding import PaddingRule

CONVERT = (
    "convert it with full integer quantization (a representative_dataset, and target_spec.supported_ops = "
    "[tf.lite.OpsSet.TFLITE_BUILTINS_INT8])"
)
LIMITS = {Kind.INT8: (-128, 127), Kind.UINT8: (0, 255)}  # of codes


def encoding_of(tensor: TfliteTensor) -> Encoding:
    """The meaning of the codes of a tensor; all of its type occur."""
    grid = grid_of(tensor)
    return Encoding.of(grid.scale, *LIMITS[tensor.kind], grid.zero)  # type: ignore[index]


def grid_of(tensor: TfliteTensor) -> Grid:
    """The scale and the zero point of a tensor.

    :raises Unsupported: when it does not hold codes of 8 bits, or channels have scales of their own.
    """
    if tensor.kind not in LIMITS or tensor.quantization is None:
        kind = "numbers of an unknown type" if tensor.kind is None else tensor.kind.name.lower()
        raise Unsupported(f"{tensor.label} holds {kind}, not quantized int8; {CONVERT}")
    if not tensor.quantization.is_uniform:
        raise Unsupported(f"{tensor.label} has a scale for each channel, which only weights may have")
    zero, (low, high) = int(tensor.quantization.zero_point[0]), LIMITS[tensor.kind]
    if not low <= zero <= high:
        raise Unsupported(f"{tensor.label} has the zero point {zero}, outside of {low} to {high}")
    return Grid(np.float32(tensor.quantization.scale[0]), zero)


@dataclass(frozen=True, eq=False)
class Call:
    """An operator that is being read.

    :param tensors: what has been built so far, by the index of the tensor.
    """

    operator: TfliteOperator
    model: TfliteModel
    builder: GraphBuilder
    arithmetic: Arithmetic
    tensors: Mapping[int, SymbolicTensor]

    @property
    def name(self) -> str:
        """The name of the node of the result."""
        return f"t{self.output.index}_{self.operator.name.lower()}"

    @property
    def options(self) -> Table:
        if self.operator.options is None:
            raise Unsupported("has no options; convert the model again")
        return self.operator.options

    # Tensors

    @property
    def output(self) -> TfliteTensor:
        return self.model.tensors[self.operator.outputs[0]]

    def tensor(self, place: int) -> TfliteTensor:
        """The input at a place.

        :raises DamagedFile: when there is none.
        """
        if place >= len(self.operator.inputs) or self.operator.inputs[place] < 0:
            raise DamagedFile(f"has no input {place}")
        return self.model.tensors[self.operator.inputs[place]]

    def has(self, place: int) -> bool:
        """Whether there is an input at a place."""
        return place < len(self.operator.inputs) and self.operator.inputs[place] >= 0

    def is_constant(self, place: int) -> bool:
        """Whether the input at a place is in the file."""
        return self.tensor(place).content is not None

    def source(self, place: int = 0) -> SymbolicTensor:
        """The input at a place, which is computed.

        :raises Unsupported: when it is a constant.
        """
        tensor = self.tensor(place)
        if tensor.index not in self.tensors:
            raise Unsupported(f"reads {tensor.label}, which no operator before it computes")
        return self.tensors[tensor.index]

    def image(self, place: int = 0) -> SymbolicTensor:
        """The input at a place, which is an image."""
        source = self.source(place)
        if len(source.shape) != 3:
            raise Unsupported(f"needs an image (rows, columns, channels), not {list(source.shape)}")
        return source

    def numbers(self, place: int, *kinds: Kind) -> np.ndarray:
        """The constant at a place, of one of these types."""
        tensor = self.tensor(place)
        if tensor.kind not in kinds:
            found = "numbers of an unknown type" if tensor.kind is None else tensor.kind.name.lower()
            wanted = " or ".join(kind.name.lower() for kind in kinds)
            raise Unsupported(f"{tensor.label} holds {found}, not {wanted}; {CONVERT}")
        return tensor.numbers

    def grid(self, place: int = 0) -> Grid:
        """Scale and zero point of an input of int8."""
        return _of_int8(self.tensor(place))

    @cached_property
    def output_grid(self) -> Grid:
        """Scale and zero point of the result."""
        return _of_int8(self.output)

    @property
    def output_shape(self) -> Shape:
        """The shape that the file gives for the result, without the batch."""
        return without_batch(self.output)

    def require_one_grid(self, *places: int) -> Grid:
        """The scale and the zero point that inputs and the result share.

        :raises Unsupported: when they do not.
        """
        if any(self.grid(place) != self.output_grid for place in places):
            raise Unsupported("its inputs and its result must have one scale and zero point; convert the model again")
        return self.output_grid

    # Options

    def extent(self, field_number: int, default: int = 1) -> int:
        """A stride, or the extent of a window."""
        value = int(self.options.number(field_number, "i", default))
        if not 1 <= value <= LARGEST_EXTENT:
            raise Unsupported(f"has a window or a stride of {value}")
        return value

    def padding(self, field_number: int) -> PaddingRule:
        value = self.options.number(field_number, "b")
        if value not in (0, 1):
            raise Unsupported(f"has padding {value}, which is neither SAME nor VALID")
        return "valid" if value else "same"

    def activation(self, field_number: int) -> Activation:
        """The fused activation."""
        value = self.options.number(field_number, "b")
        found = Activation(value) if value in set(Activation) else None
        if found is None or found.limits is None:
            shown = f"number {value}" if found is None else found.name
            raise Unsupported(f"has the fused activation {shown}; supported: RELU, RELU6, RELU_N1_TO_1")
        return found

    # Building

    def add(self, layer: Layer, *inputs: SymbolicTensor) -> SymbolicTensor:
        return self.builder.add(layer, *inputs)

    def inner(self, what: str) -> str:
        """The name of a node before the result's."""
        return f"{self.name}_{what}"

    def rounded(
        self, sums: SymbolicTensor, unit: Fraction | np.ndarray, step: Step, activation: Activation = Activation.NONE
    ) -> SymbolicTensor:
        """Clamp sums, and make them codes of the result.

        :param unit: exact; what an accumulator of 1 means, or one for each channel.
        :param step: from accumulators to codes.
        """
        low, high = self.code_limits(activation)
        units = np.atleast_1d(np.asarray(unit, object))
        rule = IntegerRule(units, lambda a: np.clip(step(a), low, high))
        least, most = self.real_limits(activation)
        # Limits on the accumulators' grids, beyond those of the codes: a limit between two accumulators is none.
        if math.isfinite(least):
            least = float(min(math.floor(Fraction(least) / one) * one for one in units))
        if math.isfinite(most):
            most = float(max(math.ceil(Fraction(most) / one) * one for one in units))
        return self.quantized(self.clamped(sums, (least, most)), rule, activation)

    def quantized(self, sums: SymbolicTensor, rule: Rule, activation: Activation = Activation.NONE) -> SymbolicTensor:
        """Make the codes of the result of sums."""
        return self.add(Quantizer(self.name, self.encoding(activation), rule), sums)

    def encoding(self, activation: Activation = Activation.NONE) -> Encoding:
        """The meaning of the codes of the result, and which of them occur."""
        return Encoding.of(self.output_grid.scale, *self.code_limits(activation), self.output_grid.zero)

    def clamped(self, sums: SymbolicTensor, limits: tuple[float, float]) -> SymbolicTensor:
        """Clamp real numbers, where there are limits."""
        if not any(map(math.isfinite, limits)):
            return sums
        return self.add(Clamp(self.inner("activation"), *limits), sums)

    def real_limits(self, activation: Activation) -> tuple[float, float]:
        """The least and the largest number that an activation leaves: those of the codes."""
        grid = self.output_grid
        low, high = (
            limit if math.isinf(limit) else (code - grid.zero) * float(grid.scale)
            for limit, code in zip(activation.limits, self.code_limits(activation), strict=True)  # type: ignore[arg-type]
        )
        return low, high

    def code_limits(self, activation: Activation) -> tuple[int, int]:
        """The least and the largest code that an activation leaves."""
        low, high = LIMITS[Kind.INT8]
        least, most = (
            limit if math.isinf(limit) else self.output_grid.zero + int(self.arithmetic.rounded(_over(limit, self)))
            for limit in activation.limits  # type: ignore[union-attr]
        )
        return int(max(low, least)), int(min(high, most))


def _over(limit: float, call: Call) -> np.ndarray:
    return np.asarray(np.float32(limit) / call.output_grid.scale)


def _of_int8(tensor: TfliteTensor) -> Grid:
    if tensor.kind is Kind.UINT8:
        raise Unsupported(f"{tensor.label} holds uint8, which only inputs and outputs may; {CONVERT}")
    return grid_of(tensor)


def without_batch(tensor: TfliteTensor) -> Shape:
    """The shape of a tensor without the batch.

    :raises Unsupported: when there is none, or it is not 1.
    """
    if not tensor.shape or tensor.shape[0] not in (1, -1):
        raise Unsupported(f"{tensor.label} has shape {list(tensor.shape)}; the first extent must be a batch of 1")
    return tensor.shape[1:]


Reader = Callable[[Call], SymbolicTensor]
