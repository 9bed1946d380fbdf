"""Shapes that a ``.tflite`` file computes. Keras 3's Flatten arrives as SHAPE, STRIDED_SLICE, PACK and RESHAPE."""

from __future__ import annotations

import numpy as np

from dnn2fpga.read.tflite_builtins import Builtin
from dnn2fpga.read.tflite_schema import Kind, TfliteModel, TfliteOperator
from dnn2fpga.tensors.basics import Unsupported

MOST_STEPS = 64  # of operators, one after the other
MOST_ENTRIES = 64  # of a vector


def integers(model: TfliteModel, index: int, steps: int = MOST_STEPS) -> np.ndarray:
    """The integers of a tensor that depends on nothing but shapes.

    :raises Unsupported: when they depend on something else.
    """
    tensor = model.tensors[index]
    if tensor.kind not in (Kind.INT32, Kind.INT64):
        raise Unsupported(f"{tensor.label} holds no integers")
    if tensor.content is not None:
        if len(tensor.content) > 8 * MOST_ENTRIES:
            raise Unsupported(f"{tensor.label} is no shape")
        return tensor.numbers.astype(np.int64)
    operator = next((one for one in model.operators if index in one.outputs), None)
    if operator is None or operator.kind not in _FOLDED or steps == 0:
        raise Unsupported(f"{tensor.label} is computed while the network runs; give the model a fixed input shape")
    return _FOLDED[operator.kind](model, operator, steps - 1)


def _shape(model: TfliteModel, operator: TfliteOperator, steps: int) -> np.ndarray:
    shape = np.array(model.tensors[_place(operator, 0)].shape, np.int64)
    return np.where(shape == -1, 1, shape)  # the batch


def _strided_slice(model: TfliteModel, operator: TfliteOperator, steps: int) -> np.ndarray:
    """Return a part of a vector; the masks say which bounds do not count, and that one number is meant."""
    vector, begin, end, stride = (integers(model, _place(operator, k), steps // 4) for k in range(4))
    options = operator.options
    begin_mask, end_mask, *others, shrinks = (options.number(k, "i") if options else 0 for k in range(5))
    if vector.ndim != 1 or begin.size != 1 or end.size != 1 or stride.size != 1 or any(others) or not stride.all():
        raise Unsupported("slices a shape in a way that is not supported")
    first, last, step = int(begin.reshape(-1)[0]), int(end.reshape(-1)[0]), int(stride.reshape(-1)[0])
    if shrinks & 1:
        if not -vector.size <= first < vector.size:
            raise Unsupported("slices a shape outside of its axes")
        return vector[first]
    return vector[slice(None if begin_mask & 1 else first, None if end_mask & 1 else last, step)]


def _pack(model: TfliteModel, operator: TfliteOperator, steps: int) -> np.ndarray:
    share = steps // max(len(operator.inputs), 1)
    parts = [integers(model, _place(operator, k), share) for k in range(len(operator.inputs))]
    if any(part.size != 1 for part in parts):
        raise Unsupported("packs shapes in a way that is not supported")
    return np.array([int(part.reshape(-1)[0]) for part in parts], np.int64)


def _place(operator: TfliteOperator, place: int) -> int:
    if place >= len(operator.inputs) or operator.inputs[place] < 0:
        raise Unsupported("computes a shape of a missing tensor")
    return operator.inputs[place]


_FOLDED = {Builtin.SHAPE: _shape, Builtin.STRIDED_SLICE: _strided_slice, Builtin.PACK: _pack}
