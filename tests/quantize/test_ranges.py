"""Every way to choose a range, against answers that were found otherwise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dnn2fpga.quantize.ranges import Distribution, Quantizer, RangeMethod, bin_numbers, choose_range
from dnn2fpga.tensors.basics import Interval

pytestmark = pytest.mark.filterwarnings("error")

SAMPLES = 20_000


def symmetric(bits: int, power_of_two: bool = False) -> Quantizer:
    """Codes from -n to n."""
    largest_code = 2 ** (bits - 1) - 1

    def quantizer(interval: Interval):
        scale = max(-interval.low, interval.high) / largest_code
        scale = np.exp2(np.ceil(np.log2(scale))) if power_of_two else scale
        return lambda x: scale * np.clip(np.rint(x / scale), -largest_code, largest_code)

    return quantizer


def asymmetric(bits: int) -> Quantizer:
    def quantizer(interval: Interval):
        scale = (interval.high - interval.low) / (2**bits - 1)
        return lambda x: interval.low + scale * np.clip(np.rint((x - interval.low) / scale), 0, 2**bits - 1)

    return quantizer


def binary(interval: Interval):
    return lambda x: np.where(x >= 0, interval.high, interval.low)


QUANTIZERS = {
    "8 bits": symmetric(8),
    "4 bits": symmetric(4),
    "2 bits": symmetric(2),
    "4 bits, power of two": symmetric(4, power_of_two=True),
    "4 bits, asymmetric": asymmetric(4),
    "binary": binary,
}


def normal(count: int = SAMPLES) -> np.ndarray:
    return np.random.default_rng(0).normal(size=count)


SHAPES = {
    "normal": normal(),
    "relu": np.maximum(normal(), 0),
    "negative": -np.abs(normal()),
    "skewed": np.random.default_rng(1).gamma(2.0, size=SAMPLES) - 0.3,
    "far from zero": np.random.default_rng(2).uniform(5, 6, SAMPLES),
    "outliers": np.append(normal(), [40.0, -50.0]),
    "few": normal(9),
    "two": np.array([-1.0, 3.0]),
    "huge": 1e30 * normal(),
    "tiny": 1e-30 * normal(),
}


@pytest.mark.parametrize("quantizer", QUANTIZERS.values(), ids=QUANTIZERS)
@pytest.mark.parametrize("values", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("method", RangeMethod)
def test_every_range_is_one_and_always_the_same(method: RangeMethod, values: np.ndarray, quantizer: Quantizer) -> None:
    chosen = choose_range(method, Distribution.of(values), quantizer)
    assert min(values.min(), 0) <= chosen.low <= chosen.high <= max(values.max(), 0)
    assert chosen == choose_range(method, Distribution.of(values), quantizer)


@pytest.mark.parametrize("values", [[], [0.7], [0.0, 0.0, 0.0], [-2.5] * 100], ids=["empty", "one", "zeros", "equal"])
@pytest.mark.parametrize("method", RangeMethod)
def test_nothing_to_choose(method: RangeMethod, values: list[float]) -> None:
    expected = Interval(values[0], values[0]) if values else Interval(0.0, 0.0)
    assert choose_range(method, Distribution.of(np.array(values)), symmetric(4)) == expected


def test_min_max_and_moving_average_are_what_was_seen() -> None:
    seen = Distribution(np.array([-0.5, 1.0]), np.ones(2), Interval(-1.0, 2.0), Interval(-0.75, 1.5))
    assert choose_range(RangeMethod.MIN_MAX, seen, binary) == Interval(-1.0, 2.0)
    assert choose_range(RangeMethod.MOVING_AVERAGE, seen, binary) == Interval(-0.75, 1.5)


@pytest.mark.parametrize(
    ("values", "percentile", "expected"),
    [
        (np.arange(-499, 501), 98, (-489, 490)),  # ten of a thousand at each side
        (np.arange(1, 1001), 98, (1, 980)),  # twenty at the top
        (-np.arange(1, 1001), 98, (-980, -1)),  # twenty at the bottom
        (np.arange(-499, 501), 100, (-499, 500)),
        (np.arange(-499, 501), 99.9, (-499, 500)),  # half a value cannot be cut
        (np.repeat([-9, 0, 1, 9], [10, 500, 480, 10]), 98, (0, 1)),
        (np.repeat([-9, 0, 1, 9], [11, 500, 478, 11]), 98, (-9, 9)),
    ],
)
def test_percentile(values: np.ndarray, percentile: float, expected: tuple[float, float]) -> None:
    shuffled = Distribution.of(np.random.default_rng(0).permutation(values))
    points, counts = np.unique(values, return_counts=True)
    for distribution in shuffled, replace(shuffled, values=points, counts=counts):
        assert choose_range(RangeMethod.PERCENTILE, distribution, binary, percentile) == Interval(*expected)


@pytest.mark.parametrize("percentile", [99.99, 99.9, 95, 50, 1])
@pytest.mark.parametrize("name", ["normal", "skewed", "relu"])
def test_percentile_agrees_with_numpy(name: str, percentile: float) -> None:
    values = SHAPES[name]
    chosen = choose_range(RangeMethod.PERCENTILE, Distribution.of(values), binary, percentile)
    kept = [0, percentile] if name == "relu" else [(100 - percentile) / 2, (100 + percentile) / 2]
    low, high = np.percentile(values, kept)
    assert (chosen.low, chosen.high) == pytest.approx((low, high), abs=0.05 if percentile > 99.95 else 0.005)


@pytest.mark.parametrize("percentile", [0, -1, 100.1, np.nan])
def test_percentile_out_of_range(percentile: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        choose_range(RangeMethod.PERCENTILE, Distribution.of(normal()), binary, percentile)


@pytest.mark.parametrize("bits", [2, 3, 4, 6])
@pytest.mark.parametrize(
    "values", [normal(), np.random.default_rng(3).laplace(size=SAMPLES)], ids=["normal", "laplace"]
)
def test_least_squares_is_as_good_as_a_fine_search(values: np.ndarray, bits: int) -> None:
    def error(largest: float) -> float:
        return float(np.mean((values - symmetric(bits)(Interval(-largest, largest))(values)) ** 2))

    chosen = choose_range(RangeMethod.MSE, Distribution.of(values), symmetric(bits))
    least = min(error(largest) for largest in np.linspace(0.01, 1, 500) * np.abs(values).max())
    assert error(max(-chosen.low, chosen.high)) <= 1.01 * least


def test_least_squares_of_a_normal_distribution() -> None:
    """15 levels, against the error as an integral over the density."""
    density = np.exp(-((x := np.linspace(-8, 8, 160_001)) ** 2) / 2)
    clips = np.linspace(2, 3, 201)
    errors = [density @ (x - symmetric(4)(Interval(-clip, clip))(x)) ** 2 for clip in clips]
    chosen = choose_range(RangeMethod.MSE, Distribution.of(normal(200_000)), symmetric(4))
    assert max(-chosen.low, chosen.high) == pytest.approx(clips[np.argmin(errors)], rel=0.04)


def test_least_squares_of_weighted_points() -> None:
    """Rare large values are worth cutting for one count, and not for another."""
    values, interval = np.array([-1.2, -0.4, 0.4, 1.2, 10.0]), Interval(-10.0, 10.0)
    rare, common = (Distribution(values, np.array([n, n, n, n, 1.0]), interval, interval) for n in (1e6, 1e-6))
    assert choose_range(RangeMethod.MSE, rare, symmetric(3)).high == pytest.approx(1.2, rel=0.03)  # steps of 0.4
    assert choose_range(RangeMethod.MSE, common, symmetric(3)).high == 10


def test_of_equally_good_ranges_the_largest() -> None:
    """Steps of 1/4 reach 3.75 with 15 positive codes; every range above 1.875 gets them."""
    values = 0.25 * np.random.default_rng(0).integers(-11, 12, SAMPLES)
    distribution = Distribution.of(values)
    assert choose_range(RangeMethod.MSE, distribution, symmetric(5, power_of_two=True)) == distribution.interval


def divergence(counts: list[float], first: int, last: int, levels: list[int]) -> float:
    """The definition, number by number, for a histogram of which ``first <= bin < last`` is kept."""
    p = [float(count) for count in counts[first:last]]
    p[0] += sum(counts[:first])
    p[-1] += sum(counts[last:])
    q = []
    for bin, level in enumerate(levels):
        members = [other for other, its in enumerate(levels) if its == level and p[other] > 0]
        q.append(sum(counts[first + other] for other in members) / len(members) if p[bin] > 0 else 0.0)
    pairs = [(a / sum(p), b / sum(q)) for a, b in zip(p, q, strict=True) if a > 0]
    return sum(a * np.log(a / b) if b > 0 else np.inf for a, b in pairs)


@pytest.mark.parametrize("seed", range(20))
def test_entropy_is_the_least_divergence(seed: int) -> None:
    """Random histograms of 32 bins (128 values: see ``VALUES_A_BIN``), some empty; 3 bits without a sign."""
    rng = np.random.default_rng(seed)
    likely = rng.uniform(0, 1, 32) * (rng.uniform(0, 1, 32) > 0.3) * np.exp(-np.arange(32) / 6)
    counts = rng.multinomial(126, likely / likely.sum())
    counts[[0, -1]] += 1
    values = np.repeat(np.arange(32) + 0.5, counts)
    values[[0, -1]] = 1e-9, 32.0  # the ends of the range

    def quantizer(interval: Interval):
        return lambda x: interval.high / 7 * np.clip(np.rint(x / interval.high * 7), 0, 7)

    def cost(high: float) -> float:
        centres = np.arange(32) + 0.5
        last = int(np.count_nonzero(centres <= high))
        levels = quantizer(Interval(0, high))(centres[:last])
        return divergence(counts.tolist(), 0, last, list(np.unique(levels, return_inverse=True)[1]))

    best = min(32 * np.exp2(-np.arange(17) / 16), key=cost)  # down to 16 bins
    assert choose_range(RangeMethod.ENTROPY, Distribution.of(values), quantizer).high == pytest.approx(best)


@pytest.mark.parametrize("outlier", [30, 100])
@pytest.mark.parametrize("bits", [4, 6, 8])
@pytest.mark.parametrize("bulk", ["normal", "relu"])
def test_entropy_cuts_far_outliers(bulk: str, bits: int, outlier: float) -> None:
    values = np.append(np.tile(SHAPES[bulk], 10), np.linspace(0.9, 1, 20) * outlier)
    assert 2.5 < choose_range(RangeMethod.ENTROPY, Distribution.of(values), symmetric(bits)).high < 7


def test_entropy_sees_what_is_really_clipped() -> None:
    """A symmetric quantizer covers the short side of a range, and outliers there, whatever the range's own end."""
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.uniform(0, 1, SAMPLES), rng.uniform(-0.2, 0, SAMPLES), np.full(20, 30.0)])
    chosen = choose_range(RangeMethod.ENTROPY, Distribution.of(values), symmetric(4))
    mirrored = choose_range(RangeMethod.ENTROPY, Distribution.of(-values), symmetric(4))
    assert 0.9 < chosen.high < 1.5
    assert (mirrored.low, mirrored.high) == (-chosen.high, -chosen.low)


def test_entropy_of_few_values() -> None:
    few = Distribution.of(normal(400))  # 100 bins, 255 levels: nothing is lost
    assert choose_range(RangeMethod.ENTROPY, few, symmetric(8)) == few.interval


@pytest.mark.parametrize("quantizer", QUANTIZERS.values(), ids=QUANTIZERS)
def test_entropy_never_collapses(quantizer: Quantizer) -> None:
    assert choose_range(RangeMethod.ENTROPY, Distribution.of(normal()), quantizer).high > 1


def test_condensing() -> None:
    values = np.concatenate([normal(), np.zeros(5000), np.full(7, 0.25)])
    small = Distribution.of(values).condensed(100)
    assert len(small.values) <= 101
    assert small.counts.sum() == len(values)
    assert small.counts @ small.values == pytest.approx(values.sum())
    assert small.counts[small.values == 0] == [5000]
    assert small.interval == Interval(values.min(), values.max())
    assert len(Distribution.of(normal(50)).condensed(100).values) == 50


@pytest.mark.parametrize("method", RangeMethod)
def test_condensed_values_give_the_same_range(method: RangeMethod) -> None:
    whole = Distribution.of(normal())
    of_all, of_few = (choose_range(method, either, symmetric(4)) for either in (whole, whole.condensed()))
    assert (of_few.low, of_few.high) == pytest.approx((of_all.low, of_all.high), abs=2 * 8 / 4096)


def test_bin_numbers() -> None:
    assert bin_numbers(np.array([-5.0, 0.0, 0.24, 0.25, 0.99, 1.0, 7.0]), 0.0, 1.0, 4).tolist() == [0, 0, 0, 1, 3, 3, 3]
    assert bin_numbers(np.array([[0.5, 5.0]]), np.array([0.0, 5.0]), np.array([1.0, 5.0]), 4).tolist() == [[2, 0]]
