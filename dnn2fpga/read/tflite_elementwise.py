"""Operators of ``.tflite`` files that compute number by number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.layers.activation import Table
from dnn2fpga.layers.affine import Affine
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.extremum import Extremum
from dnn2fpga.layers.pass_through import Softmax
from dnn2fpga.layers.product import Product
from dnn2fpga.layers.quantizer import IntegerRule, Quantizer, Rounded, Rule
from dnn2fpga.layers.two_slope import TwoSlope
from dnn2fpga.layers.weighted_sum import WeightedSum
from dnn2fpga.read.builder import SymbolicTensor
from dnn2fpga.read.tflite_builtins import Builtin
from dnn2fpga.read.tflite_layers import real
from dnn2fpga.read.tflite_operators import LIMITS, Call, Reader, grid_of
from dnn2fpga.read.tflite_rules import Addition, Function, Grid, Step
from dnn2fpga.read.tflite_schema import Activation, Kind
from dnn2fpga.tensors.basics import Unsupported

CODES = np.arange(LIMITS[Kind.INT8][0], LIMITS[Kind.INT8][1] + 1)


@dataclass(frozen=True, eq=False)
class Tabulated(Rule):
    """The code of each real number that can occur.

    :param borders: half-way between two of the numbers, ``[numbers - 1, channels]`` or ``[numbers - 1, 1]``, sorted.
    :param table: the code before the first border, after it, …: ``[numbers, channels]``; they never decrease.
    """

    borders: np.ndarray
    table: np.ndarray

    @classmethod
    def of(cls, numbers: np.ndarray, table: np.ndarray) -> Tabulated:
        """Return the rule for real numbers ``[numbers, channels]`` and their codes.

        :raises Unsupported: when a larger number has a smaller code.
        """
        order = np.argsort(numbers, axis=0, kind="stable")
        numbers, table = np.take_along_axis(numbers, order, 0), np.take_along_axis(table, order, 0)
        if (np.diff(table, axis=0) < 0).any():
            raise Unsupported("does not rise with its input; convert the model again")
        return cls((numbers[1:] + numbers[:-1]) / 2, table)

    def codes(self, x: np.ndarray, encoding: Encoding) -> np.ndarray:
        found = np.empty(x.shape, np.int64)
        for channel in range(x.shape[-1]):
            borders, table = (values[:, channel % values.shape[1]] for values in (self.borders, self.table))
            found[..., channel] = table[np.searchsorted(borders, x[..., channel], side="right")]
        return found


# Of two tensors


def sum_of_two(call: Call) -> SymbolicTensor:
    """ADD and SUB: each input on a finer grid, their sum, and that on the output's."""
    sign = -1 if call.operator.kind is Builtin.SUB else 1
    one, other = call.grid(0), call.grid(1)
    addition = call.arithmetic.addition(one, other, call.output_grid)
    activation = call.activation(0)
    if any(call.is_constant(place) for place in (0, 1)):
        return _sum_with_constant(call, addition, sign, activation)
    terms = [_term(call, place, addition.terms[place], addition.unit) for place in (0, 1)]
    total = call.add(WeightedSum(call.inner("sum"), (1.0, float(sign))), *terms)
    return call.rounded(total, addition.unit, addition.result, activation)


def _sum_with_constant(call: Call, addition: Addition, sign: int, activation: Activation) -> SymbolicTensor:
    """A constant beside a tensor: the result is a function of the tensor's codes."""
    constant = 0 if call.is_constant(0) else 1
    grid, source = call.grid(1 - constant), call.source(1 - constant)
    beside = _constant(call, constant, source)
    signs = (sign, 1) if constant == 0 else (1, sign)  # of the tensor, and of the constant
    slope = np.full(beside.shape, float(signs[0]))
    layer = Affine(call.inner("sum"), slope, signs[1] * beside * float(call.grid(constant).scale))
    codes = CODES[:, None] - grid.zero
    sums = signs[0] * addition.terms[1 - constant](codes) + signs[1] * addition.terms[constant](beside)
    limits = call.real_limits(activation)
    numbers = np.clip(layer.compute(codes * float(grid.scale)), *limits)
    rule = Tabulated.of(numbers, np.clip(addition.result(sums), *call.code_limits(activation)))
    return call.quantized(call.clamped(call.add(layer, source), limits), rule, activation)


def _term(call: Call, place: int, step: Step, unit: Fraction) -> SymbolicTensor:
    grid = call.grid(place)
    low, high = step(CODES[[0, -1]] - grid.zero)
    encoding = Encoding.of(unit, low, high)
    rule = IntegerRule(np.array([real(grid)], object), step)
    return call.add(Quantizer(call.inner(("left", "right")[place]), encoding, rule), call.source(place))


def _constant(call: Call, place: int, other: SymbolicTensor) -> np.ndarray:
    """Codes of a constant without its zero point: one per channel."""
    codes = call.numbers(place, Kind.INT8).astype(np.int64) - call.grid(place).zero
    channels = other.shape[-1]
    if codes.size not in (1, channels) or (codes.ndim and codes.shape[-1] != codes.size):
        raise Unsupported(
            f"has a constant of shape {list(codes.shape)} beside {list(other.shape)}; one number, or one per channel "
            "is supported"
        )
    return np.broadcast_to(codes.reshape(-1), (channels,))


def product(call: Call) -> SymbolicTensor:
    """MUL, of two tensors or with a constant."""
    one, other = call.grid(0), call.grid(1)
    step = call.arithmetic.product(one, other, call.output_grid)
    unit = real(one) * real(other)
    constant = next((place for place in (0, 1) if call.is_constant(place)), None)
    if constant is None:
        total = call.add(Product(call.inner("product")), call.source(0), call.source(1))
    else:
        source = call.source(1 - constant)
        scale = _constant(call, constant, source) * float(call.grid(constant).scale)
        total = call.add(Affine(call.inner("product"), scale, np.zeros_like(scale)), source)
    return call.rounded(total, unit, step, call.activation(0))


def extremum(call: Call) -> SymbolicTensor:
    """MAXIMUM and MINIMUM: of codes that mean the same."""
    call.require_one_grid(0, 1)
    return call.add(Extremum(call.name, call.operator.kind is Builtin.MAXIMUM), call.source(0), call.source(1))


# Of one tensor


def rectified(call: Call) -> SymbolicTensor:
    """RELU and RELU6 by themselves."""
    activation = Activation[call.operator.name]
    if activation is Activation.RELU6 and not call.arithmetic.relu6_rescales:
        call.require_one_grid(0)
    grid = call.grid()
    return call.rounded(call.source(), real(grid), call.arithmetic.rectified(grid, call.output_grid), activation)


def leaky(call: Call) -> SymbolicTensor:
    """LEAKY_RELU."""
    slope, grid = np.float32(call.options.number(0, "f")), call.grid()
    if not 0 < slope < math.inf:
        raise Unsupported(f"has the slope {slope}, which is not above 0")
    layer = TwoSlope(call.inner("slopes"), float(slope))
    return _tabulated(call, layer, call.arithmetic.leaky(grid, slope, call.output_grid))


def tabulated(call: Call) -> SymbolicTensor:
    """LOGISTIC and TANH."""
    function = Function.LOGISTIC if call.operator.kind is Builtin.LOGISTIC else Function.TANH
    expected = Grid(np.float32(1 / 256), -128) if function is Function.LOGISTIC else Grid(np.float32(1 / 128), 0)
    if call.output_grid != expected:
        raise Unsupported(f"must have a result of scale {expected.scale} and zero point {expected.zero}")
    layer = Table(call.inner("function"), function.value)
    return _tabulated(call, layer, call.arithmetic.table(function, call.grid(), call.output_grid))


def _tabulated(call: Call, layer: Layer, step: Step) -> SymbolicTensor:
    grid = call.grid()
    codes = CODES[:, None] - grid.zero
    numbers = layer.compute(codes * float(grid.scale))
    rule = Tabulated.of(numbers, np.clip(step(codes), *LIMITS[Kind.INT8]))
    return call.quantized(call.add(layer, call.source()), rule)


def softmax(call: Call) -> SymbolicTensor:
    """SOFTMAX: real numbers; in last place a pass leaves it out."""
    if not call.options.number(0, "f") > 0:
        raise Unsupported("has a beta that is not above 0")
    call.grid()
    return call.add(Softmax(call.name), call.source())


# From one grid to another


def quantize(call: Call) -> SymbolicTensor:
    """QUANTIZE: of real numbers that enter, of codes, or to uint8 that leave."""
    source, enters = call.tensor(0), call.tensor(0).index in call.model.inputs
    if source.kind is Kind.FLOAT32:
        return _entering(call)
    before, after = grid_of(source), grid_of(call.output)
    kinds = (source.kind, call.output.kind)
    if kinds == (Kind.INT8, Kind.INT8):
        return call.rounded(call.source(), real(before), call.arithmetic.rescaled(before, after))
    if after != Grid(before.scale, before.zero + UINT8_SHIFTS[kinds]):
        raise Unsupported("changes the scale between uint8 and int8, which is not supported; convert the model again")
    return _entering(call) if enters else call.source()


UINT8_SHIFTS: dict[tuple[Kind | None, Kind | None], int] = {
    (Kind.UINT8, Kind.INT8): -128,
    (Kind.INT8, Kind.UINT8): 128,
    (Kind.UINT8, Kind.UINT8): 0,
}


def _entering(call: Call) -> SymbolicTensor:
    """Let the host make codes of an input."""
    return call.quantized(call.source(), Rounded(call.arithmetic.input_rounding, binary32=True))


def dequantize(call: Call) -> SymbolicTensor:
    """DEQUANTIZE of an output: its codes leave."""
    grid_of(call.tensor(0))
    return call.source()


ELEMENTWISE: dict[Builtin, Reader] = {
    Builtin.ADD: sum_of_two,
    Builtin.DEQUANTIZE: dequantize,
    Builtin.LEAKY_RELU: leaky,
    Builtin.LOGISTIC: tabulated,
    Builtin.MAXIMUM: extremum,
    Builtin.MINIMUM: extremum,
    Builtin.MUL: product,
    Builtin.QUANTIZE: quantize,
    Builtin.RELU: rectified,
    Builtin.RELU6: rectified,
    Builtin.SOFTMAX: softmax,
    Builtin.SUB: sum_of_two,
    Builtin.TANH: tabulated,
}
