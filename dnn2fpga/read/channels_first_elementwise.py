"""Number by number: functions of sources whose tensors are channels first, of one tensor or of several."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from dnn2fpga.layers.activation import Clamp
from dnn2fpga.layers.affine import Affine
from dnn2fpga.layers.base import Layer, Normalization
from dnn2fpga.layers.joins import Join
from dnn2fpga.layers.pass_through import Softmax
from dnn2fpga.layers.product import Product
from dnn2fpga.layers.two_slope import TwoSlope
from dnn2fpga.read.channels_first import Stream
from dnn2fpga.read.channels_first_operator import Operator
from dnn2fpga.tensors.basics import Unsupported

# With constants


def affine(operator: Operator, source: Stream, scale: np.ndarray, offset: np.ndarray, name: str) -> Stream:
    """Add ``x * scale + offset``, constants that broadcast to the source's shape."""
    source = by_channels(operator, source, scale, offset)
    channels = source.tensor.shape[-1:]
    slope, start = (np.broadcast_to(source.per_channel(v.astype(np.float32)), channels) for v in (scale, offset))
    if not (np.isfinite(slope) & np.isfinite(start)).all():
        raise Unsupported("has a constant that is not finite")
    return operator.after(source, Affine(name, slope, start))


def by_channels(operator: Operator, source: Stream, *constants: np.ndarray) -> Stream:
    """The same stream, as a vector where it is one that has constants for every number."""
    if len(source.shape) > 1 or len(source.tensor.shape) == 1 or all(values.size == 1 for values in constants):
        return source
    return replace(source, tensor=operator.vector(source))


def normalization(
    operator: Operator, source: Stream, arrays: tuple[np.ndarray, ...], epsilon: float, name: str
) -> Stream:
    """Add a batch normalization, computed in float32.

    :param arrays: gamma, beta, means, variances: one number per channel each.
    """
    channels = source.shape[0]
    if any(values.shape != (channels,) for values in arrays) or not (source.is_image or len(source.shape) == 1):
        raise Unsupported(
            f"has constants of shapes {[list(values.shape) for values in arrays]} for {channels} channels"
        )
    source = by_channels(operator, source, arrays[0])
    shape = (channels, *(1,) * (len(source.shape) - 1))
    gamma, beta, mean, variance = (source.per_channel(v.astype(np.float32).reshape(shape)) for v in arrays)
    deviation = np.sqrt(variance + np.float32(epsilon))
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
        epsilon=np.full(gamma.shape, np.float32(epsilon), np.float64),
    )
    return operator.after(source, Affine(name, scale, offset, normalization=statistics))


# Of several tensors


def alike(operator: Operator, *streams: Stream) -> tuple[Stream, ...]:
    """Streams of one shape, their numbers in the same places: as vectors where only that brings them together.

    :raises Unsupported: when there is no such way.
    """
    first = streams[0]
    if any(one.shape != first.shape for one in streams):
        shown = " and ".join(str([1, *one.shape]) for one in streams)
        raise Unsupported(f"reads {shown}, which are not of one shape")
    if any(one.tensor.shape != first.tensor.shape for one in streams):
        streams = tuple(replace(one, tensor=operator.vector(one)) for one in streams)
    usual = all(one.moved is None for one in streams)
    if not usual and any((one.places != streams[0].places).any() for one in streams):
        raise Unsupported("reads tensors whose numbers arrive in different orders (one flattened channels last)")
    return streams


def joined(operator: Operator, layer: Join, *streams: Stream) -> Stream:
    """Add a layer that reads several tensors of one shape."""
    first, *others = alike(operator, *streams)
    return first.of(operator.add(layer, first.tensor, *(other.tensor for other in others)))


def product(operator: Operator, one: Stream, other: Stream, name: str) -> Stream:
    """Add the product of two tensors; the smaller one may be one number per channel of an image."""
    if one.shape == other.shape:
        one, other = alike(operator, one, other)
    elif not (one.is_image and other.is_image):
        raise Unsupported(f"multiplies {[1, *one.shape]} and {[1, *other.shape]}")
    larger = max(one, other, key=lambda stream: math.prod(stream.shape))
    return larger.of(operator.add(Product(name), one.tensor, other.tensor))


# Functions


def slope(value: float, name: str) -> Layer:
    """A leaky ReLU; with 0 a ReLU.

    :raises Unsupported: when it falls below 0.
    """
    if not 0 <= value < math.inf:
        raise Unsupported(f"has the slope {value}, which is below 0")
    return TwoSlope(name, value) if value else Clamp(name, 0.0, math.inf)


def clamped(operator: Operator, source: Stream, low: float, high: float, name: str) -> Stream:
    """Add bounds."""
    if not low <= high:
        raise Unsupported(f"has the bounds {low} and {high}")
    return operator.after(source, Clamp(name, low, high))


def softmax(operator: Operator, source: Stream, axis: int, name: str, logarithm: bool = False) -> Stream:
    """Add a softmax over channels, or its logarithm; in last place a pass leaves it out.

    :param axis: the batch counts.
    """
    if axis % (len(source.shape) + 1) != 1 or source.moved is not None:
        raise Unsupported(f"is over axis {axis} of {[1, *source.shape]}; only the channels (axis 1) are supported")
    tensor = operator.vector(source) if len(source.shape) == 1 else source.tensor
    return Stream.usual(operator.add(Softmax(name, logarithm), tensor))
