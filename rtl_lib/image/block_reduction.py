"""Pooling whose windows do not overlap: blocks of ``bh × bw`` pixels, each reduced to one while the pixels arrive.

No window is ever kept. Each lane has one partial result, the running one of the block that is passing, and a memory
with those of the blocks of this row that continue in the next line of pixels. A pixel joins

- nothing: it is the first of its block;
- the memory's partial result: it is the first of its block in a later line;
- else the running result.

At the right edge of a block the running result goes to the memory; that of the last line is the output. Pixels beyond
the last whole block, on the right and below, are accepted and ignored. Full rate; a result is at the output in the
cycle after the last pixel of its block::

    2 × 2 blocks   i.payload   A  B  C  D     E  F  G  H
                   running     .  A  AB C  CD .  ABE   CDG
                   memory         (AB)  (CD)                     written with the running result
                   o.payload                        ABEF  CDGH
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib.memory import Memory, ReadPort, WritePort

from rtl_lib.core.features import Features, Kind, index_bits
from rtl_lib.core.formats import Format, index_signal
from rtl_lib.core.operator import Rowwise
from rtl_lib.core.pipeline import PipelineBuilder
from rtl_lib.core.rules import State, helper, line, line_moves, line_ready, line_valid
from rtl_lib.core.stream import Beat, StreamComponent
from rtl_lib.core.timing import BeatModel
from rtl_lib.image.reduction import Reduction, WindowReduction


@dataclass(frozen=True)
class Stretch:
    """One direction of the image, in steps: ``blocks`` blocks of ``size``, and a surplus that belongs to none."""

    steps: int
    blocks: int
    size: int

    @property
    def surplus(self) -> int:
        return self.steps - self.blocks * self.size

    @property
    def period(self) -> Stretch:
        """The shortest stretch that, repeated, is the same: one block, unless there is a surplus."""
        return self if self.surplus else Stretch(self.size, 1, self.size)

    def ends_block(self, step: int) -> bool:
        return step % self.size == self.size - 1 and step < self.blocks * self.size


@dataclass(frozen=True)
class BlockReduction(Rowwise):
    """Blocks of ``block`` pixels of an image of ``height × width`` pixels with ``channels`` lanes.

    One input beat is a pixel, one output beat a block, both in row-major order. ``create`` can make hardware for
    several pixels per beat.
    """

    height: int
    width: int
    channels: int
    input_format: Format
    block: tuple[int, int]
    reduction: Reduction

    def __post_init__(self) -> None:
        if min(self.block) < 1:
            raise ValueError(f"block must be at least 1×1, not {_size(self.block)}")
        if min(self.output_size) < 1:
            raise ValueError(f"block must fit into the image of {self.height}×{self.width}, not {_size(self.block)}")

    @property
    def output_size(self) -> tuple[int, int]:
        """Rows and columns of blocks."""
        return self.height // self.block[0], self.width // self.block[1]

    def format_of(self, pixels: int) -> Format:
        """Return the format of the partial result of this many pixels."""
        return WindowReduction(self.input_format, self.channels, pixels, self.reduction).output_format

    @cached_property
    def output_format(self) -> Format:
        return self.format_of(self.block[0] * self.block[1])

    @property
    def input_beats(self) -> tuple[Beat, ...]:
        return (Beat(self.input_format, self.channels),)

    @property
    def output_beat(self) -> Beat:
        return Beat(self.output_format, self.channels)

    def compute(self, x: np.ndarray) -> np.ndarray:
        """``[frames, pixels, channels]`` → ``[frames, blocks, channels]``."""
        (rows, columns), (high, wide) = self.output_size, self.block
        image = x.reshape(len(x), self.height, self.width, self.channels)[:, : rows * high, : columns * wide]
        blocks = image.reshape(len(x), rows, high, columns, wide, self.channels)
        if self.reduction is Reduction.MAXIMUM:
            reduced = blocks.max(axis=(2, 4))
        else:
            reduced = blocks.sum(axis=(2, 4), dtype=np.int64)
        return reduced.reshape(len(x), rows * columns, self.channels)

    def pixels_out(self, pixels: int) -> int | None:
        """Return how many blocks leave in a beat when ``pixels`` pixels arrive in one; None: not possible."""
        if pixels == 1:
            return 1
        return None if pixels % self.block[1] else pixels // self.block[1]

    def create(self, pixels: int = 1) -> BlockReductionComponent:
        """Create the component. With several pixels per beat, every row (of pixels and of blocks) starts a new beat,
        and lanes beyond its end carry no data: ``PixelRows(width, pixels)`` in, ``PixelRows(output_size[1],
        pixels_out(pixels))`` out.
        """
        return BlockReductionComponent(self, pixels)


def _size(block: tuple[int, int]) -> str:
    return "×".join(map(str, block))


# The step of each direction, and its stretch.
ROW, ROW_STEPS, ROW_BLOCKS, ROW_SIZE, COLUMN, COLUMN_STEPS, COLUMN_BLOCKS, COLUMN_SIZE, LINE = range(9)


@helper
def ends_block(step: int, blocks: int, size: int) -> bool:
    return step % size == size - 1 and step < blocks * size


class BlockReductionModel(BeatModel):
    """One beat for every pixel that ends a block in both directions."""

    def __init__(self, latency: int, rows: Stretch, columns: Stretch) -> None:
        self.rows, self.columns = rows, columns
        of_rows, of_columns = ((0, stretch.steps, stretch.blocks, stretch.size) for stretch in (rows, columns))
        self.state = [*of_rows, *of_columns, *line(latency)]

    @staticmethod
    def offers(s: State) -> int:
        return line_valid(s, LINE)

    @staticmethod
    def accepts(s: State, valids: int, readys: int) -> int:
        return line_ready(s, LINE, readys)

    @staticmethod
    def moves(s: State, valids: int, readys: int, cycles: int) -> int:
        enters = 0
        if valids and line_ready(s, LINE, readys):
            ends_rows = ends_block(s[ROW], s[ROW_BLOCKS], s[ROW_SIZE])
            enters = 1 if ends_rows and ends_block(s[COLUMN], s[COLUMN_BLOCKS], s[COLUMN_SIZE]) else 0
            s[COLUMN] = (s[COLUMN] + 1) % s[COLUMN_STEPS]
            if s[COLUMN] == 0:
                s[ROW] = (s[ROW] + 1) % s[ROW_STEPS]
        return line_moves(s, LINE, enters, readys, cycles)

    def least(self) -> BlockReductionModel:
        return BlockReductionModel(1, self.rows, self.columns)


class BlockReductionComponent(StreamComponent):
    """Hardware of ``BlockReduction``. Registers: the running results; before them, for wide beats, some in the tree
    that reduces the pixels of a beat that are of one block. They advance together, whenever the output is empty or
    consumed.

    A partial result is read from the memory while the last pixel of the block before is accepted, so it is there when
    the first pixel of its own block arrives. It has been written by then, unless there is only one block in a row; then
    the running result itself is kept.
    """

    LEVELS_PER_REGISTER = 2  # of the tree, and one level more that joins with the running result

    def __init__(self, spec: BlockReduction, pixels: int = 1) -> None:
        given = spec.pixels_out(pixels) if pixels > 0 else None
        if given is None:
            raise ValueError(f"pixels must be 1 or a multiple of the block's width {spec.block[1]}, not {pixels}")
        (high, wide), (rows, columns) = spec.block, spec.output_size
        self.spec = spec
        self.together = wide if pixels > 1 else 1  # pixels of a beat that are of one block
        self.rows = Stretch(spec.height, rows, high).period
        beats = Stretch(-(-spec.width // pixels), -(-columns // given), wide // self.together)
        self.columns = beats if self.rows.steps > 1 else beats.period
        self.levels = (self.together - 1).bit_length()
        self.latency = -(-(self.levels + 1) // self.LEVELS_PER_REGISTER)
        super().__init__(
            Beat(spec.input_format, pixels * spec.channels), Beat(spec.output_format, given * spec.channels)
        )

    @property
    def stored(self) -> Beat | None:
        """The beat that the memory stores of each block of a row; None: there is no memory."""
        if self.rows.size == 1 or self.columns.blocks == 1:
            return None
        high, wide = self.spec.block
        return Beat(self.spec.format_of((high - 1) * wide), self.output_beat.lanes)

    def features(self) -> Features:
        lanes, bits = self.output_beat.lanes, self.output_beat.layout.size
        maximum = self.spec.reduction is Reduction.MAXIMUM
        columns, rows = self.columns, self.rows
        bill = self._features_of_tree(lanes).add(Kind.HANDSHAKE, 1).add(Kind.REGISTER, bits + self.latency)
        for stretch in (columns, rows):
            numbers = stretch.blocks + (stretch.surplus > 0)
            bill.add(Kind.COUNTER, index_bits(numbers) + index_bits(stretch.size))
        if self.stored:
            bill.add(Kind.RAM, 1, columns.blocks, self.stored.layout.size).add(Kind.GATE, index_bits(columns.blocks))
        if columns.size * rows.size > 1:
            bill.add(Kind.RUNNING_SUM, bits)
        if columns.size * rows.size > 1 and maximum:
            # Where there is no memory, the comparison enables the registers.
            bill.add(Kind.GATE, bits if self.stored else lanes)
        return bill

    def _features_of_tree(self, lanes: int) -> Features:
        bill, values, bits = Features(), self.together, self.spec.input_format.width
        for level in range(self.levels):
            pairs = values // 2 * lanes
            values -= values // 2
            if self.spec.reduction is Reduction.MAXIMUM:
                bill.add(Kind.COMPARATOR, pairs * bits, bits).add(Kind.GATE, pairs * bits)
            else:
                bill.add(Kind.WIDE_SUM, pairs * bits)
                bits += 1
            if self._has_register(level):
                bill.add(Kind.REGISTER, values * lanes * bits)
        return bill

    def _has_register(self, level: int) -> bool:
        """Behind a level of the tree."""
        return level % self.LEVELS_PER_REGISTER == self.LEVELS_PER_REGISTER - 1

    def beat_model(self) -> BeatModel:
        return BlockReductionModel(self.latency, self.rows, self.columns)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        advance, arrives, joins, done = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            advance.eq(self.o.ready | ~done),
            self.i.ready.eq(advance),
            self.o.valid.eq(done),
            joins.eq(arrives & advance),
        ]
        build = PipelineBuilder(m, advance)
        valid, values = self._reduced_beat(build)
        m.d.comb += arrives.eq(valid)
        column = _Position(m, "column", self.columns, joins)
        row = _Position(m, "row", self.rows, joins & column.wraps)
        with m.If(advance):
            m.d.sync += done.eq(arrives & column.ends_block & row.ends_block)

        starts = Signal()
        m.d.comb += starts.eq(row.starts & column.starts)
        memory = self._memory(m, row, column, joins)
        for k, value in enumerate(values):
            pixel = Signal.like(value, name=f"pixel_{k}")
            other, joined, running = (
                Signal(self.output_beat.format.shape, name=f"{name}_{k}", reset_less=name == "running")
                for name in ("other", "joined", "running")
            )
            m.d.comb += [
                pixel.eq(value),
                other.eq(Mux(column.starts, memory.read.data[k], running) if memory else running),
                joined.eq(self._joined(starts, pixel, other)),
                self.o.payload[k].eq(running),
            ]
            with m.If(joins & column.inside):
                m.d.sync += running.eq(joined)
            if memory:
                m.d.comb += memory.write.data[k].eq(joined)  # a block that continues in another line of pixels fits it
        return m

    def _reduced_beat(self, build: PipelineBuilder) -> tuple[Value, list[Value]]:
        """One number for each block and channel of the beat, and whether they are there."""
        channels = self.spec.channels
        lanes = [self.i.payload[k] for k in range(self.input_beat.lanes)]
        blocks = [lanes[k : k + self.together * channels] for k in range(0, len(lanes), self.together * channels)]
        parts = [block[c::channels] for block in blocks for c in range(channels)]
        valid: Value = self.i.valid
        for level in range(self.levels):
            parts = [self._level(part) for part in parts]
            if self._has_register(level):
                parts = [[build.register(value) for value in part] for part in parts]
                valid = build.register(valid, "present")
        return valid, [value for (value,) in parts]

    def _memory(self, m: Module, row: _Position, column: _Position, joins: Value) -> _Memory | None:
        """Return the memory of partial results; None: there is none."""
        if self.stored is None:
            return None
        m.submodules.partial = memory = Memory(shape=self.stored.layout, depth=self.columns.blocks, init=[])
        ports = _Memory(memory.read_port(transparent_for=()), memory.write_port())
        m.d.comb += [
            ports.read.en.eq(joins & column.ends_block),
            ports.read.addr.eq(Mux(column.block == self.columns.blocks - 1, 0, column.block + 1)),
            ports.write.en.eq(joins & column.ends_block & ~row.ends_block),
            ports.write.addr.eq(column.block),
        ]
        return ports

    def _level(self, values: list[Value]) -> list[Value]:
        pairs = [self._join(a, b) for a, b in zip(values[::2], values[1::2], strict=False)]
        return pairs + values[len(values) - len(values) % 2 :]

    def _joined(self, starts: Value, pixel: Value, other: Value) -> Value:
        if self.spec.reduction is Reduction.SUM:
            return pixel + Mux(starts, 0, other)
        less = (pixel - other)[-1]
        return Mux(starts | ~less, pixel, other)

    def _join(self, a: Value, b: Value) -> Value:
        if self.spec.reduction is Reduction.SUM:
            return a + b
        return Mux(a > b, a, b)


@dataclass(frozen=True)
class _Memory:
    """The ports of the memory."""

    read: ReadPort
    write: WritePort


class _Position:
    """The step of a stretch that joins next: the number of its block, and the place in it. What never counts is a
    constant: synthesis does not find out by itself.
    """

    def __init__(self, m: Module, name: str, stretch: Stretch, moves: Value) -> None:
        blocks, size, surplus = stretch.blocks, stretch.size, stretch.surplus
        numbers = blocks + (surplus > 0)  # the surplus counts as one more block
        self.block = index_signal(numbers, name=f"{name}_block") if numbers > 1 else Const(0)
        place = index_signal(size, name=f"{name}_place") if size > 1 else Const(0)
        last_place = surplus - 1 if surplus else size - 1
        self.starts, self.inside, self.ends_block, self.wraps = (
            Signal(name=f"{name}_{flag}") for flag in ("starts", "inside", "ends_block", "wraps")
        )
        m.d.comb += [
            self.starts.eq(place == 0),
            self.inside.eq(self.block != blocks if surplus else 1),
            self.ends_block.eq((place == size - 1) & self.inside),
            self.wraps.eq((self.block == numbers - 1) & (place == last_place)),
        ]
        ends = self.ends_block | self.wraps
        with m.If(moves):
            if isinstance(place, Signal):
                m.d.sync += place.eq(Mux(ends, 0, place + 1))
            if isinstance(self.block, Signal):
                with m.If(ends):
                    m.d.sync += self.block.eq(Mux(self.wraps, 0, self.block + 1))
