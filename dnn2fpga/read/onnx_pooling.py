"""Pooling and means of ``.onnx`` files."""

from __future__ import annotations

from dataclasses import replace

from dnn2fpga.read.channels_first import Stream
from dnn2fpga.read.channels_first_windows import Windows, average_pooling, global_average, max_pooling
from dnn2fpga.read.onnx_call import Call
from dnn2fpga.read.onnx_linear import padding_of_node, pair
from dnn2fpga.read.onnx_schema import Domain
from dnn2fpga.tensors.basics import Unsupported

EXACT_BITS = 8  # of a scale: its products with codes, and their sums, are exact in float32


def max_pool(call: Call) -> Stream:
    """MaxPool, of numbers or of codes."""
    source = call.image()
    return max_pooling(call, source, _windows(call, source), call.name)


def average_pool(call: Call) -> Stream:
    """AveragePool."""
    _note_ties(call, call.stream())
    return average(call, call.image(), call.name)


def _note_ties(call: Call, source: Stream) -> None:
    """Tell of what real arithmetic cannot reproduce: which way float32 falls where the mean of codes is no code."""
    if source.grid is not None and source.grid.scale.numerator.bit_length() > EXACT_BITS:
        call.builder.note(
            f"'{call.name}': where a mean of codes lies half-way between two codes, onnxruntime's float32 decides; "
            "here the even one is taken"
        )


def average(call: Call, source: Stream, name: str) -> Stream:
    """Add the mean of windows."""
    counts = bool(call.attribute("count_include_pad", 0)) and call.attribute("auto_pad", "NOTSET") == "NOTSET"
    return average_pooling(call, source, _windows(call, source), counts, name)


def _windows(call: Call, source: Stream) -> Windows:
    if "kernel_shape" not in call.node.attributes:
        raise Unsupported("has no kernel_shape")
    size, strides = pair(call, "kernel_shape"), pair(call, "strides")
    call.require("dilations", [1, 1], "dilated windows are not supported")
    padding = padding_of_node(call, source, size, strides)
    return Windows(size, strides, padding, ceiling=bool(call.attribute("ceil_mode", 0)))


def global_mean(call: Call) -> Stream:
    """GlobalAveragePool."""
    _note_ties(call, call.stream())
    return global_average(call, call.image(), call.name)


def global_maximum(call: Call) -> Stream:
    """GlobalMaxPool."""
    source = call.image()
    size = (source.shape[1], source.shape[2])
    return max_pooling(call, source, Windows(size, size), call.name)


def mean(call: Call) -> Stream:
    """ReduceMean over rows and columns."""
    source = call.stream()
    axes = call.integers(1) if call.has(1) else call.attribute("axes", [])
    rank = len(source.shape) + 1
    wanted = sorted(axis % rank for axis in axes)
    channels_last = not source.is_image and len(source.shape) == 3 and source.is_in_order
    if wanted != ([1, 2] if channels_last else [2, 3]) or not (channels_last or source.is_image):
        raise Unsupported(f"is over the axes {axes} of {[1, *source.shape]}; only the mean over pixels is supported")
    _note_ties(call, source)
    keeps = bool(call.attribute("keepdims", 1))
    averaged = global_average(call, source, call.name, keeps_axes=keeps)
    if not keeps or not channels_last:
        return averaged
    return replace(averaged, shape=averaged.tensor.shape, moved=averaged.places.transpose(1, 2, 0))


READERS = {
    (Domain.ONNX, "AveragePool"): average_pool,
    (Domain.ONNX, "GlobalAveragePool"): global_mean,
    (Domain.ONNX, "GlobalMaxPool"): global_maximum,
    (Domain.ONNX, "MaxPool"): max_pool,
    (Domain.ONNX, "ReduceMean"): mean,
}
