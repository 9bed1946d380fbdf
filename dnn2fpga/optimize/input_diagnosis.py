"""Diagnosis of one input: properties of its data, or of its quantization, that cost accuracy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dnn2fpga.data import spread
from dnn2fpga.optimize.findings import Cause, Finding
from dnn2fpga.tensors.tensor import Tensor

MOST_VALUES = 1 << 20  # of a data set that its distribution is taken from; its extremes are those of all
USUAL = 0.999  # part of the values
STRETCH = 16  # an outlier is this many times as large as the usual values; a channel has fewer codes by this factor
FEWEST_VALUES = 100  # other than 0, to call one of them an outlier
DIFFERENT = 4.0  # ratio of the ranges of two data sets
TOLERATED = 0.01  # part of the test values outside the range, and of a channel that is else constant
LISTED = 6  # channels by number; of more, how many there are
PERCENTILE = "--set quantization.calibration=percentile --set quantization.percentile=99.9"


@dataclass(frozen=True, eq=False)
class Samples:
    """The values of a data set at one input; a channel is an index of the last axis."""

    low: np.ndarray  # [channels] of all samples
    high: np.ndarray  # [channels] of all samples
    some: np.ndarray  # [samples, *shape] that stand for all

    @classmethod
    def of(cls, x: np.ndarray) -> Samples:
        blocks = [_by_channel(block) for block in _blocks(x)]
        low = np.min([block.min(axis=0) for block in blocks], axis=0)
        high = np.max([block.max(axis=0) for block in blocks], axis=0)
        rows = spread(len(x), max(1, MOST_VALUES // max(1, x[0].size)))
        return cls(low.astype(np.float64), high.astype(np.float64), np.asarray(x[rows], np.float64))

    @property
    def values(self) -> np.ndarray:
        """Some values ``[values, channels]``."""
        return _by_channel(self.some)

    @property
    def largest(self) -> np.ndarray:
        """``[channels]`` the largest magnitude."""
        return np.maximum(-self.low, self.high)


@dataclass(frozen=True, eq=False, kw_only=True)
class InputDiagnosis:
    """The questions about one input.

    :param name: of the input, for messages; "" where there is only one.
    :param tensor: how it is quantized.
    :param outside: the share of the test values that the format cannot hold; None without test data.
    :param cut_off: whether calibration leaves rare values outside the range.
    :param can_have_own_scales: whether each channel could have a scale of its own.
    """

    name: str
    tensor: Tensor
    calibration: Samples
    test: Samples | None
    outside: float | None
    cut_off: bool
    can_have_own_scales: bool

    @property
    def _of(self) -> str:
        return f" of '{self.name}'" if self.name else ""

    @property
    def _input(self) -> str:
        return f"the input '{self.name}'" if self.name else "the input"

    @property
    def used_codes(self) -> np.ndarray:
        """``[channels]`` how many integers the calibration data use."""
        codes = _by_channel(self.tensor.quantize(self.calibration.some))
        return np.array([len(np.unique(codes[:, channel])) for channel in range(codes.shape[1])])

    def ranges(self) -> Iterator[Finding]:
        """Test data of another range than the calibration data."""
        if self.test is None or self.outside is None:
            return
        ours, theirs = usual(self.calibration.values), usual(self.test.values)
        if ours and theirs and not 1 / DIFFERENT <= theirs / ours <= DIFFERENT:
            yield Finding(
                cause=Cause.OTHER_RANGE,
                text=f"{USUAL:.1%} of the calibration data{self._of} lie within ±{ours:,.4g}, "
                f"of the test data within ±{theirs:,.4g}",
                help="prepare both as the model's training data was",
                matters=True,
            )
        elif self.outside > TOLERATED:
            yield Finding(
                cause=Cause.OUTSIDE_RANGE,
                text=f"{self.outside:.1%} of the test inputs{self._of} lie outside the calibrated range and are "
                "clipped",
                help="--set quantization.input_calibration=min_max"
                if self.cut_off
                else "calibrate with data like the test data",
                matters=True,
            )

    def outlier(self) -> Iterator[Finding]:
        """One value that stretches the scale that it shares, or would, had calibration not cut it off."""
        tensor, calibration = self.tensor, self.calibration
        own_scales = isinstance(tensor.scale, tuple)
        usuals = np.array([usual(values) for values in (calibration.values.T if own_scales else [calibration.values])])
        ratio = np.where(usuals > 0, calibration.largest / np.where(usuals > 0, usuals, 1), 0)
        channel = int(ratio.argmax())
        if ratio[channel] <= STRETCH:
            return
        largest, below = calibration.largest[channel], usuals[channel if own_scales else 0]
        ends = np.array([tensor.format.minimum, tensor.format.maximum])
        reach = np.abs(_by_channel(tensor.dequantize(np.resize(ends.repeat(tensor.size), (2, *tensor.shape)))))
        left_out = reach[:, channel].max() < largest / 2
        yield Finding(
            cause=Cause.OUTLIER,
            text=f"calibration data{self._of}, channel {channel}: largest value {largest:,.4g}, "
            f"{USUAL:.1%} below {below:,.3g}",
            help="the calibrated range leaves it out; does it belong to the data?" if left_out else PERCENTILE,
            matters=True,
        )

    def few_codes(self, matters: bool) -> Iterator[Finding]:
        """Channels whose many values become a few integers, because others need a coarse scale."""
        tensor, values, used = self.tensor, self.calibration.values, self.used_codes
        distinct = np.array([len(np.unique(values[:, channel])) for channel in range(values.shape[1])])
        few = np.flatnonzero((distinct > DIFFERENT * used) & (used * STRETCH <= 1 << tensor.width))
        if not few.size:
            return
        counts = _list(used[few]) if few.size <= LISTED else f"at most {used[few].max()}"
        own = tensor.lanes == len(used) > 1 and self.can_have_own_scales and not isinstance(tensor.scale, tuple)
        yield Finding(
            cause=Cause.FEW_CODES,
            text=f"{_named(few)} of {self._input}: {counts} of {1 << tensor.width:,} integers used, their values are "
            "lost",
            help=f"--set quantization.{'input_granularity=per_channel' if own else 'input_bits=16'}",
            matters=matters,
        )

    def constant(self) -> Iterator[Finding]:
        """Channels that never change."""
        calibration = self.calibration
        constant = np.flatnonzero(calibration.low == calibration.high)
        if not constant.size:
            return
        varies = np.zeros(constant.size)
        if self.test is not None:
            varies = (self.test.values[:, constant] != calibration.low[constant]).mean(axis=0)
        alive = constant[varies > TOLERATED]
        if alive.size:
            yield Finding(
                cause=Cause.CONSTANT,
                text=f"{_named(alive)} of the calibration data{self._of}: always the same value, but not in the test "
                "data",
                help="calibrate with data like the test data",
                matters=True,
            )
        else:
            text = f"{_named(constant)} of {self._input}: always the same value"
            yield Finding(cause=Cause.CONSTANT, text=text, help="they need not be in the data", matters=False)


def outside(tensor: Tensor, x: np.ndarray) -> float:
    """The share of all values that a format cannot hold."""
    return sum(int(tensor.clips(block).sum()) for block in _blocks(x)) / x.size


def usual(values: np.ndarray) -> float:
    """Return the quantile ``USUAL`` of the absolute values other than 0; 0 where they are too few to say."""
    others = np.abs(values[values != 0])
    return float(np.quantile(others, USUAL, method="lower")) if others.size >= FEWEST_VALUES else 0.0


def _blocks(x: np.ndarray) -> Iterator[np.ndarray]:
    rows = max(1, MOST_VALUES // max(1, x[0].size))
    return (np.asarray(x[start : start + rows]) for start in range(0, len(x), rows))


def _by_channel(x: np.ndarray) -> np.ndarray:
    return x.reshape(-1, x.shape[-1])


def _named(channels: np.ndarray) -> str:
    if len(channels) > LISTED:
        return f"{len(channels)} channels"
    return f"channel{'s' if len(channels) > 1 else ''} {_list(channels)}"


def _list(numbers: np.ndarray) -> str:
    *first, last = map(str, numbers)
    return f"{', '.join(first)} and {last}" if first else last
