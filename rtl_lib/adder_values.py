"""The values of an adder graph: inputs, constants, lookups of one-bit inputs, and sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

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
        """How many adders it puts behind its operands."""

    @property
    def luts(self) -> int:
        """LUT cells in front of a carry chain that is not made of LUTs: one where two bits meet, none for a wire or
        an inverter.
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
    """What has no operands and needs no logic."""

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


class Operand(NamedTuple):
    """``(value & bits) << shift``, or with those bits inverted. Low bits that are missing have been added elsewhere."""

    value: int
    bits: int
    shift: int
    inverted: bool = False

    @property
    def places(self) -> int:
        """Where in the sum it may have bits."""
        return self.bits << self.shift

    def of(self, value: Any) -> Any:
        """The integer (or array of integers) for the value's."""
        used = value & self.bits
        return (used ^ self.bits if self.inverted else used) << self.shift

    def wires(self, value: Value) -> Placed:
        """Not inverted."""
        return Placed(trailing_zeros(self.places), value[trailing_zeros(self.bits) : self.bits.bit_length()])


class Carry(NamedTuple):
    """One bit of a value that enters in front of a sum's carry chain, which costs nothing."""

    value: int
    bit: int
    place: int


@dataclass(frozen=True)
class Sum:
    """``left + right + carry``, its low ``width`` bits. Only ``right`` is ever inverted."""

    left: Operand
    right: Operand
    carry: Carry | None
    constant_left: bool
    constant_carry: bool  # a 1
    interval: Interval
    width: int

    is_constant = False

    @property
    def bits(self) -> int:
        return (1 << self.width) - 1

    @property
    def operands(self) -> tuple[int, ...]:
        return (self.left.value, self.right.value, *([self.carry.value] if self.carry else []))

    @property
    def start(self) -> int | None:
        """Where the carry chain starts; below it there are only wires. None: nothing is left to add."""
        if self.carry:
            return self.carry.place
        overlap = self.left.places & self.right.places
        return trailing_zeros(overlap) if overlap else None

    @property
    def levels(self) -> int:
        return int(self.start is not None)

    @property
    def luts(self) -> int:
        return 0 if self.constant_left else (self.left.places & self.right.places).bit_count()

    @property
    def chain_bits(self) -> int:
        return 0 if self.start is None else max(0, self.width - self.start)

    def renumbered(self, number: Mapping[int, int]) -> Sum:
        left, right = (part._replace(value=number[part.value]) for part in (self.left, self.right))
        carry = self.carry and self.carry._replace(value=number[self.carry.value])
        return replace(self, left=left, right=right, carry=carry)

    def evaluate(self, x: np.ndarray, values: Sequence[np.ndarray]) -> np.ndarray:
        total = self.left.of(values[self.left.value]) + self.right.of(values[self.right.value])
        if self.carry:
            total = total + ((values[self.carry.value] >> self.carry.bit & 1) << self.carry.place)
        return total & self.bits

    def wires(self, lanes: Sequence[Value], values: Callable[[int], Value]) -> Value:
        left, right = self.left.wires(values(self.left.value)), self.right.wires(values(self.right.value))
        low = right.inverted() if self.right.inverted else right
        if self.start is None or self.start >= self.width:
            return left.merged(low, self.width)
        bit = values(self.carry.value)[self.carry.bit] if self.carry else C(0, 1)
        a, b = left.above(self.start), right.above(self.start, fill=int(self.right.inverted))
        above = self._difference(a, b, bit) if self.right.inverted else self._sum(a, b, bit)
        return Cat(left.merged(low, self.start), above) if self.start else above

    def _sum(self, a: Value, b: Value, carry: Value) -> Value:
        """``a + b + carry``. The carry goes into a place in front of the chain, to both operands: it is all that comes
        out of there.
        """
        total = (Cat(carry, a) + Cat(carry, b))[1:] if self.carry else a + b
        return extended(total, self.width - self.start)  # type: ignore[operator]

    def _difference(self, a: Value, b: Value, carry: Value) -> Value:
        """``a + ~b + carry`` as ``a - b``, whose inverters are part of the chain: ones around b become the zeros that
        ``~b`` has there, and the 1 that a subtraction adds is the carry, or meets its like in front of the chain.
        """
        width = self.width - self.start  # type: ignore[operator]
        b = Cat(b[:width], ones(max(0, width - len(b))))
        if self.constant_carry:
            return (a[:width] - b)[:width]
        return (Cat(carry, a[:width]) - Cat(C(1, 1), b))[1 : width + 1]


class Placed(NamedTuple):
    """Wires whose lowest one has the weight ``2^place``."""

    place: int
    wires: Value

    def inverted(self) -> Placed:
        return Placed(self.place, ~self.wires)

    def above(self, start: int, fill: int = 0) -> Value:
        """The bits from ``start`` on; ``fill``: those below the lowest."""
        below = self.place - start
        return Cat(ones(below) if fill else C(0, below), self.wires) if below > 0 else self.wires[-below:]

    def below(self, end: int) -> Value:
        """``end`` bits."""
        return extended(self.wires.shift_left(self.place), end)

    def merged(self, other: Placed, end: int) -> Value:
        """The low ``end`` bits of both, which do not overlap there."""
        low, high = (self, other) if self.place <= other.place else (other, self)
        top = low.place + len(low.wires)
        if high.place >= end or not len(high.wires):
            return low.below(end)
        if top > high.place:  # a constant with bits on both sides of the other
            return low.below(end) | high.below(end)
        return extended(Cat(low.below(high.place), high.wires), end)


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
