"""Operators of ``.tflite`` files with windows or weights, and those that only move numbers."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from dnn2fpga.exact.encoding import ExactWeights
from dnn2fpga.layers.concatenate import Concatenate
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.dense import Dense
from dnn2fpga.layers.depthwise_conv2d import DepthwiseConv2D
from dnn2fpga.layers.pooling import AveragePooling, GlobalAverage, MaxPooling
from dnn2fpga.layers.reshape import Reshape
from dnn2fpga.layers.zero_padding import ZeroPadding
from dnn2fpga.read.builder import SymbolicTensor
from dnn2fpga.read.tflite_builtins import Builtin
from dnn2fpga.read.tflite_operators import Call, Reader
from dnn2fpga.read.tflite_rules import Grid
from dnn2fpga.read.tflite_schema import Activation, Kind
from dnn2fpga.read.tflite_shapes import integers
from dnn2fpga.tensors.basics import Shape, Unsupported
from dnn2fpga.tensors.padding import PaddingRule, padding_of
from rtl_lib.image.window_schedule import Padding


def real(grid: Grid) -> Fraction:
    """The exact scale."""
    return Fraction(float(grid.scale))


# With weights


def _weights(call: Call, rank: int, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes of weights, and their scales: one, or one per output.

    :param axis: of the outputs.
    """
    tensor = call.tensor(1)
    codes = call.numbers(1, Kind.INT8)
    if codes.ndim != rank or tensor.quantization is None:
        raise Unsupported(f"{tensor.label} must hold quantized weights with {rank} axes, not {list(codes.shape)}")
    if tensor.quantization.zero_point.any():
        raise Unsupported(f"{tensor.label} has weights with zero points; {_SYMMETRIC}")
    if tensor.quantization.scale.size not in (1, codes.shape[axis]) or (
        tensor.quantization.scale.size > 1 and tensor.quantization.axis != axis
    ):
        raise Unsupported(f"{tensor.label} has scales along axis {tensor.quantization.axis}, not along its outputs")
    return codes, tensor.quantization.scale


_SYMMETRIC = "convert the model again with a current converter, which makes them symmetric"


def _exact(call: Call, codes: np.ndarray, scale: np.ndarray) -> tuple[ExactWeights, np.ndarray]:
    """Weights with their bias, and what accumulators mean per output.

    :param codes: the last axis is the output.
    """
    outputs = codes.shape[-1]
    bias = call.numbers(2, Kind.INT32) if call.has(2) else np.zeros(outputs, np.int32)
    if bias.shape != (outputs,):
        raise Unsupported(f"{call.tensor(2).label} must hold {outputs:,} biases, not {list(bias.shape)}")
    source = real(call.grid())
    unit = np.array([source * Fraction(float(one)) for one in np.broadcast_to(scale, (outputs,))], object)
    return ExactWeights.of(codes, scale, np.array([int(b) * u for b, u in zip(bias, unit, strict=True)], object)), unit


def convolution(call: Call) -> SymbolicTensor:
    """CONV_2D: weights ``[outputs, rows, columns, channels]``."""
    source = call.image()
    codes, scale = _weights(call, 4, 0)
    if codes.shape[3] != source.shape[2]:
        raise Unsupported(f"has {codes.shape[3]} channels of weights for {source.shape[2]}: groups are not supported")
    _require_undilated(call, 4, 5)
    exact, unit = _exact(call, codes.transpose(1, 2, 3, 0), scale)
    layer = Conv2D.of_codes(call.inner("sums"), exact, **_geometry(call))
    step = call.arithmetic.convolution(call.grid(), scale, call.output_grid)
    return call.rounded(call.add(layer, source), unit, step, call.activation(3))


def depthwise_convolution(call: Call) -> SymbolicTensor:
    """DEPTHWISE_CONV_2D: weights ``[1, rows, columns, channels * multiplier]``."""
    source = call.image()
    codes, scale = _weights(call, 4, 3)
    if codes.shape[0] != 1 or codes.shape[3] % source.shape[2]:
        raise Unsupported(f"has weights {list(codes.shape)} for {source.shape[2]} channels")
    _require_undilated(call, 5, 6)
    exact, unit = _exact(call, codes[0], scale)
    layer = DepthwiseConv2D.of_codes(call.inner("sums"), exact, **_geometry(call))
    step = call.arithmetic.convolution(call.grid(), scale, call.output_grid)
    return call.rounded(call.add(layer, source), unit, step, call.activation(4))


def fully_connected(call: Call) -> SymbolicTensor:
    """FULLY_CONNECTED: weights ``[outputs, inputs]``; reads all numbers as one vector."""
    source = call.source()
    codes, scale = _weights(call, 2, 0)
    if math.prod(source.shape) != codes.shape[1]:
        raise Unsupported(f"has weights for {codes.shape[1]:,} numbers, and reads {list(source.shape)}")
    if call.options.number(1, "b") or (call.options.flag(2) and len(source.shape) > 1):
        raise Unsupported("has shuffled weights or keeps all axes, which is not supported")
    if len(source.shape) > 1:
        source = call.add(Reshape(call.inner("flat"), None), source)
    exact, unit = _exact(call, codes.T, scale)
    step = call.arithmetic.fully_connected(call.grid(), scale, call.output_grid)
    sums = call.add(Dense.of_codes(call.inner("sums"), exact), source)
    return call.rounded(sums, unit, step, call.activation(0))


def _geometry(call: Call) -> dict[str, object]:
    return {"strides": (call.extent(2), call.extent(1)), "padding": call.padding(0)}


def _require_undilated(call: Call, *fields: int) -> None:
    if any(call.options.number(one, "i", 1) != 1 for one in fields):
        raise Unsupported("is dilated, which is not supported; train with dilation_rate=1")


# Pooling

MOST_PARTS = 2**20  # of a mean's unit


def max_pooling(call: Call) -> SymbolicTensor:
    """MAX_POOL_2D."""
    call.require_one_grid(0)
    activation = call.activation(5)
    name = call.name if activation is Activation.NONE else call.inner("maximum")
    pooled = call.add(MaxPooling(name, *_windows(call)), call.image())
    return pooled if activation is Activation.NONE else unchanged(call, pooled, activation)


def average_pooling(call: Call) -> SymbolicTensor:
    """AVERAGE_POOL_2D: the mean of raw codes inside the image."""
    grid, source = call.require_one_grid(0), call.image()
    size, strides, padding = _windows(call)
    pads = padding_of(padding, source.shape, size, strides)
    ends = (pads.top, pads.bottom), (pads.left, pads.right)
    inside = (_pixels_inside(*axis) for axis in zip(source.shape, size, strides, ends, strict=False))
    parts = math.prod(math.lcm(*counts) for counts in inside)
    if parts > MOST_PARTS:
        raise Unsupported("has windows that reach over the border by too many different lengths; pad less")
    name = call.inner("mean")
    is_global = size == source.shape[:2] and padding == "valid"
    layer = GlobalAverage(name, True) if is_global else AveragePooling(name, size, strides, padding)
    mean = call.add(layer, source)
    return call.rounded(mean, real(grid) / parts, call.arithmetic.average(grid, parts), call.activation(5))


def _pixels_inside(extent: int, window: int, stride: int, pads: tuple[int, int]) -> list[int]:
    """Return the numbers of pixels of a window that can lie in the image, on one axis that is padded at both ends."""
    start = np.arange(-pads[0], extent + pads[1] - window + 1, stride)
    return np.unique(np.minimum(start + window, extent) - np.maximum(start, 0)).tolist()


def _windows(call: Call) -> tuple[tuple[int, int], tuple[int, int], PaddingRule]:
    return (call.extent(4), call.extent(3)), (call.extent(2), call.extent(1)), call.padding(0)


def unchanged(call: Call, source: SymbolicTensor, activation: Activation) -> SymbolicTensor:
    """Clamp codes that keep their meaning."""
    grid = call.output_grid
    return call.rounded(source, real(grid), lambda a: a + grid.zero, activation)


def mean(call: Call) -> SymbolicTensor:
    """MEAN over rows and columns."""
    source, grid = call.image(), call.grid()
    axes = {int(axis) % 4 for axis in call.numbers(1, Kind.INT32, Kind.INT64).reshape(-1)}
    if axes != {1, 2}:
        raise Unsupported(f"is over the axes {sorted(axes)}; only the mean over rows and columns (1, 2) is supported")
    count = source.shape[0] * source.shape[1]
    total = call.add(GlobalAverage(call.inner("mean"), call.options.flag(0)), source)
    return call.rounded(total, real(grid) / count, call.arithmetic.mean(grid, call.output_grid, count))


# What moves numbers


def padded(call: Call) -> SymbolicTensor:
    """PAD: rows and columns of the zero point."""
    call.require_one_grid(0)
    source = call.image()
    pads = call.numbers(1, Kind.INT32, Kind.INT64)
    if pads.shape != (4, 2) or pads.min() < 0 or pads.max() > max(source.shape) or pads[[0, 3]].any():
        raise Unsupported(f"adds {pads.tolist()}; only rows and columns are supported")
    (top, bottom), (left, right) = ((int(a), int(b)) for a, b in pads[1:3])
    return call.add(ZeroPadding(call.name, Padding(top, bottom, left, right)), source)


def concatenation(call: Call) -> SymbolicTensor:
    """CONCATENATION: of codes that mean the same."""
    places = range(len(call.operator.inputs))
    call.require_one_grid(*places)
    sources = [call.source(place) for place in places]
    rank = len(sources[0].shape) + 1
    axis = int(call.options.number(0, "i"))
    if not -rank < axis < rank or axis % rank == 0:
        raise Unsupported(f"joins along axis {axis} of {rank}, which is the batch, or none")
    activation = call.activation(1)
    name = call.name if activation is Activation.NONE else call.inner("all")
    joined = call.add(Concatenate(name, axis % rank - 1), *sources)
    return joined if activation is Activation.NONE else unchanged(call, joined, activation)


def reshaped(call: Call) -> SymbolicTensor:
    """RESHAPE, SQUEEZE and EXPAND_DIMS: the shape that the file states, which what it computes must agree with."""
    call.require_one_grid(0)
    source, shape = call.source(), call.output_shape
    if call.has(1) and call.operator.kind is Builtin.RESHAPE:
        _require_shape(call, shape, math.prod(source.shape))
    if math.prod(shape) != math.prod(source.shape):
        raise Unsupported(f"makes {list(shape)} of {list(source.shape)}")
    if shape == source.shape:
        return source
    if len(shape) not in (1, 3):
        raise Unsupported(f"makes {list(shape)}: only vectors and images are supported")
    return call.add(Reshape(call.name, None if len(shape) == 1 else shape), source)


def _require_shape(call: Call, stated: Shape, size: int) -> None:
    target = [int(extent) for extent in integers(call.model, call.tensor(1).index).reshape(-1)]
    if target.count(-1) == 1:
        known = -math.prod(target)
        target[target.index(-1)] = size // known if known > 0 else 0
    if tuple(target) != (1, *stated):
        raise Unsupported(f"makes {target}, where the file states {[1, *stated]}")


LAYERS: dict[Builtin, Reader] = {
    Builtin.AVERAGE_POOL_2D: average_pooling,
    Builtin.CONCATENATION: concatenation,
    Builtin.CONV_2D: convolution,
    Builtin.DEPTHWISE_CONV_2D: depthwise_convolution,
    Builtin.EXPAND_DIMS: reshaped,
    Builtin.FULLY_CONNECTED: fully_connected,
    Builtin.MAX_POOL_2D: max_pooling,
    Builtin.MEAN: mean,
    Builtin.PAD: padded,
    Builtin.RESHAPE: reshaped,
    Builtin.SQUEEZE: reshaped,
}
