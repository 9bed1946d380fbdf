"""Single operators of TensorFlow Lite with random scales, beside what three implementations made of random codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tflite_codes import FOLDER, Codes, IntegerCodes

from dnn2fpga.errors import UserError
from dnn2fpga.read import tflite_fixed_point
from dnn2fpga.read.tflite_fixed_point import Multiplier, divided_half_away, half_away
from dnn2fpga.read.tflite_rules import TfliteRule

RECORDED = np.load(FOLDER / "tflite_operators" / "io.npz")
NAMES = [f"{name}-{seed}" for name, seed in zip(RECORDED["operators"], RECORDED["seeds"], strict=True)]


EVERY = pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)


def recorded(number: int, folder: Path) -> tuple[Path, list[np.ndarray]]:
    """A file, and its inputs."""
    start, end = [0, *RECORDED["ends"]][number], RECORDED["ends"][number]
    path = folder / "model.tflite"
    path.write_bytes(RECORDED["models"][start:end].tobytes())
    return path, [RECORDED[name] for name in (f"x_{number}_0", f"x_{number}_1") if name in RECORDED]


@EVERY
def test_operator(number: int, tmp_path: Path) -> None:
    path, x = recorded(number, tmp_path)
    for rule in TfliteRule:
        name = f"{rule.value}_{number}"
        expected = RECORDED[name if name in RECORDED else f"reference_{number}"]
        np.testing.assert_array_equal(Codes(path, rule, x).output, expected, err_msg=rule.value)


NOT_YET = {"PAD": "zeros are supported only before"}


@EVERY
def test_operator_in_integers(number: int, tmp_path: Path) -> None:
    path, x = recorded(number, tmp_path)
    for rule in TfliteRule:
        try:
            codes = IntegerCodes(path, rule, x)
        except UserError as reason:
            refused = str(reason)
        else:
            for index, found in codes.computed.items():
                np.testing.assert_array_equal(found, codes.of(index), err_msg=rule.value)
            assert codes.computed
            continue
        assert NOT_YET[RECORDED["operators"][number]] in refused


def test_operators_tell_rules_apart() -> None:
    assert any(name.startswith("xnnpack") for name in RECORDED)
    assert any(name.startswith("tflm") for name in RECORDED)


class TestMultiplier:
    def test_mantissa_that_is_rounded_up_to_one(self) -> None:
        multiplier = Multiplier.of(np.nextafter(1.0, 0.0))
        assert (multiplier.mantissa, multiplier.exponent) == (2**30, 1)

    def test_of_a_tiny_number_is_zero(self) -> None:
        assert Multiplier.of(2.0**-33).mantissa == 0
        assert Multiplier.of(2.0**-32).mantissa == 2**30

    @pytest.mark.parametrize("real", [2.0**31, np.inf, np.nan])
    def test_too_large(self, real: float) -> None:
        with pytest.raises(ValueError, match="factor of 2"):
            Multiplier.of(real)

    def test_twice_rounds_ties_away_from_zero(self) -> None:
        quarter = Multiplier.of(0.125)  # a shift of 2 after the first rounding
        np.testing.assert_array_equal(quarter.twice(np.array([-12, -4, 4, 12])), [-2, -1, 1, 2])
        np.testing.assert_array_equal(quarter.once(np.array([-12, -4, 4, 12])), [-1, 0, 1, 2])

    def test_twice_rounds_twice(self) -> None:
        multiplier = Multiplier.of(0.25 - 2.0**-31)
        assert multiplier.twice(np.array([2])) == 1  # almost 1/2 becomes 1/2 before it becomes 1
        assert multiplier.once(np.array([2])) == 0


def test_half_away() -> None:
    np.testing.assert_array_equal(
        half_away(np.array([-6, -5, -2, -1, 0, 1, 2, 5, 6]), 2), [-2, -1, -1, 0, 0, 0, 1, 1, 2]
    )
    np.testing.assert_array_equal(half_away(np.array([-3, 3]), 0), [-3, 3])
    np.testing.assert_array_equal(divided_half_away(np.array([-15, -14, 14, 15]), 6), [-3, -2, 2, 3])


@pytest.mark.parametrize(
    ("function", "real"),
    [(tflite_fixed_point.logistic, lambda x: 1 / (1 + np.exp(-x))), (tflite_fixed_point.tanh, np.tanh)],
)
def test_functions_are_near_the_real_ones(function: object, real: object) -> None:
    raw = np.arange(-(2**31), 2**31, 2**20 + 1)
    found = function(raw) / 2**31  # type: ignore[operator]
    assert np.abs(found - real(raw / 2**27)).max() < 2**-19  # type: ignore[operator]
