"""The sums of a folded engine: ``PE × SIMD`` multipliers, weights from a memory, accumulators.

A vector needs ``turns × chunks`` cycles (``folding``); the next one follows without a gap. How it comes in:

* whole, in one beat: the component before holds it until its last cycle; lanes are chosen by multiplexers;
* in beats of ``SIMD`` numbers: read as they come, and, where there are several turns, kept in a replay memory for the
  later ones.

Registers: input lanes and weights; products; one after every few levels of the adder tree; the running sums::

    input ─ choose ─▐ x ▌─ × ─▐ product ▌─ tree ─▐ ... ▌─ + ─▐ sum ▌
    slot ────────── ▐ weights ▌
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data
from amaranth.lib.memory import Memory

from rtl_lib.core.features import Features, MemoryStyle
from rtl_lib.core.formats import index_signal
from rtl_lib.core.pipeline import PipelineBuilder
from rtl_lib.core.stream import Beat, StreamComponent
from rtl_lib.core.timing import BeatModel
from rtl_lib.matrix.constant_matrix import ConstantMatrix
from rtl_lib.matrix.folded.epilogue import constant_of
from rtl_lib.matrix.folded.features import FoldedShape
from rtl_lib.matrix.folded.folding import Folding
from rtl_lib.matrix.folded.multipliers import Multiplier, Products, Terms, products, signed_value
from rtl_lib.matrix.folded.timing import FoldedModel
from rtl_lib.streams.rom import read_only


class WeightMemory(enum.Enum):
    """The memory of the weights of a folded engine."""

    AUTO = "auto"  # the synthesis tool decides
    BLOCK = "block"
    DISTRIBUTED = "distributed"  # LUTs


# yosys finds no LUT memory for a ROM that is asked to be "distributed"; as "logic" it becomes LUTs.
ROM_STYLES: dict[WeightMemory, dict[str, Any]] = {
    WeightMemory.AUTO: {},
    WeightMemory.BLOCK: {"rom_style": "block"},
    WeightMemory.DISTRIBUTED: {"syn_romstyle": "logic"},
}
STYLES = {
    WeightMemory.AUTO: MemoryStyle.AUTO,
    WeightMemory.BLOCK: MemoryStyle.BLOCK,
    WeightMemory.DISTRIBUTED: MemoryStyle.LOGIC,
}


@dataclass(frozen=True, eq=False)
class FoldedSums:
    """The sums of a ``Folding``: a vector in, in beats of ``lanes`` numbers (all, or ``simd``); ``turns`` beats of
    ``pe`` sums out, of which the last may hold too many.
    """

    folding: Folding
    lanes: int
    multiplier: Multiplier
    memory: WeightMemory
    levels_per_register: int

    def __post_init__(self) -> None:
        if self.levels_per_register < 1:
            raise ValueError(f"levels_per_register must be at least 1, not {self.levels_per_register!r}")
        if self.lanes not in (self.matrix.n_inputs, self.folding.simd):
            raise ValueError(
                f"lanes must be all {self.matrix.n_inputs} or simd ({self.folding.simd}), not {self.lanes}"
            )
        if self.streams and (self.folding.groups > 1 or self.folding.inputs % self.folding.simd):
            raise ValueError("a vector that arrives in parts must have one group, and simd must divide its length")

    @property
    def matrix(self) -> ConstantMatrix:
        return self.folding.matrix

    @property
    def streams(self) -> bool:
        """True if the vector arrives in parts."""
        return self.lanes < self.matrix.n_inputs

    @property
    def replays(self) -> bool:
        return self.streams and self.folding.turns > 1

    @cached_property
    def products(self) -> Products:
        f = self.folding
        return products(
            self.multiplier,
            f.own_weights,
            self.matrix.input_format,
            padded=f.inputs % f.simd > 0,
            shared=f.pe if f.groups == 1 else 1,
            levels=self.levels_per_register,
        )

    @property
    def input_beat(self) -> Beat:
        return Beat(self.matrix.input_format, self.lanes)

    @property
    def output_beat(self) -> Beat:
        return Beat(self.matrix.output_format, self.folding.pe)

    @cached_property
    def start(self) -> np.ndarray:
        """The initial values of the sums of every turn, ``[turns, pe]``."""
        f = self.folding
        constants = self.matrix.bias + self.products.constants(f.own_weights)
        return np.pad(constants, (0, f.turns * f.pe - len(constants))).reshape(f.turns, f.pe)

    def create(self) -> FoldedSumsComponent:
        return FoldedSumsComponent(self)


class FoldedSumsComponent(StreamComponent):
    """Hardware of ``FoldedSums``."""

    def __init__(self, spec: FoldedSums) -> None:
        self.spec = spec
        leaves = spec.products.leaves(spec.folding.simd)
        levels = (leaves - 1).bit_length()
        # The running sum is the last adder.
        self.tree_registers = -(-(levels + 1) // spec.levels_per_register) - 1
        self.latency = 3 + self.tree_registers
        self.detail = f"{spec.folding.pe} × {spec.folding.simd}"
        self.holds_input = not spec.streams and spec.folding.slots > 1
        super().__init__(spec.input_beat, spec.output_beat)

    def features(self) -> Features:
        spec, f = self.spec, self.spec.folding
        style, levels = STYLES[spec.memory], spec.levels_per_register
        return FoldedShape(f.matrix, f.groups, f.pe, f.simd, spec.streams, spec.multiplier, style, levels).features()

    def beat_model(self) -> BeatModel:
        return FoldedModel(self.latency, self.spec.folding.turns, self.spec.folding.chunks, self.spec.streams)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        at = _Slot(self.spec.folding)
        # One bit a register: does it hold a slot, the first of a turn, the last of a turn?
        present, first, done = (Signal(self.latency) for _ in range(3))
        advance = Signal()
        m.d.comb += [advance.eq(self.o.ready | ~done[-1]), self.o.valid.eq(done[-1])]
        self._control(m, at, advance)
        with m.If(advance):
            m.d.sync += [
                present.eq((present << 1) | at.issued),
                first.eq((first << 1) | at.first),
                done.eq((done << 1) | (at.issued & at.last)),
            ]
        build = PipelineBuilder(m, advance)
        terms = self.spec.products.terms(m, build, self._inputs(m, build, at), self._weights(m, build, at, platform))
        sums = [self._tree(build, term) for term in terms]
        self._accumulate(m, advance & present[-2], first[-2], done[-2], sums)
        return m

    def _control(self, m: Module, at: _Slot, advance: Signal) -> None:
        f = self.spec.folding
        last_slot = at.slot == f.slots - 1
        first_turn = at.turn == 0 if self.spec.replays else Const(1)
        takes = first_turn if self.spec.streams else last_slot
        needs = first_turn if self.spec.streams else Const(1)
        m.d.comb += [
            at.first.eq(at.chunk == 0),
            at.last.eq(at.chunk == f.chunks - 1),
            at.issued.eq(advance & (self.i.valid | ~needs)),
            self.i.ready.eq(advance & takes),
        ]
        with m.If(at.issued):
            m.d.sync += at.slot.eq(Mux(last_slot, 0, at.slot + 1))
            m.d.sync += at.chunk.eq(Mux(at.last, 0, at.chunk + 1))
            with m.If(at.last):
                m.d.sync += at.turn.eq(Mux(last_slot, 0, at.turn + 1))

    def _inputs(self, m: Module, build: PipelineBuilder, at: _Slot) -> list[list[Value]]:
        """``[PE][SIMD]``, registered; one object where outputs read the same."""
        f = self.spec.folding
        if self.spec.streams:
            row = [build.register(self.i.payload[k], f"x_{k}") for k in range(f.simd)]
            return [self._replayed(m, build, at, row) if self.spec.replays else row] * f.pe
        made: dict[bytes, Value] = {}

        def chosen(sources: np.ndarray) -> Value:
            """Return the choice of an input by slot. ``sources``: the input of each slot, ``[turns, chunks]``."""
            key = sources.tobytes()
            if key not in made:
                same_in_all_turns = (sources == sources[0]).all()
                index, order = (at.chunk, sources[0]) if same_in_all_turns else (at.slot, sources.ravel())
                lanes = [self.i.payload[int(k)] for k in order]
                made[key] = build.register(lanes[0] if len(lanes) == 1 else Array(lanes)[index], f"x_{len(made)}")
            return made[key]

        return [[chosen(f.input_of[:, :, p, lane]) for lane in range(f.simd)] for p in range(f.pe)]

    def _replayed(self, m: Module, build: PipelineBuilder, at: _Slot, row: list[Value]) -> list[Value]:
        """The vector as it comes in the first turn, from a memory in the later ones."""
        beat = self.input_beat.layout
        memory = m.submodules.replay = Memory(shape=beat.size, depth=self.spec.folding.chunks, init=[])
        write, read = memory.write_port(), memory.read_port(transparent_for=())
        m.d.comb += [
            write.addr.eq(at.chunk),
            write.data.eq(self.i.payload.as_value()),
            write.en.eq(at.issued & (at.turn == 0)),
            read.addr.eq(at.chunk),
            read.en.eq(build.advance),
        ]
        fresh = build.register(at.turn == 0, "fresh")
        layout = data.View(beat, read.data)
        values = []
        for k, x in enumerate(row):
            value = Signal(x.shape(), name=f"replayed_{k}")
            m.d.comb += value.eq(Mux(fresh, x, layout[k]))
            values.append(value)
        return values

    def _weights(self, m: Module, build: PipelineBuilder, at: _Slot, platform: Any) -> list[list[Value]]:
        """Return the stored form of the slot's weights, ``[PE][SIMD]``, one cycle after its address."""
        f, bits = self.spec.folding, self.spec.products.bits
        stored = self.spec.products.stored(f.weights).reshape(f.slots, -1)
        word: Value
        if f.slots == 1:
            word = Cat(*(Const(int(one), bits) for one in stored[0]))
        else:
            ports = at.slot, build.advance
            word = read_only(m, "weights", stored, bits, ports, ROM_STYLES[self.spec.memory], platform)
        return [[word[k * bits : (k + 1) * bits] for k in range(p * f.simd, (p + 1) * f.simd)] for p in range(f.pe)]

    def _tree(self, build: PipelineBuilder, term: Terms) -> Terms:
        """One leaf and at most one carry, ``tree_registers`` registers later."""
        leaves, carries = term.leaves, term.carries
        for _ in range(self.tree_registers):
            for _ in range(self.spec.levels_per_register):
                leaves, carries = _level(leaves, carries)
            leaves = [build.register(leaf, "tree") for leaf in leaves]
            carries = [build.register(carry, "carry") for carry in carries]
        while len(leaves) > 1:
            leaves, carries = _level(leaves, carries)
        return Terms(leaves, carries)

    def _accumulate(self, m: Module, adds: Value, first: Value, last: Value, terms: Sequence[Terms]) -> None:
        spec = self.spec
        turn = index_signal(spec.folding.turns)
        with m.If(adds & last):
            m.d.sync += turn.eq(Mux(turn == spec.folding.turns - 1, 0, turn + 1))
        for k, term in enumerate(terms):
            total = Signal(self.output_beat.format.shape, name=f"total_{k}", reset_less=True)
            start = constant_of(turn, spec.start[:, k].tolist())
            before = Signal.like(total, name=f"before_{k}")
            m.d.comb += before.eq(start if spec.folding.chunks == 1 else Mux(first, start, total))
            # Whatever wraps on the way, the last sum fits.
            with m.If(adds):
                m.d.sync += total.eq(_sum(before, term.leaves[0], term.carries))
            m.d.comb += self.o.payload[k].eq(total)


class _Slot:
    """The slot at the input, and whether it advances in this cycle."""

    def __init__(self, folding: Folding) -> None:
        self.slot = index_signal(folding.slots)
        self.chunk = index_signal(folding.chunks)
        self.turn = index_signal(folding.turns)
        self.issued, self.first, self.last = Signal(), Signal(), Signal()


def _level(leaves: list[Value], carries: list[Value]) -> tuple[list[Value], list[Value]]:
    """Return half as many leaves; every adder adds one carry."""
    pairs = list(zip(leaves[::2], leaves[1::2], strict=False))
    sums = [_sum(a, b, carries[k : k + 1]) for k, (a, b) in enumerate(pairs)]
    return sums + leaves[2 * len(pairs) :], carries[len(pairs) :]


def _sum(a: Value, b: Value, carry: list[Value]) -> Value:
    """``a + b + carry`` in one carry chain: a bit below the lowest makes the carry. Without a carry the bit keeps yosys
    from making compressors of several such sums, which take twice the LUTs.
    """
    return (Cat(Const(1, 1), signed_value(a)).as_signed() + Cat(*carry or [Const(0, 1)], signed_value(b)).as_signed())[
        1:
    ].as_signed()
