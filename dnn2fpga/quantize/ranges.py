"""Choice of the range of real numbers that a quantizer covers, from the distribution of the values it will quantize.

A wide range wastes codes on rare values, a narrow one cuts them off. The methods serve activations (histograms) and
weights (the values themselves) alike, and every quantizer: they only ever apply it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from dnn2fpga.tensors.basics import Interval

MOST_POINTS = 4096  # what condensing leaves, beside the zeros
FACTORS = np.exp2(-np.arange(112) / 16)  # of the whole range: 16 steps an octave, seven octaves; the largest first
ENTROPY_BINS = 2048  # as in TensorRT
FEWEST_BINS = 16  # in fewer, clipped values look like a distribution of their own
VALUES_A_BIN = 4  # on average, at least: of fewer values there are fewer bins
SPAN = 4  # times that of the points is an interval that has more in it than they show
SMOOTHING = 1e-6  # of the mass is added to the quantized distribution, so that no divergence is infinite

Quantizer = Callable[[Interval], Callable[[np.ndarray], np.ndarray]]
"""A range → the fake quantizer for that range: real values → the real values that their codes mean, monotonically."""


class RangeMethod(enum.Enum):
    """The criterion by which a range is chosen."""

    MIN_MAX = "min_max"  # everything that was seen
    PERCENTILE = "percentile"  # without the rarest values
    MSE = "mse"  # least squared error
    ENTROPY = "entropy"  # least loss of information
    MOVING_AVERAGE = "moving_average"  # the usual range of a batch


@dataclass(frozen=True, eq=False)
class Distribution:
    """A tensor (or one channel of it) seen as weighted points."""

    values: np.ndarray  # [points] float64
    counts: np.ndarray  # [points] float64, how often each occurs, all > 0
    interval: Interval  # the exact smallest and largest value ever seen
    average: Interval  # exponential moving average of the batches' ranges

    @classmethod
    def of(cls, values: np.ndarray) -> Distribution:
        """Plain values of any shape, each once."""
        points = np.asarray(values, np.float64).ravel()
        interval = Interval(float(points.min()), float(points.max())) if points.size else Interval(0.0, 0.0)
        return cls(points, np.ones_like(points), interval, interval)

    def condensed(self, bins: int = MOST_POINTS) -> Distribution:
        """Return a distribution of at most one point per bin, at the mean of the values it stands for. Zeros stay
        apart: a quantizer usually has an exact code for them, and after a ReLU they are half of all values.
        """
        if self.values.size <= bins + 1:
            return self
        low, high = self.interval.low, self.interval.high
        if SPAN * np.ptp(self.values) < high - low:  # outliers, which the points leave out
            low, high = self.values.min(), self.values.max()
        number = bin_numbers(self.values, low, high, bins)
        number = np.where(self.values == 0, bins, number)
        counts = np.bincount(number, self.counts)
        sums = np.bincount(number, self.counts * self.values)
        filled = counts > 0
        return replace(self, values=sums[filled] / counts[filled], counts=counts[filled])


def bin_numbers(values: np.ndarray, low: np.ndarray | float, high: np.ndarray | float, bins: int) -> np.ndarray:
    """Return in which of ``bins`` equal parts of ``[low, high]`` each value lies; the last part has both its ends.

    What lies outside counts to the nearest part, and everything to part 0 where ``low == high``.
    """
    width = np.subtract(high, low, dtype=np.float64)
    position = (values - np.asarray(low, np.float64)) / np.where(width > 0, width, 1.0)
    return np.clip(position * bins, 0, bins - 1).astype(np.int64)


def choose_range(
    method: RangeMethod, distribution: Distribution, quantizer: Quantizer, percentile: float = 99.99
) -> Interval:
    """The range that ``quantizer`` should get for values of this distribution.

    The result lies in ``distribution.interval`` or, where a range without zero was shrunk, between it and zero.

    :param percentile: of the values, how many percent ``RangeMethod.PERCENTILE`` keeps; above 0, up to 100.
    """
    if distribution.values.size < 2 or distribution.interval.low == distribution.interval.high:
        return distribution.interval
    return _METHODS[method](distribution, quantizer, percentile)


def _percentile(distribution: Distribution, percentile: float) -> Interval:
    """The smallest range that cuts at most ``100 - percentile`` percent of the values: half of them at each side, or
    all at the far side of values with one sign.
    """
    if not 0 < percentile <= 100:
        raise ValueError(f"a percentile is above 0 and at most 100, not {percentile}")
    interval = distribution.interval
    order = np.argsort(distribution.values)
    values, counts = distribution.values[order], distribution.counts[order]
    up_to = np.cumsum(counts)
    below, above = up_to - counts, up_to[-1] - up_to
    one_sided = interval.low >= 0 or interval.high <= 0
    # Rounding must not decide about a value: the counts are whole numbers.
    cut = up_to[-1] * (100 - percentile) / (100 if one_sided else 200) + 1e-6
    first = 0 if interval.low >= 0 else int(np.count_nonzero(below <= cut)) - 1
    last = len(values) - 1 if interval.high <= 0 else max(first, int(np.argmax(above <= cut)))
    # A point may stand for a bin: only the interval knows the outermost value exactly.
    return Interval(
        interval.low if first == 0 else float(values[first]),
        interval.high if last == len(values) - 1 else float(values[last]),
    )


def _cheapest(interval: Interval, cost: Callable[[Interval], float]) -> Interval:
    """Return the one of least cost among ``interval`` and its shrunken copies; of equally good ones the largest."""
    candidates = [Interval(float(factor * interval.low), float(factor * interval.high)) for factor in FACTORS]
    return candidates[int(np.argmin([cost(candidate) for candidate in candidates]))]


def _least_squares(distribution: Distribution, quantizer: Quantizer) -> Interval:
    """The least sum of squared quantization errors."""
    points = distribution.condensed()

    def squared_error(candidate: Interval) -> float:
        return float(points.counts @ np.square(points.values - quantizer(candidate)(points.values)))

    return _cheapest(distribution.interval, squared_error)


def _least_divergence(distribution: Distribution, quantizer: Quantizer) -> Interval:
    """The least Kullback-Leibler divergence of the quantized from the original distribution, as TensorRT calibrates
    (Migacz, "8-bit inference with TensorRT", GTC 2017).

    Zeros are left out: they cost nothing at any range, and their number would hide the shape of the rest.
    """
    interval, others = distribution.interval, distribution.values != 0
    counts = distribution.counts[others]
    bins = int(np.clip(counts.sum() / VALUES_A_BIN, FEWEST_BINS, ENTROPY_BINS))
    histogram = np.bincount(bin_numbers(distribution.values[others], interval.low, interval.high, bins), counts, bins)
    centres = interval.low + (np.arange(bins) + 0.5) * ((interval.high - interval.low) / bins)

    def cost(candidate: Interval) -> float:
        quantized = quantizer(candidate)(centres)
        # A quantizer may cover more than it was asked to: a symmetric one, or one whose scale is a power of two.
        first = np.searchsorted(centres, min(candidate.low, quantized[0]))
        last = np.searchsorted(centres, max(candidate.high, quantized[-1]), side="right")
        return _divergence(histogram, quantized, int(first), int(last))

    return _cheapest(interval, cost)


def _divergence(histogram: np.ndarray, quantized: np.ndarray, first: int, last: int) -> float:
    """Return the information lost, in nats, when of ``histogram [bins]`` the bins ``first`` up to ``last`` (without it)
    are kept, and bins with the same ``quantized [bins]`` value become one level.

    The reference has the clipped values in its outermost bins. The quantized distribution has each level's own values,
    evenly on those of its bins that are not empty in the reference.
    """
    if last - first < FEWEST_BINS:
        return np.inf
    kept = histogram[first:last]
    level = np.concatenate([[0], np.cumsum(np.diff(quantized[first:last]) != 0)])
    reference = kept.copy()
    reference[0] += histogram[:first].sum()
    reference[-1] += histogram[last:].sum()
    filled = reference > 0
    share = np.bincount(level, kept) / np.maximum(np.bincount(level, filled), 1)
    p, q = reference[filled], share[level][filled]
    q = q + SMOOTHING * p.mean()
    p, q = p / p.sum(), q / q.sum()
    return float(p @ np.log(p / q))


_METHODS: dict[RangeMethod, Callable[[Distribution, Quantizer, float], Interval]] = {
    RangeMethod.MIN_MAX: lambda distribution, quantizer, percentile: distribution.interval,
    RangeMethod.PERCENTILE: lambda distribution, quantizer, percentile: _percentile(distribution, percentile),
    RangeMethod.MSE: lambda distribution, quantizer, percentile: _least_squares(distribution, quantizer),
    RangeMethod.ENTROPY: lambda distribution, quantizer, percentile: _least_divergence(distribution, quantizer),
    RangeMethod.MOVING_AVERAGE: lambda distribution, quantizer, percentile: distribution.average,
}
