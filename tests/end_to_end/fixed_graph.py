"""A small integer network that branches: a residual block with a second input and a second output.

image ─ stem ─┬─ body ─┐
              └────────┴ merged ─┬─ mixed ─ pool ─▸
other ───────────────────────────│──┘
                                 └────────────────▸
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from fixed_networks import requantized, tensor, weights

from dnn2fpga.graph.dag import Dag, Node
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.layers.conv2d import QuantizedConv2D
from dnn2fpga.layers.pooling import QuantizedMaxPooling
from dnn2fpga.layers.quantized import QuantizedLayer
from rtl_lib.core.operator import Operator
from rtl_lib.elementwise.weighted_sum import WeightedSum

STEM, SKIP = "stem", ("stem", "merged")  # the fork, and the edge on which beats wait for the longer branch


class Joined(QuantizedLayer):
    """``Σ multiplier[k] · x[k] / 2^shift``: the operator of the library, and nothing around it."""

    kind: ClassVar[str] = "joined"
    reads_several: ClassVar[bool] = True

    multiplier: tuple[int, ...]
    shift: int = 0

    def operators(self, *inputs: Any) -> list[Operator]:
        form, lanes = self.output.format, self.output.lanes
        return [
            WeightedSum(
                input_formats=tuple(of.format for of in inputs),
                output_format=form,
                multiplier=np.repeat(np.array(self.multiplier)[:, np.newaxis], lanes, axis=1),
                shift=np.full(lanes, self.shift),
                offset=np.zeros(lanes, np.int64),
                low=form.minimum,
                high=form.maximum,
            )
        ]


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
        (Joined(name="merged", multiplier=(2, 1), shift=1, output=image), ["stem", "body"]),
        (Joined(name="mixed", multiplier=(1, -3), output=tensor(6, 6, 3, width=9)), ["merged", "other"]),
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
