"""Layers with weights of sources whose tensors are channels first."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from dnn2fpga.exact.encoding import ExactWeights
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.dense import Dense
from dnn2fpga.layers.depthwise_conv2d import DepthwiseConv2D
from dnn2fpga.layers.linear import Linear
from dnn2fpga.read.channels_first import Codes, Constant, Stream
from dnn2fpga.read.channels_first_operator import Operator
from dnn2fpga.read.channels_first_windows import Pair, spanned
from dnn2fpga.read.limits import LARGEST_EXTENT
from dnn2fpga.tensors.basics import Unsupported
from rtl_lib.image.window_schedule import NO_PADDING, Padding

Arrange = Callable[[np.ndarray], np.ndarray]
WIDEST = 16  # bits of a weight that a source has in floating point, though it is an integer of some scale


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights of a source, and its biases.

    :param arrange: brings them into the order of the layer: the last axis is the output.
    :param outputs: which axis that is in the source.
    :param factor: of all of them, exact.
    :param bias: ``[outputs]``; exact where the model brings integers.
    """

    constant: Constant
    arrange: Arrange
    outputs: int
    bias: np.ndarray
    factor: Fraction = Fraction(1)

    def layer(self, operator: Operator, kind: type[Linear], name: str, **geometry: Any) -> Linear:
        """Return the layer: with exact weights where the model brings integers and they are."""
        wanted = operator.has_integers
        codes = self.constant.codes or (_integers(self.constant.array, self.outputs) if wanted else None)
        arranged = self.arrange(self.constant.array if codes is None else codes.integers)
        if codes is None:
            bias = self.bias.astype(np.float32)
            return kind(name, weights=arranged.astype(np.float32) * np.float32(self.factor), bias=bias, **geometry)
        scale = self.scale_of(codes) * self.factor
        return kind.of_codes(name, ExactWeights.of(arranged, scale, self.bias), **geometry)

    def scale_of(self, codes: Codes) -> np.ndarray:
        """One scale, or one per output.

        :raises Unsupported: when inputs have scales of their own.
        """
        axes = list(codes.scale.shape)
        axes[self.outputs] = 1
        if math.prod(axes) != 1:
            raise Unsupported(f"has weights with scales of shape {list(codes.scale.shape)}, not one per output")
        return codes.scale.reshape(-1)


def _integers(array: np.ndarray, outputs: int) -> Codes | None:
    """Numbers in floating point as integers, each output with a power of two as its scale; None: too wide."""
    if not np.isfinite(array).all():
        raise Unsupported("has weights that are not finite")
    others = tuple(axis for axis in range(array.ndim) if axis != outputs)
    mantissas, exponents = np.frexp(array.astype(np.float64))
    whole = np.ldexp(mantissas, 53).astype(np.int64)
    trailing = np.where(whole, np.log2(np.maximum(whole & -whole, 1)), 0).astype(np.int64)
    steps = np.where(whole, exponents - 53 + trailing, 2**30).min(axis=others, keepdims=True)
    steps = np.where(steps == 2**30, 0, steps)
    codes = np.ldexp(array.astype(np.float64), -steps)
    if np.abs(codes).max(initial=0) >= 2 ** (WIDEST - 1):
        return None
    return Codes.of(codes, np.ldexp(1.0, steps))


def biases(operator: Operator, constant: Constant | None, outputs: int, factor: Fraction = Fraction(1)) -> np.ndarray:
    """Return biases, times a factor: exact ones where the model brings integers. None: all 0.

    :raises Unsupported: when there is another number of them, or too many.
    """
    if outputs > LARGEST_EXTENT:
        raise Unsupported(f"has {outputs:,} outputs; at most {LARGEST_EXTENT:,}")
    if constant is None:
        constant = Constant(np.zeros(1, np.float32))
    if constant.array.size not in (1, outputs) or constant.array.shape[-1:] not in ((), (1,), (outputs,)):
        raise Unsupported(f"has biases of shape {list(constant.shape)} for {outputs} outputs")
    if operator.has_integers:
        return np.broadcast_to(constant.exact().reshape(-1) * factor, (outputs,))
    return np.broadcast_to(constant.array.reshape(-1).astype(np.float64) * float(factor), (outputs,))


def dense(
    operator: Operator,
    source: Stream,
    weights: Constant,
    bias: np.ndarray,
    name: str,
    factor: Fraction = Fraction(1),
) -> Stream:
    """Add a dense layer whose rows are in the order in which numbers arrive.

    :param weights: ``[inputs, outputs]``.
    :param bias: ``[outputs]``; exact where the model brings integers.
    :param factor: of all weights.
    """
    if len(source.shape) != 1 or weights.shape[0] != source.shape[0]:
        raise Unsupported(f"has weights for [1, {weights.shape[0]:,}], and reads {[1, *source.shape]}; use Flatten")
    operator.builder.claim(weights.array.size, operator.label)
    moved = source.moved

    def arrange(matrix: np.ndarray) -> np.ndarray:
        if moved is None:
            return matrix
        ordered = np.empty_like(matrix)
        ordered[moved] = matrix
        return ordered

    layer = Weights(weights, arrange, 1, bias, factor).layer(operator, Dense, name)
    return Stream.usual(operator.add(layer, operator.vector(source)))


@dataclass(frozen=True)
class Geometry:
    """The geometry of the windows of a convolution.

    :param groups: of channels, each with filters of its own; as many as channels: depthwise.
    """

    strides: Pair = (1, 1)
    dilations: Pair = (1, 1)
    padding: Padding = NO_PADDING
    groups: int = 1


def require_filters(weights: Constant) -> tuple[int, Pair]:
    """Return the number of outputs and the size of filters ``[outputs, channels / groups, rows, columns]``."""
    if weights.array.ndim != 4:
        raise Unsupported(f"has weights of shape {list(weights.shape)}; only images are convolved")
    outputs, _, rows, columns = weights.shape
    return outputs, (rows, columns)


def convolution(
    operator: Operator, source: Stream, weights: Constant, bias: np.ndarray, geometry: Geometry, name: str
) -> Stream:
    """Add a convolution of an image.

    :param weights: ``[outputs, channels / groups, rows, columns]``.
    :param bias: ``[outputs]``; exact where the model brings integers.
    """
    outputs, kernel = require_filters(weights)
    own, groups, channels = weights.shape[1], geometry.groups, source.shape[0]
    if groups < 1 or own * groups != channels or outputs % groups or min(weights.shape) < 1:
        raise Unsupported(f"has weights {list(weights.shape)} in {groups} groups for {channels} channels")
    size, dilations = spanned(kernel, geometry.dilations), geometry.dilations
    is_depthwise = own == 1 and groups > 1
    operator.builder.claim(math.prod(size) * (1 if is_depthwise else channels) * outputs, operator.label)

    def arrange(array: np.ndarray) -> np.ndarray:
        """Between the rows and columns of a dilated kernel are zeros, and between groups."""
        spread = np.zeros((*size, own, outputs), array.dtype)
        spread[:: dilations[0], :: dilations[1]] = array.transpose(2, 3, 1, 0)
        if is_depthwise:
            return spread[:, :, 0]
        whole = np.zeros((*size, channels, outputs), array.dtype)
        for k in range(groups):
            filters = slice(k * outputs // groups, (k + 1) * outputs // groups)
            whole[:, :, k * own : (k + 1) * own, filters] = spread[..., filters]
        return whole

    kind = DepthwiseConv2D if is_depthwise else Conv2D
    layer = Weights(weights, arrange, 0, bias).layer(
        operator, kind, name, strides=geometry.strides, padding=geometry.padding
    )
    return Stream.usual(operator.add(layer, source.tensor))
