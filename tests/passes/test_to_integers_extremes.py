"""Numbers at the ends of what the search for requantizers sees: what is not exact is refused, never wrong."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from dnn2fpga.errors import UserError
from dnn2fpga.exact.accumulator import Codes, tensor_of
from dnn2fpga.exact.encoding import Encoding, ExactWeights
from dnn2fpga.exact.rounding import RoundingMode
from dnn2fpga.graph.dag import Dag, Node
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.activation import Clamp
from dnn2fpga.layers.affine import Affine
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.dense import Dense
from dnn2fpga.layers.quantizer import Quantizer, Rounded
from dnn2fpga.layers.weighted_sum import WeightedSum
from dnn2fpga.passes.to_integers import to_integers
from rtl_lib.core.arithmetic import Overflow

CODES = Encoding.of(1, -64, 63)
HALF = RoundingMode.HALF_EVEN


def dense(weights: list[list[int]], scale: float, bias: float = 0) -> Dense:
    return Dense.of_codes("dense", ExactWeights.of(np.array(weights), scale, bias))


def differences(*layers: Layer, width: int = 1) -> int:
    """How many numbers of the integer model differ from those of the source, for all codes of the input."""
    graph = Graph.chain("net", "x", (width,), list(layers))
    x = np.repeat(np.arange(-70.0, 70)[:, np.newaxis], width, axis=1)
    integers = to_integers(graph, CODES).graph.predict(x)
    return int((integers != dict(graph.tensors(x))[layers[-1].name]).sum())


def test_a_falling_function_after_a_relu_ends_where_its_clamp_says() -> None:
    fall, clamp = Affine("fall", np.array([-0.01]), np.array([6.3])), Clamp("relu6", 0, 6)
    last = Quantizer("last", Encoding.of(1 / 16, -128, 127))
    assert differences(Quantizer("q", CODES), Clamp("relu", 0, math.inf), fall, clamp, last) == 0


def test_lanes_of_a_sum_with_the_same_codes_but_other_ends_are_told_apart() -> None:
    """In every lane all codes are 1: in the first one because there is no other, in the second one there is."""
    one = Quantizer("one", Encoding.of(Fraction(1, 3), [30, 30], [40, 40]))
    other = Quantizer("other", Encoding.of(Fraction(123457, 10**7), [0, 0], [9, 9]))
    last = Quantizer("last", Encoding.of(1, [1, 0], [1, 1]))
    nodes = [
        Node("one", one, ("x",)),
        Node("other", other, ("y",)),
        Node("sum", WeightedSum("sum", [1, 1]), ("one", "other")),
    ]
    dag = Dag(("x", "y"), (*nodes, Node("last", last, ("sum",))), ("last",))
    graph = Graph("net", {"x": (2,), "y": (2,)}, dag)
    x = {name: np.linspace(0, 20, 20).reshape(10, 2) for name in ("x", "y")}
    np.testing.assert_array_equal(to_integers(graph, CODES).graph.predict(x), np.ones((10, 2)))


@pytest.mark.parametrize("exponent", [30, 60, 61, 62, 63, 64, 200])
def test_scales_that_are_too_far_apart_are_refused(exponent: int) -> None:
    far = Encoding.of([Fraction(1), Fraction(2) ** exponent], -8, 7)
    last = Quantizer("last", Encoding.of(Fraction(2) ** exponent, -128, 127))
    with pytest.raises(UserError, match=r"too far apart|beside the scales"):
        differences(Quantizer("q", far), dense([[3], [4]], 1), last, width=2)


@pytest.mark.parametrize(("scale", "bias", "step"), [(-60, -80, -58), (-40, -68, 0), (-70, -70, 0), (-40, -68, -38)])
def test_numbers_finer_than_any_shift_are_rounded_all_the_same(scale: int, bias: int, step: int) -> None:
    last = Quantizer("last", Encoding.of(2.0**step, -128, 127))
    assert differences(Quantizer("q", CODES), dense([[1]], 2.0**scale, 2.0**bias), last) == 0


def test_a_code_wider_than_a_wire_is_refused() -> None:
    last = Quantizer("last", Encoding.of(2.0**-40, -(2**39), 2**39))
    with pytest.raises(
        UserError, match=r"layer 'last' \(quantizer\): its codes, and that of 0, need 41 bits; at most 32$"
    ):
        differences(Quantizer("q", CODES), last)


def test_a_constant_lane_beside_one_that_is_too_wide() -> None:
    affine = Affine("affine", np.array([0.0, 1 / 3]), np.array([0.5, 1e-9]))
    graph = Graph.chain("net", "x", (2,), [Quantizer("q", CODES), affine])
    model = to_integers(graph, CODES).graph
    assert "rounded to 32 bits" in model.notes[-1]
    np.testing.assert_allclose(model.predict(np.array([[5.0, 5.0]])), [[0.5, 5 / 3 + 1e-9]], rtol=2**-24)


@pytest.mark.parametrize("mode", RoundingMode)
@pytest.mark.parametrize("scale", [1 / 3, 1 / 4, 1.0])
def test_codes_wrap_around_a_zero_point(mode: RoundingMode, scale: float) -> None:
    last = Quantizer("last", Encoding.of(1, 0, 15, 3), Rounded(mode, Overflow.WRAP))
    assert differences(Quantizer("q", CODES), dense([[5]], scale, 0.25), last) == 0


def test_a_sum_of_scales_without_a_common_step_wraps() -> None:
    one, other = (Quantizer(name, Encoding.of(scale, -8, 7)) for name, scale in (("one", 1 / 3), ("other", 0.7)))
    last = Quantizer("last", Encoding.of(0.3, -4, 3), Rounded(HALF, Overflow.WRAP))
    nodes = [
        Node("one", one, ("x",)),
        Node("other", other, ("y",)),
        Node("sum", WeightedSum("sum", [1, 1]), ("one", "other")),
    ]
    graph = Graph("net", {"x": (1,), "y": (1,)}, Dag(("x", "y"), (*nodes, Node("last", last, ("sum",))), ("last",)))
    rng = np.random.default_rng(0)
    x = {name: rng.uniform(-4, 4, (200, 1)) for name in ("x", "y")}
    np.testing.assert_array_equal(to_integers(graph, CODES).graph.predict(x), dict(graph.tensors(x))["last"])


@pytest.mark.parametrize(("bits", "is_small"), [(6, True), (20, False)])
def test_only_few_pairs_of_codes_are_looked_at(bits: int, is_small: bool) -> None:
    encodings = [Encoding.of(np.float32(scale), -(2**bits), 2**bits - 1) for scale in (1 / 3, 0.7)]
    inputs = [Codes("x", tensor_of((1,), 1, encoding), encoding) for encoding in encodings]
    sums = WeightedSum("sum", [1, 1]).lowered(*inputs).unrounded
    assert sums is not None
    assert (sums.pairs is not None) == is_small


def test_weights_of_channels_that_are_always_0_are_0() -> None:
    dead = Encoding.of(1, [-8, 3, 3], [7, 3, 4], [0, 3, 3])
    layers = [Quantizer("q", dead), dense([[3], [4], [5]], 1, 0.5), Quantizer("last", CODES)]
    graph = Graph.chain("net", "x", (3,), layers)
    model = to_integers(graph, CODES).graph
    assert model.layers[0].arrays["weights"].tolist() == [[3], [0], [5]]
    x = np.random.default_rng(0).uniform(-9, 9, (50, 3))
    np.testing.assert_array_equal(model.predict(x), dict(graph.tensors(x))["last"])
