"""Operators of ``.onnx`` files that compute number by number."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from dnn2fpga.layers.activation import Clamp, Table
from dnn2fpga.layers.affine import Affine
from dnn2fpga.layers.base import Layer, Normalization
from dnn2fpga.layers.extremum import Extremum
from dnn2fpga.layers.joins import Join
from dnn2fpga.layers.pass_through import Softmax
from dnn2fpga.layers.product import Product
from dnn2fpga.layers.two_slope import TwoSlope
from dnn2fpga.layers.weighted_sum import WeightedSum
from dnn2fpga.read.onnx_call import Call, Reader
from dnn2fpga.read.onnx_schema import Domain
from dnn2fpga.read.onnx_values import Stream, Value
from dnn2fpga.tensors.basics import Unsupported

LEAKINESS = float(np.float32(0.01))  # the slope of a LeakyRelu that states none

# With constants


def affine(call: Call, source: Stream, scale: np.ndarray, offset: np.ndarray, name: str) -> Stream:
    """Add ``x * scale + offset``, constants that broadcast to ONNX' shape."""
    source = by_channels(call, source, scale, offset)
    channels = source.tensor.shape[-1:]
    slope, start = (np.broadcast_to(source.per_channel(v.astype(np.float32)), channels) for v in (scale, offset))
    if not (np.isfinite(slope) & np.isfinite(start)).all():
        raise Unsupported("has a constant that is not finite")
    return call.after(source, Affine(name, slope, start))


def by_channels(call: Call, source: Stream, *constants: np.ndarray) -> Stream:
    """The same stream, as a vector where it is one that has constants for every number."""
    if len(source.shape) > 1 or len(source.tensor.shape) == 1 or all(values.size == 1 for values in constants):
        return source
    return replace(source, tensor=call.vector(source))


def _added(call: Call, sign: int) -> Value:
    """Add and Sub: of two tensors, or with a constant."""
    if not call.is_constant(0) and not call.is_constant(1):
        return joined(call, WeightedSum(call.name, (1.0, float(sign))), 0, 1)
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


def product(call: Call, one: Stream, other: Stream, name: str) -> Stream:
    """Add the product of two tensors; the smaller one may be one number per channel of an image."""
    if one.shape == other.shape:
        one, other = alike(call, one, other)
    elif not (one.is_image and other.is_image):
        raise Unsupported(f"multiplies {[1, *one.shape]} and {[1, *other.shape]}")
    larger = max(one, other, key=lambda stream: math.prod(stream.shape))
    return larger.of(call.add(Product(name), one.tensor, other.tensor))


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
    source = call.stream()
    channels = source.shape[0]
    arrays = [call.array(place) for place in range(1, 5)]
    if any(values.shape != (channels,) for values in arrays) or not (source.is_image or len(source.shape) == 1):
        raise Unsupported(
            f"has constants of shapes {[list(values.shape) for values in arrays]} for {channels} channels"
        )
    source = by_channels(call, source, arrays[0])
    shape = (channels, *(1,) * (len(source.shape) - 1))
    gamma, beta, mean, variance = (source.per_channel(v.astype(np.float32).reshape(shape)) for v in arrays)
    epsilon = np.float32(call.attribute("epsilon", 1e-5))
    deviation = np.sqrt(variance + epsilon)
    if not (deviation > 0).all():
        raise Unsupported("its variances must be positive; train the model again")
    scale = gamma / deviation
    offset = beta - mean * scale
    if not (np.isfinite(scale) & np.isfinite(offset)).all():
        raise Unsupported("has numbers that are not finite")
    statistics = Normalization(
        gamma=gamma.astype(np.float64),
        beta=beta.astype(np.float64),
        mean=mean.astype(np.float64),
        variance=variance.astype(np.float64),
        epsilon=np.full(gamma.shape, epsilon, np.float64),
    )
    return call.after(source, Affine(call.name, scale, offset, normalization=statistics))


# Of several tensors


def alike(call: Call, *streams: Stream) -> tuple[Stream, ...]:
    """Streams of one shape, their numbers in the same places: as vectors where only that brings them together.

    :raises Unsupported: when there is no such way.
    """
    first = streams[0]
    if any(one.shape != first.shape for one in streams):
        shown = " and ".join(str([1, *one.shape]) for one in streams)
        raise Unsupported(f"reads {shown}, which are not of one shape")
    if any(one.tensor.shape != first.tensor.shape for one in streams):
        streams = tuple(replace(one, tensor=call.vector(one)) for one in streams)
    usual = all(one.moved is None for one in streams)
    if not usual and any((one.places != streams[0].places).any() for one in streams):
        raise Unsupported("reads tensors whose numbers arrive in different orders (one flattened channels last)")
    return streams


def joined(call: Call, layer: Join, *places: int) -> Stream:
    """Add a layer that reads several tensors of one shape."""
    first, *others = alike(call, *(call.stream(place) for place in places))
    return first.of(call.add(layer, first.tensor, *(other.tensor for other in others)))


def total(call: Call) -> Value:
    """Sum and Mean of several tensors."""
    weight = 1.0 if call.node.kind == "Sum" else 1.0 / call.count
    if call.count == 1:
        return call.stream()
    return joined(call, WeightedSum(call.name, (weight,) * call.count), *range(call.count))


def extremum(call: Call) -> Value:
    """Max and Min: of tensors, or of one and a constant."""
    maximum = call.node.kind == "Max"
    if call.count == 1:
        return call.stream()
    if not any(call.is_constant(place) for place in range(call.count)):
        return joined(call, Extremum(call.name, maximum), *range(call.count))
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
    """Clip; its bounds are inputs, or attributes in older files."""
    low, high = (
        float(call.scalar(place)) if call.has(place) else call.attribute(name, end)
        for place, name, end in ((1, "min", -math.inf), (2, "max", math.inf))
    )
    if not low <= high:
        raise Unsupported(f"has the bounds {low} and {high}")
    return call.after(call.stream(), Clamp(call.name, low, high))


def slope(value: float, name: str) -> Layer:
    """A leaky ReLU; with 0 a ReLU.

    :raises Unsupported: when it falls below 0.
    """
    if not 0 <= value < math.inf:
        raise Unsupported(f"has the slope {value}, which is below 0")
    return TwoSlope(name, value) if value else Clamp(name, 0.0, math.inf)


def leaky(call: Call) -> Layer:
    return slope(call.attribute("alpha", LEAKINESS), call.name)


def parametric(call: Call) -> Layer:
    """PRelu with one slope."""
    return slope(float(call.scalar(1)), call.name)


def hard_sigmoid(call: Call) -> Value:
    """HardSigmoid: ``clip(alpha * x + beta, 0, 1)``."""
    rise, start = (np.array(call.attribute(name, default)) for name, default in (("alpha", 0.2), ("beta", 0.5)))
    return call.after(affine(call, call.stream(), rise, start, call.inner("line")), Clamp(call.name, 0.0, 1.0))


def softmax(call: Call) -> Value:
    """Softmax over channels; in last place a pass leaves it out."""
    source = call.stream()
    rank = len(source.shape) + 1
    axis = call.attribute("axis", -1 if call.model.opset >= 13 else 1) % rank
    if axis != 1 or source.moved is not None:
        raise Unsupported(f"is over axis {axis} of {[1, *source.shape]}; only the channels (axis 1) are supported")
    tensor = call.vector(source) if len(source.shape) == 1 else source.tensor
    return Stream.usual(call.add(Softmax(call.name), tensor))


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
        "Softmax": softmax,
        "Sub": subtract,
        "Sum": total,
        "Tanh": activation(lambda call: Table(call.name, "tanh")),
    }.items()
}
