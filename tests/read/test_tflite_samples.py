"""TensorFlow Lite files beside what TensorFlow Lite itself computed: every tensor equal, under three rules."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_folders import beside_the_data
from tflite_codes import FOLDER, RECORDED, Codes, IntegerCodes

from dnn2fpga.read.front_ends import read_model
from dnn2fpga.read.tflite_rules import TfliteRule
from dnn2fpga.task import Ending

OWN = sorted(folder for folder in FOLDER.glob("tflite_*") if (folder / "model.tflite").is_file())
SHARED = sorted(beside_the_data("models").glob("front_ends/tflite_*"))
SAMPLES = pytest.mark.parametrize("folder", [*OWN, *SHARED], ids=lambda folder: folder.name)
RULES = pytest.mark.parametrize("rule", TfliteRule, ids=lambda rule: rule.value)


def of(folder: Path, rule: TfliteRule) -> tuple[Codes, dict[str, np.ndarray]]:
    recorded = dict(np.load(folder / "io.npz"))
    return Codes(folder / "model.tflite", rule, [recorded["x"]]), recorded


def test_samples_are_there() -> None:
    assert len(OWN) >= 4


@SAMPLES
def test_every_tensor_of_the_reference_kernels(folder: Path) -> None:
    codes, recorded = of(folder, TfliteRule.REFERENCE)
    indices = [int(name[2:]) for name in recorded if name.startswith("t_")]
    computed = [index for index in indices if codes.of(index) is not None]
    assert len(computed) >= len(indices) - 2  # a constant, and what leaves in other numbers
    for index in computed:
        np.testing.assert_array_equal(codes.of(index), recorded[f"t_{index}"], err_msg=f"tensor {index}")


@SAMPLES
@RULES
def test_outputs(folder: Path, rule: TfliteRule) -> None:
    codes, recorded = of(folder, rule)
    np.testing.assert_array_equal(codes.output, recorded[RECORDED[rule]])


@RULES
def test_another_rule_gives_other_outputs(rule: TfliteRule) -> None:
    codes, recorded = of(FOLDER / "tflite_mobile", rule)
    for other, name in RECORDED.items():
        assert (codes.output != recorded[name]).any() == (other is not rule)


@SAMPLES
@RULES
def test_every_tensor_of_the_integer_model(folder: Path, rule: TfliteRule) -> None:
    recorded = np.load(folder / "io.npz")
    codes = IntegerCodes(folder / "model.tflite", rule, [recorded["x"]])
    assert len(codes.computed) >= len(codes.integers.graph.nodes) - 2
    for index, found in codes.computed.items():
        np.testing.assert_array_equal(found, codes.of(index), err_msg=f"tensor {index}")


def test_the_function_at_the_end() -> None:
    (interface,) = read_model(FOLDER / "tflite_mean" / "model.tflite").interfaces.values()
    assert interface.ending is Ending.SIGMOID
