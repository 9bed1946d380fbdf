"""HGQ2's tables: a function of a quantized number, quantized.

HGQ2 computes the function in float32, and so do we; but two libraries agree on ``tanh`` to a few units in the last
place only. Whether such a difference can change an entry of a table is computed, and told.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from dnn2fpga.layers.activation import Table
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.quantizer import Quantizer
from dnn2fpga.read.builder import SymbolicTensor
from dnn2fpga.read.hgq_options import HgqOptions
from dnn2fpga.read.keras_activations import Activation
from dnn2fpga.read.keras_options import Arrays, Placement
from dnn2fpga.tensors.basics import Shape

MOST_ULPS = 2**20  # a larger distance from a tie needs no number
MOST_ENTRIES = 2**16  # of all tables of a layer for which the distance is computed


class QUnaryFunctionLUT(HgqOptions):
    """A function between two quantizers."""

    stands_for: ClassVar[tuple[str, ...]] = ("hgq>QUnaryFunctionLUT",)

    activation: Activation

    def computed(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return self.activation.layers(f"{name}_function", shape, {})

    def add(self, at: Placement, *inputs: SymbolicTensor) -> SymbolicTensor:
        result = super().add(at, *inputs)
        match at.layers(self, inputs[0].shape):
            case [Quantizer() as before, Table() as table, Quantizer() as after]:
                ulps = distance_from_ties(before, table, after)
                if ulps is not None:
                    at.builder.note(
                        f"'{at.name}' is a table of {table.function}; its entries would be the same if float32 "
                        f"results were off by less than {ulps:,} units in the last place"
                    )
        return result


def distance_from_ties(before: Quantizer, table: Table, after: Quantizer) -> int | None:
    """Return how far every number that a table rounds is from another entry, in units in the last place of float32:
    the smallest 2^n at which an entry changes; at most `MOST_ULPS`.

    :param before: the quantizer of what the table reads.
    :param after: the quantizer of its entries.
    :returns: None where the tables have too many entries to look at.
    """
    lanes = max(before.encoding.scale.size, after.encoding.scale.size)
    inputs, outputs = before.encoding.for_lanes(lanes), after.encoding.for_lanes(lanes)
    codes = np.arange(inputs.low.min(), inputs.high.max() + 1)
    if codes.size * lanes > MOST_ENTRIES:
        return None
    every = np.broadcast_to(codes[:, np.newaxis], (codes.size, lanes))
    x = inputs.reals(every).astype(np.float32)
    occurs = (every >= inputs.low) & (every <= inputs.high) & (x != 0)  # of 0, functions are exact
    y = table.compute(x).astype(np.float64)
    entries, ulp = after.rule.codes(y, outputs), np.spacing(np.abs(y).astype(np.float32)).astype(np.float64)
    distance = 1
    while distance < MOST_ULPS:
        moved = [after.rule.codes(y + sign * distance * ulp, outputs) for sign in (-1, 1)]
        if any((occurs & (codes != entries)).any() for codes in moved):
            break
        distance *= 2
    return distance
