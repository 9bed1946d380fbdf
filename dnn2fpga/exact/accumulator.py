"""Integers on their way through a model that brings its own: tensors of codes, and sums that wait for a quantizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.exact.pairs import Pairs
from dnn2fpga.exact.pieces import Chain, ExactPiece, Line, Piece, exactly, extended
from dnn2fpga.exact.rationals import floats
from dnn2fpga.tensors.basics import Shape, Unsupported
from dnn2fpga.tensors.tensor import Tensor, one_or_each
from rtl_lib.core.arithmetic import Overflow, Rounding

WIDEST = 32  # bits of a number on a wire
LARGEST = 1 << (WIDEST - 1)  # beyond every signed one
WIDEST_PRODUCT = 60  # bits; the hardware's sums may be a bit wider than those that occur


def tensor_of(shape: Shape, lanes: int, encoding: Encoding) -> Tensor:
    """Return the tensor on a wire that holds such codes.

    :raises Unsupported: when they do not fit a wire.
    """
    own, format = encoding.for_lanes(lanes), encoding.format
    if format.width > WIDEST:
        raise Unsupported(f"its codes, and that of 0, need {format.width} bits; at most {WIDEST}")
    return Tensor(
        shape=shape,
        lanes=lanes,
        signed=format.signed,
        width=format.width,
        scale=one_or_each([float(scale) for scale in floats(own.scale)]),
        zero_point=one_or_each([int(zero) for zero in own.zero_point]),
    )


@dataclass(frozen=True, eq=False)
class Codes:
    """A tensor of the integer model.

    :param name: of the tensor.
    :param encoding: what its integers mean, exactly, and which of them occur; one entry per lane.
    :param mapped: the codes that it is a function of, where it has no layer yet.
    """

    name: str
    tensor: Tensor
    encoding: Encoding
    mapped: Mapped | None = None


@dataclass(frozen=True, eq=False)
class Mapped:
    """Codes that are a function of few others, and need no layer where that is taken into account (`pairs`).

    :param source: the others.
    :param first: the code of ``source`` to which the first entry of the table belongs.
    :param table: int64 ``[codes, lanes]``.
    :param function: its name, for the task of the network.
    """

    source: Codes
    first: int
    table: np.ndarray
    function: str


@dataclass(frozen=True, eq=False)
class Requantizer:
    """The last step of an integer layer (docs/arithmetic.md, *Requantize*); arrays have one entry per lane.

    :param negative: multiplier and offset for negative accumulators, where they have others.
    :param sources: the accumulator of every lane; None: its own.
    """

    multiplier: np.ndarray
    shift: np.ndarray
    offset: np.ndarray
    low: np.ndarray
    high: np.ndarray
    rounding: Rounding = Rounding.FLOOR
    overflow: Overflow = Overflow.SATURATE
    negative: tuple[np.ndarray, np.ndarray] | None = None
    sources: np.ndarray | None = None

    def is_exact(self, low: np.ndarray, high: np.ndarray) -> bool:
        """Return whether integers of 64 bits hold all products with sums ``low`` … ``high``."""
        multipliers, offsets = zip(
            (self.multiplier, self.offset), *([self.negative] if self.negative else []), strict=True
        )
        bits = max(int(end).bit_length() for end in (low.min(), high.max())) + 1
        bits += max(int(np.abs(of).max()).bit_length() for of in multipliers)
        bits = max(bits, *(int(np.abs(of).max()).bit_length() for of in offsets), int(self.shift.max()))
        return bits < WIDEST_PRODUCT


class Build(Protocol):
    """Makes the integer layer of an accumulator."""

    def __call__(self, name: str, output: Tensor, last: Requantizer) -> Any:
        """Return the layer.

        :param last: the layer's last step.
        :raises Unsupported, ValueError: when it cannot do so.
        """


@dataclass(frozen=True, eq=False)
class Accumulator:
    """Exact sums of a layer that no quantizer has rounded yet.

    :param inputs: the tensors that the layer reads.
    :param shape, lanes: of the tensor.
    :param low, high: the sums that can occur, int64 ``[lanes]``.
    :param pieces: for each lane, what the source computes of a sum before it rounds.
    :param build: makes the layer.
    :param has_two_lines: whether the layer's last step may have another line for negative sums.
    :param has_sources: whether the layer's last step may make several lanes of one sum.
    :param pairs: another form of a sum of two tensors.
    :param layer: the layer that adds them up; None where they are codes of a tensor.
    :param is_code: whether a sum is just a code of the input, so that a table may take its place.
    """

    inputs: tuple[Codes, ...]
    shape: Shape
    lanes: int
    low: np.ndarray
    high: np.ndarray
    pieces: tuple[Chain, ...]
    build: Build
    is_code: bool = False
    has_two_lines: bool = True
    has_sources: bool = True
    pairs: Pairs | None = None
    layer: str | None = None

    @classmethod
    def of_line(
        cls,
        inputs: Sequence[Codes],
        shape: Shape,
        interval: tuple[np.ndarray, np.ndarray],
        scale: np.ndarray,
        offset: np.ndarray,
        build: Build,
        *,
        is_code: bool = False,
        has_two_lines: bool = True,
        has_sources: bool = True,
    ) -> Accumulator:
        """Sums that mean ``sum * scale + offset``, both exact ``[lanes]``."""
        lines = tuple((Line(Fraction(s), Fraction(o)),) for s, o in zip(scale, offset, strict=True))
        return cls(tuple(inputs), shape, len(lines), *interval, lines, build, is_code, has_two_lines, has_sources)

    @property
    def may_be_shared(self) -> bool:
        """Whether one layer may make the codes of several requantizers of them."""
        return self.layer is not None and self.has_sources

    def then(self, pieces: Sequence[Piece]) -> Accumulator:
        """Followed by one function per lane, or one for all."""
        each = tuple(pieces) * (self.lanes if len(pieces) == 1 else 1)
        if len(each) != self.lanes:
            raise ValueError(f"{len(each)} numbers meet {self.lanes} lanes; its channels must travel in one beat")
        return replace(self, pieces=tuple(map(extended, self.pieces, each)))

    @property
    def exact_pieces(self) -> tuple[tuple[ExactPiece, ...], ...] | None:
        """The ``pieces`` of every lane; None where one of them is not exact."""
        lanes = tuple(own for pieces in self.pieces if (own := exactly(pieces)) is not None)
        return lanes if len(lanes) == self.lanes else None
