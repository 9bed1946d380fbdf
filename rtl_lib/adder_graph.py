"""Adder graphs: linear functions of integer inputs, written as two-operand additions and subtractions.

A *value* is a number that one bundle of wires carries. Values are numbered: the inputs first, then the constants, then
one for every node. A node computes ``(left << left_shift) ± (right << right_shift)``; shifts are wires. Every value has
the exact interval of the integers that it can take, so it has exactly the bits that it needs and nothing can overflow.
A solver makes the graph (``adder_solver``); whatever happens after it (placing registers, emitting hardware, counting
cost) reads the graph and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtl_lib.formats import Format

Interval = tuple[int, int]


@dataclass(frozen=True)
class Node:
    """``(left << left_shift) ± (right << right_shift)``; one of the shifts is 0: the left one, unless ``subtract``."""

    left: int
    right: int
    left_shift: int
    right_shift: int
    subtract: bool
    interval: Interval


@dataclass(frozen=True)
class Output:
    """``value << shift``."""

    value: int
    shift: int


@dataclass(frozen=True)
class AdderGraph:
    inputs: tuple[Interval, ...]
    constants: tuple[int, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Output, ...]

    @property
    def first_node(self) -> int:
        """The number of the value that the first node computes; smaller numbers are inputs and constants."""
        return len(self.inputs) + len(self.constants)

    def is_constant(self, value: int) -> bool:
        return len(self.inputs) <= value < self.first_node

    def intervals(self) -> list[Interval]:
        """The interval of every value."""
        return [*self.inputs, *((c, c) for c in self.constants), *(node.interval for node in self.nodes)]

    def formats(self) -> list[Format]:
        """The narrowest format of every value: unsigned where the minimum is not negative."""
        return [Format.containing(*interval) for interval in self.intervals()]

    def levels(self) -> list[int]:
        """For every value the number of adders on the longest path to it."""
        levels = [0] * self.first_node
        for node in self.nodes:
            levels.append(1 + max(levels[node.left], levels[node.right]))
        return levels

    @property
    def depth(self) -> int:
        """The number of adders on the longest path to an output."""
        levels = self.levels()
        return max((levels[output.value] for output in self.outputs), default=0)

    @property
    def adders(self) -> int:
        return len(self.nodes)

    @property
    def adder_bits(self) -> int:
        """The bits of all carry chains: what the graph costs in logic."""
        formats = self.formats()
        return sum(adder_bits(node, formats) for node in self.nodes)

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        """The outputs for integer inputs, adder by adder (a reference for tests; exact while every value fits 64 bits).

        :param x: ``[..., inputs]``.
        :returns: int64 ``[..., outputs]``.
        """
        x = np.asarray(x).astype(np.int64)
        values = [x[..., k] for k in range(len(self.inputs))]
        values += [np.full(x.shape[:-1], c, np.int64) for c in self.constants]
        for node in self.nodes:
            right = values[node.right] << node.right_shift
            values.append((values[node.left] << node.left_shift) + (-right if node.subtract else right))
        if not self.outputs:
            return np.zeros((*x.shape[:-1], 0), np.int64)
        return np.stack([values[output.value] << output.shift for output in self.outputs], axis=-1)


def adder_bits(node: Node, formats: list[Format]) -> int:
    """The length of a node's carry chain: the result's bits, without those that are wires.

    In ``a + (b << s)`` the low ``s`` bits are those of ``a``; when ``a`` is unsigned and ends below bit ``s``, nothing
    is left to add. ``(b << s) - a`` needs them all.
    """
    width, shift = Format.containing(*node.interval).width, node.right_shift
    below = formats[node.left]
    if shift and not node.subtract and not below.signed and below.width <= shift:
        return 0
    return width - shift
