"""Partial quantization: which layers stay out, in what order that is tried, and as what they stay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from judged import TINY, one_sensitive_layer, problem_of, tiny_data, vectors

from dnn2fpga.errors import UserError
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.layers.conv2d import Binary32Conv2D
from dnn2fpga.layers.integer_linear import QuantizedLinear
from dnn2fpga.optimize.partial import cheapest_first, partial_candidates, sensitivity
from dnn2fpga.optimize.post_training import Quantization, quantize
from dnn2fpga.optimize.problem import Candidate, Problem
from dnn2fpga.optimize.settings import PartialSettings, Target
from dnn2fpga.quantize.settings import Numbers
from dnn2fpga.quantize.weight_sets import WeightSet
from dnn2fpga.task import Score

LOST = {"a": 0.01, "b": 0.05, "c": 0.02}
SIZE = {"a": 10, "b": 100, "c": 1}


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        # a + c stay: 0.03 (cost 100); c stays: 0.02 (110); a stays: 0.01 (101); the others lose too much
        (0.03, [("b",), ("b", "c"), ("b", "a"), ("c", "a"), ("c",), ("a",)]),
        (0.02, [("b", "c"), ("b", "a"), ("b",), ("c", "a"), ("c",), ("a",)]),
        (0.0, [("b", "c"), ("b", "a"), ("b",), ("c", "a"), ("c",), ("a",)]),
        (1.0, [("c",), ("a",), ("c", "a"), ("b",), ("b", "c"), ("b", "a")]),
    ],
)
def test_the_cheapest_set_that_should_do_comes_first(allowed: float, expected: list[tuple[str, ...]]) -> None:
    assert cheapest_first(LOST, SIZE, allowed + 1e-12) == expected


def test_a_gain_makes_up_for_no_loss() -> None:
    assert cheapest_first({"a": -0.5, "b": 0.1}, {"a": 1, "b": 9}, 0.05) == [("b",), ("a",)]


def test_one_layer_alone_is_never_left_out() -> None:
    assert cheapest_first({"a": 0.5}, {"a": 1}, 0.0) == []


def test_of_many_layers_the_most_sensitive_ones_are_tried_together() -> None:
    lost = {f"l{k}": k / 100 for k in range(12)}
    sets = cheapest_first(lost, dict.fromkeys(lost, 1), 0.5)
    assert len(sets) == 11
    assert sets[0] == ("l11", "l10")  # 0 + ... + 9 hundredths are left: the first that should do
    assert set(sets) == {tuple(f"l{11 - k}" for k in range(count)) for count in range(1, 12)}


def candidates_of(problem: Problem, settings: PartialSettings) -> Iterator[Candidate]:
    return partial_candidates(problem, settings, problem.quantization)


def loss_of_each(problem: Problem, settings: PartialSettings) -> dict[str, float]:
    return sensitivity(problem, settings, problem.quantization)


@cache
def sensitive() -> Problem:
    graph = one_sensitive_layer()
    return problem_of(graph, vectors(graph), Target(max_drop=2), Quantization(weight_bits=2), vectors(graph))


def test_the_sensitive_layer_is_found_and_left_out_first() -> None:
    lost = loss_of_each(sensitive(), PartialSettings())
    assert list(lost) == ["first", "fine", "last"]
    assert lost["fine"] > 0.05
    assert max(lost["first"], lost["last"]) < 0.02
    first, *rest = candidates_of(sensitive(), PartialSettings())
    assert first.result.kept_out == ("fine",)
    assert first.result.met
    assert first.result.weight_bits == (2, 16, 2)
    assert first.result.what == "fine in 16 bits"
    assert all(one.result.met == ("fine" in one.result.kept_out) for one in rest)


def test_tries_are_limited_and_made_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(list(candidates_of(sensitive(), PartialSettings(most_tries=2)))) == 2
    judged: list[object] = []
    candidate = Problem.candidate
    monkeypatch.setattr(Problem, "candidate", lambda *given: judged.append(given) or candidate(*given))
    next(candidates_of(sensitive(), PartialSettings()))
    assert len(judged) == 1


def test_sensitivity_looks_at_so_many_samples_only(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int | None] = []
    scores = Problem.scores

    def spy(self: Problem, model: QuantizedGraph, count: int | None = None) -> dict[str, Score]:
        seen.append(count)
        return scores(self, model, count)

    monkeypatch.setattr(Problem, "scores", spy)
    loss_of_each(sensitive(), PartialSettings(samples=50))
    assert seen == [50] * 4


def test_sensitivity_needs_test_data() -> None:
    with pytest.raises(UserError, match="sensitivity is measured on test data"):
        loss_of_each(problem_of(), PartialSettings())


def test_the_convolutions_of_the_paper() -> None:
    settings = PartialSettings(policy="convolutions")
    [only] = candidates_of(problem_of(test=tiny_data()), settings)
    assert only.result.kept_out == ("conv",)
    with pytest.raises(UserError, match="the model has no convolution; use 'sensitivity'"):
        list(candidates_of(sensitive(), settings))


@pytest.mark.parametrize("bits", [12, 16])
def test_left_out_in_fixed_point(bits: int) -> None:
    quantization = Quantization(weight_bits=2, weight_set=WeightSet.TERNARY, layers={"conv": {"activation_bits": 4}})
    problem = problem_of(test=tiny_data(), quantization=quantization)
    [only] = candidates_of(problem, PartialSettings(policy="convolutions", bits=bits))
    layers = {layer.name: layer for layer in only.model.layers}
    conv, dense = layers["conv"], layers["dense"]
    assert isinstance(conv, QuantizedLinear)
    assert isinstance(dense, QuantizedLinear)
    assert (conv.weight_width, conv.output.width, dense.weight_width) == (bits, bits, 2)
    assert abs(conv.weights).max() > 1
    assert only.settings.layers["conv"].weight_set is WeightSet.INTEGER
    assert only.result.megabytes > problem.candidate(tiny_ternary(problem), quantization, "ptq", "").result.megabytes


def tiny_ternary(problem: Problem):  # type: ignore[no-untyped-def]
    return quantize(problem.graph, problem.statistics, problem.quantization)


def test_left_out_in_binary32() -> None:
    settings = PartialSettings(policy="convolutions", kept_as="binary32", bits=13)
    [only] = candidates_of(problem_of(test=tiny_data()), settings)
    layers = {layer.name: layer for layer in only.model.layers}
    assert isinstance(layers["conv"], Binary32Conv2D)
    assert layers["conv"].output.width == 13
    [scale] = {float(ratio) for ratio in np.unique(layers["conv"].weights / TINY.layers[0].weights)}  # type: ignore[attr-defined]
    assert np.frexp(scale)[0] == 0.5  # the very weights, between the scales of input and output
    assert isinstance(layers["dense"], QuantizedLinear)
    assert only.settings.layers["conv"].numbers is Numbers.BINARY32
    assert only.result.what == "conv in binary32"
    assert only.result.weight_bits == (32, 8)


def test_what_is_allowed_comes_from_the_target() -> None:
    """A target that all sets should reach: the cheapest set is first, though it is not the best."""
    easy = replace(sensitive(), target=Target(max_drop=100))
    first = next(candidates_of(easy, PartialSettings()))
    assert first.result.kept_out == ("last",)  # 20 numbers; the others have 28 and 42
