"""The diagnosis: what is wrong with the data is found and named, and sound data is left in peace."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from judged import decided, problem_of

from dnn2fpga.data import Data
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.dense import Dense
from dnn2fpga.optimize.diagnosis import Diagnosis, InputCodes, diagnose
from dnn2fpga.optimize.findings import Cause, Finding
from dnn2fpga.optimize.first_stage import post_training_candidates
from dnn2fpga.optimize.post_training import Quantization
from dnn2fpga.optimize.settings import Target
from dnn2fpga.passes.simplify import simplify

RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, (500, 4)).astype(np.float32)
WEIGHTS = RNG.normal(size=(4, 3)).astype(np.float32)


def network(size: np.ndarray | float = 1.0) -> Graph:
    """Return a network for inputs of this size each."""
    weights = (WEIGHTS / np.reshape(size, (-1, 1))).astype(np.float32)
    layers: list[Layer] = [Dense("dense", weights, np.zeros(3, np.float32))]
    return simplify(Graph.chain("network", "input", (4,), layers))


def diagnosed(
    graph: Graph,
    calibration: np.ndarray,
    test: np.ndarray | None,
    quantization: Quantization | None = None,
    target: Target | None = None,
) -> Diagnosis:
    labelled = None if test is None else Data(test, graph.run(test).argmax(axis=1))
    problem = problem_of(graph, labelled, target, quantization, Data(calibration, None))
    candidates = list(post_training_candidates(problem)) if target else [next(post_training_candidates(problem))]
    best = max(candidates, key=lambda one: one.result.score or 0)
    return diagnose(problem, best, [one.result for one in candidates])


def codes_of(diagnosis: Diagnosis) -> InputCodes:
    """Return the statistics of the only input."""
    (codes,) = diagnosis.inputs.values()
    return codes


def shown(diagnosis: Diagnosis) -> dict[Cause, Finding]:
    return {one.cause: one for one in diagnosis.findings if one.matters}


def changed(change: Callable[[np.ndarray], object]) -> np.ndarray:
    x = X.copy()
    change(x)
    return x


@pytest.mark.parametrize("test", [None, X[::-1].copy()])
def test_sound_data_has_no_findings(test: np.ndarray | None) -> None:
    found = diagnosed(network(), X, test)
    assert found.findings == ()
    assert codes_of(found).outside_range == (None if test is None else 0.0)
    assert codes_of(found).codes == 256
    assert min(codes_of(found).used_codes) > 100


@pytest.mark.parametrize("pixels", [np.uint8, np.float32])
def test_images_have_no_findings(pixels: type) -> None:
    """Corners that never change, and a range whose end saturates by one step, are how images are."""
    images = RNG.integers(0, 256, (300, 4)).astype(np.float64)
    images[:, 0] = 0
    images = images.astype(pixels) if pixels is np.uint8 else (images / 255).astype(np.float32)
    found = diagnosed(network(255 if pixels is np.uint8 else 1), images, images)
    assert shown(found) == {}
    assert codes_of(found).outside_range == 0.0
    assert [one.text for one in found.findings] == ["channel 0 of the input: always the same value"]


def test_channels_that_become_a_few_integers() -> None:
    size = np.array([1e-4, 1.0, 1e-3, 1.0])
    found = diagnosed(network(size), (X * size).astype(np.float32), (X * size).astype(np.float32))
    assert codes_of(found).used_codes[0] == codes_of(found).used_codes[2] == 1
    finding = shown(found)[Cause.FEW_CODES]
    assert finding.text.startswith("channels 0 and 2 of the input: 1 and 1 of 256 integers used")
    assert finding.help == "--set quantization.input_granularity=per_channel"
    helped = diagnosed(
        network(size),
        (X * size).astype(np.float32),
        (X * size).astype(np.float32),
        Quantization.model_validate({"input_granularity": "per_channel"}),
    )
    assert helped.findings == ()


def test_few_codes_that_do_no_harm_are_in_the_report_alone() -> None:
    size = np.array([1e-4, 1.0, 1.0, 1.0])
    x = (X * size).astype(np.float32)  # the first input says nothing to a network for inputs of equal size
    found = diagnosed(network(), x, x)
    assert [one.cause for one in found.findings] == [Cause.FEW_CODES]
    assert shown(found) == {}


def test_a_few_values_are_not_few_codes() -> None:
    x = changed(lambda x: x.__setitem__((slice(None), 0), np.sign(x[:, 0])))
    assert diagnosed(network(), x, x).findings == ()


def test_an_outlier_in_the_input() -> None:
    x = changed(lambda x: x.__setitem__((7, 2), 5000))
    found = diagnosed(network(), x, X)
    finding = shown(found)[Cause.OUTLIER]
    assert finding.text == "calibration data, channel 2: largest value 5,000, 99.9% below 1"
    assert finding.help == "--set quantization.calibration=percentile --set quantization.percentile=99.9"
    by_percentile = Quantization.model_validate({"calibration": "percentile", "percentile": 99.9})
    [left] = diagnosed(network(), x, X, by_percentile).findings
    assert left.help.startswith("the calibrated range leaves it out")


def test_an_outlier_within_the_network() -> None:
    """An outlier within the network is found: only one sample makes the layer large, with inputs like all others."""
    rare = np.zeros((4, 3), np.float32)
    rare[3, 0] = 1e4
    graph = simplify(
        Graph.chain("rare", "input", (4,), [Dense("dense", WEIGHTS + rare, np.zeros(3, np.float32))])  # type: ignore[list-item]
    )
    x = changed(lambda x: x.__setitem__((slice(None), 3), 0))
    x[11, 3] = 1
    found = diagnosed(graph, x, None)
    finding = shown(found)[Cause.OUTLIER]
    assert finding.text.startswith("layer 'dense': its largest value is")


@pytest.mark.parametrize("factor", [255.0, 1 / 255])
def test_data_of_another_range(factor: float) -> None:
    found = diagnosed(network(), X, (X * factor).astype(np.float32))
    assert set(shown(found)) == {Cause.OTHER_RANGE}
    assert "prepare both" in shown(found)[Cause.OTHER_RANGE].help
    assert codes_of(found).outside_range is not None
    assert (codes_of(found).outside_range > 0.9) == (factor > 1)


def test_test_inputs_outside_the_calibrated_range() -> None:
    found = diagnosed(network(), X, (X * 2).astype(np.float32))
    assert codes_of(found).outside_range == pytest.approx(0.5, abs=0.05)
    finding = shown(found)[Cause.OUTSIDE_RANGE]
    assert "lie outside the calibrated range" in finding.text
    assert finding.help == "calibrate with data like the test data"
    narrow = Quantization.model_validate({"calibration": "percentile", "percentile": 60, "scales": "free"})
    assert (
        shown(diagnosed(network(), X, X, narrow))[Cause.OUTSIDE_RANGE].help
        == "--set quantization.input_calibration=min_max"
    )


def test_a_channel_that_is_constant_in_the_calibration_data_only() -> None:
    x = changed(lambda x: x.__setitem__((slice(None), 1), 0.5))
    finding = shown(diagnosed(network(), x, X))[Cause.CONSTANT]
    assert finding.text == "channel 1 of the calibration data: always the same value, but not in the test data"
    assert shown(diagnosed(network(), x, x)) == {}


def test_equal_scores_name_the_cause() -> None:
    size = np.array([1e-4, 1.0, 1e-4, 1.0])
    x = (X * size).astype(np.float32)
    fixed = decided(calibration="min_max")
    fixed.model_fields_set.difference_update({"input_symmetry", "input_bits", "activation_symmetry", "calibration"})
    found = diagnosed(network(size), x, x, fixed, Target(target_accuracy=1.0))
    equal = [one for one in found.findings if "exactly the same score" in one.text]
    assert [one.cause for one in equal] == [Cause.FEW_CODES]
    assert equal[0].help == "--set quantization.input_granularity=per_channel"


def test_equal_scores_of_a_model_that_always_says_the_same() -> None:
    layers: list[Layer] = [Dense("dense", WEIGHTS * 1e-9, np.array([1, 0, -1], np.float32))]
    graph = simplify(Graph.chain("dead", "input", (4,), layers))
    test = Data(X, np.arange(len(X)) % 3)
    problem = problem_of(graph, test, Target(target_accuracy=1.0), Quantization(), Data(X, None))
    candidates = list(post_training_candidates(problem))
    found = diagnose(problem, candidates[0], [one.result for one in candidates])
    assert Cause.SAME_OUTPUT in shown(found)


def test_labels_and_values_of_any_kind_are_looked_at() -> None:
    """Booleans and integers, and fewer values than a distribution needs."""
    for x in (X[:3], X > 0, (100 * X).astype(np.int8)):
        assert shown(diagnosed(network(), x.astype(np.float32), x.astype(np.float32))) == {}
