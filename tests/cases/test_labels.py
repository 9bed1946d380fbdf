"""Labels as users gave them, and the scores that are right for them (`cases/data`, by the command)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from command_line import Outcome

Command = Callable[..., Outcome]
LOGITS, NUMBERS, PIXELS, LABELS = (
    "01-binary-logits",
    "02-regression-whole-numbers",
    "03-pixel-labels",
    "19-labels",
)


@pytest.fixture
def quantize(cases: Path, dnn2fpga: Command) -> Command:
    """Quantizes a case: a folder, the ending of its data files, and that of its model."""

    def run(folder: str, variant: str = "", *options: object, model: str | None = None) -> Outcome:
        place = cases / "data" / folder
        files = ("--data", place / f"train{variant}.npz", "--test", place / f"test{variant}.npz")
        name = f"model{variant if model is None else model}.keras"
        return dnn2fpga("quantize", place / name, *files, "-o", "work", *options)

    return run


def of_work(*keys: str) -> list[object]:
    result = json.loads(Path("work/quantization.json").read_text())
    return [result[key] for key in keys]


# folder, variant → options, task as it is printed, measure, float score, score of the integers
SCORES: dict[tuple[str, str], tuple[tuple[object, ...], str, str, float, float]] = {
    (LOGITS, ""): ((), "binary (linear, class 1 above 0)", "accuracy", 0.6455, 0.6475),
    # All of the data calibrates, so that the last digit does not hang on which samples do.
    (LOGITS, "_tanh"): (("--calibration-samples", 2000), "binary (tanh, class 1 above 0)", "accuracy", 0.818, 0.821),
    (PIXELS, ""): ((), "3 classes at each of 8 × 8 positions (softmax)", "accuracy", 0.99391, 0.99188),
    (PIXELS, "_hwc1"): ((), "3 classes at each of 8 × 8 positions (softmax)", "accuracy", 0.99391, 0.99188),
    (PIXELS, "_onehot"): ((), "labels are one-hot", "accuracy", 0.99391, 0.99188),
    (PIXELS, "_none"): ((), "no labels, measured by agreement", "agreement", 1.0, 0.99641),
    (LABELS, "_ok"): ((), "3 classes (softmax), labels are class numbers 0..2", "accuracy", 0.984, 0.986),
    (LABELS, "_column"): ((), "3 classes (softmax), labels are class numbers 0..2", "accuracy", 0.984, 0.986),
    (LABELS, "_boolonehot"): ((), "labels are one-hot", "accuracy", 0.984, 0.986),
    (LABELS, "_smooth"): ((), "labels are probabilities", "accuracy", 0.984, 0.986),
    (LABELS, "_pm"): ((), "labels are one-hot of -1 and +1", "accuracy", 0.984, 0.986),
    (LABELS, "_onetwo"): ((), "class 1 is above 1.5", "accuracy", 0.988, 0.988),
    (LABELS, "_regr3"): ((), "regression of 3 numbers (softmax)", "r2", 0.115542, 0.1155),
}


@pytest.mark.parametrize(("folder", "variant"), SCORES)
def test_labels_are_read_for_what_they_are(quantize: Command, folder: str, variant: str) -> None:
    options, line, measure, of_float, of_integers = SCORES[folder, variant]
    done = quantize(folder, variant, *options)
    assert done.code == 0, done.err
    assert f"task: {of_work('task')[0]}" in done.out
    assert line in done.out
    found_measure, found_float, found = of_work("measure", "float_score", "integer_score")
    assert found_measure == measure
    assert found_float == pytest.approx(of_float, abs=1e-5)
    assert found == pytest.approx(of_integers, abs=1e-3)


@pytest.mark.parametrize(
    ("variant", "of_float", "at_8_bits", "at_2_bits"), [("", 0.983, 0.982, 0.347), ("_frac", 0.9815, 0.9796, 0.332)]
)
def test_whole_numbers_are_no_classes(
    quantize: Command, variant: str, of_float: float, at_8_bits: float, at_2_bits: float
) -> None:
    assert quantize(NUMBERS, variant, model="").code == 0
    assert of_work("measure", "float_score", "integer_score") == [
        "r2",
        pytest.approx(of_float, abs=1e-3),
        pytest.approx(at_8_bits, abs=2e-3),
    ]
    missed = quantize(NUMBERS, variant, "--bits", 2, "--max-drop", 1, "--stages", "ptq", model="")
    assert missed.code == 3
    met, attempts = of_work("met", "tries")
    assert not met
    assert attempts[0]["score"] == pytest.approx(at_2_bits, abs=1e-2)  # other scales help a little


def test_a_softmax_over_one_number_is_told(quantize: Command, cases: Path) -> None:
    done = quantize(LOGITS, "_softmax1")
    assert done.code == 0
    assert "a softmax over one number is always 1" in done.out
    with np.load(cases / "data" / LOGITS / "test_softmax1.npz") as test:
        assert of_work("float_score", "integer_score") == [test["y"].mean()] * 2


@pytest.mark.parametrize(
    ("variant", "reason"),
    [("_onebased", "labels start at 1"), ("_wide", "the labels have 4 columns, but the model has 3 outputs")],
)
def test_labels_that_fit_no_reading_are_refused_before_any_work(quantize: Command, variant: str, reason: str) -> None:
    done = quantize(LABELS, variant)
    assert done.code == 2
    assert reason in done.err
    assert "calibrating" not in done.out
    assert not Path("work").exists()


def test_an_autoencoder_is_measured_by_r2(cases: Path, dnn2fpga: Command) -> None:
    rng = np.random.default_rng(0)
    for name in ("train", "test"):
        np.savez(f"{name}.npz", x=rng.normal(size=(1000, 64)).astype(np.float32))
    model = cases / "plans" / "autoencoder.keras"
    done = dnn2fpga("quantize", model, "--data", "train.npz", "--test", "test.npz", "-o", "work")
    assert done.code == 0, done.err
    assert "reconstruction (linear), no labels, measured by r2" in done.out
    measure, of_float, of_integers = of_work("measure", "float_score", "integer_score")
    assert (measure, of_float) == ("r2", 1.0)
    assert of_integers == pytest.approx(0.999, abs=1e-3)


def test_a_chosen_task_takes_precedence(quantize: Command) -> None:
    assert quantize(LOGITS, "", "--task", "regression").code == 0
    assert of_work("measure") == ["r2"]
    assert yaml.safe_load(Path("work/model.yaml").read_text())["outputs"][0]["task"] == {
        "kind": "regression",
        "ending": "linear",
        "threshold": None,
        "labels": "numbers",
        "class_1_above": None,
    }
    impossible = quantize(LOGITS, "", "--task", "classes")
    assert impossible.code == 2
    assert "classes needs a vector of outputs" in impossible.err
    assert "'binary', 'classes'" in quantize(LOGITS, "", "--task", "guess").err
