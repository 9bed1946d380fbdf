"""Calibration: how are the values of every tensor of the float model distributed on real data?

The model runs once over the data for the ranges and once for histograms within them. Data is streamed in batches, so
memory does not grow with the data set. ``dnn2fpga.quantize.ranges`` then chooses ranges for any method and width
without running the model again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dnn2fpga.data import Data
from dnn2fpga.errors import UserError
from dnn2fpga.graph.float import Graph
from dnn2fpga.graph.ports import Values, each
from dnn2fpga.progress import Progress, silent
from dnn2fpga.quantize.ranges import Distribution, bin_numbers
from dnn2fpga.tensors.basics import Interval

BINS = 2048  # of a channel's histogram
MOST_CELLS = 1 << 21  # of a tensor's histograms: a vector of thousands of "channels" has fewer bins for each
LARGEST_BLOCK = 1 << 21  # values whose bins are found at a time: each needs tens of bytes meanwhile
FAR = 64  # times the usual magnitude: a range that wide is stretched by outliers, and its bins would see nothing else
COVERED = 16  # times the usual magnitude is what the bins of such a channel cover
MOMENTUM = 0.9  # of the moving average over batches


@dataclass(frozen=True, eq=False)
class TensorStatistics:
    """The statistics of the observed values of one tensor. A channel is an index of its last axis; exact zeros are
    counted apart.
    """

    low: np.ndarray  # [channels] the smallest value
    high: np.ndarray  # [channels] the largest value
    average_low: np.ndarray  # [channels] moving average of the batches' smallest values
    average_high: np.ndarray  # [channels] moving average of the batches' largest values
    average: Interval  # moving average of the whole tensor's range in a batch
    mean: np.ndarray  # [channels]
    zeros: np.ndarray  # [channels] how many values are exactly zero
    bins_low: np.ndarray  # [channels] where the bins begin: at ``low``, unless outliers are far away
    bins_high: np.ndarray  # [channels] where they end
    counts: np.ndarray  # [channels, BINS] how many others are in each equal part of the bins; outliers in the outermost

    @property
    def channels(self) -> int:
        return len(self.low)

    @property
    def interval(self) -> Interval:
        """The range of all channels."""
        return Interval(float(self.low.min()), float(self.high.max()))

    def whole(self) -> Distribution:
        """All channels together."""
        return self._whole

    @cached_property
    def _whole(self) -> Distribution:
        return self._distribution(slice(None), self.interval, self.average).condensed()

    def channel(self, index: int) -> Distribution:
        """One channel."""
        return self._distribution(
            slice(index, index + 1),
            Interval(float(self.low[index]), float(self.high[index])),
            Interval(float(self.average_low[index]), float(self.average_high[index])),
        )

    def _distribution(self, channels: slice, interval: Interval, average: Interval) -> Distribution:
        """The non-empty bins of some channels, each at its centre, and their zeros."""
        counts, low, high = self.counts[channels], self.bins_low[channels], self.bins_high[channels]
        channel, number = np.nonzero(counts)
        values = low[channel] + (number + 0.5) * ((high - low) / counts.shape[1])[channel]
        weights = counts[channel, number].astype(np.float64)
        if zeros := self.zeros[channels].sum():
            values, weights = np.append(values, 0.0), np.append(weights, float(zeros))
        return Distribution(values, weights, interval, average)


class _Ranges:
    """The first pass over one tensor: ``values [rows, channels]`` batch by batch."""

    def __init__(self, first: np.ndarray) -> None:
        self.rows = 0
        self.sum = np.zeros(first.shape[1])
        self.extremes = _extremes(first)
        self.average = _extremes(first)
        self.average_of_whole = _extremes(first.reshape(-1, 1))
        self.logarithms = np.zeros(first.shape[1])  # of the batches' largest magnitudes
        self.batches = np.zeros(first.shape[1])  # in which there was one

    def observe(self, values: np.ndarray) -> None:
        extremes = _extremes(values)
        self.rows += len(values)
        self.sum += values.sum(axis=0, dtype=np.float64)
        self.extremes = np.stack([np.minimum(self.extremes[0], extremes[0]), np.maximum(self.extremes[1], extremes[1])])
        largest = np.abs(extremes).max(axis=0)
        self.logarithms += np.log(np.where(largest > 0, largest, 1))
        self.batches += largest > 0
        # Moved by differences: a range that never changes is exactly its own average.
        self.average += (1 - MOMENTUM) * (extremes - self.average)
        self.average_of_whole += (1 - MOMENTUM) * (_extremes(values.reshape(-1, 1)) - self.average_of_whole)

    @property
    def usual(self) -> np.ndarray:
        """``[channels]`` the geometric mean of the batches' largest magnitudes, which one outlier hardly moves."""
        return np.exp(self.logarithms / np.maximum(self.batches, 1))

    @property
    def bins(self) -> np.ndarray:
        """``[2, channels]`` what the histogram should cover."""
        ends = COVERED * self.usual
        return np.where(np.abs(self.extremes) > FAR * self.usual, self.extremes.clip(-ends, ends), self.extremes)


class _Histogram:
    """The second pass over one tensor, within the ranges of the first."""

    def __init__(self, ranges: _Ranges) -> None:
        self.ranges = ranges
        self.bins = ranges.bins
        channels = len(ranges.sum)
        self.zeros = np.zeros(channels, np.int64)
        self.counts = np.zeros((channels, max(1, min(BINS, MOST_CELLS // channels))), np.int64)

    def observe(self, values: np.ndarray) -> None:
        rows = max(1, LARGEST_BLOCK // values.shape[1])
        for start in range(0, len(values), rows):
            self._count(values[start : start + rows])

    def _count(self, values: np.ndarray) -> None:
        channels, bins = self.counts.shape
        others = values != 0
        self.zeros += len(values) - np.count_nonzero(others, axis=0)
        # Values of a second run outside the first one's range (threads add in any order) count to the last bin.
        low, high = self.bins
        cell = bin_numbers(values, low, high, bins) + np.arange(channels) * bins
        self.counts += np.bincount(cell[others], minlength=channels * bins).reshape(channels, bins)

    def statistics(self) -> TensorStatistics:
        ranges = self.ranges
        return TensorStatistics(
            low=ranges.extremes[0],
            high=ranges.extremes[1],
            average_low=ranges.average[0],
            average_high=ranges.average[1],
            average=Interval(*ranges.average_of_whole.ravel().tolist()),
            mean=ranges.sum / ranges.rows,
            zeros=self.zeros,
            bins_low=self.bins[0],
            bins_high=self.bins[1],
            counts=self.counts,
        )


def calibrate(
    graph: Graph,
    x: Values,
    batch: int = 128,
    progress: Progress = silent,
) -> dict[str, TensorStatistics]:
    """Observe the values of every tensor on real inputs ``[frames, *shape]``; of several inputs, arrays by name.

    :param progress: told after every batch how many samples are done, counting both passes.
    :raises UserError: for no data, and for a model whose numbers are not finite on it.
    """
    data = Data(x)
    if len(data) == 0:
        raise UserError("the calibration data is empty; give at least one sample")

    def run(observe: Callable[[str, np.ndarray], None], done_before: int) -> None:
        """Show every tensor of every batch as ``[rows, channels]``."""
        done = done_before
        for part in data.batches(batch):
            for name, values in graph.tensors(each(part.x, lambda array: array.astype(np.float32))):
                observe(name, values.reshape(-1, values.shape[-1]))
            done += len(part)
            progress("calibrating", done, 2 * len(data))

    ranges: dict[str, _Ranges] = {}

    def observe_range(name: str, values: np.ndarray) -> None:
        if not np.isfinite(values).all():
            raise UserError(f"the float model produces NaN or infinite values at '{name}' on the calibration data")
        if name not in ranges:
            ranges[name] = _Ranges(values)
        ranges[name].observe(values)

    run(observe_range, 0)
    histograms = {name: _Histogram(tensor) for name, tensor in ranges.items()}
    run(lambda name, values: histograms[name].observe(values), len(data))
    return {name: histogram.statistics() for name, histogram in histograms.items()}


def _extremes(values: np.ndarray) -> np.ndarray:
    """``values [rows, channels]`` → smallest and largest ``[2, channels]``."""
    return np.stack([values.min(axis=0), values.max(axis=0)]).astype(np.float64)
