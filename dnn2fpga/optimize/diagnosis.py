"""Diagnosis: what in the data, or in the way it is quantized, costs accuracy, and which setting helps.

Models that score like a coin are mostly told by their inputs: a column whose values all become one integer, one value
a thousand times as large as all others, training data of another range than the test data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from dnn2fpga.files.described import Described
from dnn2fpga.graph.ports import by_name
from dnn2fpga.optimize.calibration import TensorStatistics
from dnn2fpga.optimize.findings import Cause, Finding
from dnn2fpga.optimize.input_diagnosis import (
    FEWEST_VALUES,
    PERCENTILE,
    STRETCH,
    USUAL,
    InputDiagnosis,
    Samples,
    outside,
)
from dnn2fpga.optimize.problem import Candidate, Problem, Try
from dnn2fpga.quantize.ranges import RangeMethod
from dnn2fpga.task import Measure, Score

LOST = 0.005  # of the score, from which on a finding matters that need not do harm
SEVERAL = 3  # attempts with equal scores


class InputCodes(Described):
    """Statistics of how much the integers of one input preserve of the data."""

    outside_range: float | None  # share of the test values that the format cannot hold; None without test data
    used_codes: tuple[int, ...]  # of each channel, on the calibration data
    codes: int  # that the format has


class Diagnosis(Described):
    """The findings about the data."""

    inputs: dict[str, InputCodes]
    findings: tuple[Finding, ...]


def diagnose(problem: Problem, chosen: Candidate, tries: Sequence[Try]) -> Diagnosis:
    """Return the findings about the data and the chosen model, most telling first.

    :param tries: all attempts.
    """
    inputs = _inputs(problem, chosen)
    findings = [finding for one in inputs.values() for found in (one.ranges(), one.outlier()) for finding in found]
    if not findings:  # else the codes are few because of what was found already
        worse = _is_worse(problem, chosen)
        findings += [finding for one in inputs.values() for finding in one.few_codes(worse)]
        findings += _outlier_within(problem, chosen)
    findings += [finding for one in inputs.values() for finding in one.constant()]
    findings += _equal_scores(problem, chosen, tries, findings)
    codes = {
        name: InputCodes(
            outside_range=one.outside, used_codes=tuple(one.used_codes.tolist()), codes=1 << one.tensor.width
        )
        for name, one in inputs.items()
    }
    return Diagnosis(inputs=codes, findings=tuple(findings))


def _inputs(problem: Problem, chosen: Candidate) -> dict[str, InputDiagnosis]:
    graph, tensors = problem.graph, chosen.model.inputs
    test = problem.test.inputs(graph.inputs) if problem.test else {}
    method = chosen.settings.input_calibration or chosen.settings.calibration
    return {
        name: InputDiagnosis(
            name=name if len(tensors) > 1 else "",
            tensor=tensors[name],
            calibration=Samples.of(x),
            test=Samples.of(test[name]) if test else None,
            outside=outside(tensors[name], test[name]) if test else None,
            cut_off=method is not RangeMethod.MIN_MAX,
            can_have_own_scales=not graph.needs_uniform_scale_downstream(name),
        )
        for name, x in problem.data.inputs(graph.inputs).items()
    }


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
            matters=_is_worse(problem, chosen),
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


def _equal_scores(
    problem: Problem, chosen: Candidate, tries: Sequence[Try], findings: Sequence[Finding]
) -> Iterator[Finding]:
    """Several attempts that missed the target by exactly the same."""
    [(score, count)] = Counter(one.score for one in tries if not one.met).most_common(1) or [(None, 0)]
    if problem.test is None or score is None or count < SEVERAL:
        return
    cause, help = next(((one.cause, one.help) for one in findings if one.matters), (None, ""))
    if cause is None:
        some = problem.test.sample(FEWEST_VALUES)
        outputs = by_name(chosen.model.predict(some.x), chosen.model.outputs).values()
        if len(some) > 1 and all((values == values[0]).all() for values in outputs):
            cause, help = Cause.SAME_OUTPUT, "more bits: --set quantization.activation_bits=16"
        elif len(problem.test) < FEWEST_VALUES:
            cause, help = Cause.FEW_SAMPLES, "give more of them with --test"
        else:
            cause, help = Cause.SAME_DECISIONS, "more bits, or training: --stages qat"
    measure = chosen.result.measure or Measure.ACCURACY
    text = f"{count} attempts have exactly the same score, {Score(measure, score)}: {cause.value}"
    yield Finding(cause=cause, text=text, help=help, matters=not chosen.result.met)


def _is_worse(problem: Problem, chosen: Candidate) -> bool:
    """Return whether the model is clearly worse than the float model, or nobody knows."""
    of_float, score = problem.float_score, chosen.result.score
    return of_float is None or score is None or of_float.value - score > LOST
