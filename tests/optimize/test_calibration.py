"""The statistics of a float model's tensors, against the same numbers from the whole data at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from dnn2fpga.errors import UserError
from dnn2fpga.optimize.calibration import BINS, MOST_CELLS, TensorStatistics, calibrate
from dnn2fpga.quantize.ranges import MOST_POINTS, RangeMethod, choose_range
from dnn2fpga.tensors.basics import Interval

pytestmark = pytest.mark.filterwarnings("error")

SHAPE = (5, 5, 2)


@dataclass
class Chain:
    """All that calibration asks of a graph: functions in a row."""

    functions: dict[str, Callable[[np.ndarray], np.ndarray]] = field(default_factory=dict)

    def tensors(self, x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        yield "input", x
        for name, function in self.functions.items():
            yield name, (x := function(x))


def graph() -> Chain:
    """Channels of different ranges, one constant, one always zero; a ReLU."""
    kernel = np.float32(np.random.default_rng(0).uniform(-1, 1, (2, 4)) * [0.1, 1, 0, 0])
    return Chain(
        {
            "affine": lambda x: x * np.float32([0.5, -2.0]) + np.float32([0.25, 1.0]),
            "conv": lambda x: x @ kernel + np.float32([0.1, 0.2, 0.7, 0.0]),
            "relu": lambda x: np.maximum(x, 0),
        }
    )


def samples(count: int = 100) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, *SHAPE)).astype(np.float32)


def tensors(data: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor for all data at once, ``[rows, channels]``."""
    return {name: value.reshape(-1, value.shape[-1]) for name, value in graph().tensors(data)}


@pytest.fixture(scope="module")
def statistics() -> dict[str, TensorStatistics]:
    return calibrate(graph(), samples(), batch=16)


def test_every_tensor_has_statistics(statistics: dict[str, TensorStatistics]) -> None:
    assert list(statistics) == ["input", "affine", "conv", "relu"]


@pytest.mark.parametrize("name", ["input", "affine", "conv", "relu"])
def test_statistics_are_those_of_the_raw_data(statistics: dict[str, TensorStatistics], name: str) -> None:
    seen, raw = statistics[name], tensors(samples())[name]
    np.testing.assert_allclose(seen.low, raw.min(axis=0), atol=1e-6)
    np.testing.assert_allclose(seen.high, raw.max(axis=0), atol=1e-6)
    np.testing.assert_allclose(seen.mean, raw.mean(axis=0, dtype=np.float64), atol=1e-6)
    np.testing.assert_array_equal(seen.zeros, (raw == 0).sum(axis=0))
    np.testing.assert_array_equal(seen.counts.sum(axis=1), (raw != 0).sum(axis=0))
    assert seen.counts.shape == (raw.shape[1], BINS)
    assert seen.interval == Interval(seen.low.min(), seen.high.max())
    for channel in range(raw.shape[1]):
        nonzero = raw[:, channel][raw[:, channel] != 0]
        expected, _ = np.histogram(
            nonzero, BINS, (seen.low[channel], max(seen.high[channel], seen.low[channel] + 1e-9))
        )
        difference = np.abs(np.cumsum(seen.counts[channel]) - np.cumsum(expected))
        assert difference.max() <= 2  # a value at a border of bins, rounded otherwise


@pytest.mark.parametrize("name", ["input", "affine", "conv", "relu"])
def test_distributions_agree_with_the_raw_data_to_a_bin(statistics: dict[str, TensorStatistics], name: str) -> None:
    seen, raw = statistics[name], tensors(samples())[name]
    everything = [(seen.whole(), raw.ravel(), seen.interval)]
    everything += [(seen.channel(i), raw[:, i], Interval(seen.low[i], seen.high[i])) for i in range(raw.shape[1])]
    for distribution, values, interval in everything:
        assert distribution.interval == interval
        points = np.repeat(
            np.sort(distribution.values), distribution.counts[np.argsort(distribution.values)].astype(int)
        )
        np.testing.assert_allclose(points, np.sort(values), atol=(interval.high - interval.low) / BINS + 1e-6)
        assert (points == 0).sum() == (values == 0).sum()
        assert (distribution.counts > 0).all()


def test_a_constant_channel_is_exact(statistics: dict[str, TensorStatistics]) -> None:
    constant, zero = statistics["conv"].channel(2), statistics["conv"].channel(3)
    assert constant.values.tolist() == [np.float32(0.7)]
    assert constant.counts.tolist() == [2500]
    assert (zero.values.tolist(), zero.counts.tolist()) == ([0.0], [2500])
    for method in RangeMethod:
        for channel in constant, zero:
            assert choose_range(method, channel, lambda interval: lambda x: x) == channel.interval


def test_many_channels_are_merged_to_few_points() -> None:
    shape = (20_000,)
    data = np.random.default_rng(0).normal(size=(40, *shape)) * np.random.default_rng(1).uniform(0.1, 5, shape)
    data[:, ::2] = np.maximum(data[:, ::2], 0)
    seen = calibrate(Chain(), data)["input"]
    assert seen.counts.size <= MOST_CELLS
    whole = seen.whole()
    assert len(whole.values) <= MOST_POINTS + 1
    assert whole.counts.sum() == data.size
    assert whole.counts[whole.values == 0] == (data == 0).sum()
    quarters = np.array([0.01, 0.25, 0.75, 0.99])
    order = np.argsort(whole.values)
    found = whole.values[order][np.searchsorted(np.cumsum(whole.counts[order]), quarters * data.size)]
    np.testing.assert_allclose(found, np.quantile(data, quarters), atol=0.1)


@pytest.mark.parametrize("batch", [1, 7, 100, 1000])
def test_the_batch_size_changes_nothing_but_averages(statistics: dict[str, TensorStatistics], batch: int) -> None:
    other = calibrate(graph(), samples(), batch)
    for name in ("input", "affine"):  # a matrix product adds in an order that depends on the batch
        for what in ("low", "high", "zeros", "counts"):
            np.testing.assert_array_equal(getattr(other[name], what), getattr(statistics[name], what))
        np.testing.assert_allclose(other[name].mean, statistics[name].mean, rtol=1e-12)


def test_moving_average() -> None:
    """Weights 0.9 and 0.1, by hand."""
    data = np.array([[0, 1], [-1, 3], [-2, 5], [2, 2]], np.float32)
    seen = calibrate(Chain(), data, batch=1)["input"]
    # The ranges of the two numbers: 0, -1, -2, 2 and 1, 3, 5, 2.
    np.testing.assert_allclose(seen.average_low, [0.9 * (0.9 * -0.1 - 0.2) + 0.2, 0.9 * (0.9 * 1.2 + 0.5) + 0.2])
    np.testing.assert_array_equal(seen.average_low, seen.average_high)
    # The ranges of a batch: 0..1, -1..3, -2..5, 2..2.
    average = choose_range(RangeMethod.MOVING_AVERAGE, seen.whole(), lambda interval: lambda x: x)
    assert (average.low, average.high) == pytest.approx((0.9 * (0.9 * -0.1 - 0.2) + 0.2, 0.9 * (0.9 * 1.2 + 0.5) + 0.2))
    assert seen.channel(1).average.low == seen.average_low[1]


def test_one_batch_is_its_own_average(statistics: dict[str, TensorStatistics]) -> None:
    for seen in calibrate(graph(), samples()).values():
        assert seen.average == seen.interval
        np.testing.assert_array_equal(seen.average_low, seen.low)


@dataclass
class Endless:
    """Data that exists only batch by batch."""

    count: int
    largest_batch: int = 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, frames: slice) -> np.ndarray:
        wanted = range(self.count)[frames]
        self.largest_batch = max(self.largest_batch, len(wanted))
        return np.random.default_rng(frames.start).normal(size=(len(wanted), *SHAPE))


def test_memory_does_not_grow_with_the_data() -> None:
    few, many = Endless(20), Endless(1000)
    sizes = [
        {name: [np.size(value) for value in vars(seen).values()] for name, seen in calibrate(graph(), data, 10).items()}
        for data in (few, many)
    ]
    assert sizes[0] == sizes[1]
    assert many.largest_batch == 10


def test_values_outside_the_first_pass_are_clipped() -> None:
    class Drifting:
        """A model whose second run is wider than its first."""

        runs = 0

        def tensors(self, x: np.ndarray):
            self.runs += 1
            yield "input", x * self.runs

    seen = calibrate(Drifting(), np.array([[-1.0], [0.5], [1.0]]))["input"]
    assert (seen.low, seen.high) == (-1, 1)
    assert np.flatnonzero(seen.counts[0]).tolist() == [0, BINS - 1]
    assert seen.counts.sum() == 3


@pytest.mark.parametrize("outlier", [5000.0, -1e6, 2.0**40])
@pytest.mark.parametrize("channels", [1, 12])
def test_one_outlier_leaves_the_others_visible(outlier: float, channels: int) -> None:
    """Percentiles find the range of all other values, however far one is away."""
    data = np.random.default_rng(0).uniform(-1, 1, (6000, channels)).astype(np.float32)
    data[700, -1] = outlier
    seen = calibrate(Chain(), data)["input"]
    assert outlier in (seen.interval.low, seen.interval.high)
    for distribution, values in ((seen.whole(), data.size), (seen.channel(channels - 1), len(data))):
        assert distribution.counts.sum() == values
        found = choose_range(RangeMethod.PERCENTILE, distribution, lambda interval: lambda x: x, 99.9)
        assert (found.low, found.high) == pytest.approx((-1, 1), abs=0.02)


def test_progress_counts_both_passes() -> None:
    told: list[tuple[int, int]] = []
    calibrate(graph(), samples(10), 4, lambda what, done, of, news="": told.append((done, of)))
    assert told == [(done, 20) for done in (4, 8, 10, 14, 18, 20)]


def test_no_data() -> None:
    with pytest.raises(UserError, match="the calibration data is empty; give at least one sample"):
        calibrate(graph(), samples(0))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_not_finite(bad: float) -> None:
    data = samples(10)
    data[7, 0, 0, 1] = bad
    with pytest.raises(UserError, match="produces NaN or infinite values at 'input' on the calibration data"):
        calibrate(graph(), data, 4)
    overflowing = Chain({"square": np.square})
    with pytest.raises(UserError, match="at 'square'"), np.errstate(over="ignore"):
        calibrate(overflowing, 1e30 * samples(10), 4)
