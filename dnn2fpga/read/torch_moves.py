"""Operators of PyTorch programs that only move numbers, or do nothing at inference."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable

import numpy as np

from dnn2fpga.read.channels_first import Constant, Stream, Value
from dnn2fpga.read.channels_first_moves import axis_of, concatenation, permuted, reshaped, whole_shape
from dnn2fpga.read.channels_first_windows import is_padding, padded
from dnn2fpga.read.torch_call import Call, Reader
from dnn2fpga.tensors.basics import Unsupported
from rtl_lib.image.window_schedule import Padding

FLOAT32 = 7

# Shapes


def reshape(argument: str) -> Reader:
    """view and reshape.

    :param argument: the one with the shape; of -1 what is left.
    """

    def reader(call: Call) -> Value:
        value, shape = call.value("self"), call.integers(argument, [])
        if isinstance(value, Stream) and shape and shape[0] == call.batch:
            shape[0] = 1
        if shape.count(-1) == 1:
            known = -math.prod(shape)
            shape[shape.index(-1)] = math.prod(whole_shape(value)) // known if known > 0 else 0
        return reshaped(value, tuple(shape))

    return reader


def flatten(call: Call) -> Value:
    """flatten of the axes from one to another."""
    value = call.value("self")
    shape = whole_shape(value)
    first, last = (axis_of(value, call.integer(name, end)) for name, end in (("start_dim", 0), ("end_dim", -1)))
    if first > last:
        raise Unsupported(f"start_dim={first}, end_dim={last}: end before they start")
    return reshaped(value, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


def squeeze(call: Call) -> Value:
    """squeeze of some axes, or of all but the batch."""
    value = call.value("self")
    shape = whole_shape(value)
    axes = [axis_of(value, axis) for axis in call.integers("dim", [])] if call.has("dim") else list(range(len(shape)))
    if isinstance(value, Stream) and 0 in axes and call.has("dim"):
        raise Unsupported("takes the batch away")
    kept = [axis for axis, extent in enumerate(shape) if extent != 1 or axis not in axes or not axis]
    return reshaped(value, tuple(shape[axis] for axis in kept))


def unsqueeze(call: Call) -> Value:
    """unsqueeze at an axis."""
    value = call.value("self")
    shape, axis = whole_shape(value), call.integer("dim", 0)
    if not -len(shape) - 1 <= axis <= len(shape):
        raise Unsupported(f"dim={axis}: there are {len(shape)} axes")
    axis %= len(shape) + 1
    return reshaped(value, (*shape[:axis], 1, *shape[axis:]))


# Order


def permute(call: Call) -> Value:
    """permute."""
    value = call.value("self")
    return permuted(value, tuple(axis_of(value, axis) for axis in call.integers("dims", [])))


def transpose(call: Call) -> Value:
    """transpose of two axes; t is that of a matrix."""
    value = call.value("self")
    rank = len(whole_shape(value))
    one, other = (axis_of(value, call.integer(name, axis)) for name, axis in (("dim0", 0), ("dim1", min(1, rank - 1))))
    order = list(range(rank))
    order[one], order[other] = order[other], order[one]
    return permuted(value, tuple(order))


# Of several tensors, and around an image


def cat(call: Call) -> Value:
    """cat."""
    return concatenation(call, call.streams("tensors"), call.integer("dim", 0), call.name)


def pad(call: Call) -> Value:
    """pad with zeros around an image; the last axis comes first."""
    source, amounts = call.image(), call.integers("pad", [])
    value = call.number("value", 0.0)
    if (
        call.text("mode", "constant") != "constant"
        or value
        or len(amounts) not in (2, 4)
        or not is_padding((*amounts,))
    ):
        raise Unsupported(f"adds {amounts} of {value}; only rows and columns of zeros are supported")
    left, right, top, bottom = (*amounts, 0, 0)[:4]
    return padded(call, source, Padding(top, bottom, left, right), call.name)


# Nothing, and integers


def unchanged(call: Call) -> Value:
    return call.value("input" if call.has("input") else "self")


def dropout(call: Call) -> Value:
    """dropout, which does nothing at inference."""
    if call.flag("train"):
        raise Unsupported("is in training mode; call model.eval() before the export")
    return unchanged(call)


def size(call: Call) -> Value:
    """One extent of a tensor; the batch counts as 1."""
    value = call.value("self")
    return Constant(np.asarray(whole_shape(value)[axis_of(value, call.integer("dim", 0))]))


def of_integers(function: Callable[[int, int], int]) -> Reader:
    """Arithmetic on extents."""

    def reader(call: Call) -> Value:
        one, other = call.integer("a", 0), call.integer("b", 0)
        if max(abs(one), abs(other)) > 2**31 or (function is operator.floordiv and not other):
            raise Unsupported(f"computes an extent from {one} and {other}")
        return Constant(np.asarray(function(one, other), np.int64))

    return reader


LOOKING: dict[str, Reader] = {  # their result may be the same numbers in memory
    "aten._unsafe_view.default": reshape("size"),
    "aten.alias.default": unchanged,
    "aten.alpha_dropout.default": dropout,
    "aten.clone.default": unchanged,
    "aten.contiguous.default": unchanged,
    "aten.detach.default": unchanged,
    "aten.detach_.default": unchanged,
    "aten.dropout.default": dropout,
    "aten.dropout_.default": dropout,
    "aten.feature_dropout.default": dropout,
    "aten.flatten.using_ints": flatten,
    "aten.lift_fresh_copy.default": unchanged,
    "aten.permute.default": permute,
    "aten.reshape.default": reshape("shape"),
    "aten.squeeze.default": squeeze,
    "aten.squeeze.dim": squeeze,
    "aten.squeeze.dims": squeeze,
    "aten.t.default": transpose,
    "aten.transpose.int": transpose,
    "aten.unsqueeze.default": unsqueeze,
    "aten.view.default": reshape("size"),
}
READERS: dict[str, Reader] = {
    **LOOKING,
    "_operator.add": of_integers(operator.add),
    "_operator.floordiv": of_integers(operator.floordiv),
    "_operator.mul": of_integers(operator.mul),
    "_operator.sub": of_integers(operator.sub),
    "aten.cat.default": cat,
    "aten.constant_pad_nd.default": pad,
    "aten.pad.default": pad,
    "aten.sym_size.int": size,
}
