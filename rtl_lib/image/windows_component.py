"""The hardware of ``rtl_lib.image.windows``: row memories, a register window, and the positions of writer and reader.

The last K_h rows lie in K_h row memories, *addressed* by two independent positions: where the next word (the pixels
of one beat) is written and which word is read next. Windows leave as soon as the last pixel they need has been
written; what lies outside the frame is masked and waits for nothing. So padding costs no cycle, the last rows drain
without new input, and the next frame's first pixels enter while the last windows leave: the interval is the number of
input beats.

Words are shifted into a register window of K_h rows; with one pixel a word, it is K_h × K_w. At the right edge a row
may need ``tail`` more shifts; meanwhile the first words of the next row are shifted in *ahead* when they have been
written already, so that the next row need not spend cycles on them. If one is missing (the source paused, or this was
the last frame), garbage is shifted in instead and the row restarts from its word 0 later; it is still in memory.

Timing: word written (cycle 0), read (1), at the memory's output (2), windows at the output (3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib.memory import Memory

from rtl_lib.core.features import Features, Kind, index_bits
from rtl_lib.core.formats import Format, index_signal
from rtl_lib.core.stream import Beat, StreamComponent
from rtl_lib.core.timing import BeatModel
from rtl_lib.image.window_schedule import WindowSchedule, WindowsModel


class WindowsComponent(StreamComponent):
    """Lanes ``[pixel][channel]`` in, ``[window][row][column][channel]`` out.

    :param fills: what stands for a pixel outside the frame, one number a channel.
    """

    def __init__(self, schedule: WindowSchedule, format: Format, fills: Sequence[int]) -> None:
        self.schedule = schedule
        self.fill = Cat(*(Const(fill, format.shape) for fill in fills))
        channels, (rows, columns) = len(fills), schedule.kernel
        super().__init__(
            Beat(format, schedule.pixels * channels), Beat(format, schedule.windows * rows * columns * channels)
        )

    def features(self) -> Features:
        s, word, pixel = self.schedule, self.input_beat.layout.size, len(self.fill)
        rows = s.kernel[0]
        outside = sum(any(s.columns_outside(j)) for j in range(s.held_columns))
        counters = [s.words, rows, s.output_size[0], s.row_steps + 1, s.ahead_steps + 1, rows, s.height + s.stride[0]]
        return (
            Features()
            .add(Kind.RAM, rows, s.words, word)
            .add(Kind.CHOICE, rows * word, rows // self._steps_of_slots)
            .add(Kind.REGISTER, rows * s.held_columns * pixel)
            .add(Kind.GATE, rows * outside * pixel)
            .add(Kind.WINDOW_CONTROL, float(sum(index_bits(count) for count in counters)))
            .add(Kind.REGISTER, 2 * index_bits(s.row_steps + 1) + rows + index_bits(rows) + 3)
            .add(Kind.HANDSHAKE, 1)
        )

    @property
    def _steps_of_slots(self) -> int:
        """The power of two that divides every number of the oldest row's memory, as synthesis finds out."""
        advances = (self.schedule.row_advance(r) for r in range(self.schedule.output_size[0]))
        common = math.gcd(rows := self.schedule.kernel[0], *advances)
        return common & -common if rows & (rows - 1) == 0 else 1

    def beat_model(self) -> BeatModel:
        return WindowsModel(self.schedule)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        position = _Position(self.schedule)
        at_output = Signal()
        m.d.comb += [
            # An output beat that waits holds the reader back.
            position.advance.eq(self.o.ready | ~at_output),
            self.o.valid.eq(at_output),
        ]
        self._reader(m, position)
        self._writer(m, position)
        column, read = self._column(m, position)
        with m.If(position.advance):
            m.d.sync += at_output.eq(read.gives)
        self._window(m, position, column, read)
        return m

    def _of_row(self, position: _Position, function: Callable[[int], int]) -> Value:
        """A constant for each window row, as logic: the last rows differ, all others are alike."""
        value: Value = Const(function(0))
        for r in range(1, self.schedule.output_size[0]):
            if function(r) != function(r - 1):
                value = Mux(position.row >= r, function(r), value)
        return value

    def _reader(self, m: Module, at: _Position) -> None:
        """Steps through the words of the rows under the window, as far as they have been written."""
        s = self.schedule
        rows, row_count = s.kernel[0], s.output_size[0]

        def written(needed: Value, gap: Value, column: Value) -> Value:
            return (gap > needed) | ((gap == needed) & (at.write_column > column))

        at.row_advance = row_advance = self._of_row(at, s.row_advance)
        m.d.comb += [
            at.in_tail.eq(at.step >= s.words if s.tail else 0),
            at.steps.eq(at.advance & (at.in_tail | written(self._of_row(at, s.newest_needed), at.gap, at.step))),
            at.row_read.eq(at.steps & (at.step == s.row_steps - 1)),
        ]
        next_ahead: Value = Const(0)
        if s.ahead_steps:
            # In the tail a word of the next row comes along if it is there; else the next row starts over.
            next_needed = self._of_row(at, lambda r: s.newest_needed((r + 1) % row_count))
            comes_along = (at.ahead == at.step - s.first_ahead) & written(next_needed, at.gap - row_advance, at.ahead)
            next_ahead = Mux(at.in_tail & comes_along, at.ahead + 1, 0)
        at.next_ahead = next_ahead
        with m.If(at.steps):
            m.d.sync += at.step.eq(Mux(at.row_read, next_ahead, at.step + 1))
            m.d.sync += at.ahead.eq(Mux(at.row_read, 0, next_ahead))
        following = at.oldest_slot + self._of_row(at, lambda r: s.row_advance(r) % rows)
        m.d.comb += at.next_slot.eq(Mux(following >= rows, following - rows, following))
        with m.If(at.row_read):
            m.d.sync += at.row.eq(Mux(at.row == row_count - 1, 0, at.row + 1))
            m.d.sync += at.oldest_slot.eq(at.next_slot)
        m.d.sync += at.gap.eq(at.gap + at.row_written - Mux(at.row_read, row_advance, 0))

    def _writer(self, m: Module, at: _Position) -> None:
        """Accept a word whenever the one it overwrites is out of the window or has been read."""
        s = self.schedule
        rows = s.kernel[0]
        column_read = (at.step > at.write_column) | ((at.step == at.write_column) & at.steps)
        ready = (at.gap < rows) | ((at.gap == rows) & column_read)
        if s.short_rows:
            # The words of the next row that have come along may be overwritten as soon as that row's turn is certain.
            next_gap = at.gap - at.row_advance
            ready |= at.row_read & ((next_gap < rows) | ((next_gap == rows) & (at.write_column < at.next_ahead)))
        m.d.comb += [
            self.i.ready.eq(ready),
            at.takes.eq(self.i.ready & self.i.valid),
            at.row_written.eq(at.takes & (at.write_column == s.words - 1)),
        ]
        with m.If(at.takes):
            m.d.sync += at.write_column.eq(Mux(at.row_written, 0, at.write_column + 1))
        with m.If(at.row_written):
            m.d.sync += at.write_slot.eq(Mux(at.write_slot == rows - 1, 0, at.write_slot + 1))

    def _column(self, m: Module, at: _Position) -> tuple[list[Value], _Read]:
        """Read one word from each row memory: in row order, rows outside the frame replaced."""
        s = self.schedule
        rows, row_count = s.kernel[0], s.output_size[0]
        words = []
        for k in range(rows):
            memory = m.submodules[f"row_{k}"] = Memory(shape=self.input_beat.layout.size, depth=s.words, init=[])
            write = memory.write_port()
            read_port = memory.read_port(transparent_for=())
            m.d.comb += [
                write.addr.eq(at.write_column),
                write.data.eq(self.i.payload.as_value()),
                write.en.eq(at.takes & (at.write_slot == k)),
                read_port.addr.eq(Mux(at.in_tail, at.ahead, at.step)),
                read_port.en.eq(at.advance),
            ]
            words.append(read_port.data)

        read = _Read(s)
        inside = []
        for k in range(rows):
            mask = [int(s.row_inside(r, k)) for r in range(row_count)]
            ahead_mask = mask[1:] + mask[:1]
            inside.append(Mux(at.in_tail, self._of_row(at, ahead_mask.__getitem__), self._of_row(at, mask.__getitem__)))
        with m.If(at.advance):
            m.d.sync += [
                read.shifts.eq(at.steps),
                read.gives.eq(at.steps & self._gives_windows(m, at)),
                read.slot.eq(Mux(at.in_tail, at.next_slot, at.oldest_slot)),
                read.step.eq(at.step),
                read.inside.eq(Cat(*inside)),
            ]
        column = []
        for k in range(rows):
            value: Value = words[k]
            for turn in range(1, rows):
                value = Mux(read.slot == turn, words[(k + turn) % rows], value)
            always_inside = all(s.row_inside(r, k) for r in range(row_count))
            column.append(value if always_inside else Mux(read.inside[k], value, self.fill.replicate(s.pixels)))
        return column, read

    def _window(self, m: Module, at: _Position, column: list[Value], read: _Read) -> None:
        """Shifts the words in; each window of the beat is a part of what the registers hold."""
        s = self.schedule
        step = Signal.like(read.step, name="step_out", reset_less=True)
        held = []
        for k, newest in enumerate(column):
            bits = len(self.fill)
            row = [Signal(bits, name=f"window_{k}_{j}", reset_less=True) for j in range(s.held_columns)]
            arriving = [newest[p * bits : (p + 1) * bits] for p in range(s.pixels)]
            with m.If(at.advance & read.shifts):
                m.d.sync += [old.eq(new) for old, new in zip(row, [*row[s.pixels :], *arriving], strict=True)]
            held.append([self._masked(pixel, j, step) for j, pixel in enumerate(row)])
        with m.If(at.advance & read.shifts):
            m.d.sync += step.eq(read.step)
        starts = range(0, s.windows * s.stride[1], s.stride[1])
        lanes = [pixel for start in starts for row in held for pixel in row[start : start + s.kernel[1]]]
        m.d.comb += self.o.payload.as_value().eq(Cat(*lanes))

    def _masked(self, pixel: Value, j: int, step: Signal) -> Value:
        """Column ``j`` of the register window, replaced where it is outside the frame: it holds another row's pixel
        there, or a surplus one.
        """
        s = self.schedule
        words_ago, from_right = divmod(s.held_columns - 1 - j, s.pixels)
        left, right = s.columns_outside(j)
        if left:
            pixel = Mux(step < words_ago, self.fill, pixel)
        if right:
            # The first word that holds, at this place, no pixel of the frame.
            outside = -(-(s.width - (s.pixels - 1 - from_right)) // s.pixels)
            pixel = Mux(step >= outside + words_ago, self.fill, pixel)
        return pixel

    def _gives_windows(self, m: Module, at: _Position) -> Value:
        """Return whether this shift completes windows. Where several steps lead from one beat to the next, a counter
        decides.
        """
        s = self.schedule
        started = at.step >= s.first_window_step
        if s.beat_steps == 1:
            return started
        phase = index_signal(s.beat_steps)
        with m.If(at.steps & started):
            wraps = (phase == s.beat_steps - 1) | (at.step == s.row_steps - 1)
            m.d.sync += phase.eq(Mux(wraps, 0, phase + 1))
        return started & (phase == 0)


class _Position:
    """The position of the writer and the reader, and what they do in this cycle."""

    def __init__(self, s: WindowSchedule) -> None:
        rows = s.kernel[0]
        # Rows from the oldest row under the window to the row being written; negative when the window is ahead.
        # (With much padding the next frame's first row of windows may begin above the last one of this frame.)
        largest = max(rows + 1, s.height + s.stride[0], rows + 1 - s.row_advance(s.output_size[0] - 1))
        self.gap = Signal(signed(largest.bit_length() + 1), init=s.padding.top)
        self.write_column = index_signal(s.words)  # counts words, as do all columns here
        self.write_slot = index_signal(rows)
        # The reader: window row, shift in it, words of the next row already shifted in.
        self.row = index_signal(s.output_size[0])
        self.step = index_signal(s.row_steps + 1)
        self.ahead = index_signal(s.ahead_steps + 1)
        # The memory of the oldest row under the window. Padding rows count, so that image row 0 starts in memory 0.
        self.oldest_slot = index_signal(rows, init=-s.padding.top % rows)
        self.next_slot = index_signal(rows)
        # In this cycle: the output can move; a word is shifted, beyond the right edge; a word is taken; a row ends.
        self.advance, self.steps, self.in_tail, self.takes = Signal(), Signal(), Signal(), Signal()
        self.row_read, self.row_written = Signal(), Signal()
        # From the oldest row under the window to that of the next row of windows; the next value of ``ahead``.
        self.row_advance: Value = Const(0)
        self.next_ahead: Value = Const(0)


class _Read:
    """The description of the words at the memories' outputs."""

    def __init__(self, s: WindowSchedule) -> None:
        self.shifts = Signal()
        self.gives = Signal()
        self.slot = index_signal(s.kernel[0], reset_less=True)
        self.step = index_signal(s.row_steps + 1, reset_less=True)
        self.inside = Signal(s.kernel[0], reset_less=True)
