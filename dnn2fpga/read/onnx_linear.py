"""Layers with weights of ``.onnx`` files: Conv, Gemm and MatMul."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from dnn2fpga.exact.encoding import ExactWeights
from dnn2fpga.exact.rationals import rationals
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.dense import Dense
from dnn2fpga.layers.depthwise_conv2d import DepthwiseConv2D
from dnn2fpga.layers.linear import Linear
from dnn2fpga.read.limits import LARGEST_EXTENT
from dnn2fpga.read.onnx_call import Call
from dnn2fpga.read.onnx_schema import Domain
from dnn2fpga.read.onnx_values import Codes, Constant, Stream
from dnn2fpga.tensors.basics import Unsupported
from rtl_lib.image.window_schedule import Padding

Arrange = Callable[[np.ndarray], np.ndarray]
WIDEST = 16  # bits of a weight that a source has in floating point, though it is an integer of some scale


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights of a source, and its biases.

    :param arrange: brings them into the order of the layer: the last axis is the output.
    :param outputs: which axis that is in the source.
    :param factor: of all of them, exact.
    :param bias: exact, ``[outputs]``.
    """

    constant: Constant
    arrange: Arrange
    outputs: int
    bias: np.ndarray
    factor: Fraction = Fraction(1)

    def layer(self, call: Call, kind: type[Linear], name: str, **geometry: Any) -> Linear:
        """Return the layer: with exact weights where the model brings integers and they are."""
        codes = self.constant.codes or (_integers(self.constant.array, self.outputs) if call.has_integers else None)
        arranged = self.arrange(self.constant.array if codes is None else codes.integers)
        call.builder.claim(arranged.size, call.node.label)
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


def biases(call: Call, place: int, outputs: int, factor: Fraction = Fraction(1)) -> np.ndarray:
    """The exact biases at a place; 0 where it is left out.

    :raises Unsupported: when there is another number of them, or too many.
    """
    if outputs > LARGEST_EXTENT:
        raise Unsupported(f"has {outputs:,} outputs; at most {LARGEST_EXTENT:,}")
    if not call.has(place):
        return rationals(np.zeros(outputs, np.int64))
    constant = call.constant(place)
    if constant.array.size not in (1, outputs) or constant.array.shape[-1:] not in ((), (1,), (outputs,)):
        raise Unsupported(f"has biases of shape {list(constant.shape)} for {outputs} outputs")
    return np.broadcast_to(constant.exact().reshape(-1) * factor, (outputs,))


# Dense


def gemm(call: Call) -> Stream:
    """Gemm: ``alpha * A * B + beta * C``."""
    alpha, beta = (Fraction(call.attribute(name, 1.0)) for name in ("alpha", "beta"))
    call.require("transA", 0, "the batch must come first; export the model again")
    weights = call.constant(1)
    if weights.array.ndim != 2:
        raise Unsupported(f"has weights of shape {list(weights.shape)}, not a matrix")
    if call.attribute("transB", 0):
        weights = transposed(weights, (1, 0))
    bias = biases(call, 2, weights.shape[1], beta)
    return dense(call, call.stream(), weights, bias, call.name, alpha)


def matmul(call: Call) -> Stream:
    """MatMul with a constant matrix."""
    if call.is_constant(0) or not call.is_constant(1):
        raise Unsupported("is supported only for a vector times a constant matrix")
    weights = call.constant(1)
    if weights.array.ndim != 2:
        raise Unsupported(f"has weights of shape {list(weights.shape)}, not a matrix")
    return dense(call, call.stream(), weights, biases(call, 2, weights.shape[1]), call.name)


def dense(
    call: Call, source: Stream, weights: Constant, bias: np.ndarray, name: str, factor: Fraction = Fraction(1)
) -> Stream:
    """Add a dense layer whose rows are in the order in which numbers arrive."""
    if len(source.shape) != 1 or weights.shape[0] != source.shape[0]:
        raise Unsupported(f"has weights for [1, {weights.shape[0]:,}], and reads {[1, *source.shape]}; use Flatten")
    moved = source.moved

    def arrange(matrix: np.ndarray) -> np.ndarray:
        if moved is None:
            return matrix
        ordered = np.empty_like(matrix)
        ordered[moved] = matrix
        return ordered

    layer = Weights(weights, arrange, 1, bias, factor).layer(call, Dense, name)
    return Stream.usual(call.add(layer, call.vector(source)))


def transposed(constant: Constant, axes: tuple[int, ...]) -> Constant:
    """A constant with its axes in another order."""
    return Constant(constant.array.transpose(axes), constant.codes and constant.codes.transposed(axes))


# Convolution


def conv(call: Call) -> Stream:
    """Conv: weights ``[outputs, channels / group, rows, columns]``."""
    call.stream()
    return convolution(call, call.image(), call.constant(1), call.name, 2)


def convolution(
    call: Call, source: Stream, weights: Constant, name: str, bias: int | np.ndarray, codes: bool = False
) -> Stream:
    """Add a convolution.

    :param bias: exact, or the place where biases are.
    """
    if weights.array.ndim != 4:
        raise Unsupported(f"has weights of shape {list(weights.shape)}; only images are convolved")
    outputs, own, *kernel = weights.shape
    group, channels = call.attribute("group", 1), source.shape[0]
    if group < 1 or own * group != channels or outputs % group or min(weights.shape) < 1:
        raise Unsupported(f"has weights {list(weights.shape)} in {group} groups for {channels} channels")
    if call.attribute("kernel_shape", kernel) != kernel:
        raise Unsupported(f"has a kernel_shape that is not that of its weights, {kernel}")
    dilations = pair(call, "dilations")
    size = ((kernel[0] - 1) * dilations[0] + 1, (kernel[1] - 1) * dilations[1] + 1)
    is_depthwise = own == 1 and group > 1
    call.builder.claim(0 if is_depthwise else math.prod(size) * channels * outputs, call.node.label)
    exact = biases(call, bias, outputs) if isinstance(bias, int) else bias

    def arrange(array: np.ndarray) -> np.ndarray:
        """Between the rows and columns of a dilated kernel are zeros, and between groups."""
        spread = np.zeros((*size, own, outputs), array.dtype)
        spread[:: dilations[0], :: dilations[1]] = array.transpose(2, 3, 1, 0)
        if is_depthwise:
            return spread[:, :, 0]
        whole = np.zeros((*size, channels, outputs), array.dtype)
        for k in range(group):
            filters = slice(k * outputs // group, (k + 1) * outputs // group)
            whole[:, :, k * own : (k + 1) * own, filters] = spread[..., filters]
        return whole

    strides = pair(call, "strides")
    padding = padding_of_node(call, source, size, strides)
    kind = DepthwiseConv2D if is_depthwise else Conv2D
    layer = Weights(weights, arrange, 0, exact).layer(call, kind, name, strides=strides, padding=padding)
    return Stream.usual(call.add(layer, source.tensor))


# Windows


def pair(call: Call, name: str) -> tuple[int, int]:
    """Two extents from 1 on; by default (1, 1)."""
    values = call.attribute(name, [1, 1])
    if len(values) != 2 or not all(isinstance(n, int) and 1 <= n <= LARGEST_EXTENT for n in values):
        raise Unsupported(f"{name}={values}: must be two extents")
    return values[0], values[1]


def padding_of_node(call: Call, source: Stream, size: tuple[int, int], strides: tuple[int, int]) -> Padding:
    """The rows and columns around an image that ``pads`` or ``auto_pad`` stand for."""
    rule = call.attribute("auto_pad", "NOTSET")
    if rule == "VALID":
        return Padding()
    if rule in ("SAME_UPPER", "SAME_LOWER"):
        same = Padding.same((source.shape[1], source.shape[2]), size, strides)
        return same if rule == "SAME_UPPER" else Padding(same.bottom, same.top, same.right, same.left)
    pads = call.attribute("pads", [0, 0, 0, 0])
    if rule != "NOTSET" or len(pads) != 4 or not all(isinstance(n, int) and 0 <= n <= LARGEST_EXTENT for n in pads):
        raise Unsupported(f"pads={pads}, auto_pad='{rule}': must be rows and columns around an image")
    top, left, bottom, right = pads
    return Padding(top, bottom, left, right)


READERS = {
    (Domain.ONNX, "Conv"): conv,
    (Domain.ONNX, "Gemm"): gemm,
    (Domain.ONNX, "MatMul"): matmul,
}
