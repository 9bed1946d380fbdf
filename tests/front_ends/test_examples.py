"""The models of the examples: the integers that they become compute what their tools computed of all test data."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_folders import beside_the_data
from integer_model import IntegerModel

from dnn2fpga.data import Data
from dnn2fpga.read.front_ends import read_model

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))
from datasets import digits, dry_bean  # noqa: E402 - needs the path above


def outputs(model: Path, of: Callable[[], tuple[Data, Data]]) -> tuple[IntegerModel, str, np.ndarray]:
    graph = read_model(model)
    with np.load(model.with_name("source.npz")) as source:
        return IntegerModel(graph, of()[1].x), graph.dag.outputs[0], source["outputs"]


def test_the_tflite_file_of_digits() -> None:
    model, name, expected = outputs(EXAMPLES / "tflite_bitstream" / "digits.tflite", digits)
    np.testing.assert_array_equal(model.codes(name).reshape(expected.shape), expected)
    assert expected.shape == (360, 10)


def test_the_qkeras_model_of_beans() -> None:
    if not (beside_the_data("data") / "drybean").is_dir():
        pytest.skip("the beans are missing: set DNN2FPGA_DATA to the folder that holds 'drybean'")
    model, name, expected = outputs(EXAMPLES / "qkeras_beans" / "beans.keras", dry_bean)
    np.testing.assert_array_equal(model.reals(name).reshape(expected.shape).astype(np.float32), expected)
    assert expected.shape == (2723, 7)
