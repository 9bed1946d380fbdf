"""Pooling and means of ``.onnx`` files."""

from __future__ import annotations

from dataclasses import replace

from dnn2fpga.layers.pooling import AveragePooling, GlobalAverage, MaxPooling
from dnn2fpga.read.onnx_call import Call
from dnn2fpga.read.onnx_linear import padding_of_node, pair
from dnn2fpga.read.onnx_schema import Domain
from dnn2fpga.read.onnx_values import Stream
from dnn2fpga.tensors.basics import Unsupported
from rtl_lib.image.window_schedule import NO_PADDING, Padding

Pair = tuple[int, int]


def max_pool(call: Call) -> Stream:
    """MaxPool, of numbers or of codes."""
    source = call.image()
    size, strides, padding = _windows(call, source)
    pooled = call.add(MaxPooling(call.name, size, strides, padding), source.tensor)
    return Stream.usual(pooled).on(source.grid, source.is_codes)


def average_pool(call: Call) -> Stream:
    """AveragePool."""
    call.stream()
    return average(call, call.image(), call.name)


def average(call: Call, source: Stream, name: str) -> Stream:
    """Add the mean of windows."""
    size, strides, padding = _windows(call, source)
    counts = bool(call.attribute("count_include_pad", 0)) and _explicit(call) != NO_PADDING
    if counts and padding != _explicit(call):
        raise Unsupported("count_include_pad with ceil_mode is not supported; use pads that need no ceil_mode")
    if size == source.shape[1:] and padding == NO_PADDING:
        return Stream.usual(call.add(GlobalAverage(name, keep_dimensions=True), source.tensor))
    layer = AveragePooling(name, size, strides, padding, count_include_pad=counts)
    return Stream.usual(call.add(layer, source.tensor))


def _explicit(call: Call) -> Padding:
    top, left, bottom, right = call.attribute("pads", [0, 0, 0, 0])
    return Padding(top, bottom, left, right)


def _windows(call: Call, source: Stream) -> tuple[Pair, Pair, Padding]:
    """Size, strides and padding; ``ceil_mode`` is padding below and to the right."""
    if "kernel_shape" not in call.node.attributes:
        raise Unsupported("has no kernel_shape")
    size, strides = pair(call, "kernel_shape"), pair(call, "strides")
    call.require("dilations", [1, 1], "dilated windows are not supported")
    padding = padding_of_node(call, source, size, strides)
    if call.attribute("ceil_mode", 0):
        padding = _ceiling(padding, (source.shape[1], source.shape[2]), size, strides)
    return size, strides, padding


def _ceiling(padding: Padding, image: Pair, size: Pair, strides: Pair) -> Padding:
    """A last window that begins inside the image counts, however little of it is inside."""
    more = []
    for extent, around, before, window, step in zip(
        image, padding.around(image), (padding.top, padding.left), size, strides, strict=True
    ):
        windows = -(-(around - window) // step) + 1
        windows -= (windows - 1) * step >= extent + before
        more.append(max((windows - 1) * step + window - around, 0))
    return padding.plus(Padding(bottom=more[0], right=more[1]))


def global_average(call: Call) -> Stream:
    """GlobalAveragePool."""
    call.stream()
    return Stream.usual(call.add(GlobalAverage(call.name, keep_dimensions=True), call.image().tensor))


def global_maximum(call: Call) -> Stream:
    """GlobalMaxPool."""
    source = call.image()
    size = (source.shape[1], source.shape[2])
    pooled = call.add(MaxPooling(call.name, size, size, "valid"), source.tensor)
    return Stream.usual(pooled).on(source.grid, source.is_codes)


def mean(call: Call) -> Stream:
    """ReduceMean over rows and columns."""
    source = call.stream()
    axes = call.integers(1) if call.has(1) else call.attribute("axes", [])
    rank = len(source.shape) + 1
    wanted = sorted(axis % rank for axis in axes)
    channels_last = not source.is_image and len(source.shape) == 3 and source.is_in_order
    if wanted != ([1, 2] if channels_last else [2, 3]) or not (channels_last or source.is_image):
        raise Unsupported(f"is over the axes {axes} of {[1, *source.shape]}; only the mean over pixels is supported")
    keeps = bool(call.attribute("keepdims", 1))
    averaged = Stream.usual(call.add(GlobalAverage(call.name, keep_dimensions=keeps), source.tensor))
    if not keeps or not channels_last:
        return averaged
    return replace(averaged, shape=averaged.tensor.shape, moved=averaged.places.transpose(1, 2, 0))


READERS = {
    (Domain.ONNX, "AveragePool"): average_pool,
    (Domain.ONNX, "GlobalAveragePool"): global_average,
    (Domain.ONNX, "GlobalMaxPool"): global_maximum,
    (Domain.ONNX, "MaxPool"): max_pool,
    (Domain.ONNX, "ReduceMean"): mean,
}
