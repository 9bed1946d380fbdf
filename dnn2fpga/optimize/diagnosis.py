"""Diagnosis: what in the data, or in the way it is quantized, costs accuracy, and which setting helps.

Models that score like a coin are mostly told by their inputs: a column whose values all become one integer, one value
a thousand times as large as all others, training data of another range than the test data.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dnn2fpga.data import Data
from dnn2fpga.files.described import Described
from dnn2fpga.optimize.calibration import TensorStatistics
from dnn2fpga.optimize.problem import Candidate, Problem, Try
from dnn2fpga.quantize.ranges import RangeMethod
from dnn2fpga.task import Measure, Score
from dnn2fpga.tensors.tensor import Tensor

MOST_VALUES = 1 << 20  # of a data set that its distribution is taken from; its extremes are those of all
USUAL = 0.999  # part of the values
STRETCH = 16  # an outlier is this many times as large as the usual values; a channel has fewer codes by this factor
FEWEST_VALUES = 100  # other than 0, to call one of them an outlier
DIFFERENT = 4.0  # ratio of the ranges of two data sets
TOLERATED = 0.01  # part of the test values outside the range, and of a channel that is else constant
LOST = 0.005  # of the score, from which on a finding matters that need not do harm
SEVERAL = 3  # attempts with equal scores
LISTED = 6  # channels by number; of more, how many there are
PERCENTILE = "--set quantization.calibration=percentile --set quantization.percentile=99.9"


class Cause(enum.Enum):
    """What may be wrong, in a few words."""

    OUTLIER = "an outlier"
    OTHER_RANGE = "calibration data of another range"
    OUTSIDE_RANGE = "inputs outside the calibrated range"
    FEW_CODES = "an input scale that destroys information"
    CONSTANT = "a constant channel"
    SAME_OUTPUT = "outputs that do not depend on the input"
    FEW_SAMPLES = "too few test samples to tell attempts apart"
    SAME_DECISIONS = "changes that turn no decision"


class Finding(Described):
    """One thing that was found."""

    cause: Cause
    text: str
    help: str
    matters: bool  # whether it is worth a line on the screen


class Diagnosis(Described):
    """What the input's integers keep of the data."""

    outside_range: float | None  # share of the test values that the input's format cannot hold; None without test data
    used_codes: tuple[int, ...]  # of each input channel, on the calibration data
    codes: int  # that the input's format has
    findings: tuple[Finding, ...]


@dataclass(frozen=True, eq=False)
class Inputs:
    """The inputs of a data set; a channel is an index of their last axis."""

    low: np.ndarray  # [channels] of all samples
    high: np.ndarray  # [channels] of all samples
    some: np.ndarray  # [samples, *shape] that stand for all

    @classmethod
    def of(cls, data: Data) -> Inputs:
        blocks = [_by_channel(block) for block in _blocks(data.x)]
        low = np.min([block.min(axis=0) for block in blocks], axis=0)
        high = np.max([block.max(axis=0) for block in blocks], axis=0)
        rows = max(1, MOST_VALUES // max(1, data.x[0].size))
        return cls(low.astype(np.float64), high.astype(np.float64), np.asarray(data.sample(rows).x, np.float64))

    @property
    def values(self) -> np.ndarray:
        """Some values ``[values, channels]``."""
        return _by_channel(self.some)

    @property
    def largest(self) -> np.ndarray:
        """``[channels]`` the largest magnitude."""
        return np.maximum(-self.low, self.high)


def diagnose(problem: Problem, chosen: Candidate, tries: Sequence[Try]) -> Diagnosis:
    """What was found about the data and the chosen model, most telling first.

    :param tries: all attempts.
    """
    tensor, calibration = chosen.model.input, Inputs.of(problem.data)
    test = Inputs.of(problem.test) if problem.test else None
    outside = None if problem.test is None else _outside(tensor, problem.test)
    codes = _by_channel(tensor.quantize(calibration.some))
    used = np.array([len(np.unique(codes[:, channel])) for channel in range(codes.shape[1])])
    findings = [*_of_ranges(chosen, calibration, test, outside), *_outlier(tensor, calibration)]
    if not findings:  # else the codes are few because of what was found already
        findings += _few_codes(problem, chosen, calibration, used)
        findings += _outlier_within(problem, chosen)
    findings += _constant(calibration, test)
    findings += _equal_scores(problem, chosen, tries, findings)
    return Diagnosis(
        outside_range=outside,
        used_codes=tuple(used.tolist()),
        codes=1 << tensor.width,
        findings=tuple(findings),
    )


def _blocks(x: np.ndarray) -> Iterator[np.ndarray]:
    rows = max(1, MOST_VALUES // max(1, x[0].size))
    return (np.asarray(x[start : start + rows]) for start in range(0, len(x), rows))


def _by_channel(x: np.ndarray) -> np.ndarray:
    return x.reshape(-1, x.shape[-1])


def _usual(values: np.ndarray) -> float:
    """What ``USUAL`` of the values other than 0 do not exceed; 0 where they are too few to say."""
    others = np.abs(values[values != 0])
    return float(np.quantile(others, USUAL, method="lower")) if others.size >= FEWEST_VALUES else 0.0


def _outside(tensor: Tensor, test: Data) -> float:
    return sum(int(tensor.clips(block).sum()) for block in _blocks(test.x)) / test.x.size


def _of_ranges(chosen: Candidate, calibration: Inputs, test: Inputs | None, outside: float | None) -> Iterator[Finding]:
    if test is None or outside is None:
        return
    ours, theirs = _usual(calibration.values), _usual(test.values)
    if ours and theirs and not 1 / DIFFERENT <= theirs / ours <= DIFFERENT:
        yield Finding(
            cause=Cause.OTHER_RANGE,
            text=f"{USUAL:.1%} of the calibration data lie within ±{ours:,.4g}, of the test data within ±{theirs:,.4g}",
            help="prepare both as the model's training data was",
            matters=True,
        )
    elif outside > TOLERATED:
        method = chosen.settings.input_calibration or chosen.settings.calibration
        cut = method is not RangeMethod.MIN_MAX
        yield Finding(
            cause=Cause.OUTSIDE_RANGE,
            text=f"{outside:.1%} of the test inputs lie outside the calibrated range and are clipped",
            help="--set quantization.input_calibration=min_max" if cut else "calibrate with data like the test data",
            matters=True,
        )


def _outlier(tensor: Tensor, calibration: Inputs) -> Iterator[Finding]:
    """One value that stretches the scale that it shares, or would, had calibration not cut it off."""
    own_scales = isinstance(tensor.scale, tuple)
    usual = np.array([_usual(values) for values in (calibration.values.T if own_scales else [calibration.values])])
    ratio = np.where(usual > 0, calibration.largest / np.where(usual > 0, usual, 1), 0)
    channel = int(ratio.argmax())
    if ratio[channel] <= STRETCH:
        return
    largest, below = calibration.largest[channel], usual[channel if own_scales else 0]
    ends = np.array([tensor.format.minimum, tensor.format.maximum])
    reach = np.abs(_by_channel(tensor.dequantize(np.resize(ends.repeat(tensor.size), (2, *tensor.shape)))))
    left_out = reach[:, channel].max() < largest / 2
    yield Finding(
        cause=Cause.OUTLIER,
        text=f"calibration data, channel {channel}: largest value {largest:,.4g}, {USUAL:.1%} below {below:,.3g}",
        help="the calibrated range leaves it out; does it belong to the data?" if left_out else PERCENTILE,
        matters=True,
    )


def _few_codes(problem: Problem, chosen: Candidate, calibration: Inputs, used: np.ndarray) -> Iterator[Finding]:
    """Channels whose many values become a few integers, because others need a coarse scale."""
    tensor, values = chosen.model.input, calibration.values
    distinct = np.array([len(np.unique(values[:, channel])) for channel in range(values.shape[1])])
    few = np.flatnonzero((distinct > DIFFERENT * used) & (used * STRETCH <= 1 << tensor.width))
    if not few.size:
        return
    counts = _list(used[few]) if few.size <= LISTED else f"at most {used[few].max()}"
    own = tensor.lanes == len(used) > 1 and not problem.graph.needs_uniform_scale_downstream(problem.graph.input_name)
    possible = own and not isinstance(tensor.scale, tuple)
    yield Finding(
        cause=Cause.FEW_CODES,
        text=f"{_named(few)} of the input: {counts} of {1 << tensor.width:,} integers used, their values are lost",
        help=f"--set quantization.{'input_granularity=per_channel' if possible else 'input_bits=16'}",
        matters=_hurts(problem, chosen),
    )


def _outlier_within(problem: Problem, chosen: Candidate) -> Iterator[Finding]:
    """The layer whose range is stretched most by rare values."""
    if chosen.settings.calibration is not RangeMethod.MIN_MAX:
        return
    ratios = {node.name: _stretch(problem.statistics[node.name]) for node in problem.graph.nodes}
    name = max(ratios, key=lambda name: ratios[name])
    if ratios[name] > STRETCH:
        yield Finding(
            cause=Cause.OUTLIER,
            text=f"layer '{name}': its largest value is {ratios[name]:,.0f} times what {USUAL:.1%} do not exceed",
            help=PERCENTILE,
            matters=_hurts(problem, chosen),
        )


def _stretch(seen: TensorStatistics) -> float:
    """The largest magnitude beside the usual one."""
    points = seen.whole()
    others = points.values != 0
    order = np.argsort(np.abs(points.values[others]))
    values, counts = np.abs(points.values[others])[order], points.counts[others][order]
    if counts.sum() < FEWEST_VALUES:
        return 0.0
    usual = values[np.searchsorted(np.cumsum(counts), USUAL * counts.sum())]
    return max(-seen.interval.low, seen.interval.high) / usual


def _constant(calibration: Inputs, test: Inputs | None) -> Iterator[Finding]:
    constant = np.flatnonzero(calibration.low == calibration.high)
    if not constant.size:
        return
    varies = np.zeros(constant.size)
    if test is not None:
        varies = (test.values[:, constant] != calibration.low[constant]).mean(axis=0)
    alive = constant[varies > TOLERATED]
    if alive.size:
        yield Finding(
            cause=Cause.CONSTANT,
            text=f"{_named(alive)} of the calibration data: always the same value, but not in the test data",
            help="calibrate with data like the test data",
            matters=True,
        )
    else:
        text = f"{_named(constant)} of the input: always the same value"
        yield Finding(cause=Cause.CONSTANT, text=text, help="they need not be in the data", matters=False)


def _equal_scores(
    problem: Problem, chosen: Candidate, tries: Sequence[Try], findings: Sequence[Finding]
) -> Iterator[Finding]:
    """Several attempts that missed the target by exactly the same."""
    [(score, count)] = Counter(one.score for one in tries if not one.met).most_common(1) or [(None, 0)]
    if problem.test is None or score is None or count < SEVERAL:
        return
    cause, help = next(((one.cause, one.help) for one in findings if one.matters), (None, ""))
    if cause is None:
        outputs = chosen.model.predict(np.asarray(problem.test.sample(FEWEST_VALUES).x))
        if (outputs == outputs[0]).all() and len(outputs) > 1:
            cause, help = Cause.SAME_OUTPUT, "more bits: --set quantization.activation_bits=16"
        elif len(problem.test) < FEWEST_VALUES:
            cause, help = Cause.FEW_SAMPLES, "give more of them with --test"
        else:
            cause, help = Cause.SAME_DECISIONS, "more bits, or training: --stages qat"
    measure = chosen.result.measure or Measure.ACCURACY
    text = f"{count} attempts have exactly the same score, {Score(measure, score)}: {cause.value}"
    yield Finding(cause=cause, text=text, help=help, matters=not chosen.result.met)


def _hurts(problem: Problem, chosen: Candidate) -> bool:
    """Whether the model is clearly worse than the float model, or nobody knows."""
    of_float, score = problem.float_score, chosen.result.score
    return of_float is None or score is None or of_float.value - score > LOST


def _named(channels: np.ndarray) -> str:
    if len(channels) > LISTED:
        return f"{len(channels)} channels"
    return f"channel{'s' if len(channels) > 1 else ''} {_list(channels)}"


def _list(numbers: np.ndarray) -> str:
    *first, last = map(str, numbers)
    return f"{', '.join(first)} and {last}" if first else last
