"""Sliding windows over a streamed image: one K_h × K_w window for every output position, at one pixel a cycle.

``window[r, c] = image[r*stride - top ..., c*stride - left ...]``, pixels outside the frame replaced by ``fill``.

The last K_h rows lie in K_h row memories, *addressed* by two independent positions: where the next pixel is
written and which column is read next. A window leaves as soon as the last pixel it needs has been written; what
lies outside the frame is masked and waits for nothing. So padding costs no cycle, the last rows drain without new
input, and the next frame's first pixels enter while the last windows leave: the interval is the number of input pixels.

Columns are shifted into a K_h × K_w register window. At the right edge a padded row needs ``tail`` more shifts;
meanwhile the first columns of the next row are shifted in *ahead* when they have been written already, so that the
next row need not spend cycles on them. If one is missing (the source paused, or this was the last frame), garbage
is shifted in instead and the row restarts from its column 0 later; it is still in memory.

Timing: pixel written (cycle 0), column read (1), column at the memory's output (2), window at the output (3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib.memory import Memory

from rtl_lib.beat_model import BeatModel
from rtl_lib.formats import Format, index_signal
from rtl_lib.stream import Beat, StreamComponent
from rtl_lib.window_schedule import NO_PADDING, Padding, WindowSchedule, WindowsModel

__all__ = ["Padding", "Windows", "WindowsComponent", "WindowsModel"]


@dataclass(frozen=True)
class Windows:
    """Windows of an image of ``height × width`` pixels with ``channels`` lanes.

    One input beat is a pixel, in row-major order; one output beat is a window, lanes in the order
    ``[row][column][channel]``.
    """

    height: int
    width: int
    channels: int
    format: Format
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: Padding = NO_PADDING
    fill: int | tuple[int, ...] = 0  # for all channels, or one a channel

    @cached_property
    def schedule(self) -> WindowSchedule:
        return WindowSchedule(self.height, self.width, self.kernel, self.stride, self.padding)

    def __post_init__(self) -> None:
        self.schedule  # noqa: B018 - refuses a geometry that is impossible

    @property
    def output_size(self) -> tuple[int, int]:
        return self.schedule.output_size

    @property
    def fills(self) -> np.ndarray:
        """What stands for a pixel outside the frame, ``[channels]``."""
        return np.broadcast_to(np.asarray(self.fill), (self.channels,))

    @property
    def input_beats(self) -> int:
        return self.height * self.width

    @property
    def output_beats(self) -> int:
        return self.output_size[0] * self.output_size[1]

    @property
    def input_beat(self) -> Beat:
        return Beat(self.format, self.channels)

    @property
    def output_beat(self) -> Beat:
        return Beat(self.format, self.kernel[0] * self.kernel[1] * self.channels)

    def compute(self, x: np.ndarray) -> np.ndarray:
        """``[frames, pixels, channels]`` → ``[frames, windows, K_h * K_w * channels]``, the same dtype."""
        pad = self.padding
        image = x.reshape(len(x), self.height, self.width, self.channels)
        if pad != NO_PADDING:
            around = ((0, 0), (pad.top, pad.bottom), (pad.left, pad.right), (0, 0))
            framed = np.pad(image, around)
            inside = np.pad(np.ones(image.shape[:3], bool), around[:3])
            image = np.where(inside[..., np.newaxis], framed, self.fills.astype(x.dtype))
        patches = np.lib.stride_tricks.sliding_window_view(image, self.kernel, axis=(1, 2))
        patches = patches[:, :: self.stride[0], :: self.stride[1]]  # [frame, row, column, channel, k_row, k_column]
        return patches.transpose(0, 1, 2, 4, 5, 3).reshape(len(x), self.output_beats, self.output_beat.lanes)

    def create(self) -> WindowsComponent:
        return WindowsComponent(self)


class WindowsComponent(StreamComponent):
    """Hardware of ``Windows``."""

    def __init__(self, spec: Windows) -> None:
        self.spec = spec
        self.schedule = spec.schedule
        super().__init__(spec.input_beat, spec.output_beat)

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
        """Steps through the columns of the rows under the window, as far as they have been written."""
        s = self.schedule
        rows, row_count = s.kernel[0], s.output_size[0]

        def written(needed: Value, gap: Value, column: Value) -> Value:
            return (gap > needed) | ((gap == needed) & (at.write_column > column))

        row_advance = self._of_row(at, s.row_advance)
        m.d.comb += [
            at.in_tail.eq(at.step >= s.width if s.tail else 0),
            at.steps.eq(at.advance & (at.in_tail | written(self._of_row(at, s.newest_needed), at.gap, at.step))),
            at.row_read.eq(at.steps & (at.step == s.row_steps - 1)),
        ]
        next_ahead: Value = Const(0)
        if s.tail:
            # In the tail a column of the next row comes along if it is there; else the next row starts over.
            next_needed = self._of_row(at, lambda r: s.newest_needed((r + 1) % row_count))
            comes_along = (at.ahead == at.step - s.width) & written(next_needed, at.gap - row_advance, at.ahead)
            next_ahead = Mux(at.in_tail & comes_along, at.ahead + 1, 0)
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
        """Takes a pixel whenever the one it overwrites is out of the window or has been read."""
        s = self.schedule
        rows = s.kernel[0]
        column_read = (at.step > at.write_column) | ((at.step == at.write_column) & at.steps)
        m.d.comb += [
            self.i.ready.eq((at.gap < rows) | ((at.gap == rows) & column_read)),
            at.takes.eq(self.i.ready & self.i.valid),
            at.row_written.eq(at.takes & (at.write_column == s.width - 1)),
        ]
        with m.If(at.takes):
            m.d.sync += at.write_column.eq(Mux(at.row_written, 0, at.write_column + 1))
        with m.If(at.row_written):
            m.d.sync += at.write_slot.eq(Mux(at.write_slot == rows - 1, 0, at.write_slot + 1))

    def _column(self, m: Module, at: _Position) -> tuple[list[Value], _Read]:
        """Reads one pixel from each row memory: the column in row order, rows outside the frame replaced."""
        s = self.schedule
        rows, row_count = s.kernel[0], s.output_size[0]
        pixels = []
        for k in range(rows):
            memory = m.submodules[f"row_{k}"] = Memory(shape=self.input_beat.layout.size, depth=s.width, init=[])
            write = memory.write_port()
            read_port = memory.read_port(transparent_for=())
            m.d.comb += [
                write.addr.eq(at.write_column),
                write.data.eq(self.i.payload.as_value()),
                write.en.eq(at.takes & (at.write_slot == k)),
                read_port.addr.eq(Mux(at.in_tail, at.ahead, at.step)),
                read_port.en.eq(at.advance),
            ]
            pixels.append(read_port.data)

        read = _Read(s)
        inside = []
        for k in range(rows):
            mask = [int(s.row_inside(r, k)) for r in range(row_count)]
            ahead_mask = mask[1:] + mask[:1]
            inside.append(Mux(at.in_tail, self._of_row(at, ahead_mask.__getitem__), self._of_row(at, mask.__getitem__)))
        with m.If(at.advance):
            m.d.sync += [
                read.shifts.eq(at.steps),
                read.gives.eq(at.steps & self._gives_window(m, at)),
                read.slot.eq(Mux(at.in_tail, at.next_slot, at.oldest_slot)),
                read.step.eq(at.step),
                read.inside.eq(Cat(*inside)),
            ]
        column = []
        for k in range(rows):
            value: Value = pixels[k]
            for turn in range(1, rows):
                value = Mux(read.slot == turn, pixels[(k + turn) % rows], value)
            always_inside = all(s.row_inside(r, k) for r in range(row_count))
            column.append(value if always_inside else Mux(read.inside[k], value, self._fill()))
        return column, read

    def _window(self, m: Module, at: _Position, column: list[Value], read: _Read) -> None:
        """Shifts the column in; masks columns outside the frame, which hold another row's pixels."""
        s = self.schedule
        columns = s.kernel[1]
        step = Signal.like(read.step, name="step_out", reset_less=True)
        lanes: list[Value] = []
        for k, newest in enumerate(column):
            row = [Signal(len(newest), name=f"window_{k}_{j}", reset_less=True) for j in range(columns)]
            with m.If(at.advance & read.shifts):
                m.d.sync += [old.eq(new) for old, new in zip(row, [*row[1:], newest], strict=True)]
            for j, stored in enumerate(row):
                value: Value = stored
                back = columns - 1 - j  # steps ago that this column was shifted in
                if back > s.first_window_step:
                    value = Mux(step < back, self._fill(), value)
                if back < s.tail:
                    value = Mux(step >= s.width + back, self._fill(), value)
                lanes.append(value)
        with m.If(at.advance & read.shifts):
            m.d.sync += step.eq(read.step)
        m.d.comb += self.o.payload.as_value().eq(Cat(*lanes))

    def _fill(self) -> Value:
        return Cat(*(Const(int(fill), self.spec.format.shape) for fill in self.spec.fills))

    def _gives_window(self, m: Module, at: _Position) -> Value:
        """Whether this shift completes a window. With a column stride a counter says which do."""
        s = self.schedule
        started = at.step >= s.first_window_step
        if s.stride[1] == 1:
            return started
        phase = index_signal(s.stride[1])
        with m.If(at.steps & started):
            wraps = (phase == s.stride[1] - 1) | (at.step == s.row_steps - 1)
            m.d.sync += phase.eq(Mux(wraps, 0, phase + 1))
        return started & (phase == 0)


class _Position:
    """Where the writer and the reader are, and what they do in this cycle."""

    def __init__(self, s: WindowSchedule) -> None:
        rows = s.kernel[0]
        # Rows from the oldest row under the window to the row being written; negative when the window is ahead.
        largest = max(rows + 1, s.height + s.stride[0])
        self.gap = Signal(signed(largest.bit_length() + 1), init=s.padding.top)
        self.write_column = index_signal(s.width)
        self.write_slot = index_signal(rows)
        # The reader: window row, column shift in it, columns of the next row already shifted in.
        self.row = index_signal(s.output_size[0])
        self.step = index_signal(s.row_steps + 1)
        self.ahead = index_signal(s.tail + 1)
        # The memory of the oldest row under the window. Padding rows count, so that image row 0 starts in memory 0.
        self.oldest_slot = index_signal(rows, init=-s.padding.top % rows)
        self.next_slot = index_signal(rows)
        # In this cycle: the output can move; a column is shifted, beyond the right edge; a pixel is taken; a row ends.
        self.advance, self.steps, self.in_tail, self.takes = Signal(), Signal(), Signal(), Signal()
        self.row_read, self.row_written = Signal(), Signal()


class _Read:
    """What is known of the column at the memories' outputs."""

    def __init__(self, s: WindowSchedule) -> None:
        self.shifts = Signal()
        self.gives = Signal()
        self.slot = index_signal(s.kernel[0], reset_less=True)
        self.step = index_signal(s.row_steps + 1, reset_less=True)
        self.inside = Signal(s.kernel[0], reset_less=True)
