"""Exact encodings of tensors, and exact weights."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self

import numpy as np

from dnn2fpga.exact.rationals import floats, rationals
from rtl_lib.core.formats import Format


def of_lanes(values: np.ndarray, lanes: int) -> np.ndarray | None:
    """Return one number per channel as one per lane, of channels that travel in ``lanes`` lanes, channel ``k`` in lane
    ``k % lanes``; one number for all as it is. None where channels of one lane have different numbers.
    """
    if values.size in (1, lanes):
        return values
    is_same = values.size % lanes == 0 and (values.reshape(-1, lanes) == values[:lanes]).all()
    return values[:lanes] if is_same else None


@dataclass(frozen=True)
class Lane:
    """The encoding of one lane."""

    scale: Fraction
    zero_point: int
    low: int
    high: int


@dataclass(frozen=True, eq=False)
class Encoding:
    """Integers ``low`` … ``high``, of which ``code`` means ``(code - zero_point) * scale``.

    Each field is a vector with one entry for all channels, or one per channel.

    :param scale: the step between two codes; exact (``Fraction``), above 0.
    :param zero_point: the code of 0 (int64); it may lie outside of ``low`` … ``high``.
    :param low, high: the codes that occur (int64).
    """

    scale: np.ndarray
    zero_point: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, scale: Any, low: Any, high: Any, zero_point: Any = 0) -> Self:
        """Numbers, or sequences with one entry per channel.

        :raises ValueError: when a scale is not above 0 and finite, or ``low`` is above ``high``.
        """
        exact = np.atleast_1d(rationals(scale))
        zero, least, most = (np.atleast_1d(np.asarray(v, np.int64)) for v in (zero_point, low, high))
        if any(value <= 0 for value in exact):
            raise ValueError("a scale must be above 0")
        if (least > most).any():
            raise ValueError("the lowest code is above the highest")
        return cls(exact, zero, least, most)

    @property
    def format(self) -> Format:
        """The narrowest format that holds all codes, and the zero point."""
        low, high = min(self.low.min(), self.zero_point.min()), max(self.high.max(), self.zero_point.max())
        return Format.containing(int(low), int(high))

    @property
    def reach(self) -> np.ndarray:
        """The largest distance of a code from the zero point, as Python integers."""
        ends = [end.astype(object) - self.zero_point.astype(object) for end in (self.low, self.high)]
        return np.maximum(*np.abs(ends))

    def for_lanes(self, lanes: int) -> Encoding:
        """Return the same with one entry for each of ``lanes``.

        :raises ValueError: where a field has another number of entries.
        """
        fields = vars(self)
        if any(values.size not in (1, lanes) for values in fields.values()):
            raise ValueError(f"a quantizer needs one number, or one for each of the {lanes} channels")
        return Encoding(**{name: np.broadcast_to(values, (lanes,)) for name, values in fields.items()})

    def in_lanes(self, lanes: int) -> Encoding | None:
        """Return the same where channels travel in ``lanes`` lanes; None where channels of one lane differ."""
        fields = {name: of_lanes(values, lanes) for name, values in vars(self).items()}
        return None if any(values is None for values in fields.values()) else Encoding(**fields)  # type: ignore[arg-type]

    @property
    def lanes(self) -> list[Lane]:
        """The encoding of every lane."""
        columns = (self.scale, self.zero_point.tolist(), self.low.tolist(), self.high.tolist())
        return [Lane(*values) for values in zip(*columns, strict=True)]

    def reals(self, codes: np.ndarray) -> np.ndarray:
        """Return what codes ``[..., channels]`` mean, in float64."""
        return (codes - self.zero_point) * floats(self.scale)


@dataclass(frozen=True, eq=False)
class ExactWeights:
    """Weights of a layer as its source has them: ``codes * scale`` per output, plus ``bias``.

    :param codes: int64, in the shape of the layer's weights (the last axis is the output); zero points taken off.
    :param scale: exact, ``[outputs]`` or ``[1]``.
    :param bias: exact, ``[outputs]``.
    """

    codes: np.ndarray
    scale: np.ndarray
    bias: np.ndarray

    @classmethod
    def of(cls, codes: Any, scale: Any, bias: Any = 0) -> Self:
        """Arrays or numbers; floats are taken as the exact numbers that they are."""
        integers = np.asarray(codes)
        if integers.dtype.kind not in "iu":
            raise ValueError(f"codes of weights must be integers, not {integers.dtype}")
        outputs = integers.shape[-1]
        return cls(
            integers.astype(np.int64),
            np.broadcast_to(np.atleast_1d(rationals(scale)), (outputs,)),
            np.broadcast_to(np.atleast_1d(rationals(bias)), (outputs,)),
        )

    @property
    def float_weights(self) -> np.ndarray:
        """The weights in float64."""
        return self.codes * floats(self.scale)

    @property
    def float_bias(self) -> np.ndarray:
        """The bias in float64."""
        return floats(self.bias)
