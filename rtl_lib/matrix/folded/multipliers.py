"""The products of a folded engine, ``PE × SIMD`` of them per cycle, in the four shapes that pay on an FPGA.

Each is plain arithmetic with one register after it, so simulation and synthesis see the same. A product is passed on as
*leaves* (values to be added) and *carries* (single bits to be added, which ride on the carry inputs of adders that are
there anyway).

``dsp``: multiplications from which the tools infer DSP blocks. Outputs that read the same input share a block, as far
as its ports are wide enough: the operand ``w0 + (w1 << k)`` gives two products (three with 4-bit numbers), ``k`` bits
apart. A field that is negative borrows one from the field above it, which its sign bit gives back as a carry.
``dsp18`` and ``dsp16``: the same for smaller blocks.
``lut``: gated rows, added in short chains.
``sign``: weights of ±1: the input, inverted where the weight is -1; the ones that this leaves out are constants.
``popcount``: the same for inputs of one bit: XNOR, counted six at a time.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Cat, Const, Module, Signal, Value

from rtl_lib.core.formats import Format
from rtl_lib.core.pipeline import PipelineBuilder


class Multiplier(enum.Enum):
    """The multiplier of a folded engine."""

    DSP = "dsp"  # DSP48E1 and larger ones
    DSP18 = "dsp18"  # of ECP5 and Gowin
    DSP16 = "dsp16"  # of iCE40
    LUT = "lut"

    @property
    def in_blocks(self) -> bool:
        return self is not Multiplier.LUT

    @property
    def ports(self) -> tuple[int, int]:
        """Bits of the signed operands of a block: of the wide and the narrow one. None fit where there is no block."""
        return _PORTS.get(self, (0, 0))


_PORTS = {Multiplier.DSP: (25, 18), Multiplier.DSP18: (18, 18), Multiplier.DSP16: (16, 16)}


@dataclass
class Terms:
    """The terms to be added for one output; registered."""

    leaves: list[Value]
    carries: list[Value]


class Products(ABC):
    """The arithmetic of the products: the layout of the weights of one slot in a memory word, and their
    multiplication.
    """

    def __init__(self, weights: np.ndarray, input_format: Format) -> None:
        self.weights_format = Format.containing(min(int(weights.min()), -1), max(int(weights.max()), 0))
        self.input_format = input_format

    @property
    def bits(self) -> int:
        """Stored for one weight."""
        return self.weights_format.width

    def stored(self, weights: np.ndarray) -> np.ndarray:
        """Integers ``[..., PE, SIMD]`` → what is stored for them, below ``2**bits``, in the same order."""
        return weights & ((1 << self.bits) - 1)

    def constants(self, weights: np.ndarray) -> np.ndarray:
        """Return what the products of ``weights [outputs, inputs]`` leave out: to be added to the bias."""
        return np.zeros(len(weights), np.int64)

    def leaves(self, simd: int) -> int:
        """Return the number of leaves of an output."""
        return simd

    @abstractmethod
    def terms(self, m: Module, build: PipelineBuilder, x: list[list[Value]], words: list[list[Value]]) -> list[Terms]:
        """``x`` and ``words``: ``[PE][SIMD]``; where outputs read the same input, it is the same object."""


class DspProducts(Products):
    """See the module."""

    def __init__(self, weights: np.ndarray, input_format: Format, most: int, ports: tuple[int, int] = (25, 18)) -> None:
        """
        :param most: outputs that read the same inputs.
        :param ports: of a block.
        """
        super().__init__(weights, input_format)
        low, high = self.weights_format.minimum, self.weights_format.maximum
        extremes = [a * b for a in (int(weights.min()), int(weights.max())) for b in self._input_bounds]
        # Room for the borrow of the field below.
        self.pitch = Format.containing(min(*extremes, 0) - 1, max(*extremes, 0)).width
        borrowed = Format.containing(min(int(weights.min()), 0) - 1, max(int(weights.max()), 0)).width
        wide, narrow = ports
        fits = 1 + (wide - borrowed) // self.pitch if input_format.width + (not input_format.signed) <= narrow else 1
        self.shared = max(1, min(most, fits))
        self._bits = borrowed if self.shared > 1 else Format.containing(low, high).width

    @property
    def _input_bounds(self) -> tuple[int, int]:
        return self.input_format.minimum, self.input_format.maximum

    @property
    def bits(self) -> int:
        return self._bits

    def stored(self, weights: np.ndarray) -> np.ndarray:
        """A weight less one where the operand below it, with all it carries, is negative."""
        result = weights.copy()
        for first in range(0, weights.shape[-2], self.shared):
            for k in range(first + 1, min(first + self.shared, weights.shape[-2])):
                result[..., k, :] -= result[..., k - 1, :] < 0
        return result & ((1 << self.bits) - 1)

    def terms(self, m: Module, build: PipelineBuilder, x: list[list[Value]], words: list[list[Value]]) -> list[Terms]:
        result = [Terms([], []) for _ in x]
        for first in range(0, len(x), self.shared):
            members = range(first, min(first + self.shared, len(x)))
            for lane, value in enumerate(x[first]):
                fields = [words[k][lane].as_signed() for k in members]
                operand = Cat(*(_extended(field, self.pitch) for field in fields[:-1]), fields[-1]).as_signed()
                product = build.register(operand * value, f"product_{first}_{lane}")
                for place, k in enumerate(members):
                    begin = place * self.pitch
                    end = begin + self.pitch if place < len(members) - 1 else len(product)
                    result[k].leaves.append(product[begin:end].as_signed())
                    if place:
                        result[k].carries.append(product[begin - 1])
        return result


class LutProducts(Products):
    """See the module."""

    def __init__(self, weights: np.ndarray, input_format: Format, rows_in_a_chain: int) -> None:
        super().__init__(weights, input_format)
        self.rows_in_a_chain = rows_in_a_chain

    def leaves(self, simd: int) -> int:
        rows = min(self.bits, self.input_format.width)
        return simd * -(-rows // self.rows_in_a_chain)

    def terms(self, m: Module, build: PipelineBuilder, x: list[list[Value]], words: list[list[Value]]) -> list[Terms]:
        result = []
        for k, (values, stored) in enumerate(zip(x, words, strict=True)):
            leaves = []
            for lane, (value, word) in enumerate(zip(values, stored, strict=True)):
                chains = self._chains(m, value, word.as_signed())
                leaves += [build.register(chain, f"product_{k}_{lane}") for chain in chains]
            result.append(Terms(leaves, []))
        return result

    def _chains(self, m: Module, a: Value, b: Value) -> list[Value]:
        """Values that add up to ``a * b``: the rows of the narrower operand's bits, a few in each."""
        rows, gated = (a, b) if len(a) <= len(b) else (b, a)
        chains = []
        for first in range(0, len(rows), self.rows_in_a_chain):
            finished: list[Value] = [Const(0, 1)] * first
            total: Value = Const(0)
            for k in range(first, min(first + self.rows_in_a_chain, len(rows))):
                row = Signal(gated.shape(), name="row")
                m.d.comb += row.eq(Cat(*(bit & rows[k] for bit in gated)))
                if k > first:
                    # The lowest bit is finished. Cut off, it also keeps yosys from making compressors of the chain.
                    finished.append(total[0])
                    total = total[1:].as_signed() if total.shape().signed else total[1:]
                total = total - row if rows.shape().signed and k == len(rows) - 1 else total + row
            chain = Cat(*finished, total)
            chains.append(chain.as_signed() if total.shape().signed else chain)
        return chains


def signed_value(value: Value) -> Value:
    """The same number as a signed value."""
    return value if value.shape().signed else Cat(value, Const(0, 1)).as_signed()


class SignProducts(Products):
    """See the module. ``x * -1 = ~x + 1``."""

    @property
    def bits(self) -> int:
        return 1

    def stored(self, weights: np.ndarray) -> np.ndarray:
        return (weights < 0).astype(np.int64)

    def constants(self, weights: np.ndarray) -> np.ndarray:
        return (weights < 0).sum(axis=1)

    def terms(self, m: Module, build: PipelineBuilder, x: list[list[Value]], words: list[list[Value]]) -> list[Terms]:
        result = []
        for k, (values, stored) in enumerate(zip(x, words, strict=True)):
            inverted = [
                Cat(*(bit ^ word for bit in value), *([] if value.shape().signed else [word])).as_signed()
                for value, word in zip(values, stored, strict=True)
            ]
            result.append(Terms([build.register(v, f"product_{k}_{lane}") for lane, v in enumerate(inverted)], []))
        return result


class PopcountProducts(SignProducts):
    """See the module. ``x * -1 = ~x - 1`` for a bit, so the ones that are missing are to be taken off."""

    IN_A_TABLE = 6  # inputs of a LUT

    def leaves(self, simd: int) -> int:
        return -(-simd // self.IN_A_TABLE)

    def constants(self, weights: np.ndarray) -> np.ndarray:
        return -(weights < 0).sum(axis=1)

    def terms(self, m: Module, build: PipelineBuilder, x: list[list[Value]], words: list[list[Value]]) -> list[Terms]:
        result = []
        for k, (values, stored) in enumerate(zip(x, words, strict=True)):
            bits = [build.register(v ^ w, f"agrees_{k}") for v, w in zip(values, stored, strict=True)]
            groups = [bits[j : j + self.IN_A_TABLE] for j in range(0, len(bits), self.IN_A_TABLE)]
            result.append(Terms([_count(group) for group in groups], []))
        return result


def _count(bits: Sequence[Value]) -> Value:
    """Return how many of up to six bits are set, as logic of one LUT for each result bit."""
    low, high = _full_adder(bits[:3]), _full_adder(bits[3:])
    ones = low[0] ^ high[0]
    carry = low[0] & high[0]
    twos = low[1] ^ high[1] ^ carry
    fours = (low[1] & high[1]) | (carry & (low[1] ^ high[1]))
    return Cat(ones, twos, fours)[: len(bits).bit_length()]


def _full_adder(bits: Sequence[Value]) -> tuple[Value, Value]:
    a, b, c = [*bits, *[Const(0, 1)] * 3][:3]
    return a ^ b ^ c, (a & b) | (a & c) | (b & c)


def products(
    multiplier: Multiplier, weights: np.ndarray, input_format: Format, *, padded: bool, shared: int, levels: int
) -> Products:
    """Return the products that fit ``weights``: those of ±1 need no multiplier.

    :param padded: whether a lane may be left over, which needs a weight of 0.
    :param shared: outputs that read the same inputs at the same time.
    :param levels: adders in a row between two registers.
    """
    signs = bool((np.abs(weights) == 1).all()) and not padded
    if signs and input_format == Format(False, 1):
        return PopcountProducts(weights, input_format)
    if signs:
        return SignProducts(weights, input_format)
    if multiplier is Multiplier.LUT:
        return LutProducts(weights, input_format, levels + 1)
    return DspProducts(weights, input_format, shared, multiplier.ports)


def _extended(value: Value, width: int) -> Value:
    """A signed value's bits, ``width`` of them."""
    return Cat(value, value[-1].replicate(width - len(value)))
