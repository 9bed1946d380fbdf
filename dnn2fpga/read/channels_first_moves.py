"""Operators that only move numbers, in sources whose tensors are channels first."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dnn2fpga.layers.concatenate import Concatenate
from dnn2fpga.read.channels_first import Constant, Stream, Value
from dnn2fpga.read.channels_first_operator import Operator
from dnn2fpga.tensors.basics import Unsupported

MOST_AXES = 8


def whole_shape(value: Value) -> tuple[int, ...]:
    """Return the source's own shape: of a tensor that is computed with the batch, which is 1."""
    return (1, *value.shape) if isinstance(value, Stream) else value.shape


def reshaped(value: Value, shape: tuple[int, ...]) -> Value:
    """Return a constant or a tensor in another shape.

    :param shape: with the batch.
    """
    before = whole_shape(value)
    if math.prod(shape) != math.prod(before) or min(shape, default=1) < 0 or len(shape) > MOST_AXES:
        raise Unsupported(f"makes {list(shape)} of {math.prod(before):,} numbers")
    if isinstance(value, Constant):
        return value.reshaped(shape)
    if shape == before:
        return value
    if len(shape) < 2 or shape[0] != 1:
        raise Unsupported(f"makes {list(shape)} of {list(before)}: the first axis must stay the batch of 1")
    return value.at(value.places.reshape(shape[1:]))


def permuted(value: Value, order: tuple[int, ...]) -> Value:
    """Return a constant or a tensor with its axes in another order; the batch stays first."""
    if sorted(order) != list(range(len(whole_shape(value)))):
        raise Unsupported(f"has no axes {list(order)}: there are {len(whole_shape(value))}")
    if isinstance(value, Constant):
        return value.transposed(order)
    if order[0] != 0:
        raise Unsupported(f"has the axes {list(order)}: the first axis must stay the batch")
    return value.at(value.places.transpose([axis - 1 for axis in order[1:]]))


def axis_of(value: Value, axis: int) -> int:
    """Return an axis counted from the front.

    :raises Unsupported: when there is none.
    """
    rank = len(whole_shape(value))
    if not -rank <= axis < rank:
        raise Unsupported(f"has no axis {axis}: there are {rank}")
    return axis % rank


def concatenation(operator: Operator, streams: Sequence[Stream], axis: int, name: str) -> Stream:
    """Add a concatenation.

    :param axis: the batch counts.
    """
    first, rank = streams[0], len(streams[0].shape) + 1
    if not -rank <= axis < rank or axis % rank == 0 or any(len(one.shape) != rank - 1 for one in streams):
        raise Unsupported(f"axis={axis}: joins along the batch, along no axis, or tensors of other ranks")
    one_grid = all(one.grid == first.grid for one in streams)
    if any(one.is_codes for one in streams) and not (one_grid and all(one.is_codes for one in streams)):
        raise Unsupported("joins codes that mean something else each; quantize them alike")
    known = first.grid if one_grid else None
    if len(streams) == 1:
        return first
    axis = axis % rank - 1
    if all(one.is_image for one in streams):
        tensor = operator.add(Concatenate(name, (2, 0, 1)[axis]), *(one.tensor for one in streams))
        return Stream.usual(tensor).on(known, first.is_codes)
    if rank != 2:
        raise Unsupported("joins images that are not channels first")
    tensor = operator.add(Concatenate(name, 0), *(operator.vector(one) for one in streams))
    starts = np.cumsum([0, *(one.shape[0] for one in streams[:-1])])
    whole = Stream.usual(tensor).on(known, first.is_codes)
    if all(one.moved is None for one in streams):
        return whole
    return whole.at(np.concatenate([one.places + start for one, start in zip(streams, starts, strict=True)]))
