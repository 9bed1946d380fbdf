"""Conversion of real numbers to integers: scales, codes, multipliers, and the corners where training leaves odd
numbers.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.activation import Clamp, _Bounds
from dnn2fpga.layers.dense import Dense
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.post_training import Quantization, quantize
from dnn2fpga.quantize.ranges import RangeMethod
from dnn2fpga.quantize.scaling import (
    LARGEST_SHIFT,
    MULTIPLIER_BITS,
    activation_tensor,
    choose_weight_scaling,
    clamp_codes,
    multiplier_and_shift,
    quantize_weights,
    scale_for,
    weight_levels,
)
from dnn2fpga.quantize.settings import Granularity, LayerSettings, Scales, Symmetry
from dnn2fpga.quantize.weight_sets import WeightSet
from dnn2fpga.tensors.basics import Interval, Shape, Unsupported
from dnn2fpga.tensors.tensor import Tensor
from rtl_lib.core.arithmetic import Overflow

WIDTHS = st.integers(2, 16)
SIZES = st.floats(1e-9, 1e9)
TINY = np.full(4, 1e-30)  # a scale that is never too small


def tensor_of(low: float, high: float, shape: Shape = (3,), **settings: Any) -> Tensor:
    """Return the tensor for values that were observed from ``low`` to ``high``."""
    return activation_tensor(shape, shape[-1], _Bounds(Interval(low, high)), LayerSettings(**settings))


@given(SIZES, WIDTHS)
def test_power_of_two_scales_are_powers_of_two_and_fit(largest: float, bits: int) -> None:
    steps = 2 ** (bits - 1) - 1
    scale = float(scale_for(largest, steps, Scales.POWER_OF_TWO))
    assert math.frexp(scale)[0] == 0.5
    assert largest / scale <= (steps + 1) * (1 + 1e-9)  # saturates by one step at most
    assert largest / scale > (steps + 1) / 2 * (1 - 1e-9)  # and no code is wasted


@given(SIZES, WIDTHS)
def test_free_scales_use_every_code(largest: float, bits: int) -> None:
    steps = 2 ** (bits - 1) - 1
    assert largest / float(scale_for(largest, steps, Scales.FREE)) == pytest.approx(steps)


def test_nothing_has_a_scale_too() -> None:
    assert (scale_for(np.zeros(3), 127, Scales.FREE) > 0).all()


@given(st.floats(-10, 10), st.floats(-10, 10), WIDTHS, st.sampled_from(Scales))
def test_activations_are_signed_only_when_they_must_be(a: float, b: float, bits: int, scales: Scales) -> None:
    low, high = min(a, b), max(a, b)
    tensor = tensor_of(low, high, (2,), activation_bits=bits, scales=scales)
    assert (tensor.signed, tensor.width, tensor.zero_point) == (low < 0, bits, 0)
    q = tensor.quantize(np.array([[low, high]]))
    np.testing.assert_allclose(tensor.dequantize(q), [[low, high]], atol=1.01 * tensor.uniform_scale)


@given(st.floats(-10, 10), st.floats(-10, 10), WIDTHS, st.sampled_from(Scales))
def test_asymmetric_activations_cover_the_range_and_zero(a: float, b: float, bits: int, scales: Scales) -> None:
    low, high = min(a, b), max(a, b)
    asymmetric = {"activation_symmetry": Symmetry.ASYMMETRIC, "activation_bits": bits, "scales": scales}
    tensor = tensor_of(low, high, (3,), **asymmetric)
    assert (tensor.signed, tensor.width) == (False, bits)
    values = np.array([[low, 0.0, high]])
    found = tensor.dequantize(tensor.quantize(values))
    # A zero point and an end that are both rounded, or a power of two that saturates by one step
    np.testing.assert_allclose(found, values, atol=1.01 * tensor.uniform_scale)
    assert found[0, 1] == 0
    if high - low > 1e-6 and scales is Scales.FREE:
        span = max(high, 0.0) - min(low, 0.0)
        assert span / tensor.uniform_scale == pytest.approx(2**bits - 1)  # no code is wasted


def test_a_single_bit_takes_the_larger_side() -> None:
    for low, high, lesser in [(-1.0, 3.0, 0.0), (-3.0, 1.0, -2.0), (0.0, 3.0, 0.0)]:
        tensor = tensor_of(low, high, activation_bits=1)
        codes = tensor.dequantize(np.array([[0, 0, 0], [1, 1, 1]]))
        assert (tensor.signed, tensor.width) == (False, 1)
        assert codes[0, 0] == lesser
        assert codes[1, 0] == lesser + tensor.uniform_scale
        assert 0 in codes


def test_channels_with_scales_of_their_own() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (50, 4, 4, 3)).astype(np.float32) * np.array([1, 8, 0.25], np.float32)
    seen = calibrate(Graph.chain("one", "input", (4, 4, 3), []), x)["input"]
    settings = LayerSettings(activation_granularity=Granularity.PER_CHANNEL)
    tensor = activation_tensor((4, 4, 3), 3, seen, settings)
    assert tensor.scale == (2.0**-7, 2.0**-4, 2.0**-9)
    np.testing.assert_allclose(tensor.dequantize(tensor.quantize(x)), x, atol=2.0**-4)
    np.testing.assert_allclose(tensor.dequantize(tensor.quantize(x))[..., 2], x[..., 2], atol=2.0**-9)
    with pytest.raises(ValueError, match="same scale"):
        tensor.uniform_scale  # noqa: B018 - the access is the test


@given(WIDTHS, st.sampled_from(Scales), st.sampled_from(Granularity), st.sampled_from(Symmetry))
def test_weights_fit_their_width(bits: int, scales: Scales, granularity: Granularity, symmetry: Symmetry) -> None:
    weights = np.random.default_rng(bits).normal(size=(3, 3, 2, 4)) * [1e-3, 1, 10, 0]
    settings = LayerSettings(
        weight_bits=bits,
        scales=scales,
        granularity=granularity,
        weight_symmetry=symmetry,
        weight_calibration=RangeMethod.MIN_MAX,
    )
    scaling = choose_weight_scaling(weights, settings, TINY)
    integers = quantize_weights(weights, scaling, settings)
    assert scaling.scale.shape == scaling.zero_point.shape == (4,)
    if symmetry is Symmetry.SYMMETRIC:
        assert np.abs(integers).max() <= 2 ** (bits - 1) - 1  # -2^(bits-1) is not used
        assert not scaling.zero_point.any()
    else:
        codes = integers + scaling.zero_point
        assert codes.min() >= 0
        assert codes.max() < 2**bits
    assert (len(set(scaling.scale)) == 1) == (granularity is Granularity.PER_TENSOR)
    np.testing.assert_allclose(integers * scaling.scale, weights, atol=1.01 * scaling.scale.max())


@pytest.mark.parametrize(("weight_set", "bits"), [("binary", 1), ("ternary", 2), ("power_of_two", 4)])
def test_weights_are_of_their_set(weight_set: str, bits: int) -> None:
    weights = np.random.default_rng(bits).normal(size=(5, 4))
    settings = LayerSettings(weight_bits=bits, weight_set=WeightSet(weight_set))
    integers = quantize_weights(weights, choose_weight_scaling(weights, settings, TINY), settings)
    assert weight_levels(settings).contain(integers)
    assert (np.sign(integers) * np.sign(weights) >= 0).all()


def test_the_least_squared_error_is_less_than_that_of_the_whole_range() -> None:
    weights = np.random.default_rng(0).normal(size=(500, 4))

    def error(method: RangeMethod) -> float:
        settings = LayerSettings(weight_bits=3, scales=Scales.FREE, weight_calibration=method)
        scaling = choose_weight_scaling(weights, settings, TINY)
        return float(np.square(quantize_weights(weights, scaling, settings) * scaling.scale - weights).sum())

    assert error(RangeMethod.MSE) < 0.7 * error(RangeMethod.MIN_MAX)


@given(st.floats(2.0**-29, 2.0**14), st.sampled_from([1, -1]))
def test_multipliers_are_close_and_as_short_as_possible(size: float, sign: int) -> None:
    ratio = sign * size
    multiplier, shift = (int(v) for v in multiplier_and_shift(np.array(ratio)))
    assert abs(multiplier) <= 2**MULTIPLIER_BITS
    assert 0 <= shift <= LARGEST_SHIFT
    assert multiplier % 2 or shift == 0
    assert abs(Fraction(multiplier, 2**shift) / Fraction(ratio) - 1) <= Fraction(1, 2**MULTIPLIER_BITS)


@given(st.integers(-29, 14))
def test_multipliers_of_powers_of_two_are_exact(exponent: int) -> None:
    multiplier, shift = (int(v) for v in multiplier_and_shift(np.array(2.0**exponent)))
    assert Fraction(multiplier, 2**shift) == Fraction(2) ** exponent
    assert multiplier & (multiplier - 1) == 0


def test_a_multiplier_of_nothing_is_nothing() -> None:
    assert [int(v) for v in multiplier_and_shift(np.array(0.0))] == [0, 0]


def test_clamp_codes() -> None:
    tensor = tensor_of(-8, 8, (1,))  # steps of 1/16
    assert clamp_codes(tensor, -math.inf, math.inf) == (-128, 127)
    assert clamp_codes(tensor, 0.0, math.inf) == (0, 127)
    assert clamp_codes(tensor, 0.0, 6.0) == (0, 96)
    assert clamp_codes(tensor, -1.0, 1000.0) == (-16, 127)
    channels = Tensor(shape=(2,), lanes=2, signed=False, width=8, scale=(0.5, 0.1), zero_point=(10, 0))
    low, high = clamp_codes(channels, 0.0, 6.0)
    assert (low.tolist(), high.tolist()) == ([10, 0], [22, 60])


@pytest.mark.parametrize("scales", Scales)
@pytest.mark.parametrize("bits", [2, 8, 16])
def test_channels_without_weights_keep_their_bias(bits: int, scales: Scales) -> None:
    """Weight decay and pruning leave channels with weights of 1e-35, or none, beside an ordinary bias."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(4, 4)).astype(np.float32) * np.array([1, 1e-12, 1e-38, 0], np.float32)
    graph = Graph.chain("dead", "input", (4,), [Dense("dense", weights, np.array([0.5, 0.7, -0.3, 0.9], np.float32))])
    x = rng.uniform(-1, 1, (50, 4)).astype(np.float32)
    settings = Quantization(weight_bits=bits, activation_bits=16, scales=scales, input_bits=bits)

    quantized = quantize(graph, calibrate(graph, x), settings)

    np.testing.assert_allclose(
        quantized.predict(x)[:, 1:], graph.run(x)[:, 1:], atol=2 * quantized.output.uniform_scale
    )
    assert quantized.weight_bits < 4 * 4 * 16 + 4 * 64


def test_a_bias_beyond_all_measure_is_refused() -> None:
    dense = Dense("dense", np.full((1, 1), 1e-6, np.float32), np.array([3e38], np.float32), clamp=(0.0, 6.0))
    graph = Graph.chain("huge", "input", (1,), [dense])
    with pytest.raises(Exception, match=r"too large beside|does not fit 64-bit"):
        quantize(graph, calibrate(graph, np.ones((1, 1))), Quantization())


def test_wrapping_is_refused_behind_a_clamp_and_built_without() -> None:
    settings = LayerSettings(overflow=Overflow.WRAP)
    tensor = tensor_of(-1, 1, (4,))
    dense = Dense("dense", np.eye(4, dtype=np.float32), np.zeros(4, np.float32))
    for layer in (Clamp("relu", 0.0, math.inf), dense.absorb_clamp(0.0, 6.0)):
        assert layer
        with pytest.raises(Unsupported, match="overflow 'wrap' cannot be joined with a clamp"):
            layer.quantize(layer.choose(_Bounds(Interval(0, 1)), settings, tensor), settings, tensor)
    choice = dense.choose(_Bounds(Interval(-1, 1)), settings, tensor)
    assert dense.quantize(choice, settings, tensor).arithmetic.overflow is Overflow.WRAP
