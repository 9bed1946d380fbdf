"""The values of an adder graph: inputs, constants, lookups of one-bit inputs; sums are in ``adder_sums``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from amaranth.hdl import C, Cat, Value

Interval = tuple[int, int]


class GraphValue(Protocol):
    """One bundle of wires of a graph."""

    @property
    def interval(self) -> Interval:
        """The integers that it can be, as ``(lowest, highest)``, not negative."""

    @property
    def width(self) -> int: ...

    @property
    def bits(self) -> int:
        """The bits that may be other than 0, as a mask."""

    @property
    def operands(self) -> tuple[int, ...]:
        """The numbers of the values that it is computed from."""

    @property
    def levels(self) -> int:
        """The number of adders between its operands and itself."""

    @property
    def luts(self) -> int:
        """LUT cells before a carry chain that is not made of LUTs: one where two bits meet, none for a wire or an
        inverter.
        """

    @property
    def chain_bits(self) -> int:
        """The places of its carry chain."""

    @property
    def is_constant(self) -> bool: ...

    def renumbered(self, number: Mapping[int, int]) -> GraphValue:
        """The same with the operands' new numbers."""

    def evaluate(self, x: np.ndarray, values: Sequence[np.ndarray]) -> np.ndarray:
        """The integers for inputs ``x [..., inputs]`` and the operands' integers."""

    def wires(self, lanes: Sequence[Value], values: Callable[[int], Value]) -> Value:
        """The hardware: an unsigned expression of ``width`` bits."""


class _Source:
    """A value that has no operands and needs no logic."""

    operands: tuple[int, ...] = ()
    levels = 0
    luts = 0
    chain_bits = 0
    is_constant = False

    def renumbered(self, number: Mapping[int, int]) -> Any:
        return self


@dataclass(frozen=True)
class Input(_Source):
    """Input number ``lane`` from ``low`` … ``high``, counted from ``-offset`` (0, or a power of two)."""

    lane: int
    low: int
    high: int

    @property
    def offset(self) -> int:
        return 1 << max(int(~self.low).bit_length(), max(self.high, 0).bit_length()) if self.low < 0 else 0

    @property
    def interval(self) -> Interval:
        return self.low + self.offset, self.high + self.offset

    @property
    def width(self) -> int:
        return (2 * self.offset - 1 if self.offset else self.high).bit_length()

    @property
    def bits(self) -> int:
        return (1 << self.width) - 1

    def evaluate(self, x: np.ndarray, values: Sequence[np.ndarray]) -> np.ndarray:
        return x[..., self.lane] + self.offset

    def wires(self, lanes: Sequence[Value], values: Callable[[int], Value]) -> Value:
        bits = extended(lanes[self.lane], self.width)
        return Cat(bits[:-1], ~bits[-1]) if self.offset else bits


@dataclass(frozen=True)
class Constant(_Source):
    number: int

    is_constant = True

    @property
    def interval(self) -> Interval:
        return self.number, self.number

    @property
    def width(self) -> int:
        return self.number.bit_length()

    @property
    def bits(self) -> int:
        return self.number

    def evaluate(self, x: np.ndarray, values: Sequence[np.ndarray]) -> np.ndarray:
        return np.full(x.shape[:-1], self.number, np.int64)

    def wires(self, lanes: Sequence[Value], values: Callable[[int], Value]) -> Value:
        return C(self.number, self.width)


@dataclass(frozen=True)
class Table(_Source):
    """``offset`` + the weighted sum of up to six one-bit inputs: one LUT for each bit, whatever the weights."""

    weights: tuple[tuple[int, int], ...]  # (lane, weight)
    offset: int

    LANES = 6  # inputs of a LUT

    @classmethod
    def of(cls, weights: tuple[tuple[int, int], ...]) -> Table:
        return cls(weights, -sum(min(weight, 0) for _, weight in weights))

    @property
    def interval(self) -> Interval:
        return 0, self.offset + sum(max(weight, 0) for _, weight in self.weights)

    @property
    def width(self) -> int:
        return self.interval[1].bit_length()

    @property
    def bits(self) -> int:
        return (1 << self.width) - 1

    @property
    def levels(self) -> int:  # type: ignore[override]
        return int(len(self.weights) > 1)

    @property
    def luts(self) -> int:  # type: ignore[override]
        return self.width * self.levels

    def evaluate(self, x: np.ndarray, values: Sequence[np.ndarray]) -> np.ndarray:
        lanes, weights = zip(*self.weights, strict=True)
        return self.offset + x[..., lanes] @ np.array(weights)

    def wires(self, lanes: Sequence[Value], values: Callable[[int], Value]) -> Value:
        address = Cat(lanes[lane][0] for lane, _ in self.weights)
        cases = range(1 << len(self.weights))
        contents = [self.offset + sum(w for k, (_, w) in enumerate(self.weights) if case >> k & 1) for case in cases]
        columns = (
            sum((number >> bit & 1) << case for case, number in enumerate(contents)) for bit in range(self.width)
        )
        return Cat(C(column, len(contents)).bit_select(address, 1) for column in columns)


def ones(width: int) -> Value:
    return C((1 << width) - 1, width)


def trailing_zeros(number: int) -> int:
    return (number & -number).bit_length() - 1 if number else 0


def extended(wire: Value, width: int) -> Value:
    """The low ``width`` bits of a wire, after extension by its sign or by zeros."""
    missing = width - len(wire)
    if missing <= 0:
        return wire[:width]
    return Cat(wire, wire[-1].replicate(missing) if wire.shape().signed else C(0, missing))
