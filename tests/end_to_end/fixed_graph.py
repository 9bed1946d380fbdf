"""A small integer network that branches: a residual block with a second input and a second output.

image ─ stem ─┬─ body ─┐
              └────────┴ merged ─┬─ mixed ─ pool ─▸
other ───────────────────────────│──┘
                                 └────────────────▸
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from fixed_networks import requantized, tensor, weights

from dnn2fpga.graph.dag import Dag, Node
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.layers.conv2d import QuantizedConv2D
from dnn2fpga.layers.integer_pooling import QuantizedMaxPooling
from dnn2fpga.layers.weighted_sum import QuantizedWeightedSum
from dnn2fpga.tensors.tensor import Tensor

STEM, SKIP = "stem", ("stem", "merged")  # the fork, and the edge on which beats wait for the longer branch


def joined(name: str, output: Tensor, multiplier: Sequence[int], shift: int = 0) -> QuantizedWeightedSum:
    """``Σ multiplier[k] · x[k] / 2^shift``, the same in every lane."""
    by_lane = np.repeat(np.array(multiplier)[:, np.newaxis], output.lanes, axis=1)
    return QuantizedWeightedSum(name=name, **{**requantized(output, shift=shift), "multiplier": by_lane})


def branches() -> QuantizedGraph:
    """The network."""
    rng = np.random.default_rng(4)
    image = tensor(6, 6, 3, width=7)

    def convolution(name: str, channels: int, shift: int) -> QuantizedConv2D:
        layer = {**weights(rng, 3, 3, channels, 3), **requantized(image, shift=shift, low=0)}
        return QuantizedConv2D(name=name, padding="same", **layer)

    nodes = (
        (convolution("stem", 1, 6), ["image"]),
        (convolution("body", 3, 8), ["stem"]),
        (joined("merged", image, (2, 1), shift=1), ["stem", "body"]),
        (joined("mixed", tensor(6, 6, 3, width=9), (1, -3)), ["merged", "other"]),
        (
            QuantizedMaxPooling(name="pool", pool_size=(2, 2), strides=(2, 2), output=tensor(3, 3, 3, width=9)),
            ["mixed"],
        ),
    )
    return QuantizedGraph(
        "branches",
        {"image": tensor(6, 6, 1, width=8, signed=False), "other": tensor(6, 6, 3, width=5)},
        Dag(
            ("image", "other"),
            tuple(Node(layer.name, layer, tuple(inputs)) for layer, inputs in nodes),
            ("merged", "pool"),
        ),
    )
