"""How far the entries of HGQ2's tables are from other ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.exact.rounding import RoundingMode
from dnn2fpga.exact.rules import Rounded
from dnn2fpga.layers.activation import Table
from dnn2fpga.layers.quantizer import Quantizer
from dnn2fpga.read.front_ends import read_model
from dnn2fpga.read.hgq_tables import MOST_ULPS, distance_from_ties

SAMPLES = Path(__file__).parents[1] / "front_ends/samples"
TANH = Table("t", "tanh")


def quantizer(fraction: int, bits: int, rounding: RoundingMode = RoundingMode.HALF_EVEN) -> Quantizer:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return Quantizer("q", Encoding.of(2.0**-fraction, low, high), Rounded(rounding))


@pytest.mark.parametrize("fraction", range(1, 7))
def test_a_smaller_difference_changes_nothing_and_this_one_does(fraction: int) -> None:
    before, after = quantizer(4, 8), quantizer(fraction, 12)
    distance = distance_from_ties(before, TANH, after)
    assert distance is not None
    codes = np.arange(-128, 128)
    x = (codes[codes != 0] / 16).astype(np.float32)[:, np.newaxis]
    y = np.tanh(x)

    def entries(ulps: int) -> np.ndarray:
        return after.compute((y + ulps * np.spacing(np.abs(y))).astype(np.float64))

    for within in {1, distance // 2} - {0, distance}:
        np.testing.assert_array_equal(entries(within), entries(0))
        np.testing.assert_array_equal(entries(-within), entries(0))
    assert (entries(distance) != entries(0)).any() or (entries(-distance) != entries(0)).any()


def test_one_that_is_rounded_to_1_and_then_down_depends_on_the_last_bit() -> None:
    assert distance_from_ties(quantizer(0, 6), TANH, quantizer(3, 6, RoundingMode.FLOOR)) == 1


def test_what_always_saturates_is_far_from_everything() -> None:
    after = Quantizer("q", Encoding.of(2.0**-4, 0, 0), Rounded())
    assert distance_from_ties(quantizer(2, 6), TANH, after) == MOST_ULPS


def test_very_large_tables_are_not_looked_at() -> None:
    assert distance_from_ties(quantizer(10, 20), TANH, quantizer(3, 6)) is None


def test_it_is_told() -> None:
    notes = read_model(SAMPLES / "hgq2_tanh_mlp/model.keras").notes
    assert any("'sigmoid' is a table of sigmoid" in note and "less than 128 units" in note for note in notes)
