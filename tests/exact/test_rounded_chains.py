"""Quantizers after scales, offsets and clamps: the integer model against the graph, for every code of the input."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import numpy as np
import pytest

from dnn2fpga.errors import UserError
from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.exact.pieces import Bounds, Line
from dnn2fpga.exact.rationals import rationals
from dnn2fpga.exact.rounding import RoundingMode
from dnn2fpga.exact.rules import Rounded
from dnn2fpga.graph.float import Graph
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.layers.activation import Clamp
from dnn2fpga.layers.affine import Affine
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.quantizer import Quantizer
from dnn2fpga.passes.to_integers import to_integers
from dnn2fpga.tensors.conversion import Conversion
from dnn2fpga.tensors.tensor import Tensor
from rtl_lib.core.arithmetic import Overflow

LANES = 3
CLAMPS = [(-math.inf, math.inf), (0.0, math.inf), (0.0, 6.0), (-1.0, 1.0)]


def lanes_of(random: Random, wraps: bool) -> Encoding:
    """A format per lane, one of them perhaps without bits."""
    bits = [random.choice([0, 2, 4, 5, 6]) for _ in range(LANES)]
    signed = [random.choice([0, 1]) for _ in range(LANES)]
    low = [-(2 ** (b - 1)) if s and b else 0 for b, s in zip(bits, signed, strict=True)]
    high = [(2**b - 1) + least for b, least in zip(bits, low, strict=True)]
    if not wraps:
        low = [-end if least else 0 for least, end in zip(low, high, strict=True)]
    scale = [2.0 ** random.randint(-5, 1) for _ in range(LANES)]
    return Encoding.of(scale, low, high)


def chain(random: Random, overflow: Overflow) -> Graph:
    """Quantizer → scale and offset → clamp → quantizer; at random without some of them."""
    factor = np.array([random.choice([-3, -1, 0, 1, 2, 5]) for _ in range(LANES)]) * 2.0 ** random.randint(-4, 1)
    offset = np.array([random.randint(-9, 9) for _ in range(LANES)]) * 2.0 ** random.randint(-6, 0)
    low, high = random.choice(CLAMPS)
    after = Rounded(random.choice(list(RoundingMode)), overflow)
    layers: list[Layer] = [Quantizer("first", Encoding.of(2.0**-4, -64, 63), Rounded(RoundingMode.FLOOR))]
    layers += [Affine("affine", factor, offset)] if random.random() < 0.8 else []
    layers += [Clamp("clamp", low, high)] if random.random() < 0.7 else []
    layers += [Quantizer("last", lanes_of(random, overflow is Overflow.WRAP), after)]
    return Graph.chain("net", "x", (LANES,), layers)


def lowered(graph: Graph) -> QuantizedGraph | None:
    """The integer model; None where only thresholds have the steps."""
    try:
        return to_integers(graph, Encoding.of(1, 0, 1)).graph
    except UserError as reason:
        if "no multiplier has the steps" not in str(reason):
            raise
        return None


@pytest.mark.parametrize("overflow", [Overflow.WRAP, Overflow.SATURATE])
def test_every_code_is_that_of_the_graph(overflow: Overflow) -> None:
    x = np.repeat(np.arange(-70, 70)[:, np.newaxis] / 16, LANES, axis=1)
    count = 0
    for seed in range(150):
        graph = chain(Random(seed), overflow)
        model = lowered(graph)
        if model is not None:
            count += 1
            np.testing.assert_array_equal(model.predict(x), graph.run(x), err_msg=f"seed {seed}")
    assert count > 120


def test_lines_that_follow_each_other_are_one() -> None:
    two, half, clamp = (Line(*rationals(pair)) for pair in ([2, 1], [0.5, 3])), None, Bounds(*rationals([0, 6]))
    first, second = two
    assert half is None
    assert first.then(second) == (Line(*rationals([1, 3.5])),)
    assert first.then(clamp) == (first, clamp)
    assert Line(*rationals([0, 9])).then(clamp) == (Line(*rationals([0, 6])),)


def test_an_input_wraps_within_the_range_of_its_lane() -> None:
    tensor = Tensor(shape=(2,), lanes=2, signed=True, width=6, scale=1.0)
    conversion = Conversion("floor", wraps=True).within(np.array([-16, -32]), np.array([15, 31]), -32, 31)
    codes = tensor.quantize(np.array([[16.0, 16.0], [-17.0, 32.0]]), conversion)
    assert codes.tolist() == [[-16, 16], [15, -32]]
    assert conversion.problem(2, -32, 31) is None


def test_the_range_of_the_format_needs_no_words() -> None:
    conversion = Conversion()
    assert conversion.within(np.array([-32, -32]), np.array([31, 31]), -32, 31) is conversion


@pytest.mark.parametrize(
    ("ends", "reason"),
    [
        ({"low": (0, 1, 2)}, "one for each of the 2 lanes"),
        ({"low": -33}, "must lie in the format"),
        ({"high": (31, 32)}, "must lie in the format"),
        ({"low": 3, "high": 2}, "in this order"),
        ({"low": 0, "high": 5, "wraps": True}, "a power of two of integers"),
    ],
)
def test_ranges_that_are_none(ends: dict[str, Any], reason: str) -> None:
    assert reason in str(Conversion(**ends).problem(2, -32, 31))


def test_a_range_far_outside_of_every_format() -> None:
    with pytest.raises(ValueError, match="high lies outside of every format"):
        Conversion(high=(1, 10**30))
