"""Three tiny integer networks that are the same everywhere: made of integers alone, so that no BLAS has a say.

``python fixed_networks.py FOLDER`` writes the bundle of each into ``FOLDER/<name>``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dnn2fpga.generate.bundle import write_bundle
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.layers.activation import QuantizedTable
from dnn2fpga.layers.affine import QuantizedAffine
from dnn2fpga.layers.conv2d import QuantizedConv2D
from dnn2fpga.layers.dense import QuantizedDense
from dnn2fpga.layers.integer_pooling import QuantizedAveragePooling, QuantizedMaxPooling
from dnn2fpga.layers.quantized import QuantizedLayer
from dnn2fpga.layers.reshape import QuantizedReshape
from dnn2fpga.plan.hardware_plan import plan
from dnn2fpga.tensors.tensor import Tensor


def tensor(*shape: int, width: int, signed: bool = True, lanes: int | None = None) -> Tensor:
    return Tensor(shape=shape, lanes=lanes or shape[-1], signed=signed, width=width, scale=1.0)


def chain(name: str, input: Tensor, *layers: QuantizedLayer) -> QuantizedGraph:
    return QuantizedGraph.chain(name, "input", input, layers)


def requantized(
    output: Tensor, shift: int, low: int | None = None, multiplier: int = 1, offset: Sequence[int] = (0,)
) -> dict[str, Any]:
    """Every lane times ``multiplier / 2**shift``, clamped from ``low`` (default: all of the format)."""
    limits = output.format
    return {
        "output": output,
        "low": limits.minimum if low is None else low,
        "high": limits.maximum,
        "multiplier": np.full(output.lanes, multiplier),
        "shift": np.full(output.lanes, shift),
        "offset": np.resize(offset, output.lanes),
    }


def weights(rng: np.random.Generator, *shape: int, width: int = 6) -> dict[str, Any]:
    half = 1 << (width - 1)
    numbers, bias = rng.integers(1 - half, half, shape), rng.integers(-100, 100, shape[-1])
    return {"weight_width": width, "weights": numbers, "bias": bias}


def cnn() -> QuantizedGraph:
    """Convolution with ReLU, max-pooling, and a dense layer over several beats."""
    rng = np.random.default_rng(1)
    pool = {"pool_size": (2, 2), "strides": (2, 2)}
    return chain(
        "cnn",
        tensor(6, 6, 1, width=8, signed=False),
        QuantizedConv2D(
            name="conv", **weights(rng, 3, 3, 1, 3), **requantized(tensor(4, 4, 3, width=7), shift=6, low=0)
        ),
        QuantizedMaxPooling(name="pool", output=tensor(2, 2, 3, width=7), **pool),
        QuantizedReshape(name="flat", output=tensor(12, width=7, lanes=3)),
        QuantizedDense(name="dense", **weights(rng, 12, 4), **requantized(tensor(4, width=12), shift=2)),
    )


def averages() -> QuantizedGraph:
    """Return a network of same padding, strides, an average whose divisor depends on the place, and a table."""
    rng = np.random.default_rng(2)
    counts = np.array([[4, 4, 2], [4, 4, 2], [2, 2, 1]])
    return chain(
        "averages",
        tensor(9, 5, 2, width=5),
        QuantizedConv2D(
            name="conv",
            strides=(2, 1),
            padding="same",
            **weights(rng, 2, 3, 2, 2, width=3),
            **requantized(tensor(5, 5, 2, width=9), shift=9, multiplier=371),
        ),
        QuantizedAveragePooling(
            name="average",
            pool_size=(2, 2),
            strides=(2, 2),
            padding="same",
            multiplier=(1 << 10) // counts,
            shift=10,
            output=tensor(3, 3, 2, width=9),
        ),
        QuantizedTable(name="table", function="tanh", table=rng.integers(-8, 8, 512), output=tensor(3, 3, 2, width=4)),
    )


def vector() -> QuantizedGraph:
    """Dense layers on a vector in two beats, and an affine map."""
    rng = np.random.default_rng(3)
    output = tensor(3, width=16)
    return chain(
        "vector",
        tensor(10, width=4, lanes=5),
        QuantizedDense(
            name="first",
            **weights(rng, 10, 6, width=2),
            **requantized(tensor(6, width=8, signed=False), shift=0, multiplier=3),
        ),
        QuantizedDense(name="second", **weights(rng, 6, 3, width=9), **requantized(output, shift=3)),
        QuantizedAffine(name="scaled", **requantized(output, shift=4, multiplier=13, offset=(5, -900, 77))),
    )


NETWORKS: dict[str, Callable[[], QuantizedGraph]] = {"cnn": cnn, "averages": averages, "vector": vector}

if __name__ == "__main__":
    for name, network in NETWORKS.items():
        graph = network()
        write_bundle(graph, plan(graph), Path(sys.argv[1]) / name)
