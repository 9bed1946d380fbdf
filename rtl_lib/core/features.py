"""Resource features: the parts of components, in terms from which a synthesis tool's result can be predicted.

A ``Feature`` is a number of bits (or of blocks) of one kind, and the sizes that its cost depends on. How many LUTs or
DSP blocks that makes is known to ``dnn2fpga.plan.estimate``, from measurements of an FPGA family. Counts and sizes may
be NumPy arrays, one entry for each of many candidates.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Amount = Any  # a number, or an array of them


class Kind(enum.Enum):
    """The kind of a feature, which says what it counts; the sizes it has in brackets."""

    REGISTER = "register"  # bits
    OPERAND = "operand"  # bits of registers that a DSP block may have of its own, before its multiplier
    ADDER = "adder"  # bits of a carry chain where two variables meet
    RUNNING_SUM = "running_sum"  # bits of a carry chain that adds to its own register, or begins anew
    CONSTANT_ADDER = "constant_adder"  # bits of a carry chain where a constant is added
    OFFSET = "offset"  # the same right after a product (of these sizes, if given), where a DSP block may do it
    ADDER_GRAPH = "adder_graph"  # LUTs as the graph's solver counts them
    CHAIN = "chain"  # places of its carry chains that it counts no LUT for
    WIDE_SUM = "wide_sum"  # bits of adders that yosys makes compressors of
    GATE = "gate"  # bits that are one small function each, such as a choice between two values
    ROW = "row"  # bits of the rows of products, each gated and added to the one before
    COUNT = "count"  # bits of numbers that say how many of six bits are set
    COMPARATOR = "comparator"  # bits that are compared with other bits (bits of each comparison)
    SHIFTER = "shifter"  # bits that are loaded or shifted on (number of steps)
    MUX = "mux"  # bits (inputs), chosen by an index
    CHOICE = "choice"  # bits (inputs), one comparison after the other
    TABLE = "table"  # bits, each a function of an index (number of indices)
    ROM = "rom"  # memories (depth, width, how much of it differs), read into a register
    RAM = "ram"  # memories (depth, width, 1 where a word may be read while it is written), read into a register
    SINGLE_PORT_RAM = "single_port_ram"  # the same where reading and writing have one address
    PRODUCT = "product"  # multiplications (bits, bits, bits of the product), a register after each
    CLAMP = "clamp"  # results (bits before, bits of the result, 1 where it is signed and after an adder)
    EVEN = "even"  # bits that are rounded half to even
    COUNTER = "counter"  # bits
    HANDSHAKE = "handshake"  # pipelines, queues: what moves together
    WINDOW_CONTROL = "window_control"  # bits of all positions of sliding windows
    BINARY32_UNIT = "binary32_unit"  # multiply-add units, each with its conversions


class MemoryStyle(enum.Enum):
    """The primitive that implements a memory."""

    AUTO = "auto"  # the tool decides
    BLOCK = "block"
    LOGIC = "logic"


@dataclass(frozen=True)
class Feature:
    kind: Kind
    count: Amount
    sizes: tuple[Amount, ...] = ()
    style: MemoryStyle = MemoryStyle.AUTO


@dataclass
class Features:
    """A bill of features; sums of bills are bills."""

    found: list[Feature] = field(default_factory=list)

    def add(self, kind: Kind, count: Amount, *sizes: Amount, style: MemoryStyle = MemoryStyle.AUTO) -> Features:
        """One more feature; returns the bill itself."""
        self.found.append(Feature(kind, count, sizes, style))
        return self

    def __add__(self, other: Features) -> Features:
        return Features([*self.found, *other.found])

    def __mul__(self, times: Amount) -> Features:
        return Features([Feature(f.kind, f.count * times, f.sizes, f.style) for f in self.found])


def index_bits(count: Amount) -> Amount:
    """Bits of an index signal for 0 … ``count - 1`` that counts at all: none for a single value."""
    return np.ceil(np.log2(np.maximum(count, 1)))


def ceil_div(a: Amount, b: Amount) -> Amount:
    return -(-a // b)


def distinct_columns(rows: Amount, columns: Amount) -> Amount:
    """Return how many of the columns of a random bit matrix are neither equal to another nor constant, on average."""
    functions = np.exp2(np.minimum(rows, 30.0)) - 2
    functions = np.maximum(functions, 1e-9)
    return functions * -np.expm1(columns * np.log1p(-1 / np.maximum(functions + 2, 2)))


def pipeline_features(latency: Amount) -> Features:
    """The valid bits and what moves them."""
    return Features().add(Kind.REGISTER, latency).add(Kind.HANDSHAKE, 1)


def clamp_features(before: Amount, after: int, *, signed_sum: bool, one_sided: bool) -> Features:
    """Return what limits a number to a result of ``after`` bits, which has a register.

    :param before: bits of the number.
    :param signed_sum: whether it comes from an adder, and the result is signed.
    :param one_sided: whether it is never too small: then what is too large sets the register, by an input of its own
        (the condition, and an inverter at the end of the carry chain).
    """
    if one_sided:
        return Features().add(Kind.GATE, 2 * (before > after))
    return Features().add(Kind.CLAMP, 1, before, after, signed_sum)


def serializer_features(wide_bits: Amount, narrow_bits: Amount) -> Features:
    parts = wide_bits // narrow_bits
    return (
        Features()
        .add(Kind.REGISTER, wide_bits)
        .add(Kind.GATE, narrow_bits)
        .add(Kind.SHIFTER, wide_bits - narrow_bits, parts)
        .add(Kind.COUNTER, index_bits(parts + 1))
        .add(Kind.HANDSHAKE, 1)
    )


def gatherer_features(narrow_bits: Amount, parts: Amount) -> Features:
    return (
        Features()
        .add(Kind.REGISTER, narrow_bits * parts)
        .add(Kind.COUNTER, index_bits(parts + 1))
        .add(Kind.HANDSHAKE, 1)
    )
