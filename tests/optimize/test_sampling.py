"""Data in any order: what stands for a data set is a sample of the whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
import trainable
from judged import TINY, calls_of, problem_of, tiny_data

from dnn2fpga import flow
from dnn2fpga.data import Data, load_data
from dnn2fpga.flow.models import KEPT_SAMPLES
from dnn2fpga.optimize import preparation
from dnn2fpga.optimize.post_training import Quantization
from dnn2fpga.optimize.settings import Optimization, TrainingSettings
from dnn2fpga.optimize.training import split
from dnn2fpga.work_folder import SAMPLES

FEW = 200  # samples that calibrate: the first 200 of the sorted digits are zeros and ones


def by_loudness(data: Data) -> Data:
    """Every class louder than the one before it, as a file sorted by class may well be."""
    loudness = 1 + data.y[:, np.newaxis]
    return Data((data.x * loudness).astype(np.float32), data.y)


TRAINING, TEST = (by_loudness(data) for data in trainable.digits(64))


def test_data_sorted_by_class_scores_as_in_any_order(tmp_path: Path) -> None:
    network, scores = trainable.trained(trainable.dense_network(), TRAINING, 10), {}
    for name, order in {"sorted": np.argsort(TRAINING.y), "shuffled": np.arange(len(TRAINING))}.items():
        settings = Quantization(calibration_samples=FEW)
        result = flow.quantize(network, TRAINING.at(order), work=tmp_path / name, quantization=settings, test=TEST)
        assert result.integer_score is not None
        scores[name] = result.integer_score
    assert scores["sorted"] == pytest.approx(scores["shuffled"], abs=0.01)
    # The test can fail: the first samples of the sorted data are of the quietest classes.
    first = TRAINING.at(np.argsort(TRAINING.y)[:FEW])
    result = flow.quantize(network, first, work=tmp_path / "first", test=TEST)
    assert result.integer_score is not None
    assert result.integer_score < scores["sorted"] - 0.03


def test_a_folder_on_disk_is_sampled_as_an_array_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "x.npy", TRAINING.x)
    calibrated = calls_of(monkeypatch, preparation, "calibrate")
    for data in (TRAINING, load_data(tmp_path, trainable.dense_network())):
        preparation.prepare(
            trainable.dense_network(),
            data,
            None,
            Quantization(calibration_samples=FEW),
            Optimization(),
            tmp_path / "stages",
            lambda what, done, of: None,
        )
    (_, in_memory), (_, on_disk) = calibrated
    np.testing.assert_array_equal(in_memory, on_disk)
    assert len(in_memory) == FEW


@pytest.mark.parametrize("mapped", [False, True])
def test_training_and_validation_see_every_class_of_sorted_data(tmp_path: Path, mapped: bool) -> None:
    data = TRAINING.at(np.argsort(TRAINING.y))
    if mapped:
        np.save(tmp_path / "x.npy", data.x)
        np.save(tmp_path / "y.npy", data.y)
        data = load_data(tmp_path, trainable.dense_network())
    settings = TrainingSettings(samples=400, validation=0.2)
    validation, training = split(len(data), settings, np.random.default_rng(settings.seed))
    assert (len(validation), len(training)) == (80, 320)
    for part, fewest in ((validation, 3), (training, 15)):
        assert np.bincount(data.y[part], minlength=10).min() >= fewest


def test_outputs_labels_and_reference_are_of_the_same_samples() -> None:
    test = tiny_data(40)
    model = tiny.quantized_graph(Quantization(weight_bits=16, activation_bits=16, input_bits=16))
    assert problem_of(TINY, test).measured("a test", model, 7) == 1.0
    (agreement,) = problem_of(TINY, Data(test.x, None)).scores(model, 7).values()
    assert (agreement.measure, agreement.value) == ("agreement", 1.0)


def test_the_samples_of_the_bundle_are_of_the_whole(tmp_path: Path) -> None:
    data = TRAINING.at(np.argsort(TRAINING.y))
    flow.quantize(trainable.dense_network(), data, work=tmp_path)
    with np.load(tmp_path / SAMPLES) as kept:
        np.testing.assert_array_equal(kept["x"], data.sample(KEPT_SAMPLES).x)
