"""Rules by which sources make codes of real numbers, and the requantizers that do the same to accumulators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar

import numpy as np

from dnn2fpga.exact.accumulator import Accumulator, Requantizer
from dnn2fpga.exact.direct import Dyadic, direct
from dnn2fpga.exact.encoding import Encoding, Lane
from dnn2fpga.exact.pieces import Chain, Line, Reach, applied, exactly, numerically
from dnn2fpga.exact.rationals import floats, rationals
from dnn2fpga.exact.rounding import RoundingMode
from dnn2fpga.exact.steps import MOST_STEPS, Steps
from dnn2fpga.tensors.basics import Unsupported
from dnn2fpga.tensors.conversion import Conversion
from rtl_lib.core import arithmetic
from rtl_lib.core.arithmetic import Overflow

FAR = 1 << 40  # beyond every code


class Rule(ABC):
    """A rule by which real numbers become codes.

    :cvar rounds: whether codes are the numbers, rounded; else they are another function of them.
    """

    rounds: ClassVar[bool] = True

    @abstractmethod
    def codes(self, x: np.ndarray, encoding: Encoding) -> np.ndarray:
        """Return the codes (float64) of real numbers ``[..., channels]``, computed in float64."""

    def in_lanes(self, lanes: int) -> Rule | None:
        """Return the rule where channels travel in ``lanes`` lanes; None where it differs for channels of one lane."""
        return self

    @property
    def never_decreases(self) -> bool:
        """Whether a larger number never gets a lower code."""
        return True

    def direct(self, sums: Accumulator, encoding: Encoding) -> Requantizer | None:
        """Return the requantizer where all scales are powers of two apart; None where they are not."""
        return None

    def unwrapped(self, sums: Accumulator, encoding: Encoding) -> tuple[Encoding, Rule] | None:
        """Return the codes that there would be if none wrapped, and the rule that makes them; None where codes do not
        wrap, or where `direct` writes down how.
        """
        return None

    @property
    def conversion(self) -> Conversion | None:
        """The conversion by which the host does it to an input of the model; None where only hardware does."""
        return None

    def has_many_steps(self, sums: Accumulator, encoding: Encoding) -> bool:
        """Whether it has more codes than steps are looked for."""
        if not (encoding.high - encoding.low > MOST_STEPS).any() or self.direct(sums, encoding) is not None:
            return False
        ends = self.codes_of(sums, encoding, np.array([sums.low.min(), sums.high.max()]))
        return bool((np.ptp(ends, axis=0) > MOST_STEPS).any())

    def codes_of(self, sums: Accumulator, encoding: Encoding, accumulators: np.ndarray) -> np.ndarray:
        """Return the codes (int64 ``[n, lanes]``) of accumulators ``[n]``, as `steps` does."""
        real = [numerically(lane, accumulators.astype(np.float64)) for lane in sums.pieces]
        return self.codes(np.stack(real, axis=1), encoding).astype(np.int64)

    def steps(self, sums: Accumulator, encoding: Encoding) -> list[Steps]:
        """Return the steps of every lane: unless a rule knows better, those of `codes` after what comes before it, in
        float64.

        :raises Unsupported: when they cannot be found exactly.
        """
        own = encoding.for_lanes(sums.lanes)

        def function(a: np.ndarray) -> np.ndarray:
            lanes = (numerically(lane, a[..., k].astype(np.float64)) for k, lane in enumerate(sums.pieces))
            return self.codes(np.stack(list(lanes), axis=-1), encoding).astype(np.int64)

        return Steps.of_functions(function, sums.low, sums.high, own.low, own.high)


@dataclass(frozen=True)
class Rounded(Rule):
    """``fit(round(x / scale) + zero_point, low, high)``.

    :param overflow: what becomes of codes outside of ``low`` … ``high``; with `Overflow.WRAP` these bounds are those
        of a two's-complement or unsigned number.
    :param zero_point_first: ``round(x / scale + zero_point)`` instead (QONNX).
    :param binary32: where this converts an input of the model, whether the source divides in float32 (and the host
        must do so, too).
    """

    rounding: RoundingMode = RoundingMode.HALF_EVEN
    overflow: Overflow = Overflow.SATURATE
    zero_point_first: bool = False
    binary32: bool = False

    def codes(self, x: np.ndarray, encoding: Encoding) -> np.ndarray:
        kind = np.float32 if self.binary32 else np.float64
        levels = np.asarray(x, kind) / floats(encoding.scale).astype(kind)
        before, after = (encoding.zero_point.astype(kind), 0) if self.zero_point_first else (0, encoding.zero_point)
        codes = self.rounding.round((levels + before).astype(np.float64)) + after
        if self.overflow is Overflow.WRAP:
            return encoding.low + np.mod(codes - encoding.low, encoding.high - encoding.low + 1)
        return np.asarray(arithmetic.fit(codes, encoding.low, encoding.high, self.overflow))

    @property
    def never_decreases(self) -> bool:
        return self.overflow is not Overflow.WRAP

    @property
    def conversion(self) -> Conversion:
        return Conversion(
            rounding=self.rounding.value,
            wraps=self.overflow is Overflow.WRAP,
            zero_point_first=self.zero_point_first,
            binary32=self.binary32,
        )

    def direct(self, sums: Accumulator, encoding: Encoding) -> Requantizer | None:
        lanes = [
            Dyadic.of(sums.pieces[k], lane, self.rounding, self.zero_point_first, wraps=self.overflow is Overflow.WRAP)
            for k, lane in enumerate(encoding.lanes)
        ]
        last = direct(lanes, self.overflow)
        return last if last is not None and last.is_exact(sums.low, sums.high) else None

    def unwrapped(self, sums: Accumulator, encoding: Encoding) -> tuple[Encoding, Rule] | None:
        if self.overflow is not Overflow.WRAP or self.direct(sums, encoding) is not None:
            return None
        without = replace(self, overflow=Overflow.SATURATE)
        endless = replace(encoding, low=encoding.low * 0 - FAR, high=encoding.high * 0 + FAR)
        ends = np.array(
            [
                [without._code(lane, applied(pieces, Fraction(int(a)))) for a in (sums.low[k], sums.high[k])]
                for k, (pieces, lane) in enumerate(zip(sums.pieces, endless.lanes, strict=True))
            ]
        )
        if (np.abs(ends) >= FAR).any():
            raise Unsupported("its numbers are too large before they wrap")
        return replace(encoding, low=ends.min(axis=1), high=ends.max(axis=1)), without

    def steps(self, sums: Accumulator, encoding: Encoding) -> list[Steps]:
        if self.overflow is Overflow.WRAP:
            raise Unsupported("numbers that wrap have no steps, unless they are made codes before (`unwrapped`)")
        return [
            self._steps(sums.pieces[k], lane, int(sums.low[k]), int(sums.high[k]))
            for k, lane in enumerate(encoding.lanes)
        ]

    def codes_of(self, sums: Accumulator, encoding: Encoding, accumulators: np.ndarray) -> np.ndarray:
        if self.overflow is Overflow.WRAP or sums.exact_pieces is None:
            return super().codes_of(sums, encoding, accumulators)
        codes = [
            [self._code(lane, applied(pieces, Fraction(a))) for a in accumulators.tolist()]
            for pieces, lane in zip(sums.pieces, encoding.lanes, strict=True)
        ]
        return np.array(codes, np.int64).T

    def _steps(self, pieces: Chain, lane: Lane, low: int, high: int) -> Steps:
        if (exact := exactly(pieces)) is None:
            one = Encoding.of([lane.scale], lane.low, lane.high, lane.zero_point)

            def function(a: np.ndarray) -> np.ndarray:
                return self.codes(numerically(pieces, a.astype(np.float64))[..., None], one)[..., 0].astype(np.int64)

            return Steps.of_function(function, low, high, lane.low, lane.high)
        ends = [self._code(lane, applied(pieces, Fraction(a))) for a in (low, high)]
        if (codes := abs(ends[0] - ends[1])) > MOST_STEPS:
            raise Unsupported(
                f"has {codes:,} codes, and scales that are not powers of two apart; at most {MOST_STEPS:,}"
            )
        levels, after = self._levels(lane)
        return Steps.of_pieces(
            (*exact, levels),
            lambda level: self._fitted(lane, level, after),
            lambda code: Reach(*self.rounding.first(code - after)),
            low,
            high,
            (lane.low, lane.high),
            Fraction(1),
        )

    def _levels(self, lane: Lane) -> tuple[Line, int]:
        """The factor that makes the numbers that are rounded of real ones, and what is added to them then."""
        before, after = (lane.zero_point, 0) if self.zero_point_first else (0, lane.zero_point)
        return Line(1 / lane.scale, Fraction(before)), after

    def _code(self, lane: Lane, x: Fraction) -> int:
        levels, after = self._levels(lane)
        return self._fitted(lane, applied((levels,), x), after)

    def _fitted(self, lane: Lane, level: Fraction, after: int) -> int:
        return min(max(self.rounding.of(level) + after, lane.low), lane.high)


@dataclass(frozen=True, eq=False)
class IntegerRule(Rule):
    """A function of the source's own accumulators: ``code = function(x / unit)``, where ``x / unit`` is an integer.

    :param unit: exact, ``[1]`` or ``[channels]``: the scale of the accumulators.
    :param function: from int64 ``[..., channels]`` to codes; it never decreases.
    """

    unit: np.ndarray
    function: Callable[[np.ndarray], np.ndarray]

    def codes(self, x: np.ndarray, encoding: Encoding) -> np.ndarray:
        return self.function(np.rint(np.asarray(x, np.float64) / floats(self.unit)).astype(np.int64))

    def codes_of(self, sums: Accumulator, encoding: Encoding, accumulators: np.ndarray) -> np.ndarray:
        if any(len(pieces) > 1 for pieces in sums.pieces):
            return super().codes_of(sums, encoding, accumulators)  # float64 tells accumulators apart
        factor, offset = self._own(sums)
        return np.asarray(self.function(accumulators[:, np.newaxis] * factor + offset)).astype(np.int64)

    def steps(self, sums: Accumulator, encoding: Encoding) -> list[Steps]:
        if any(len(pieces) > 1 for pieces in sums.pieces):
            return super().steps(sums, encoding)
        (factor, offset), own = self._own(sums), encoding.for_lanes(sums.lanes)
        return Steps.of_functions(lambda a: self.function(a * factor + offset), sums.low, sums.high, own.low, own.high)

    def in_lanes(self, lanes: int) -> Rule | None:
        return self if self.unit.size in (1, lanes) else None

    def _own(self, sums: Accumulator) -> tuple[np.ndarray, np.ndarray]:
        """The step from our accumulators to the source's: a factor and an offset per lane."""
        units = np.broadcast_to(rationals(self.unit), (sums.lanes,))
        factor, offset = np.zeros(sums.lanes, np.int64), np.zeros(sums.lanes, np.int64)
        for k, (pieces, unit) in enumerate(zip(sums.pieces, units, strict=True)):
            line = pieces[0]
            ratio = line.slope / unit, line.offset / unit
            if any(value.denominator != 1 for value in ratio):
                raise Unsupported("its source rounds integers that are not those of the layer before it")
            factor[k], offset[k] = int(ratio[0]), int(ratio[1])
        return factor, offset
