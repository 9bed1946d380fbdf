"""Layers with weights of ``.onnx`` files: Conv, Gemm and MatMul."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from dnn2fpga.read.channels_first import Constant, Stream
from dnn2fpga.read.channels_first_linear import (
    Geometry,
    biases,
    convolution,
    dense,
    require_filters,
)
from dnn2fpga.read.channels_first_windows import Pair, is_padding, spanned
from dnn2fpga.read.limits import LARGEST_EXTENT
from dnn2fpga.read.onnx_call import Call
from dnn2fpga.read.onnx_schema import Domain
from dnn2fpga.tensors.basics import Unsupported
from rtl_lib.image.window_schedule import Padding


def _biases(call: Call, place: int, outputs: int, factor: Fraction = Fraction(1)) -> np.ndarray:
    """The biases at a place; 0 where it is left out."""
    call.exact.spend(outputs)
    return biases(call, call.constant(place) if call.has(place) else None, outputs, factor)


# Dense


def gemm(call: Call) -> Stream:
    """Gemm: ``alpha * A * B + beta * C``."""
    alpha, beta = (Fraction(call.attribute(name, 1.0)) for name in ("alpha", "beta"))
    call.require("transA", 0, "the batch must come first; export the model again")
    if alpha <= 0:
        raise Unsupported(f"alpha={float(alpha)}: must be above 0")
    weights = _matrix(call)
    if call.attribute("transB", 0):
        weights = weights.transposed((1, 0))
    bias = _biases(call, 2, weights.shape[1], beta)
    return dense(call, call.stream(), weights, bias, call.name, alpha)


def matmul(call: Call) -> Stream:
    """MatMul with a constant matrix."""
    if call.is_constant(0) or not call.is_constant(1):
        raise Unsupported("is supported only for a vector times a constant matrix")
    weights = _matrix(call)
    return dense(call, call.stream(), weights, _biases(call, 2, weights.shape[1]), call.name)


def _matrix(call: Call) -> Constant:
    weights = call.constant(1)
    if weights.array.ndim != 2:
        raise Unsupported(f"has weights of shape {list(weights.shape)}, not a matrix")
    return weights


# Convolution


def conv(call: Call) -> Stream:
    """Conv: weights ``[outputs, channels / group, rows, columns]``."""
    call.stream()
    weights = call.constant(1)
    outputs, _ = require_filters(weights)
    return convolved(call, weights, _biases(call, 2, outputs), call.name)


def convolved(call: Call, weights: Constant, bias: np.ndarray, name: str) -> Stream:
    """Add the convolution of the first input, with the node's attributes."""
    source, (_, kernel) = call.image(), require_filters(weights)
    if call.attribute("kernel_shape", list(kernel)) != list(kernel):
        raise Unsupported(f"has a kernel_shape that is not that of its weights, {list(kernel)}")
    strides, dilations = pair(call, "strides"), pair(call, "dilations")
    padding = padding_of_node(call, source, spanned(kernel, dilations), strides)
    geometry = Geometry(strides, dilations, padding, call.attribute("group", 1))
    return convolution(call, source, weights, bias, geometry, name)


# Windows


def pair(call: Call, name: str) -> Pair:
    """Two extents from 1 on; by default (1, 1)."""
    values = call.attribute(name, [1, 1])
    if len(values) != 2 or not all(isinstance(n, int) and 1 <= n <= LARGEST_EXTENT for n in values):
        raise Unsupported(f"{name}={values}: must be two extents")
    return values[0], values[1]


def padding_of_node(call: Call, source: Stream, size: Pair, strides: Pair) -> Padding:
    """The rows and columns around an image that ``pads`` or ``auto_pad`` stand for."""
    rule = call.attribute("auto_pad", "NOTSET")
    if rule == "VALID":
        return Padding()
    if rule in ("SAME_UPPER", "SAME_LOWER"):
        same = Padding.same((source.shape[1], source.shape[2]), size, strides)
        return same if rule == "SAME_UPPER" else Padding(same.bottom, same.top, same.right, same.left)
    pads = call.attribute("pads", [0, 0, 0, 0])
    if rule != "NOTSET" or len(pads) != 4 or not all(isinstance(n, int) for n in pads) or not is_padding(pads):
        raise Unsupported(f"pads={pads}, auto_pad='{rule}': must be rows and columns around an image")
    top, left, bottom, right = pads
    return Padding(top, bottom, left, right)


READERS = {
    (Domain.ONNX, "Conv"): conv,
    (Domain.ONNX, "Gemm"): gemm,
    (Domain.ONNX, "MatMul"): matmul,
}
