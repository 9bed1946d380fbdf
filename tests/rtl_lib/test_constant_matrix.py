"""``ConstantMatrix``: its integers, its bounds, and what it refuses."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_lib.core.formats import Format
from rtl_lib.core.stream import Beat
from rtl_lib.matrix.constant_matrix import ConstantMatrix

U8 = Format(False, 8)


def matrix(weights, bias=None, input_format=U8, **bounds) -> ConstantMatrix:
    weights = np.array(weights)
    return ConstantMatrix(weights, np.zeros(weights.shape[1], int) if bias is None else bias, input_format, **bounds)


@st.composite
def matrices(draw: st.DrawFn) -> ConstantMatrix:
    inputs, outputs = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    largest = 2 ** draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    weights = rng.integers(-largest, largest, (inputs, outputs)) * (
        rng.random((inputs, outputs)) < draw(st.floats(0, 1))
    )
    if draw(st.booleans()):
        weights[:, 0] = -abs(weights[:, 0])
    bias = rng.integers(-largest, largest, outputs) * draw(st.integers(0, 1))
    return ConstantMatrix(weights, bias, Format(draw(st.booleans()), draw(st.integers(2, 16))))


def stimulus(spec: ConstantMatrix, count: int = 12) -> np.ndarray:
    """Random vectors, and those at which the outputs are largest and smallest."""
    low, high = spec.input_format.minimum, spec.input_format.maximum
    rising = spec.weights.T > 0
    random = np.random.default_rng(0).integers(low, high + 1, (count, spec.n_inputs))
    return np.concatenate([np.where(rising, high, low), np.where(rising, low, high), random])


@settings(max_examples=200, deadline=None)
@given(matrices())
def test_compute_is_the_integer_product_and_the_bounds_are_reached(spec):
    x = stimulus(spec)
    y = spec.compute(x)
    exact = np.array(x.astype(object) @ spec.weights.astype(object) + spec.bias)
    assert y.dtype == np.int64
    assert y.tolist() == exact.tolist()
    assert list(zip(y.min(axis=0), y.max(axis=0), strict=True)) == spec.output_intervals
    assert spec.output_format == Format.containing(int(y.min()), int(y.max()))


@pytest.mark.parametrize("scale", [1, 2**10, 2**34])  # sums in binary32, binary64 and 64-bit integers
def test_compute_is_exact_in_every_number_type(scale):
    weights = np.random.default_rng(0).integers(-128, 128, (200, 3)) * scale + 1
    spec = matrix(weights, bias=np.array([1, -1, 0]))
    x = np.random.default_rng(1).integers(0, 256, (4, 5, 200), dtype=np.uint8)
    exact = x.astype(object) @ weights.astype(object) + spec.bias
    assert spec.compute(x).tolist() == exact.tolist()


def test_compute_refuses_what_it_cannot_do_exactly():
    with pytest.raises(OverflowError):
        matrix(np.full((4, 1), 2**55)).compute(np.zeros((1, 4), np.uint8))
    with pytest.raises(TypeError, match="x must be an array of integers, not float64"):
        matrix([[1]]).compute(np.zeros((1, 1)))
    with pytest.raises(ValueError, match=re.escape("x must have shape [..., 1], not (1, 2)")):
        matrix([[1]]).compute(np.zeros((1, 2), int))
    with pytest.raises(ValueError, match=re.escape("x must be within u8, not reach [-1, 256]")):
        matrix([[1]]).compute(np.array([[-1], [256]]))
    bounds = {"input_low": np.array([0, 3]), "input_high": np.array([9, 255])}
    with pytest.raises(ValueError, match="x must be within the bounds of every input"):
        matrix([[1], [1]], **bounds).compute(np.array([[9, 2]], np.uint8))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((2, 3)), np.zeros(3, int), U8), "weights must be integers in 2 dimension(s), not float64 (2, 3)"),
        ((np.zeros((2, 3), int), np.zeros(2, int), U8), "bias must have shape (3,), not (2,)"),
        ((np.zeros((0, 1), int), np.zeros(1, int), U8), "at least one input and one output, not shape (0, 1)"),
        ((np.zeros((1, 1), int), np.zeros(1, int), U8, np.array([-1])), "inside u8, not [-1, 255]"),
    ],
)
def test_specs_that_make_no_sense(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ConstantMatrix(*arguments)


def test_tighter_input_bounds_make_narrower_outputs():
    wide, narrow = matrix([[3], [1]]), matrix([[3], [1]], input_low=np.array([0, 0]), input_high=np.array([3, 1]))
    assert (wide.output_format, narrow.output_format) == (Format(False, 10), Format(False, 4))
    assert narrow.output_intervals == [(0, 10)]


def test_beats() -> None:
    spec = matrix([[7, 23], [-9, 40], [1, 0]])
    assert (spec.input_beat, spec.output_beat) == (Beat(U8, 3), Beat(spec.output_format, 2))
    assert (spec.n_inputs, spec.n_outputs) == (3, 2)
