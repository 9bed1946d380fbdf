"""The smallest multiplier, shift and offset that have the same steps as a source's requantizer.

A line ``(a * multiplier + offset) / 2^shift`` has the steps of a lane when, for every step to code ``y`` at
accumulator ``t``, it is at least ``y`` at ``t`` and below ``y`` at ``t - 1``. For a given shift and multiplier these
are bounds of the offset; the multipliers that can do lie in an interval, so the first shift at which one integer
of the interval succeeds gives the smallest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dnn2fpga.exact.steps import Steps

LARGEST_MULTIPLIER_BITS, LARGEST_SHIFT = 31, 46
TRIED = 9  # multipliers per shift


@dataclass(frozen=True)
class Fit:
    """``floor((a * multiplier + offset) / 2^shift)``; the negative ones for ``a < 0``."""

    multiplier: int
    offset: int
    shift: int
    negative_multiplier: int
    negative_offset: int

    @property
    def is_one_line(self) -> bool:
        return (self.multiplier, self.offset) == (self.negative_multiplier, self.negative_offset)

    @property
    def bits(self) -> int:
        """The bits of its largest number."""
        return max(abs(number).bit_length() for number in vars(self).values())

    def codes(self, a: np.ndarray) -> np.ndarray:
        """Return the codes of accumulators, before the clamp; for tests."""
        a = a.astype(object)
        lines = np.where(a < 0, a * self.negative_multiplier + self.negative_offset, a * self.multiplier + self.offset)
        return lines >> self.shift


@dataclass(frozen=True)
class _Points:
    """A line must be at least ``y`` at each ``(a, y)`` of ``reached``, and below ``y`` at each of ``missed``."""

    reached: tuple[tuple[int, int], ...]
    missed: tuple[tuple[int, int], ...]

    def slopes(self) -> tuple[float, float]:
        """Return about the least and the largest slope that a line may have."""
        slopes = [((y - z) / (a - b), a > b) for a, y in self.reached for b, z in self.missed if a != b]
        low = max((slope for slope, ahead in slopes if ahead), default=-math.inf)
        return low, min((slope for slope, ahead in slopes if not ahead), default=math.inf)

    def offset(self, multiplier: int, shift: int) -> int | None:
        """Return the offset for a multiplier, with as many zeros at its end as possible; None where there is none."""
        low = max(((y << shift) - a * multiplier for a, y in self.reached), default=None)
        high = min(((y << shift) - 1 - a * multiplier for a, y in self.missed), default=None)
        if low is None or high is None:
            return next((end for end in (low, high) if end is not None), 0)
        return _roundest(low, high) if low <= high else None


def fit(steps: Steps) -> Fit | None:
    """Return the smallest line with these steps, or two lines with one shift; None where there are none."""
    found = fit_line(steps)
    return found if found or steps.low >= 0 or steps.high < 0 else _two_lines(steps)


def fit_line(steps: Steps) -> Fit | None:
    """Return the smallest line with these steps; None where there is none."""
    found = _line(_points(steps, steps.low, steps.high))
    if found is None:
        return None
    multiplier, offset, shift = found
    return _unmirrored(Fit(multiplier, offset, shift, multiplier, offset), steps)


def _line(points: _Points) -> tuple[int, int, int] | None:
    """The smallest multiplier with its offset and shift."""
    for shift, multiplier in _candidates(points.slopes()):
        offset = points.offset(multiplier, shift)
        if offset is not None:
            return multiplier, offset, shift
    return None


def _two_lines(steps: Steps) -> Fit | None:
    """Return lines that meet between the accumulators -1 and 0: of one slope if possible."""
    start = 1 if steps.mirrored else 0  # of the accumulators with a sign of their own
    positive, negative = _points(steps, start, steps.high), _points(steps, steps.low, start - 1)
    (low, high), (other_low, other_high) = positive.slopes(), negative.slopes()
    for shift, multiplier in _candidates((max(low, other_low), min(high, other_high))):
        offset, negative_offset = positive.offset(multiplier, shift), negative.offset(multiplier, shift)
        if offset is not None and negative_offset is not None:
            return _unmirrored(Fit(multiplier, offset, shift, multiplier, negative_offset), steps)
    above, below = _line(positive), _line(negative)
    if above is None or below is None:
        return None
    shift = max(above[2], below[2])
    (m, o), (n, p) = ((part[0] << shift - part[2], part[1] << shift - part[2]) for part in (above, below))
    return _unmirrored(Fit(m, o, shift, n, p), steps)


def _points(steps: Steps, low: int, high: int) -> _Points:
    """Return the conditions on a line for accumulators ``low`` … ``high``: only the corners of a convex hull count."""
    codes = np.arange(steps.first + 1, steps.last + 1)
    inside = (steps.at > low) & (steps.at <= high)
    places, wanted = steps.at[inside], codes[inside]
    reached, missed = (places, wanted), (places - 1, wanted)
    first, last = (int(steps.first + np.searchsorted(steps.at, a, side="right")) for a in (low, high))
    if first > steps.least:
        reached = (np.append(low, places), np.append(first, wanted))
    if last < steps.most:
        missed = (np.append(places - 1, high), np.append(wanted, last + 1))
    return _Points(_hull(*reached, 1), _hull(*missed, -1))


def _hull(a: np.ndarray, y: np.ndarray, side: int) -> tuple[tuple[int, int], ...]:
    """The corners of the upper hull (``side`` 1) or the lower one (-1) of points that rise from one to the next."""
    differs = a[1:] != a[:-1]
    kept = np.append(differs, True) if side > 0 else np.append(True, differs)  # of points at one place the outermost
    a, y, below = a[kept[: a.size]], y[kept[: a.size]], True
    while np.any(below):  # what lies below a line between two others is no corner
        steps, rises = a[1:] - a[:-1], y[1:] - y[:-1]
        below = side * (steps[:-1] * rises[1:] - rises[:-1] * steps[1:]) >= 0
        corners = np.ones(a.size, bool)
        corners[1:-1] = ~below
        a, y = a[corners], y[corners]
    return tuple(zip(a.tolist(), y.tolist(), strict=True))


def _candidates(slopes: tuple[float, float]) -> Iterator[tuple[int, int]]:
    """Yield ``(shift, multiplier)``, the smallest first."""
    low, high = slopes
    if low == -math.inf and high == math.inf:
        yield 0, 0
        return
    low = min(high, 0.0) if low == -math.inf else low
    high = max(2 * low, low + 1.0) if high == math.inf else high
    for shift in range(LARGEST_SHIFT + 1):
        # What rounding errors of the slopes might exclude is tried as well: `offset` is exact.
        least, most = math.ceil(low * (1 - 1e-12) * 2**shift), math.floor(high * (1 + 1e-12) * 2**shift)
        if max(abs(least), abs(most)).bit_length() > LARGEST_MULTIPLIER_BITS:
            return
        middle = (least + most) // 2
        tried = range(least, most + 1) if most - least < TRIED else range(middle - TRIED // 2, middle + TRIED // 2 + 1)
        yield from ((shift, multiplier) for multiplier in sorted(tried, key=lambda m: abs(m - middle)))


def _roundest(low: int, high: int) -> int:
    """Return the number of ``low`` … ``high`` with the most zeros at its end."""
    zeros = max((high - low).bit_length() - 1, 0)
    while ((high >> zeros + 1) << zeros + 1) >= low:
        zeros += 1
        if zeros > 80:
            return 0
    return (high >> zeros) << zeros


def _unmirrored(found: Fit, steps: Steps) -> Fit:
    """Return the lines for the lane's own accumulators."""
    if not steps.mirrored:
        return found
    m, n = -found.negative_multiplier, -found.multiplier
    return Fit(m, found.negative_offset, found.shift, n, found.offset)
