"""From real numbers to integers: scales, codes, multipliers, and the corners where training leaves odd numbers."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnn2fpga.graph import Graph, Interval, Unsupported
from dnn2fpga.layers.activation import Clamp
from dnn2fpga.layers.dense import Dense
from dnn2fpga.layers.scaling import (
    LARGEST_SHIFT,
    MULTIPLIER_BITS,
    Granularity,
    LayerSettings,
    Scales,
    activation_tensor,
    clamp_codes,
    clamped,
    multiplier_and_shift,
    quantize_weights,
    scale_for,
)
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.post_training import QuantizationSettings, quantize
from rtl_lib.arithmetic import Overflow

WIDTHS = st.integers(2, 16)
SIZES = st.floats(1e-9, 1e9)


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
    tensor = activation_tensor((3,), 3, Interval(low, high), bits, scales)
    assert (tensor.signed, tensor.width) == (low < 0, bits)
    q = tensor.quantize(np.array([low, high]))
    np.testing.assert_allclose(tensor.dequantize(q), [low, high], atol=1.01 * tensor.scale)


@given(WIDTHS, st.sampled_from(Scales), st.sampled_from(Granularity))
def test_weights_fit_their_width(bits: int, scales: Scales, granularity: Granularity) -> None:
    weights = np.random.default_rng(bits).normal(size=(3, 3, 2, 4)) * [1e-3, 1, 10, 0]
    integers, scale = quantize_weights(weights, LayerSettings(weight_bits=bits, scales=scales, granularity=granularity))
    steps = 2 ** (bits - 1) - 1
    assert np.abs(integers).max() <= steps  # symmetric: -2^(bits-1) is not used
    assert scale.shape == (4,)
    assert (len(set(scale)) == 1) == (granularity is Granularity.PER_TENSOR)
    np.testing.assert_allclose(integers * scale, weights, atol=1.01 * scale.max())


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
    tensor = activation_tensor((1,), 1, Interval(-8, 8), 8, Scales.POWER_OF_TWO)  # steps of 1/16
    assert clamp_codes(tensor, -math.inf, math.inf) == (-128, 127)
    assert clamp_codes(tensor, 0.0, math.inf) == (0, 127)
    assert clamp_codes(tensor, 0.0, 6.0) == (0, 96)
    assert clamp_codes(tensor, -1.0, 1000.0) == (-16, 127)


def test_clamped_intervals() -> None:
    assert clamped(Interval(-3, 9), 0, 6) == Interval(0, 6)
    assert clamped(Interval(-3, -1), 0, 6) == Interval(0, 0)


@pytest.mark.parametrize("scales", Scales)
@pytest.mark.parametrize("bits", [2, 8, 16])
def test_channels_without_weights_keep_their_bias(bits: int, scales: Scales) -> None:
    """Weight decay and pruning leave channels with weights of 1e-35, or none, beside an ordinary bias."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(4, 4)).astype(np.float32) * np.array([1, 1e-12, 1e-38, 0], np.float32)
    graph = Graph.chain("dead", "input", (4,), [Dense("dense", weights, np.array([0.5, 0.7, -0.3, 0.9], np.float32))])
    x = rng.uniform(-1, 1, (50, 4)).astype(np.float32)
    settings = QuantizationSettings(
        defaults=LayerSettings(weight_bits=bits, activation_bits=16, scales=scales), input_bits=bits
    )

    quantized = quantize(graph, calibrate(graph, x), settings)

    np.testing.assert_allclose(quantized.predict(x)[:, 1:], graph.run(x)[:, 1:], atol=2 * quantized.output.scale)
    assert quantized.weight_bits < 4 * 4 * 16 + 4 * 64


def test_a_bias_beyond_all_measure_is_refused() -> None:
    dense = Dense("dense", np.full((1, 1), 1e-6, np.float32), np.array([3e38], np.float32), clamp=(0.0, 6.0))
    graph = Graph.chain("huge", "input", (1,), [dense])
    with pytest.raises(Exception, match=r"too large beside|does not fit 64-bit"):
        quantize(graph, calibrate(graph, np.ones((1, 1))), QuantizationSettings())


def test_wrapping_is_refused_behind_a_clamp_and_built_without() -> None:
    settings = LayerSettings(overflow=Overflow.WRAP)
    tensor = activation_tensor((4,), 4, Interval(-1, 1), 8, Scales.POWER_OF_TWO)
    dense = Dense("dense", np.eye(4, dtype=np.float32), np.zeros(4, np.float32))
    for layer in (Clamp("relu", 0.0, math.inf), dense.absorb_clamp(0.0, 6.0)):
        assert layer
        with pytest.raises(Unsupported, match="overflow 'wrap' cannot be joined with a clamp"):
            layer.quantize(tensor, Interval(0, 1), settings)
    assert dense.quantize(tensor, Interval(-1, 1), settings).arithmetic.overflow is Overflow.WRAP
