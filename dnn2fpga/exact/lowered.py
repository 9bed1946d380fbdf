"""The integer forms of layers of models with their own integers: sums that wait, codes that only move, or new codes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from dnn2fpga.exact.accumulator import LARGEST, WIDEST, Accumulator, Build, Codes, Requantizer
from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.exact.pieces import Chain, applied
from dnn2fpga.exact.rationals import common_step, integers
from dnn2fpga.exact.widest import in_widest_tensor
from dnn2fpga.tensors.basics import Unsupported
from dnn2fpga.tensors.tensor import Tensor

WIDEST_SUM = 62  # bits: NumPy adds up integers of 64 bits


class Emitter(Protocol):
    """Collects the layers of the integer model."""

    def add(self, layer: Any, inputs: Sequence[Codes], encoding: Encoding) -> Codes:
        """Add an integer layer; returns its output.

        :param encoding: of its output.
        """

    def add_rounded(self, name: str, sums: Accumulator, last: Requantizer, encoding: Encoding) -> Codes:
        """Add the layer of sums, with this last step.

        :param encoding: of its output.
        """

    def requantized(self, name: str, sums: Accumulator, encoding: Encoding, rule: Any) -> Codes:
        """Add the layer that makes codes of sums."""

    def is_read(self, name: str) -> bool:
        """Return whether another layer reads a tensor of the source."""

    def note(self, text: str) -> None:
        """Keep a note about the model for people."""


class Lowered(ABC):
    """A tensor on its way to integers."""

    @property
    def unrounded(self) -> Accumulator | None:
        """Its sums, while no quantizer has rounded them: layers that follow sums may go on."""
        return None

    @property
    def loses_bits(self) -> bool:
        """Whether its sums are wider than any tensor, so that `codes` rounds them."""
        return False

    def of_layer(self, name: str) -> Lowered:
        """Return the same with the name of the layer that adds its sums up, where it is sums."""
        return self

    @abstractmethod
    def codes(self, emitter: Emitter, name: str) -> Codes:
        """Make it a tensor of the integer model.

        :raises Unsupported: when it cannot be one exactly.
        """


@dataclass(frozen=True, eq=False)
class Sums(Lowered):
    """Exact sums that no quantizer has rounded."""

    sums: Accumulator

    @property
    def unrounded(self) -> Accumulator:
        return self.sums

    @property
    def loses_bits(self) -> bool:
        lanes = range(self.sums.lanes)
        return all(map(_keeps_grid, self.sums.pieces)) and any(_is_wide(_on_a_grid(self.sums, k)) for k in lanes)

    def of_layer(self, name: str) -> Lowered:
        return Sums(replace(self.sums, layer=name))

    def codes(self, emitter: Emitter, name: str) -> Codes:
        """The sums as they are: integers of the coarsest grid on which all of them lie. Where these would be wider than
        any tensor, the source computes in floating point, and they are rounded as finely as it does at least.
        """
        sums = self.sums
        lanes = [_on_a_grid(sums, k) for k in range(sums.lanes)]
        if any(map(_is_wide, lanes)):
            what = "" if (is_read := emitter.is_read(name)) else "the output "
            emitter.note(f"{what}'{name}' is rounded to {WIDEST} bits: its source does not quantize it")
            if not is_read and all(len(pieces) == 1 for pieces in sums.pieces):
                lanes = [_rounded(sums, k) if _is_wide(lane) else lane for k, lane in enumerate(lanes)]
            if any(map(_is_wide, lanes)):
                return emitter.add_rounded(name, sums, *in_widest_tensor(sums))
        encoding = Encoding.of(*([lane[k] for lane in lanes] for k in (0, 1, 2)))
        column = np.array([lane[3:] for lane in lanes], np.int64)
        last = Requantizer(column[:, 0], 0 * column[:, 0], column[:, 1], encoding.low, encoding.high)
        return emitter.add_rounded(name, sums, last, encoding)


def _keeps_grid(pieces: Chain) -> bool:
    return all(piece.keeps_grid for piece in pieces[1:])


def _is_wide(lane: tuple[Any, ...]) -> bool:
    return max(-lane[1], lane[2]) >= LARGEST


def _on_a_grid(sums: Accumulator, lane: int) -> tuple[Any, ...]:
    """Scale, lowest and highest code, multiplier and offset of a lane's sums, where all of them are exact."""
    line, *rest = sums.pieces[lane]
    if not _keeps_grid(sums.pieces[lane]):
        raise Unsupported("what it computes is not rounded by any quantizer; quantize it in the source")
    bounds = [bound for piece in rest for bound in piece.bounds if bound is not None]
    scale = common_step([line.slope, line.offset, *bounds])
    multiplier, offset = int(line.slope / scale), int(line.offset / scale)
    ends = [applied(sums.pieces[lane], Fraction(int(end))) / scale for end in (sums.low[lane], sums.high[lane])]
    return scale, int(min(ends)), int(max(ends)), multiplier, offset


def _rounded(sums: Accumulator, lane: int) -> tuple[Any, ...]:
    """The same on the finest grid of sums that is not too wide, where only the offset must be rounded."""
    line, *_ = sums.pieces[lane]
    start = line.offset / abs(line.slope)
    ends = [int(end) * (1 if line.slope > 0 else -1) + start for end in (sums.low[lane], sums.high[lane])]
    largest = math.ceil(max(abs(end) for end in ends))
    bits = max((LARGEST // (largest + 1)).bit_length() - 1, 0)
    multiplier, offset = 1 << bits, round(start * (1 << bits))
    codes = sorted(round(end * (1 << bits)) for end in ends)
    return abs(line.slope) / multiplier, codes[0], codes[1], multiplier if line.slope > 0 else -multiplier, offset


@dataclass(frozen=True, eq=False)
class Moved(Lowered):
    """Codes that keep their meaning.

    :param build: makes the integer layer of its name.
    :param encoding: of the output, per lane.
    """

    inputs: tuple[Codes, ...]
    build: Callable[[str], Any]
    encoding: Encoding

    def codes(self, emitter: Emitter, name: str) -> Codes:
        return emitter.add(self.build(name), self.inputs, self.encoding)


@dataclass(frozen=True, eq=False)
class Rounding(Lowered):
    """Sums and the quantizer that rounds them."""

    sums: Accumulator
    encoding: Encoding
    rule: Any

    def codes(self, emitter: Emitter, name: str) -> Codes:
        return emitter.requantized(name, self.sums, self.encoding, self.rule)


def tiled(encoding: Encoding, tensor: Tensor, lanes: int) -> Encoding:
    """Return the encoding of a tensor's codes in another number of lanes.

    :raises Unsupported: where numbers of different scales would meet in a lane.
    """
    if lanes % tensor.lanes == 0:
        each = vars(encoding.for_lanes(tensor.lanes))
        fields = {name: np.tile(values, lanes // tensor.lanes) for name, values in each.items()}
        return Encoding(**fields)
    if len(set(encoding.scale)) > 1 or len(set(encoding.zero_point.tolist())) > 1:
        raise Unsupported(f"channels with scales of their own cannot travel in {lanes} lanes, only in {tensor.lanes}")
    one = [
        encoding.scale[:1],
        encoding.zero_point[:1],
        encoding.low.min(keepdims=True),
        encoding.high.max(keepdims=True),
    ]
    return Encoding(*(np.tile(values, lanes) for values in one))


def require_narrow(largest: Any) -> None:
    """Refuse sums that integers of 64 bits might not hold.

    :param largest: no less than any sum in magnitude; a Python integer, or an array of them.
    :raises Unsupported: when there are some.
    """
    if (bits := int(np.max(largest)).bit_length()) > WIDEST_SUM:
        raise Unsupported(f"its sums need {bits} bits; at most {WIDEST_SUM}. Scales of its inputs lie too far apart")


def aligned(inputs: Sequence[Codes], factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bring inputs of different scales to one.

    :param factors: exact ``[inputs]``: what each is multiplied with.
    :returns: integers ``[inputs, lanes]``, and the exact scale ``[lanes]`` of ``sum of (code - zero point) * integer``.
    """
    scales = np.stack([one.encoding.scale * factor for one, factor in zip(inputs, factors, strict=True)])
    steps = np.array([common_step(column) for column in scales.T], object)
    ratios = scales / steps
    require_narrow(sum(abs(ratio) * one.encoding.reach for ratio, one in zip(ratios, inputs, strict=True)))
    return integers(ratios), steps


__all__ = ["Build", "Emitter", "Lowered", "Moved", "Rounding", "Sums", "aligned", "require_narrow", "tiled"]
