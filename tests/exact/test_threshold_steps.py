"""Codes that count thresholds, and their steps after exact functions."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from dnn2fpga.exact.accumulator import Accumulator
from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.exact.pieces import Curve, Reach
from dnn2fpga.exact.thresholds import Thresholds

SIGN = Thresholds((Reach(Fraction(0), inclusive=True),) * 2)
THREE = Thresholds((Reach(Fraction(-1, 3), inclusive=False), Reach(Fraction(1, 3), inclusive=True)))


def sums(slopes: list[Fraction], offsets: list[Fraction]) -> Accumulator:
    ends = np.full(len(slopes), -50), np.full(len(slopes), 50)

    def build(*_: Any) -> Any:
        raise AssertionError("nothing is built here")

    scale, offset = (np.array(values, object) for values in (slopes, offsets))
    return Accumulator.of_line([], (len(slopes),), ends, scale, offset, build)


@pytest.mark.parametrize("rule", [SIGN, THREE])
def test_steps_are_those_of_exact_numbers(rule: Thresholds) -> None:
    slopes = [Fraction(1, 3), Fraction(-1, 7), Fraction(1, 30)]
    offsets = [Fraction(0), Fraction(1, 3), Fraction(-2, 3)]
    a = np.arange(-50, 51)
    steps = rule.steps(sums(slopes, offsets), Encoding.of(1, -1, 1))
    for one, slope, offset in zip(steps, slopes, offsets, strict=True):
        exact = [int(x) * slope + offset for x in a]
        expected = [-1 + sum(x > r.bound or (r.inclusive and x == r.bound) for r in rule.thresholds) for x in exact]
        np.testing.assert_array_equal(one.codes(a), expected)


def test_ties_belong_to_the_code_that_says_so() -> None:
    encoding = Encoding.of(1, -1, 1)
    bound = float(Fraction(1, 3))
    below, above = np.nextafter(bound, -1), np.nextafter(bound, 1)
    np.testing.assert_array_equal(
        THREE.codes(np.array([-above, -bound, -below, below, bound]), encoding), [-1, -1, 0, 0, 1]
    )
    np.testing.assert_array_equal(SIGN.codes(np.array([-1e-300, -0.0, 0.0, 1e-300]), encoding), [-1, 1, 1, 1])


def test_after_a_real_function() -> None:
    one = sums([Fraction(1, 10)], [Fraction(0)])
    curved = one.then([Curve("tanh", np.tanh)])
    (steps,) = THREE.steps(curved, Encoding.of(1, -1, 1))
    a = np.arange(-50, 51)
    np.testing.assert_array_equal(steps.codes(a), THREE.codes(np.tanh(a / 10), Encoding.of(1, -1, 1)))
