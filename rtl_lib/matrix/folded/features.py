"""The features of a folded engine, for any number of foldings at once.

``FoldedShape`` has the formulas: ``pe`` and ``simd`` are numbers (of a component that exists) or arrays (of
candidates).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rtl_lib.core.features import (
    Amount,
    Features,
    Kind,
    MemoryStyle,
    ceil_div,
    distinct_columns,
    gatherer_features,
    index_bits,
    pipeline_features,
    serializer_features,
)
from rtl_lib.core.formats import Format
from rtl_lib.elementwise.epilogue import Finish
from rtl_lib.matrix.constant_matrix import ConstantMatrix
from rtl_lib.matrix.folded.folding import Folding
from rtl_lib.matrix.folded.multipliers import Multiplier, PopcountProducts

LEAST_BLOCK_PRODUCT = 9  # bits of a product in a DSP block
FEW_SLOTS = 0.9, 0.4  # of the rows and of the bits of products with a weight that is always the same: what falls away
MOST_START_TURNS = 8  # as many constants as fit into the LUTs of the adders that they start


@dataclass(frozen=True, eq=False)
class FoldedShape:
    """The sizes of ``folded_sums.FoldedSums``.

    :param streams: whether the vector arrives in beats of ``simd`` numbers.
    """

    matrix: ConstantMatrix
    groups: int
    pe: Amount
    simd: Amount
    streams: Amount
    multiplier: Multiplier
    style: MemoryStyle
    levels_per_register: int

    @property
    def inputs(self) -> int:
        return self.matrix.n_inputs // self.groups

    @property
    def chunks(self) -> Amount:
        return ceil_div(self.inputs, self.simd)

    @property
    def turns(self) -> Amount:
        return ceil_div(self.matrix.n_outputs, self.pe)

    @property
    def slots(self) -> Amount:
        return self.turns * self.chunks

    @cached_property
    def own_weights(self) -> np.ndarray:
        return Folding(self.matrix, 1, 1, self.groups).own_weights

    @cached_property
    def input_bits(self) -> int:
        return self.matrix.input_format.width

    @cached_property
    def sum_bits(self) -> int:
        return self.matrix.output_format.width

    @cached_property
    def signs(self) -> Amount:
        """True where no multiplier is needed."""
        return bool((np.abs(self.own_weights) == 1).all()) & (self.inputs % self.simd == 0)

    def features(self) -> Features:
        bill = self._control() + self._inputs()
        for chosen, products in self._products():
            bill += products * chosen
        return bill + self._sums()

    def _control(self) -> Features:
        latency = 3 + self.tree_registers
        return (
            Features()
            .add(Kind.HANDSHAKE, 1)
            .add(Kind.REGISTER, 2 * latency + (latency - 1) * (self.chunks > 1))
            .add(Kind.COUNTER, index_bits(self.slots))
            .add(Kind.COUNTER, index_bits(self.chunks) * (self.turns > 1))
            .add(Kind.COUNTER, index_bits(self.turns) * (1 + self.replays))
        )

    @property
    def replays(self) -> Amount:
        return self.streams & (self.turns > 1)

    @cached_property
    def readers(self) -> Amount:
        """Rows of ``simd`` inputs that are read at the same time."""
        if self.groups == 1:
            return np.ones_like(self.pe)
        own = self.matrix.n_outputs // self.groups  # outputs of a group
        whole = np.where(self.pe % own == 0, self.pe // own, self.pe)
        return np.where(own % self.pe == 0, 1, np.where(self.turns == 1, np.minimum(self.pe, self.groups), whole))

    def _inputs(self) -> Features:
        bits = self.readers * self.simd * self.input_bits
        # In a DSP block's own registers where it has them, unless something lies between.
        outside = np.where(self._in_blocks & ~self._some_soft & ~self.replays, 0, bits)
        sources = self.chunks if self.groups == 1 else np.where(self.readers >= self.groups, self.chunks, self.slots)
        width = self.simd * self.input_bits
        return (
            Features()
            .add(Kind.REGISTER, outside)
            .add(Kind.OPERAND, bits - outside)
            .add(Kind.MUX, bits * ~np.asarray(self.streams), sources)
            .add(Kind.SINGLE_PORT_RAM, 1 * self.replays, self.chunks, width)
            .add(Kind.GATE, bits * self.replays)
            .add(Kind.REGISTER, 1 * self.replays)
        )

    # Multipliers

    @cached_property
    def _weights_format(self) -> Format:
        return Format.containing(min(int(self.own_weights.min()), -1), max(int(self.own_weights.max()), 0))

    @cached_property
    def _fields(self) -> tuple[int, int, int]:
        """The fields of ``DspProducts``: the pitch, a weight's bits with a borrow, and how many share a block at
        most.
        """
        low, high = int(self.own_weights.min()), int(self.own_weights.max())
        form = self.matrix.input_format
        extremes = [a * b for a in (low, high) for b in (form.minimum, form.maximum)]
        pitch = Format.containing(min(*extremes, 0) - 1, max(*extremes, 0)).width
        borrowed = Format.containing(min(low, 0) - 1, max(high, 0)).width
        wide, narrow = self.multiplier.ports
        fits = 1 + (wide - borrowed) // pitch if form.width + (not form.signed) <= narrow else 1
        return pitch, borrowed, max(1, fits)

    @property
    def shared(self) -> Amount:
        _, _, fits = self._fields
        return np.minimum(self.pe, fits) if self.groups == 1 else np.ones_like(self.pe)

    @property
    def _in_blocks(self) -> Amount:
        return ~np.asarray(self.signs, bool) & self.multiplier.in_blocks

    def _products(self) -> list[tuple[Amount, Features]]:
        """Each with where it is the one."""
        signs = np.asarray(self.signs, bool)
        one_bit = self.matrix.input_format == Format(False, 1)
        blocks = self.multiplier.in_blocks
        return [
            (signs & one_bit, self._popcounts()),
            (signs & (not one_bit), self._inverters()),
            (~signs & blocks, self._blocks()),
            (~signs & (not blocks), self._rows()),
        ]

    def _memory(self, bits: Amount) -> Features:
        """Return the memory for ``bits`` per weight. A single word is a constant."""
        return Features().add(Kind.ROM, 1 * (self.slots > 1), self.slots, bits * self.pe * self.simd, style=self.style)

    def _popcounts(self) -> Features:
        count = self.pe * self.simd
        tables = self.pe * ceil_div(self.simd, PopcountProducts.IN_A_TABLE)
        return self._memory(1).add(Kind.GATE, count).add(Kind.COUNT, 3 * tables).add(Kind.REGISTER, count)

    def _inverters(self) -> Features:
        bits = self.pe * self.simd * (self.input_bits + (not self.matrix.input_format.signed))
        return self._memory(1).add(Kind.GATE, bits * (self.slots > 1)).add(Kind.REGISTER, bits)

    def _blocks(self) -> Features:
        pitch, borrowed, _ = self._fields
        operand = pitch * (self.shared - 1) + np.where(self.shared > 1, borrowed, self._weights_format.width)
        bits = np.where(self.shared > 1, borrowed, self._weights_format.width)
        x = self.input_bits + (not self.matrix.input_format.signed)
        whole, left = self.pe // self.shared, self.pe % self.shared
        rest = np.maximum(pitch * (left - 1) + borrowed, 1)
        return (
            self._memory(bits)
            .add(Kind.PRODUCT, whole * self.simd, operand, x, operand + self.input_bits)
            .add(Kind.PRODUCT, (left > 0) * self.simd, rest, x, rest + self.input_bits)
        )

    @property
    def _some_soft(self) -> Amount:
        """Return whether some products are too small for a DSP block, so that the inputs are needed outside of the
        blocks.
        """
        left = self.pe % self.shared
        single = (self.shared == 1) | (left == 1)
        return single & (self._weights_format.width + self.input_bits < LEAST_BLOCK_PRODUCT)

    @cached_property
    def _rows_and_gated(self) -> tuple[int, int]:
        a, b = self._weights_format.width, self.input_bits
        return min(a, b), max(a, b)

    @cached_property
    def _chains(self) -> list[int]:
        """The rows of every chain of ``LutProducts``."""
        rows, _ = self._rows_and_gated
        step = self.levels_per_register + 1
        return [min(step, rows - first) for first in range(0, rows, step)]

    def _rows(self) -> Features:
        rows, gated = self._rows_and_gated
        count = self.pe * self.simd
        chains = len(self._chains)
        stored = sum(gated + chain for chain in self._chains) - (self._chains[0] == 1)
        # In few slots many bits of the weights are constant, and many rows of an input serve several outputs.
        rare = np.exp2(1 - np.minimum(self.slots, 60.0))
        left_rows, left_bits = (1 - share * rare for share in FEW_SLOTS)
        shared_rows = self.pe * chains if self.groups == 1 else 0 * self.pe
        firsts = np.where(
            self.slots > 8, shared_rows, np.minimum(distinct_columns(self.slots, shared_rows), shared_rows)
        )
        saved = (shared_rows - firsts) * self.simd * gated
        return (
            self._memory(self._weights_format.width)
            .add(Kind.ROW, np.maximum(count * rows * gated * left_rows - saved, 0))
            .add(Kind.REGISTER, count * stored * left_bits)
        )

    # Adders

    def _leaves(self) -> tuple[Amount, Amount, Amount]:
        """Return the leaves of one output: how many, their width, how many carries."""
        signs = np.asarray(self.signs, bool)
        unsigned = not self.matrix.input_format.signed
        if self.matrix.input_format == Format(False, 1):
            counts, width = ceil_div(self.simd, PopcountProducts.IN_A_TABLE), np.minimum(3, index_bits(self.simd + 1))
            if self.multiplier.in_blocks:
                other, wide, carries = self._block_leaves()
            else:
                other, wide, carries = self._row_leaves()
            return np.where(signs, counts, other), np.where(signs, width, wide), np.where(signs, 0, carries)
        other, wide, carries = self._block_leaves() if self.multiplier.in_blocks else self._row_leaves()
        return (
            np.where(signs, self.simd, other),
            np.where(signs, self.input_bits + unsigned, wide),
            np.where(signs, 0, carries),
        )

    def _block_leaves(self) -> tuple[Amount, Amount, Amount]:
        pitch, _, _ = self._fields
        outputs_with_carries = self.pe - ceil_div(self.pe, self.shared)
        return self.simd, pitch, self.simd * outputs_with_carries / self.pe

    def _row_leaves(self) -> tuple[Amount, Amount, Amount]:
        rows, gated = self._rows_and_gated
        return self.simd * len(self._chains), rows + gated, np.zeros_like(self.pe)

    @cached_property
    def tree_registers(self) -> Amount:
        levels = index_bits(self._leaves()[0])
        return ceil_div(levels + 1, self.levels_per_register) - 1

    def _sums(self) -> Features:
        """The trees and the running sums. No adder is wider than the sum."""
        leaves, width, carries = self._leaves()
        bill = Features()
        registered: Amount = 0 * self.pe
        adders: Amount = 0 * self.pe
        level = 0
        while np.any(leaves > 1):
            pairs = leaves // 2
            taken = np.minimum(carries, pairs)
            adders = adders + pairs * np.minimum(width, self.sum_bits) + taken
            width = np.where(leaves > 1, np.minimum(width + 1, self.sum_bits), width)
            carries, leaves, level = carries - taken, leaves - pairs, level + 1
            if level % self.levels_per_register == 0:
                held = self.tree_registers >= level // self.levels_per_register
                registered = registered + held * (leaves * width + carries)
        # Registers after the last level, where only the running sum is left.
        more = np.maximum(self.tree_registers - level // self.levels_per_register, 0)
        registered = registered + more * (width + carries)
        start = np.where(self.turns > MOST_START_TURNS, self.sum_bits * self.pe, 0)
        return (
            bill.add(Kind.ADDER, (adders + carries) * self.pe)
            .add(Kind.RUNNING_SUM, self.sum_bits * self.pe)
            .add(Kind.REGISTER, registered * self.pe + self.sum_bits * self.pe)
            .add(Kind.TABLE, start, self.turns)
        )


@dataclass(frozen=True, eq=False)
class FinishShape:
    """The sizes of ``TurnFinish``."""

    finishes: Sequence[Finish]
    pe: Amount
    input_format: Format
    output_format: Format

    @property
    def turns(self) -> Amount:
        return ceil_div(len(self.finishes), self.pe)

    def features(self) -> Features:
        multiplies = not all(finish.only_adds for finish in self.finishes)
        lines = [line for finish in self.finishes for line in finish.lines]
        offset = Format.containing(*_ends([line.offset for line in lines])).width
        bill = pipeline_features(1 + multiplies)
        bill.add(Kind.COUNTER, index_bits(self.turns)).add(Kind.REGISTER, index_bits(self.turns) * multiplies)
        bits = self.input_format.width
        if multiplies:
            m = Format.containing(*_ends([line.multiplier for line in lines]))
            mixed = m.signed != self.input_format.signed
            a, b = bits + mixed * (not self.input_format.signed), m.width + mixed * (not m.signed)
            # In a single turn the multipliers are constants, and powers of two are wires.
            one_factor = [f.multiplier for f in self.finishes if f.lines[0].multiplier == f.lines[1].multiplier]
            shifts = [factor.bit_length() - 1 for factor in one_factor if factor.bit_count() == 1]
            once = self.turns == 1
            bill.add(Kind.PRODUCT, np.where(once, len(self.finishes) - len(shifts), self.pe), a, b, bits + m.width)
            bill.add(Kind.REGISTER, once * (bits * len(shifts) + sum(shifts)))
            # A second line has tables of its own, and the sign chooses.
            again = 1 + any(finish.below for finish in self.finishes)
            bill.add(Kind.TABLE, again * m.width * self.pe, self.turns).add(
                Kind.TABLE, again * offset * self.pe, self.turns
            )
            bill.add(Kind.GATE, (again - 1) * (m.width + offset) * self.pe * (self.turns > 1))
            bill.add(Kind.REGISTER, (again - 1) * self.pe)
            bits += m.width
        adds = any(line.offset for line in lines) and multiplies
        bill.add(Kind.ADDER, adds * bits * self.pe * (self.turns > 1))
        bill.add(Kind.CONSTANT_ADDER, adds * bits * self.pe * (self.turns == 1))
        return bill + self._clamps(bits, bool(adds))

    def _clamps(self, bits: int, behind_adder: bool) -> Features:
        """Return the clamps. Outputs that share a lane share what they have in common; how many kinds a lane has is
        taken as an average.
        """
        kinds = Counter(finish.after_lines for finish in self.finishes)
        lanes = [
            self.pe * -np.expm1(self.turns * np.log1p(-min(n / len(self.finishes), 1 - 1e-12))) for n in kinds.values()
        ]
        out = self.output_format.width
        bill = Features().add(Kind.REGISTER, out * self.pe)
        for kind, count in zip(kinds, lanes, strict=True):
            bill += kind.features(bits, out, behind_adder and self.output_format.signed) * count
        several = sum(lanes) / self.pe
        return bill.add(Kind.MUX, out * self.pe * (several > 1.05), several)


def _ends(numbers: Sequence[int]) -> tuple[int, int]:
    return min(numbers), max(numbers)


def repack_features(format: Format, before: int, after: Amount) -> Features:
    """Return the features of a converter from beats of ``before`` numbers to beats of ``after``."""
    common = np.gcd(before, after)
    bits = format.width
    down = serializer_features(bits * before, bits * common) * (before > common)
    return down + gatherer_features(bits * common, after // common) * (after > common)
