"""Adder graphs: linear functions of integer inputs, written as additions of two unsigned numbers.

A *value* is a number that one bundle of wires carries; it is never negative, so that no sign is ever extended. What
needs a sign is shifted: a signed input counts from its minimum (its highest bit inverted), and ``a - b`` is computed as
``a + ~b``, which is ``a - b + (2^width - 1)``. All such offsets of an output, its bias and whatever else is constant
become one constant, added once. Every value has the exact interval of the integers that it can take, so it has exactly
the bits that it needs.

A solver makes the graph (``adder_solver``); what happens after it (placing registers, emitting hardware, counting cost)
reads the graph and nothing else. The kinds of values are in ``adder_values`` and ``adder_sums``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from rtl_lib.matrix.parallel.adder_values import GraphValue, Interval


def cost(luts: int, chain_bits: int) -> int:
    """Return the cost by which candidates are compared: LUT cells above all, but a chain's place without one is not
    free either.
    """
    return 3 * luts + chain_bits


@dataclass(frozen=True)
class Output:
    """``(value << shift) - base``; ``base`` is 0, or half of the output's range of bits when it can be negative."""

    value: int
    shift: int
    base: int
    interval: Interval


@dataclass(frozen=True)
class AdderGraph:
    """Values in an order in which operands come first."""

    inputs: int
    values: tuple[GraphValue, ...]
    outputs: tuple[Output, ...]

    @cached_property
    def levels(self) -> list[int]:
        """The number of adders on the longest path to every value."""
        levels: list[int] = []
        for value in self.values:
            levels.append(value.levels + max((levels[k] for k in value.operands), default=0))
        return levels

    @property
    def depth(self) -> int:
        """The number of adders on the longest path to an output."""
        return max((self.levels[output.value] for output in self.outputs), default=0)

    @property
    def adders(self) -> int:
        return sum(value.levels for value in self.values)

    @property
    def luts(self) -> int:
        """LUT cells."""
        return sum(value.luts for value in self.values)

    @property
    def chain_bits(self) -> int:
        """The places of all carry chains, also those with one operand, which need a place but no LUT."""
        return sum(value.chain_bits for value in self.values)

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        """The outputs for integer inputs, adder by adder (a reference for tests; exact while every value fits 64 bits).

        :param x: ``[..., inputs]``.
        :returns: int64 ``[..., outputs]``.
        """
        x = np.asarray(x).astype(np.int64)
        values: list[Any] = []
        for value in self.values:
            values.append(value.evaluate(x, values))
        if not self.outputs:
            return np.zeros((*x.shape[:-1], 0), np.int64)
        return np.stack([(values[o.value] << o.shift) - o.base for o in self.outputs], axis=-1)
