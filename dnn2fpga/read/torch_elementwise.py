"""Operators of PyTorch programs that compute number by number."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from dnn2fpga.layers.activation import Table
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.extremum import Extremum
from dnn2fpga.layers.product import Product
from dnn2fpga.layers.weighted_sum import WeightedSum
from dnn2fpga.read.channels_first import Constant, Stream, Value
from dnn2fpga.read.channels_first_elementwise import affine, clamped, joined, product, slope, softmax
from dnn2fpga.read.torch_call import Call, Reader
from dnn2fpga.tensors.basics import Unsupported

# Of two tensors, or of a tensor and a constant


def added(sign: int) -> Reader:
    """add and sub: ``self + sign * alpha * other``."""

    def reader(call: Call) -> Value:
        one, other, factor = call.value("self"), call.value("other"), sign * call.finite("alpha", 1.0)
        return _sum(call, one, other, 1.0, factor)

    return reader


def reversed_difference(call: Call) -> Value:
    """rsub: ``other - alpha * self``."""
    return _sum(call, call.value("self"), call.value("other"), -call.finite("alpha", 1.0), 1.0)


def _sum(call: Call, one: Value, other: Value, first: float, second: float) -> Value:
    if isinstance(one, Stream) and isinstance(other, Stream):
        return joined(call, WeightedSum(call.name, (first, second)), one, other)
    if isinstance(one, Stream) and isinstance(other, Constant):
        return affine(call, one, np.asarray(first), other.array * second, call.name)
    if isinstance(one, Constant) and isinstance(other, Stream):
        return affine(call, other, np.asarray(second), one.array * first, call.name)
    raise Unsupported("computes with constants alone; do that before the export")


def multiplied(call: Call) -> Value:
    """mul: of two tensors, of which one may be a gate, or with a constant."""
    one, other = call.value("self"), call.value("other")
    if isinstance(one, Constant):
        one, other = other, one
    if isinstance(one, Constant):
        raise Unsupported("computes with constants alone; do that before the export")
    if isinstance(other, Constant):
        return affine(call, one, other.array, np.asarray(0), call.name)
    return product(call, one, other, call.name)


def divided(call: Call) -> Value:
    """div by a constant."""
    divisor = call.constant("other").array.astype(np.float64)
    if call.has("rounding_mode") or not divisor.all():
        raise Unsupported("divides by 0, or rounds the quotient")
    return affine(call, call.stream(), 1 / divisor, np.asarray(0), call.name)


def extremum(maximum: bool) -> Reader:
    """maximum and minimum of two tensors."""
    return lambda call: joined(call, Extremum(call.name, maximum), call.stream(), call.stream("other"))


# Of one tensor


def bounded(low: float, high: float) -> Reader:
    """A clamp.

    :param low: where the node does not say so itself.
    :param high: the same.
    """

    def reader(call: Call) -> Value:
        least = call.number("min_val", call.number("min", low))
        return clamped(call, call.stream(), least, call.number("max_val", call.number("max", high)), call.name)

    return reader


def activation(layer: Callable[[Call], Layer]) -> Reader:
    """An operator of one tensor that is one layer."""
    return lambda call: call.after(call.stream(), layer(call))


def parametric(call: Call) -> Layer:
    """prelu with one slope."""
    slopes = call.constant("weight").array
    if slopes.size != 1:
        raise Unsupported(f"has {slopes.size} slopes; only one for all channels is supported")
    return slope(float(slopes.reshape(())), call.name)


def hard_sigmoid(call: Call, name: str) -> Stream:
    """``min(max(x / 6 + 1 / 2, 0), 1)``."""
    line = affine(call, call.stream(), np.asarray(1 / 6), np.asarray(0.5), f"{name}_line")
    return clamped(call, line, 0.0, 1.0, name)


def gated(gate: Callable[[Call, str], Stream]) -> Reader:
    """``x * gate(x)``: silu, hardswish."""

    def reader(call: Call) -> Value:
        source, opened = call.stream(), gate(call, call.inner("gate"))
        return source.of(call.add(Product(call.name), source.tensor, opened.tensor))

    return reader


def sigmoid(call: Call, name: str) -> Stream:
    return call.after(call.stream(), Table(name, "sigmoid"))


def normalized(logarithm: bool) -> Reader:
    """softmax and log_softmax over channels."""

    def reader(call: Call) -> Value:
        if call.has("dtype"):
            raise Unsupported("makes numbers of another type")
        return softmax(call, call.stream(), call.integer("dim", -1), call.name, logarithm)

    return reader


IN_PLACE: dict[str, Reader] = {
    "add": added(1),
    "clamp": bounded(-math.inf, math.inf),
    "clamp_max": bounded(-math.inf, math.inf),
    "clamp_min": bounded(-math.inf, math.inf),
    "div": divided,
    "hardsigmoid": lambda call: hard_sigmoid(call, call.name),
    "hardswish": gated(hard_sigmoid),
    "hardtanh": bounded(-1.0, 1.0),
    "leaky_relu": activation(lambda call: slope(call.number("negative_slope", 0.01), call.name)),
    "mul": multiplied,
    "neg": lambda call: affine(call, call.stream(), np.asarray(-1), np.asarray(0), call.name),
    "relu": bounded(0.0, math.inf),
    "relu6": bounded(0.0, 6.0),
    "sigmoid": lambda call: sigmoid(call, call.name),
    "silu": gated(sigmoid),
    "sub": added(-1),
    "tanh": activation(lambda call: Table(call.name, "tanh")),
}
OTHERS: dict[str, Reader] = {
    "aten._log_softmax.default": normalized(True),
    "aten._softmax.default": normalized(False),
    "aten.log_softmax.int": normalized(True),
    "aten.maximum.default": extremum(True),
    "aten.minimum.default": extremum(False),
    "aten.prelu.default": activation(parametric),
    "aten.rsub.Scalar": reversed_difference,
    "aten.rsub.Tensor": reversed_difference,
    "aten.softmax.int": normalized(False),
}
OVERLOADS = ("default", "Tensor", "Scalar")
WRITING: dict[str, Reader] = {  # their result is their first argument as well
    f"aten.{name}_.{overload}": reader for name, reader in IN_PLACE.items() for overload in OVERLOADS
}
READERS: dict[str, Reader] = {
    **{f"aten.{name}.{overload}": reader for name, reader in IN_PLACE.items() for overload in OVERLOADS},
    **WRITING,
    **OTHERS,
}
