"""Operators of ``.onnx`` files that compute number by number."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from dnn2fpga.layers.activation import Clamp, Table
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.extremum import Extremum
from dnn2fpga.layers.weighted_sum import WeightedSum
from dnn2fpga.read.channels_first import Grid, Stream, Value
from dnn2fpga.read.channels_first_elementwise import affine, clamped, joined, product, slope, softmax
from dnn2fpga.read.channels_first_elementwise import normalization as batch_normalization
from dnn2fpga.read.onnx_call import Call, Reader
from dnn2fpga.read.onnx_schema import Domain
from dnn2fpga.tensors.basics import Unsupported

LEAKINESS = float(np.float32(0.01))  # the slope of a LeakyRelu that states none

# With constants


def _added(call: Call, sign: int) -> Value:
    """Add and Sub: of two tensors, or with a constant."""
    if not call.is_constant(0) and not call.is_constant(1):
        return joined(call, WeightedSum(call.name, (1.0, float(sign))), call.stream(0), call.stream(1))
    place = 0 if call.is_constant(0) else 1
    source, constant = call.stream(1 - place), call.array(place)
    rise = np.array(1 if place else sign)
    return affine(call, source, rise, constant * sign if place else constant, call.name)


def add(call: Call) -> Value:
    return _added(call, 1)


def subtract(call: Call) -> Value:
    return _added(call, -1)


def multiply(call: Call) -> Value:
    """Mul: of two tensors, of which one may be a gate, or with a constant."""
    if not call.is_constant(0) and not call.is_constant(1):
        return product(call, call.stream(0), call.stream(1), call.name)
    place = 0 if call.is_constant(0) else 1
    return affine(call, call.stream(1 - place), call.array(place), np.array(0), call.name)


def divide(call: Call) -> Value:
    """Div by a constant."""
    divisor = call.array(1).astype(np.float64)
    if not divisor.all():
        raise Unsupported("divides by 0")
    return affine(call, call.stream(), 1 / divisor, np.array(0), call.name)


def normalization(call: Call) -> Value:
    """BatchNormalization."""
    if call.attribute("training_mode", 0) or len(call.node.outputs) > 1:
        raise Unsupported("is in training mode; export the model for inference")
    arrays = tuple(call.array(place) for place in range(1, 5))
    return batch_normalization(call, call.stream(), arrays, call.attribute("epsilon", 1e-5), call.name)


# Of several tensors


def total(call: Call) -> Value:
    """Sum and Mean of several tensors."""
    weight = 1.0 if call.node.kind == "Sum" else 1.0 / call.count
    if call.count == 1:
        return call.stream()
    return joined(call, WeightedSum(call.name, (weight,) * call.count), *_streams(call))


def _streams(call: Call) -> list[Stream]:
    return [call.stream(place) for place in range(call.count)]


def extremum(call: Call) -> Value:
    """Max and Min: of tensors, or of one and a constant."""
    maximum = call.node.kind == "Max"
    if call.count == 1:
        return call.stream()
    if not any(call.is_constant(place) for place in range(call.count)):
        return joined(call, Extremum(call.name, maximum), *_streams(call))
    if call.count != 2:
        raise Unsupported("compares more than one tensor with a constant")
    place = 0 if call.is_constant(0) else 1
    bound = float(call.scalar(place))
    limits = (bound, math.inf) if maximum else (-math.inf, bound)
    return call.after(call.stream(1 - place), Clamp(call.name, *limits))


# Activations


def activation(layer: Callable[[Call], Layer]) -> Reader:
    """An operator of one tensor that is one layer."""
    return lambda call: call.after(call.stream(), layer(call))


def clip(call: Call) -> Value:
    """Clip, of numbers or of codes (fewer bits than their type has); its bounds are attributes in older files."""
    value = call.value(0)
    if isinstance(value, Stream) and value.code_grid:
        return _of_fewer_codes(call, value, value.code_grid)
    low, high = (
        float(call.scalar(place)) if call.has(place) else call.attribute(name, end)
        for place, name, end in ((1, "min", -math.inf), (2, "max", math.inf))
    )
    return clamped(call, call.stream(), low, high, call.name)


def _of_fewer_codes(call: Call, source: Stream, given: Grid) -> Stream:
    """Codes between two codes, as Brevitas writes quantizers of fewer than 8 bits (QCDQ)."""
    grid = narrowed(call, given)
    if grid == given:
        return source
    low, high = (float((end - grid.zero) * grid.scale) for end in (grid.low, grid.high))
    return clamped(call, source, low, high, call.name).on(grid, is_codes=True)


def narrowed(call: Call, grid: Grid) -> Grid:
    """The codes of a grid that a Clip leaves."""
    low, high = (int(call.scalar(place)) if call.has(place) else end for place, end in ((1, grid.low), (2, grid.high)))
    return replace(grid, low=max(low, grid.low), high=min(high, grid.high))


def leaky(call: Call) -> Layer:
    return slope(call.attribute("alpha", LEAKINESS), call.name)


def parametric(call: Call) -> Layer:
    """PRelu with one slope."""
    return slope(float(call.scalar(1)), call.name)


def hard_sigmoid(call: Call) -> Value:
    """HardSigmoid: ``clip(alpha * x + beta, 0, 1)``."""
    rise, start = (np.array(call.attribute(name, default)) for name, default in (("alpha", 0.2), ("beta", 0.5)))
    return call.after(affine(call, call.stream(), rise, start, call.inner("line")), Clamp(call.name, 0.0, 1.0))


def hard_swish(call: Call) -> Value:
    """HardSwish: ``x * clip(x / 6 + 1 / 2, 0, 1)``."""
    source = call.stream()
    line = affine(call, source, np.array(1 / 6), np.array(0.5), call.inner("line"))
    gate = clamped(call, line, 0.0, 1.0, call.inner("gate"))
    return product(call, source, gate, call.name)


def normalized(call: Call) -> Value:
    """Softmax over channels."""
    axis = call.attribute("axis", -1 if call.model.opset >= 13 else 1)
    return softmax(call, call.stream(), axis, call.name)


def unchanged(call: Call) -> Value:
    """Identity, Dropout."""
    return call.value(0)


def cast(call: Call) -> Value:
    """Cast between types of real numbers."""
    if call.attribute("to", 1) not in (1, 11):
        raise Unsupported("makes other numbers than float32 of a tensor that is computed")
    return call.stream()


READERS: dict[tuple[Domain, str], Reader] = {
    (Domain.ONNX, kind): reader
    for kind, reader in {
        "Add": add,
        "BatchNormalization": normalization,
        "Cast": cast,
        "Clip": clip,
        "Div": divide,
        "Dropout": unchanged,
        "HardSigmoid": hard_sigmoid,
        "HardSwish": hard_swish,
        "Identity": unchanged,
        "LeakyRelu": activation(leaky),
        "Max": extremum,
        "Mean": total,
        "Min": extremum,
        "Mul": multiply,
        "Neg": lambda call: affine(call, call.stream(), np.array(-1), np.array(0), call.name),
        "PRelu": activation(parametric),
        "Relu": activation(lambda call: Clamp(call.name, 0.0, math.inf)),
        "Sigmoid": activation(lambda call: Table(call.name, "sigmoid")),
        "Softmax": normalized,
        "Sub": subtract,
        "Sum": total,
        "Tanh": activation(lambda call: Table(call.name, "tanh")),
    }.items()
}
