"""Cases 10 to 12: data that a model is wrongly judged by, through the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import Run


def quantized(run: Run, cases: Path, name: str, *options: object) -> tuple[dict[str, Any], str]:
    """The report, and what was on the screen, with single spaces."""
    folder = cases / "data" / name
    outcome = run(
        "quantize", folder / "model.keras", "--data", folder / "train.npz", "--test", folder / "test.npz", *options
    )
    assert outcome.code == 0, outcome.err
    return json.loads(Path("work/quantization.json").read_text()), " ".join(outcome.out.split())


@pytest.mark.parametrize(
    ("name", "options", "right"),
    [
        ("10-unscaled-features", [], 0.986),
        ("11-calibration-outlier", [], 0.986),
        ("11-calibration-outlier", ["--calibration-samples", "1500"], 0.986),  # the outlier among them
        ("12-sorted-by-class", [], 1.0),
    ],
)
def test_with_a_target_the_float_accuracy_is_reached_by_itself(
    dnn2fpga: Run, cases: Path, name: str, options: list[str], right: float
) -> None:
    result, _ = quantized(dnn2fpga, cases, name, "--max-drop", "0", *options)
    assert result["float_score"] == pytest.approx(right, abs=1e-6)
    assert result["integer_score"] >= right - 1e-6
    assert result["stage"] == "ptq"


def test_what_is_cheap_is_tried_first_and_stays_where_it_helps(dnn2fpga: Run, cases: Path) -> None:
    result, shown = quantized(dnn2fpga, cases, "10-unscaled-features", "--max-drop", "0")
    assert [one["what"] for one in result["tries"]][:3] == [
        "all layers",
        "ranges by percentile 99.9",
        "a scale per input channel",
    ]
    assert all(one["what"] in shown for one in result["tries"])


def test_unscaled_features_are_named_as_the_cause(dnn2fpga: Run, cases: Path) -> None:
    result, shown = quantized(dnn2fpga, cases, "10-unscaled-features")
    assert result["integer_score"] < 0.6
    assert "channels 0, 1 and 3 of the input: 1, 1 and 1 of 256 integers used" in shown
    assert "--set quantization.input_granularity=per_channel" in shown
    assert len(result["tries"]) == 1
    assert result["diagnosis"]["inputs"]["input"]["used_codes"][:2] == [1, 1]
    helped, shown = quantized(
        dnn2fpga, cases, "10-unscaled-features", "--set", "quantization.input_granularity=per_channel"
    )
    assert helped["integer_score"] > 0.98
    assert "look at" not in shown


@pytest.mark.parametrize(
    ("options", "score", "help"),
    [
        (["--calibration-samples", "1500"], 0.39, "--set quantization.percentile=99.9"),
        ([], 0.986, "the calibrated range leaves it out"),  # the sample happens not to hold it
    ],
)
def test_an_outlier_is_named(dnn2fpga: Run, cases: Path, options: list[str], score: float, help: str) -> None:
    result, shown = quantized(dnn2fpga, cases, "11-calibration-outlier", *options)
    assert result["integer_score"] == pytest.approx(score, abs=0.005)
    assert "channel 4: largest value 5,000, 99.9% below 3.3" in shown
    assert help in shown


def test_sorted_data_needs_no_words(dnn2fpga: Run, cases: Path) -> None:
    result, shown = quantized(dnn2fpga, cases, "12-sorted-by-class")
    assert result["integer_score"] == 1.0
    assert "look at" not in shown
