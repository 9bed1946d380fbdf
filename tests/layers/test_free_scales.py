"""With free scales every layer has exactly the codes ``fit(round(accumulator * ratio + added) + zero_point)``, from the
smallest multipliers.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnn2fpga.exact.accumulator import Requantizer
from dnn2fpga.exact.requantizing import smallest
from dnn2fpga.layers.dense import Dense
from dnn2fpga.layers.depthwise_conv2d import DepthwiseConv2D
from dnn2fpga.layers.requantization import requantization
from dnn2fpga.quantize.scaling import QuantizationChoice, WeightScaling, ratio_bits, short
from dnn2fpga.quantize.settings import LayerSettings, Scales
from dnn2fpga.tensors.tensor import Tensor
from rtl_lib.core import arithmetic
from rtl_lib.core.arithmetic import Overflow, Rounding

FREE = LayerSettings(scales=Scales.FREE)
UNLIMITED = (-math.inf, math.inf)


def rounded(x: Fraction, mode: Rounding) -> int:
    """What the modes mean."""
    floor = x.numerator // x.denominator
    rest = x - floor
    if mode is Rounding.FLOOR or rest < Fraction(1, 2):
        return floor
    return floor if mode is Rounding.HALF_EVEN and rest == Fraction(1, 2) and floor % 2 == 0 else floor + 1


def computed(fields: dict[str, Any], a: np.ndarray) -> list[int]:
    """The codes of accumulators of the only lane."""
    names = ("multiplier", "shift", "offset", "low", "high")
    how = fields["arithmetic"]
    codes = arithmetic.requantize(a[:, None], *(fields[name] for name in names), how.rounding, how.overflow)
    return [int(code) for code in codes[:, 0]]


def one_lane(bits: int, signed: bool, zero_point: int = 0, scale: float = 1.0) -> Tensor:
    return Tensor(shape=(1,), lanes=1, signed=signed, width=bits, scale=scale, zero_point=zero_point)


@given(
    ratio=st.one_of(
        st.floats(2.0**-12, 2.0**3, width=32),
        st.integers(1, 255).map(lambda m: m / 64),
        st.integers(-8, 3).map(lambda e: 2.0**e),
    ),
    negative=st.booleans(),
    bits=st.integers(1, 12),
    signed=st.booleans(),
    zero_point=st.integers(-1, 3),
    zero=st.integers(-100, 100),
    added=st.one_of(st.none(), st.integers(-5000, 5000).map(lambda n: n / 256)),
    clamp=st.sampled_from([UNLIMITED, (0.0, math.inf), (-1.0, 6.0)]),
    rounding=st.sampled_from(Rounding),
    overflow=st.sampled_from([Overflow.SATURATE, Overflow.SATURATE_SYMMETRIC]),
    low=st.integers(-400, 300),
    span=st.integers(0, 700),
)
def test_codes_are_exact(
    ratio: float,
    negative: bool,
    bits: int,
    signed: bool,
    zero_point: int,
    zero: int,
    added: float | None,
    clamp: tuple[float, float],
    rounding: Rounding,
    overflow: Overflow,
    low: int,
    span: int,
) -> None:
    signed = signed and bits > 1
    zero_point = max(zero_point, 0) if bits > 2 else 0
    output, ratio = one_lane(bits, signed, zero_point), -ratio if negative else ratio
    settings = LayerSettings(scales=Scales.FREE, rounding=rounding, overflow=overflow)
    interval = (np.array([low]), np.array([low + span]))
    plus = None if added is None else np.array([added])
    fields = requantization(output, np.array([ratio]), clamp, settings, interval, zero, plus)
    least, most = fields["low"], fields["high"]
    if overflow is Overflow.SATURATE_SYMMETRIC and least == -most - 1:
        least += 1
    a = np.arange(low, low + span + 1)
    exact = [(k - zero) * Fraction(ratio) + Fraction(added or 0) + zero_point for k in a.tolist()]
    assert computed(fields, a) == [min(max(rounded(x, rounding), least), most) for x in exact]


@given(st.floats(2.0**-6, 2.0), st.integers(1, 60), st.integers(2, 6))
def test_no_smaller_multiplier_has_the_codes(ratio: float, largest: int, bits: int) -> None:
    a = np.arange(-largest, largest + 1)
    interval = (a[:1], a[-1:])
    fields = requantization(one_lane(bits, True), np.array([ratio]), UNLIMITED, FREE, interval)
    shift, codes = int(fields["shift"][0]), computed(fields, a)
    if shift == 0:
        return
    near = round(ratio * 2 ** (shift - 1))  # the multipliers of a shift that have the codes lie around the exact one
    offsets = np.arange(1 << shift)[:, None]  # 0 becomes 0
    for smaller in range(near - 3, near + 4):
        lines = np.clip((a * smaller + offsets) >> (shift - 1), fields["low"], fields["high"])
        assert not (lines == codes).all(axis=1).any(), (smaller, shift - 1)


@pytest.mark.parametrize(
    ("changes", "width"), [({"overflow": "wrap"}, 8), ({"scales": "power_of_two"}, 8), ({}, 16), ({}, 13)]
)
def test_where_no_search_is_made_the_ratio_has_fewer_bits(changes: dict[str, str], width: int) -> None:
    settings = LayerSettings(**{"scales": "free", **changes})  # type: ignore[arg-type]
    output = one_lane(width, True)
    assert ratio_bits(output, settings) == 16
    assert ratio_bits(output, FREE) == (24 if width <= 12 else 16)
    fields = requantization(output, np.array([math.pi / 100]), UNLIMITED, settings, (np.array([0]), np.array([9])))
    assert (int(fields["multiplier"][0]), int(fields["shift"][0])) == (16471, 19)
    assert fields["arithmetic"].rounding is Rounding.HALF_UP


def test_ties_to_even_stay_as_they_are() -> None:
    ends = np.array([-50]), np.array([50])
    last = Requantizer(*(np.array([v]) for v in (3, 2, 0, -128, 127)), rounding=Rounding.HALF_EVEN)
    assert smallest(last, *ends) is last  # 2 * 3 / 4 is a tie
    odd = Requantizer(*(np.array([v]) for v in (12345677, 28, 0, -128, 127)), rounding=Rounding.HALF_EVEN)
    assert smallest(odd, *ends).rounding is Rounding.FLOOR
    assert int(smallest(odd, *ends).multiplier[0]) < 1 << 9


@given(st.lists(st.floats(2.0**-30, 2.0**10), min_size=1))
def test_short_numbers_are_short_and_a_little_larger(values: list[float]) -> None:
    ratio = np.array(values)
    found = short(ratio)
    assert (np.ldexp(np.frexp(found)[0], 8) % 1 == 0).all()
    assert ((found >= ratio) & (found < ratio * 1.01)).all()
    np.testing.assert_array_equal(short(found), found)


WEIGHTS = np.random.default_rng(0).normal(size=(3, 2, 4))


@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize("layer", [Dense, DepthwiseConv2D])
def test_multipliers_of_layers_with_weights_are_short(layer: Any, bits: int) -> None:
    rng = np.random.default_rng(bits)
    weights = WEIGHTS.reshape(6, 4) if layer is Dense else WEIGHTS
    input = Tensor(
        shape=(6,) if layer is Dense else (8, 8, 4),
        lanes=6 if layer is Dense else 4,
        signed=True,
        width=bits,
        scale=0.01,
    )
    own = layer("own", weights, 0.01 * rng.normal(size=4))
    output = Tensor(shape=own.output_shape(input.shape), lanes=4, signed=True, width=bits, scale=0.037)
    scale = np.abs(weights).max() / (2 ** (bits - 1) - 1) * rng.uniform(1, 2, 4)
    settings = LayerSettings(scales=Scales.FREE, weight_bits=bits, activation_bits=bits)
    quantized = own.quantize(QuantizationChoice(output, WeightScaling(scale, np.zeros(4, np.int64))), settings, input)
    assert np.abs(quantized.multiplier).max() < 1 << 8
    # The scale that the multiplier says is the one with which the weights were made.
    said = np.ldexp(quantized.multiplier.astype(float), -quantized.shift) * 0.037 / 0.01
    assert np.abs(said / scale - 1).max() < 0.02
    assert np.abs(quantized.weights * scale - weights).max() < 0.51 * scale.max() + 0.01 * np.abs(weights).max()


def test_the_interval_of_a_layer_is_reached() -> None:
    rng = np.random.default_rng(1)
    layer = Dense("dense", rng.normal(size=(3, 2)), np.zeros(2))
    weights, bias = rng.integers(-3, 4, (3, 2)), np.array([5, -7])
    input = Tensor(shape=(3,), lanes=3, signed=True, width=3, scale=1.0)
    codes = np.stack(np.meshgrid(*[np.arange(-4, 4)] * 3), axis=-1).reshape(-1, 3)
    sums = codes @ weights + bias
    low, high = layer._interval(input, weights, bias, *input.extremes)
    np.testing.assert_array_equal(low, sums.min(axis=0))
    np.testing.assert_array_equal(high, sums.max(axis=0))
