"""From a source's rule to the requantizer that does the same: directly, on one line or two, or by thresholds."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dnn2fpga.exact.accumulator import WIDEST_PRODUCT, Accumulator, Requantizer
from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.exact.fit import Fit, fit, fit_line
from dnn2fpga.exact.rules import Rule
from dnn2fpga.exact.steps import MOST_STEPS, Steps
from rtl_lib.core import arithmetic


class Way(enum.Enum):
    """The parts of a lane's requantizer."""

    SHIFT = "shifts"  # scales are powers of two apart: wires
    LINE = "one multiplier"
    TWO_LINES = "another line for negative sums"
    THRESHOLDS = "thresholds"
    TABLE = "tables"


@dataclass(frozen=True, eq=False)
class Found:
    """The requantizers that compute the codes of sums.

    :param last: the requantizer; None where only thresholds have the steps.
    :param steps: of every lane, where they were needed.
    :param low, high: the codes that occur, int64 ``[lanes]``.
    :param ways: how many lanes have which.
    :param margin: the smallest distance of a sum from a border between two codes, in codes; None: not a question.
    """

    last: Requantizer | None
    steps: tuple[Steps, ...]
    low: np.ndarray
    high: np.ndarray
    ways: Counter[Way]
    margin: float | None = None


def requantize(sums: Accumulator, encoding: Encoding, rule: Rule) -> Found:
    """Find the smallest requantizer with the steps of a rule.

    :param encoding: one entry per lane.
    :raises Unsupported: when the rule's steps cannot be found.
    """
    last = rule.direct(sums, encoding)
    if last is not None:
        ways = Counter({Way.SHIFT: sums.lanes}) if _is_wires(last) else _ways(last)
        return Found(last, (), *_reached(sums, last), ways)
    steps = tuple(rule.steps(sums, encoding))
    margins = [one.margin for one in steps if one.margin is not None]
    low, high = (np.array([end(one) for one in steps], np.int64) for end in (lambda s: s.first, lambda s: s.last))
    fits = [fit(one) for one in steps]
    margin = min(margins, default=None)
    last = _of_fits(fits, steps)
    if last is None or not last.is_exact(sums.low, sums.high):
        return Found(None, steps, low, high, Counter({Way.THRESHOLDS: sums.lanes}), margin)
    return Found(last, steps, low, high, _ways(last), margin)


def smallest(last: Requantizer, low: np.ndarray, high: np.ndarray) -> Requantizer:
    """Return the smallest requantizer with the codes of another one, which has one line.

    It stays as it is where numbers wrap, where it has more than ``MOST_STEPS`` codes, and where it rounds ties to even
    and there are any.

    :param low, high: the accumulators that can occur, ``[lanes]``.
    """
    if last.overflow is arithmetic.Overflow.WRAP or (last.high - last.low > MOST_STEPS).any():
        return last
    half = 0 if last.rounding is arithmetic.Rounding.FLOOR else 1 << last.shift >> 1
    lanes = [last.multiplier, last.offset + half, last.shift, low, high, last.low, last.high]
    steps = [Steps.of_line(*lane) for lane in zip(*(values.tolist() for values in lanes), strict=True)]
    if last.rounding is arithmetic.Rounding.HALF_EVEN and any(map(_has_ties, steps, *lanes[:3])):
        return last
    found = [line for line in map(fit_line, steps) if line is not None]
    if len(found) < len(steps):
        return last
    multiplier, shift, offset = (_column(found, name) for name in ("multiplier", "shift", "offset"))
    return replace(last, multiplier=multiplier, shift=shift, offset=offset, rounding=arithmetic.Rounding.FLOOR)


def _has_ties(steps: Steps, multiplier: int, offset: int, shift: int) -> bool:
    """Whether an accumulator lies just on a border of ``steps``, which are those of this line."""
    border = np.append(steps.low, steps.at) * abs(multiplier) + offset
    return shift > 0 and bool((border % (1 << shift) == 0).any())


def _column(fits: Sequence[Fit], name: str) -> np.ndarray:
    return np.array([vars(one)[name] for one in fits], np.int64)


def _of_fits(found: Sequence[Fit | None], steps: Sequence[Steps]) -> Requantizer | None:
    fits = [one for one in found if one is not None and one.bits <= WIDEST_PRODUCT]
    if len(fits) < len(found):
        return None

    negative = None
    if not all(one.is_one_line for one in fits):
        negative = (_column(fits, "negative_multiplier"), _column(fits, "negative_offset"))
    # one clamp for all lanes where that does no harm: a lane that never reaches it needs none
    low, high = (np.array([vars(one)[name] for one in steps], np.int64) for name in ("least", "most"))
    return Requantizer(
        _column(fits, "multiplier"), _column(fits, "shift"), _column(fits, "offset"), low, high, negative=negative
    )


def _is_wires(last: Requantizer) -> bool:
    """Whether no lane multiplies."""
    multipliers = [last.multiplier, *(last.negative or ())[:1]]
    return all(bool(((m >= 0) & (m & (m - 1) == 0)).all()) for m in multipliers)


def _ways(last: Requantizer) -> Counter[Way]:
    if last.negative is None:
        return Counter({Way.LINE: last.multiplier.size})
    two = (last.negative[0] != last.multiplier) | (last.negative[1] != last.offset)
    return Counter({Way.TWO_LINES: int(two.sum()), Way.LINE: int((~two).sum())})


def _reached(sums: Accumulator, last: Requantizer) -> tuple[np.ndarray, np.ndarray]:
    """The codes between which those of the sums lie."""
    if last.overflow is arithmetic.Overflow.WRAP:
        return last.low, last.high
    ends = np.stack([sums.low, sums.high, np.clip(0, sums.low, sums.high)])
    codes = arithmetic.requantize(
        ends.astype(object),
        last.multiplier,
        last.shift,
        last.offset,
        last.low,
        last.high,
        last.rounding,
        last.overflow,
        last.negative,
    )
    return codes.min(axis=0).astype(np.int64), codes.max(axis=0).astype(np.int64)


MOST_TABLE_BITS = 12  # of a number that indexes a table
