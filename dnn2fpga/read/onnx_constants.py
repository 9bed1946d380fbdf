"""Constants that an ``.onnx`` file computes: shapes, mostly, which torch computes where a model is flattened."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from dnn2fpga.read.channels_first import Constant, Stream
from dnn2fpga.read.onnx_call import Call
from dnn2fpga.read.onnx_schema import Domain, kind_of
from dnn2fpga.tensors.basics import Unsupported

MOST_COMPUTED = 2**22  # numbers of one constant
SHORTEST, LONGEST = -(2**31), 2**31 - 1  # of indices


def constant(call: Call) -> Constant:
    """Constant: a tensor, a number, or a list of numbers."""
    for name, kind in (("value", np.ndarray), ("value_float", float), ("value_int", int)):
        if name in call.node.attributes:
            value = call.attribute(name, kind(0) if kind is not np.ndarray else np.zeros(0))
            return Constant(np.asarray(value, np.float32 if kind is float else None))
    for name, dtype in (("value_floats", np.float32), ("value_ints", np.int64)):
        if name in call.node.attributes:
            return Constant(np.asarray(call.attribute(name, []), dtype))
    raise Unsupported("has no value that is supported")


def shape(call: Call) -> Constant:
    """Shape; the batch is 1."""
    value = call.value(0)
    whole = (1, *value.shape) if isinstance(value, Stream) else value.shape
    return Constant(np.array(whole[call.attribute("start", 0) : call.attribute("end", len(whole))], np.int64))


def filled(call: Call) -> Constant:
    """ConstantOfShape."""
    extents = call.integers(0)
    if any(extent < 0 for extent in extents):
        raise Unsupported(f"has the shape {extents}")
    _claim(call, *extents)
    return Constant(np.full(extents, call.attribute("value", np.zeros(1, np.float32)).reshape(-1)[0]))


def gather(call: Call) -> Constant:
    """Gather along an axis."""
    array, indices = call.array(0), call.array(1)
    axis = call.attribute("axis", 0)
    if indices.dtype.kind not in "iu" or not -array.ndim <= axis < array.ndim:
        raise Unsupported("gathers nothing that is there")
    _claim(call, array.size // max(array.shape[axis], 1), indices.size)
    return Constant(np.take(array, indices, axis=axis))


def slice_of(call: Call) -> Constant:
    """Slice."""
    array = call.array(0)
    starts, ends = (call.integers(place) for place in (1, 2))
    axes = call.integers(3) if call.has(3) else list(range(len(starts)))
    steps = call.integers(4) if call.has(4) else [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or not all(steps):
        raise Unsupported("slices in a way that is not supported")
    if not all(-array.ndim <= axis < array.ndim for axis in axes):
        raise Unsupported(f"has no axes {axes}")
    whole = [slice(None)] * array.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        last = None if step < 0 and end <= -array.shape[axis] - 1 else min(max(end, SHORTEST), LONGEST)
        whole[axis] = slice(min(max(start, SHORTEST), LONGEST), last, step)
    return Constant(array[tuple(whole)])


def concatenated(call: Call) -> Constant:
    """Concat."""
    arrays = [call.array(k) for k in range(call.count)]
    _claim(call, sum(array.size for array in arrays))
    return Constant(np.concatenate(arrays, axis=call.attribute("axis", 0)))


def cast(call: Call) -> Constant:
    """Cast."""
    _claim(call, call.array(0).size)
    return Constant(call.array(0).astype(kind_of(call.attribute("to", 1)).dtype))


def arithmetic(function: Callable[..., np.ndarray]) -> Callable[[Call], Constant]:
    """An operator of NumPy on arrays of one type."""

    def reader(call: Call) -> Constant:
        arrays = [call.array(k) for k in range(call.count)]
        _claim(call, *np.broadcast_shapes(*(array.shape for array in arrays)))
        return Constant(np.asarray(function(*arrays), arrays[0].dtype))

    return reader


def _clipped(array: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return np.minimum(np.maximum(array, low), high)


def _quotient(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    if not other.all():
        raise Unsupported("divides by 0")
    return np.trunc(one / other) if one.dtype.kind in "iu" else one / other


def _claim(call: Call, *extents: int) -> None:
    """Count numbers before they are computed."""
    size = math.prod(extents)
    call.computed.spend(size)
    if size > MOST_COMPUTED:
        raise Unsupported(f"computes a constant of {size:,} numbers; at most {MOST_COMPUTED:,}")


ALWAYS: dict[tuple[Domain, str], Callable[[Call], Constant]] = {
    (Domain.ONNX, "Constant"): constant,
    (Domain.ONNX, "ConstantOfShape"): filled,
    (Domain.ONNX, "Shape"): shape,
}
OF_CONSTANTS: dict[tuple[Domain, str], Callable[[Call], Constant]] = {
    (Domain.ONNX, kind): reader
    for kind, reader in {
        "Add": arithmetic(np.add),
        "Cast": cast,
        "Clip": arithmetic(_clipped),
        "Concat": concatenated,
        "Div": arithmetic(_quotient),
        "Floor": arithmetic(np.floor),
        "Gather": gather,
        "Mul": arithmetic(np.multiply),
        "Neg": arithmetic(np.negative),
        "Pow": arithmetic(np.power),
        "Slice": slice_of,
        "Sqrt": arithmetic(np.sqrt),
        "Sub": arithmetic(np.subtract),
    }.items()
}
