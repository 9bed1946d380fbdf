"""Tensors of ONNX and PyTorch: constants, and streams whose numbers arrive in another order than the source's own.

Both keep images channels first, ``[batch, channels, rows, columns]``; a stream has pixel after pixel, channels last.
So a stream knows the *places* of its numbers: an array in the source's shape of where in the stream each number is.
Whatever only moves numbers (Flatten, Reshape, Transpose, …) is done to the places, and costs nothing; a dense layer
sorts the rows of its weights by them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property

import numpy as np

from dnn2fpga.exact.rationals import rationals
from dnn2fpga.read.builder import SymbolicTensor
from dnn2fpga.tensors.basics import Shape, Unsupported

MOST_MOVED = 2**20  # numbers of a tensor whose places are written down


@dataclass(frozen=True)
class Grid:
    """The meaning of codes, ``(code - zero) * scale``, and the codes of their type."""

    scale: Fraction
    zero: int
    low: int
    high: int

    def means_as(self, other: Grid) -> bool:
        """Whether codes mean the same on both."""
        return (self.scale, self.zero) == (other.scale, other.zero)


@dataclass(frozen=True, eq=False)
class Codes:
    """Integers that a constant was made of: ``(code - zero point) * scale``.

    :param integers: int64, in the constant's shape; zero points taken off.
    :param scale: exact, of as many axes; each has one entry, or as many as the constant.
    """

    integers: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, integers: np.ndarray, scale: np.ndarray) -> Codes:
        """Take scales that broadcast to the integers."""
        missing = integers.ndim - scale.ndim
        return cls(integers.astype(np.int64), rationals(scale.reshape((1,) * missing + scale.shape)))

    def transposed(self, axes: tuple[int, ...]) -> Codes:
        return Codes(self.integers.transpose(axes), self.scale.transpose(axes))

    def reshaped(self, shape: tuple[int, ...]) -> Codes | None:
        """In another shape; None where scales would be torn apart."""
        if self.scale.size > 1:
            return None
        return Codes(self.integers.reshape(shape), self.scale.reshape((1,) * len(shape)))


@dataclass(frozen=True, eq=False)
class Constant:
    """A tensor that depends on no input.

    :param codes: what it was made of, where the source has integers.
    """

    array: np.ndarray
    codes: Codes | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def transposed(self, axes: tuple[int, ...]) -> Constant:
        """Return it with its axes in another order."""
        return Constant(self.array.transpose(axes), self.codes and self.codes.transposed(axes))

    def reshaped(self, shape: tuple[int, ...]) -> Constant:
        """Return it in another shape."""
        return Constant(self.array.reshape(shape), self.codes and self.codes.reshaped(shape))

    def exact(self) -> np.ndarray:
        """Its numbers, exactly."""
        if self.codes is None:
            return rationals(self.array)
        return np.asarray(rationals(self.codes.integers) * self.codes.scale)


@dataclass(frozen=True, eq=False)
class Stream:
    """A tensor that is computed.

    :param shape: the source's own, without the batch.
    :param moved: where in the stream each number is; None in the usual order: of vectors, and of images, channels
        first.
    :param grid: on which its numbers lie, where that is known.
    :param is_codes: whether the source has the codes there; a stream has what they mean.
    """

    tensor: SymbolicTensor
    shape: Shape
    moved: np.ndarray | None = field(default=None, repr=False)
    grid: Grid | None = None
    is_codes: bool = False

    @classmethod
    def usual(cls, tensor: SymbolicTensor) -> Stream:
        """A vector, or an image that the source has channels first."""
        return cls(tensor, (*tensor.shape[2:], *tensor.shape[:2]))

    def of(self, tensor: SymbolicTensor) -> Stream:
        """Another tensor, whose numbers are in the same places."""
        return replace(self, tensor=tensor, grid=None, is_codes=False)

    def on(self, grid: Grid | None, is_codes: bool) -> Stream:
        """The same numbers, of which this is known."""
        return replace(self, grid=grid, is_codes=is_codes)

    @property
    def code_grid(self) -> Grid | None:
        """The grid of its codes; None where the source has real numbers."""
        return self.grid if self.is_codes else None

    @cached_property
    def places(self) -> np.ndarray:
        """Where in the stream each number is, in the source's shape.

        :raises Unsupported: when there are too many.
        """
        if self.moved is not None:
            return self.moved
        return _usual(self.tensor.shape)

    def at(self, places: np.ndarray) -> Stream:
        """The same stream, seen by the source in another shape or order."""
        own = self.tensor.shape
        usual = len(places.shape) == len(own) and places.shape == (*own[2:], *own[:2])
        if usual and (places == _usual(own)).all():
            return replace(self, shape=places.shape, moved=None)
        return replace(self, shape=places.shape, moved=places)

    @property
    def is_image(self) -> bool:
        """Whether it is an image, channels first."""
        return self.moved is None and len(self.shape) == 3

    @property
    def is_in_order(self) -> bool:
        """Whether its numbers arrive in the source's order of a vector or of an image, channels last."""
        if self.moved is None:
            return len(self.shape) == 1 or self.shape[0] == 1 or self.shape[1:] == (1, 1)
        return bool((self.moved.reshape(-1) == np.arange(self.moved.size)).all())

    def per_channel(self, values: np.ndarray) -> np.ndarray:
        """Return constants as one number, or as one per channel of the stream.

        :param values: broadcast to the source's shape, the batch included.
        :raises Unsupported: when numbers of one channel differ.
        """
        if values.size == 1:
            return values.reshape(())
        try:
            whole = np.broadcast_to(values, (1, *self.shape))[0]
        except ValueError:
            whole = None
        if whole is None or values.ndim > whole.ndim + 1:
            raise Unsupported(f"has a constant of shape {list(values.shape)} beside {[1, *self.shape]}")
        if self.moved is None and len(self.shape) == 1:
            return np.asarray(whole)
        if self.moved is None:
            pixels = zip(whole.strides[1:], whole.shape[1:], strict=True)
            channels = whole[:, 0, 0] if all(not stride or extent == 1 for stride, extent in pixels) else None
        else:
            ordered = np.empty(whole.size, whole.dtype)
            ordered[self.moved.reshape(-1)] = whole.reshape(-1)
            rows = ordered.reshape(-1, self.tensor.shape[-1])
            channels = rows[0] if (rows == rows[:1]).all() else None
        if channels is None:
            raise Unsupported(
                f"has a constant of shape {list(values.shape)} with numbers that are not those of channels"
            )
        return np.asarray(channels)


def _usual(shape: Shape) -> np.ndarray:
    """The places of a vector, or of an image channels first."""
    if math.prod(shape) > MOST_MOVED:
        raise Unsupported(f"moves {math.prod(shape):,} numbers; at most {MOST_MOVED:,}")
    places = np.arange(math.prod(shape), dtype=np.int32).reshape(shape)
    return places.transpose(2, 0, 1) if len(shape) == 3 else places


Value = Constant | Stream
