"""Operators of ``.onnx`` files that only move numbers: Flatten, Reshape, Transpose, Concat, Pad and their kin."""

from __future__ import annotations

import math
from collections.abc import Callable

from dnn2fpga.read.channels_first import Stream, Value
from dnn2fpga.read.channels_first_moves import concatenation, permuted, reshaped, whole_shape
from dnn2fpga.read.channels_first_windows import is_padding, padded
from dnn2fpga.read.onnx_call import Call, Reader
from dnn2fpga.read.onnx_schema import Domain
from dnn2fpga.tensors.basics import Unsupported
from rtl_lib.image.window_schedule import Padding

ShapeRule = Callable[[Call, tuple[int, ...]], tuple[int, ...]]


def reshaping(rule: ShapeRule) -> Reader:
    """An operator that changes the shape, of a constant or of a tensor.

    :param rule: from the shape, with the batch, to the new one.
    """

    def reader(call: Call) -> Value:
        value = call.value(0)
        return reshaped(value, rule(call, whole_shape(value)))

    return reader


def _flat(call: Call, shape: tuple[int, ...]) -> tuple[int, ...]:
    axis = call.attribute("axis", 1)
    if not -len(shape) <= axis <= len(shape):
        raise Unsupported(f"axis={axis}: has {len(shape)} axes")
    axis += len(shape) * (axis < 0)
    return math.prod(shape[:axis]), math.prod(shape[axis:])


def _target(call: Call, shape: tuple[int, ...]) -> tuple[int, ...]:
    target = call.integers(1) if call.has(1) else call.attribute("shape", [0])
    if not call.attribute("allowzero", 0):
        target = [shape[k] if extent == 0 and k < len(shape) else extent for k, extent in enumerate(target)]
    if target.count(-1) == 1:
        known = -math.prod(target)
        target[target.index(-1)] = math.prod(shape) // known if known > 0 else 0
    return tuple(target)


def _axes(call: Call, default: list[int], rank: int) -> list[int]:
    """Axes, which newer files have as an input."""
    axes = call.integers(1) if call.has(1) else call.attribute("axes", default)
    if not all(-rank <= axis < rank for axis in axes):
        raise Unsupported(f"axes={axes}: has {rank} axes")
    return sorted({axis % rank for axis in axes})


def _squeezed(call: Call, shape: tuple[int, ...]) -> tuple[int, ...]:
    axes = _axes(call, [k for k, extent in enumerate(shape) if extent == 1 and k], len(shape))
    return tuple(extent for k, extent in enumerate(shape) if k not in axes)


def _unsqueezed(call: Call, shape: tuple[int, ...]) -> tuple[int, ...]:
    rank = len(shape) + len(call.integers(1) if call.has(1) else call.attribute("axes", []))
    axes, extents = _axes(call, [], rank), iter(shape)
    return tuple(1 if k in axes else next(extents, 0) for k in range(rank))


def transpose(call: Call) -> Value:
    """Transpose, of a constant or of a tensor; the batch stays first."""
    value = call.value(0)
    return permuted(value, tuple(call.attribute("perm", list(range(len(whole_shape(value))))[::-1])))


def concatenate(call: Call) -> Value:
    """Concat of tensors, of numbers or of codes that mean the same."""
    sources = [call.value(place) for place in range(call.count)]
    streams = [one for one in sources if isinstance(one, Stream)]
    if len(streams) < len(sources):
        raise Unsupported("joins a constant with a tensor that is computed")
    return concatenation(call, streams, call.attribute("axis", 1), call.name)


def pad(call: Call) -> Value:
    """Pad with zeros around an image."""
    source = call.image()
    call.stream()
    call.require("mode", "constant", "only zeros are supported")
    amounts = call.integers(1) if call.has(1) else call.attribute("pads", [])
    value = float(call.scalar(2)) if call.has(2) else call.attribute("value", 0.0)
    if call.has(3):
        amounts = _of_axes(amounts, call.integers(3))
    if value or len(amounts) != 8 or any(amounts[k] for k in (0, 1, 4, 5)) or not is_padding(tuple(amounts)):
        raise Unsupported(f"adds {amounts} of {value}; only rows and columns of zeros are supported")
    return padded(call, source, Padding(amounts[2], amounts[6], amounts[3], amounts[7]), call.name)


def _of_axes(amounts: list[int], axes: list[int]) -> list[int]:
    """Amounts of some axes, as those of all four."""
    if len(amounts) != 2 * len(axes) or not all(-4 <= axis < 4 for axis in axes):
        raise Unsupported(f"adds {amounts} along the axes {axes}")
    whole = [0] * 8
    for k, axis in enumerate(axes):
        whole[axis % 4], whole[4 + axis % 4] = amounts[k], amounts[len(axes) + k]
    return whole


READERS: dict[tuple[Domain, str], Reader] = {
    (Domain.ONNX, kind): reader
    for kind, reader in {
        "Concat": concatenate,
        "Flatten": reshaping(_flat),
        "Pad": pad,
        "Reshape": reshaping(_target),
        "Squeeze": reshaping(_squeezed),
        "Transpose": transpose,
        "Unsqueeze": reshaping(_unsqueezed),
    }.items()
}
