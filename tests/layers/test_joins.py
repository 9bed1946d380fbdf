"""Layers that read several tensors."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.concatenate import Concatenate
from dnn2fpga.layers.extremum import Extremum
from dnn2fpga.layers.product import Product
from dnn2fpga.layers.weighted_sum import WeightedSum
from dnn2fpga.tensors.basics import Shape, Unsupported

IMAGE: Shape = (2, 3, 4)


def values(*shapes: Shape) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=(5, *shape)).astype(np.float32) for shape in shapes]


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (WeightedSum("add", (1.0, 1.0, 1.0)), lambda a, b, c: a + b + c),
        (WeightedSum("mean", (1 / 3,) * 3), lambda a, b, c: (a + b + c) / 3),
        (WeightedSum("relu", (1.0, -1.0, 1.0), clamp=(0.0, math.inf)), lambda a, b, c: np.maximum(a - b + c, 0)),
        (Extremum("max", maximum=True), lambda a, b, c: np.maximum(np.maximum(a, b), c)),
        (Extremum("min", maximum=False), lambda a, b, c: np.minimum(np.minimum(a, b), c)),
        (Concatenate("rows", 0), lambda a, b, c: np.concatenate([a, b, c], 1)),
        (Concatenate("channels", 2), lambda a, b, c: np.concatenate([a, b, c], 3)),
    ],
)
def test_three_tensors(layer: Layer, expected: object) -> None:
    x = values(IMAGE, IMAGE, IMAGE)
    y = layer.compute(*x)
    np.testing.assert_allclose(y, expected(*x), rtol=1e-5, atol=1e-6)  # type: ignore[operator]
    assert y.shape[1:] == layer.output_shape(IMAGE, IMAGE, IMAGE)
    assert y.dtype == np.float32


@pytest.mark.parametrize("gate", [IMAGE, (1, 1, 4), (4,)])
def test_a_product_with_a_gate(gate: Shape) -> None:
    image, factor = values(IMAGE, gate)
    for x in ((image, factor), (factor, image)):
        y = Product("product", clamp=(-0.5, 0.5)).compute(*x)
        np.testing.assert_array_equal(y, np.clip(image * factor.reshape(5, *(1,) * (3 - len(gate)), *gate), -0.5, 0.5))
        assert y.shape[1:] == Product("product").output_shape(*(v.shape[1:] for v in x)) == IMAGE


@pytest.mark.parametrize(
    ("layer", "shapes", "message"),
    [
        (WeightedSum("add", (1.0, 1.0)), [(2,), (3,)], "a sum needs inputs of one shape, not \\[2\\], \\[3\\]"),
        (Extremum("max", maximum=True), [(2,), (3,)], "a maximum needs inputs of one shape"),
        (Extremum("min", maximum=False), [(2,), (3,)], "a minimum needs inputs of one shape"),
        (Product("p"), [(2,), (2,), (2,)], "a product has two inputs, not 3"),
        (Product("p"), [(2, 2, 3), (2, 2, 1)], "one number per channel"),
        (Concatenate("c", 1), [(2,), (2,)], "has no axis 1"),
        (Concatenate("c", 0), [(2, 2, 3), (2, 2, 1)], "differ only there, not \\[2, 2, 3\\], \\[2, 2, 1\\]"),
        (Concatenate("c", 0), [(2, 2, 3), (2,)], "differ only there"),
    ],
)
def test_shapes_that_do_not_match(layer: Layer, shapes: list[Shape], message: str) -> None:
    with pytest.raises(Unsupported, match=message):
        layer.output_shape(*shapes)


def test_a_sum_needs_a_weight_for_each_input() -> None:
    with pytest.raises(ValueError, match="2 weights needs as many inputs, not 3"):
        WeightedSum("add", (1.0, 1.0)).output_shape((2,), (2,), (2,))
