"""The first stage: what is cheap is tried in its order, kept where it helps, and never against the user's word."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from judged import decided, problem_of, tiny_data

from dnn2fpga.config import Config
from dnn2fpga.data import Data
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.dense import Dense
from dnn2fpga.optimize.first_stage import CHANGES, post_training_candidates
from dnn2fpga.optimize.post_training import Quantization
from dnn2fpga.optimize.problem import Problem
from dnn2fpga.optimize.settings import Target
from dnn2fpga.passes.simplify import simplify
from dnn2fpga.quantize.ranges import RangeMethod
from dnn2fpga.quantize.settings import Granularity

OUT_OF_REACH = Target(target_accuracy=1.0)


def unscaled(outlier: float = 0.0) -> Problem:
    """Four inputs, the first a thousandth of the others, that decide as much as they do."""
    rng = np.random.default_rng(0)
    size = np.array([1e-3, 1, 1, 1])
    weights = (rng.normal(size=(4, 3)) / size[:, np.newaxis]).astype(np.float32)
    graph = simplify(Graph.chain("unscaled", "input", (4,), [Dense("dense", weights, np.zeros(3, np.float32))]))
    x = (rng.uniform(-1, 1, (600, 4)) * size).astype(np.float32)
    data = Data(x, graph.run(x).argmax(axis=1))
    calibration = x.copy()
    calibration[7, 2] += outlier
    return problem_of(graph, data, OUT_OF_REACH, Quantization(), Data(calibration, None))


def tried(problem: Problem) -> list[str]:
    return [candidate.result.what for candidate in post_training_candidates(problem)]


def test_everything_is_tried_in_the_order_of_its_cost() -> None:
    candidates = list(post_training_candidates(unscaled(outlier=500)))
    first, *_ = candidates
    assert first.result.what == "all layers"
    groups = [change.group for change in CHANGES]
    assert groups.index("calibration") < groups.index("input scales") < groups.index("input symmetry")
    assert groups[-1] == "width"
    best = max(candidates, key=lambda one: one.result.score or 0)
    assert best.result.score is not None
    assert first.result.score is not None
    assert best.result.score > 0.95 > first.result.score + 0.2
    # Both were needed, and both stayed.
    assert best.settings.calibration is RangeMethod.PERCENTILE
    assert best.settings.input_granularity is Granularity.PER_CHANNEL
    assert best.result.what.startswith("ranges by percentile 99.9, a scale per input channel by percentile 99")


def test_what_changes_no_number_is_not_tried() -> None:
    found = tried(unscaled())
    assert len(found) == len(set(found))
    assert "a scale per channel of activations" not in " ".join(found)  # the only activation is the output


@pytest.mark.parametrize(
    ("given", "never"),
    [
        ({"calibration": "min_max"}, "ranges by"),
        ({"input_granularity": "per_tensor"}, "per input channel"),
        ({"activation_granularity": "per_tensor"}, "per input channel"),
        ({"activation_symmetry": "symmetric"}, "asymmetric"),
        ({"input_bits": 8}, "input in"),
    ],
)
def test_what_the_user_gave_stays(given: dict[str, Any], never: str) -> None:
    problem = unscaled(outlier=500)
    everything = " ".join(tried(problem))
    assert never in everything
    settings = Config.model_validate({"quantization": given}).quantization
    limited = problem_of(problem.graph, problem.test, OUT_OF_REACH, settings, problem.data)
    assert never not in " ".join(tried(limited))


def test_a_percentile_that_was_given_is_the_one_that_is_tried() -> None:
    problem = unscaled(outlier=500)
    given = problem_of(problem.graph, problem.test, OUT_OF_REACH, Quantization(percentile=99.0), problem.data)
    changed = [one.settings for one in post_training_candidates(given)]
    assert any(one.calibration is RangeMethod.PERCENTILE for one in changed)
    assert {one.percentile for one in changed} == {99.0}


def test_with_every_setting_given_there_is_one_attempt() -> None:
    assert tried(problem_of(test=tiny_data(), quantization=decided())) == ["all layers"]


def test_an_input_is_never_made_narrower() -> None:
    problem = unscaled()
    wide = problem_of(problem.graph, problem.test, OUT_OF_REACH, Quantization(input_bits=14), problem.data)
    assert {one.model.input.width for one in post_training_candidates(problem)} == {8, 12, 16}
    wide.quantization.model_fields_set.discard("input_bits")
    assert {one.model.input.width for one in post_training_candidates(wide)} == {14, 16}


def test_settings_of_other_commands_keep_what_nobody_said() -> None:
    config = Config.model_validate({"quantization": {"weight_bits": 4}}).overridden({"clock_mhz": 100})
    assert config.quantization.model_fields_set == {"weight_bits"}
