"""The sum of an adder graph: two operands, one of them perhaps inverted, and a bit that enters as carry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from amaranth.hdl import C, Cat, Value

from rtl_lib.matrix.parallel.adder_values import Interval, extended, ones, trailing_zeros


class Operand(NamedTuple):
    """``(value & bits) << shift``, or with those bits inverted. Low bits that are missing have been added elsewhere."""

    value: int
    bits: int
    shift: int
    inverted: bool = False

    @property
    def places(self) -> int:
        """The places in the sum at which it may have bits."""
        return self.bits << self.shift

    def of(self, value: Any) -> Any:
        """The integer (or array of integers) for the value's."""
        used = value & self.bits
        return (used ^ self.bits if self.inverted else used) << self.shift

    def wires(self, value: Value) -> Placed:
        """Return the operand's wires, not inverted."""
        return Placed(trailing_zeros(self.places), value[trailing_zeros(self.bits) : self.bits.bit_length()])


class Carry(NamedTuple):
    """One bit of a value that enters before a sum's carry chain, which costs nothing."""

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
        """The place where the carry chain starts; below it there are only wires. None: nothing is left to add."""
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
        """Return ``a + b + carry``. The carry goes into a place before the chain, to both operands: it is all that
        comes out of there.
        """
        total = (Cat(carry, a) + Cat(carry, b))[1:] if self.carry else a + b
        return extended(total, self.width - self.start)  # type: ignore[operator]

    def _difference(self, a: Value, b: Value, carry: Value) -> Value:
        """Return ``a + ~b + carry`` as ``a - b``, whose inverters are part of the chain: ones around b become the zeros
        that ``~b`` has there, and the 1 that a subtraction adds is the carry, or meets its like before the chain.
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
