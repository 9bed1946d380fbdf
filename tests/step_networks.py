"""Integer networks with what only models bring that are quantized already: requantizers on two lines, and their kin."""

from __future__ import annotations

from typing import Any

import numpy as np

from dnn2fpga.graph.dag import Dag, Node
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.layers.activation import QuantizedClamp, QuantizedTable
from dnn2fpga.layers.affine import QuantizedAffine
from dnn2fpga.layers.conv2d import QuantizedConv2D
from dnn2fpga.layers.dense import QuantizedDense
from dnn2fpga.layers.depthwise_conv2d import QuantizedDepthwiseConv2D
from dnn2fpga.layers.integer_pooling import QuantizedGlobalAverage, QuantizedMeanPooling
from dnn2fpga.layers.product import QuantizedProduct
from dnn2fpga.layers.quantized import QuantizedLayer
from dnn2fpga.layers.select import QuantizedSelect
from dnn2fpga.layers.thresholds import QuantizedThresholds
from dnn2fpga.quantize.weight_sets import WeightSet
from dnn2fpga.tensors.tensor import Arithmetic, Tensor
from rtl_lib.core.arithmetic import Overflow, Rounding

SATURATE, WRAP = Arithmetic(), Arithmetic(overflow=Overflow.WRAP)


def tensor(*shape: int, width: int = 6, signed: bool = True) -> Tensor:
    return Tensor(shape=shape, lanes=shape[-1], signed=signed, width=width, scale=1.0)


def lines(rng: np.random.Generator, output: Tensor, shift: int, arithmetic: Arithmetic = SATURATE) -> dict[str, Any]:
    """Two lines for each lane: multipliers of 2^shift at most, wires among them, offsets of half a result's range."""

    def factors() -> np.ndarray:
        wires = 1 << rng.integers(0, shift + 1, output.lanes)
        return np.where(rng.random(output.lanes) < 0.3, wires, rng.integers(-(1 << shift), 1 << shift, output.lanes))

    def offsets() -> np.ndarray:
        return rng.integers(-1 << (shift + output.width - 2), 1 << (shift + output.width - 2), output.lanes)

    multiplier = factors()
    same = rng.random(output.lanes) < 0.3
    return {
        "output": output,
        "arithmetic": arithmetic,
        "low": output.format.minimum,
        "high": output.format.maximum,
        "shift": np.full(output.lanes, shift),
        "multiplier": multiplier,
        "offset": offsets(),
        "negative_multiplier": np.where(same, multiplier, factors()),
        "negative_offset": offsets(),
    }


def weights(rng: np.random.Generator, *shape: int) -> dict[str, Any]:
    codes = rng.integers(-8, 8, shape)
    codes.flat[0] = -8
    return {
        "weight_set": WeightSet.TWOS_COMPLEMENT,
        "weight_width": 4,
        "weights": codes,
        "bias": rng.integers(-40, 41, shape[-1]),
    }


def two_lines(seed: int = 0) -> QuantizedGraph:
    """Every layer that requantizes, on two lines; one wraps into a range for each lane."""
    rng = np.random.default_rng(seed)
    image, even = tensor(5, 6, 3), Arithmetic(rounding=Rounding.HALF_EVEN)
    wrapped = lines(rng, image, 8, WRAP) | {"low": (-32, 0, -4), "high": (31, 15, 3)}
    nodes: tuple[tuple[QuantizedLayer, list[str]], ...] = (
        (QuantizedConv2D(name="conv", padding="same", **weights(rng, 3, 3, 2, 3), **lines(rng, image, 9)), ["image"]),
        (QuantizedDepthwiseConv2D(name="own", padding="same", **weights(rng, 3, 3, 3), **wrapped), ["conv"]),
        (QuantizedAffine(name="affine", **lines(rng, image, 3, even)), ["own"]),
        (QuantizedClamp(name="clamp", **lines(rng, image, 2)), ["affine"]),
        (QuantizedProduct(name="product", **lines(rng, image, 6)), ["clamp", "conv"]),
        (QuantizedGlobalAverage(name="mean", **lines(rng, tensor(3), 5)), ["product"]),
        (QuantizedDense(name="dense", **weights(rng, 3, 4), **lines(rng, tensor(4, width=9), 3)), ["mean"]),
    )
    return graph("two_lines", tensor(5, 6, 2, width=5), nodes, "dense")


def graph(
    name: str, image: Tensor, nodes: tuple[tuple[QuantizedLayer, list[str]], ...], *outputs: str
) -> QuantizedGraph:
    made = tuple(Node(layer.name, layer, tuple(inputs)) for layer, inputs in nodes)
    return QuantizedGraph(name, {"image": image}, Dag(("image",), made, outputs))


def steps(seed: int = 0) -> QuantizedGraph:
    """Exact sums, thresholds on them, a table for each lane, and few and no thresholds on what is unsigned."""
    rng = np.random.default_rng(seed)
    sums = tensor(4, 4, 3, width=14)
    exact = identity(sums) | weights(rng, 3, 3, 2, 3)
    rising = np.sort(rng.integers(-400, 400, (3, 60)), axis=1)
    rising[1, 20:] = 2**40  # never reached
    tables, codes = rng.integers(0, 16, (3, 128)), tensor(4, 4, 3, width=4, signed=False)
    few = np.array([[-3, 0, 0], [5, 9, 9], [15, 99, 99]])
    nodes: tuple[tuple[QuantizedLayer, list[str]], ...] = (
        (QuantizedConv2D(name="conv", **exact), ["image"]),
        (
            QuantizedThresholds(name="many", thresholds=rising, low=(-32, 3, -64), output=tensor(4, 4, 3, width=7)),
            ["conv"],
        ),
        (
            QuantizedTable(name="each", function="any", table=tables, output=codes),
            ["many"],
        ),
        (QuantizedThresholds(name="few", thresholds=few, low=-1, output=tensor(4, 4, 3, width=3)), ["each"]),
    )
    return graph("steps", tensor(6, 6, 2, width=5), nodes, "few")


def identity(output: Tensor) -> dict[str, Any]:
    """The requantization that hands on the accumulators."""
    one = np.ones(output.lanes, np.int64)
    limits = {"low": output.format.minimum, "high": output.format.maximum}
    return {"output": output, "multiplier": one, "shift": 0 * one, "offset": 0 * one, **limits}


def shared(seed: int = 0) -> QuantizedGraph:
    """Accumulators that two readers want in different codes: every layer that requantizes makes both, side by side."""
    rng = np.random.default_rng(seed)

    def both(output: Tensor, accumulators: int, shift: int) -> dict[str, Any]:
        return lines(rng, output, shift) | {"sources": rng.integers(0, accumulators, output.lanes)}

    def one_line(fields: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in fields.items() if not name.startswith("negative")}

    pixels, narrow = tensor(4, 4, 5), tensor(4, 4, 2, width=3, signed=False)
    nodes: tuple[tuple[QuantizedLayer, list[str]], ...] = (
        (QuantizedConv2D(name="conv", **weights(rng, 3, 3, 2, 3), **one_line(both(pixels, 3, 9))), ["image"]),
        (QuantizedSelect(name="one", sources=np.array([4, 0, 0]), output=tensor(4, 4, 3)), ["conv"]),
        (QuantizedSelect(name="other", sources=np.array([1, 3]), output=narrow), ["conv"]),
        (QuantizedDepthwiseConv2D(name="own", padding="same", **weights(rng, 2, 2, 3), **both(pixels, 3, 8)), ["one"]),
        (QuantizedAffine(name="affine", **both(tensor(4, 4, 4), 5, 3)), ["own"]),
        (QuantizedClamp(name="clamp", **one_line(both(tensor(4, 4, 4), 2, 2))), ["other"]),
        (QuantizedProduct(name="product", **lines(rng, tensor(4, 4, 4), 6)), ["affine", "clamp"]),
        (QuantizedGlobalAverage(name="mean", **both(tensor(6), 4, 5)), ["product"]),
        (QuantizedDense(name="dense", **weights(rng, 6, 3), **both(tensor(4, width=9), 3, 3)), ["mean"]),
    )
    return graph("shared", tensor(6, 6, 2, width=5), nodes, "dense")


def means(seed: int = 0) -> QuantizedGraph:
    """Averages of the pixels inside of the image: of four numbers of pixels, of several lanes from one, of one edge."""
    rng = np.random.default_rng(seed)
    some = lines(rng, tensor(4, 3, 5), 9) | {"sources": rng.integers(0, 3, 5)}
    last = lines(rng, tensor(2, 3, 5, width=8), 6)
    nodes: tuple[tuple[QuantizedLayer, list[str]], ...] = (
        (
            QuantizedMeanPooling(
                name="same", pool_size=(3, 3), strides=(1, 2), padding="same", **lines(rng, tensor(5, 3, 3), 8)
            ),
            ["image"],
        ),
        (QuantizedMeanPooling(name="some", pool_size=(3, 2), strides=(1, 1), padding=(0, 1, 1, 0), **some), ["same"]),
        (QuantizedMeanPooling(name="last", pool_size=(3, 1), strides=(3, 1), padding=(0, 2, 0, 0), **last), ["some"]),
    )
    return graph("means", tensor(5, 6, 3, width=5), nodes, "last")


NETWORKS = {"two_lines": two_lines, "steps": steps, "shared": shared, "means": means}
