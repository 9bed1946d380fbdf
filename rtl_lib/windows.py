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

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib.memory import Memory

from rtl_lib.beat_model import BeatModel
from rtl_lib.formats import Format
from rtl_lib.stream import Beat, StreamComponent


@dataclass(frozen=True)
class Padding:
    """Rows and columns added around the frame."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    @classmethod
    def same(cls, size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int]) -> Padding:
        """Keras' ``padding="same"``: ``ceil(size / stride)`` outputs, the odd pixel of padding below and to the
        right.
        """
        totals = [
            max((-(-extent // step) - 1) * step + k - extent, 0)
            for extent, k, step in zip(size, kernel, stride, strict=True)
        ]
        return cls(totals[0] // 2, totals[0] - totals[0] // 2, totals[1] // 2, totals[1] - totals[1] // 2)


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
    padding: Padding = Padding()
    fill: int = 0

    def __post_init__(self) -> None:
        if min(*self.kernel, *self.stride, self.height, self.width) < 1:
            raise ValueError("kernel, stride and image size must be at least 1")
        pad = self.padding
        if max(pad.top, pad.bottom) >= self.kernel[0] or max(pad.left, pad.right) >= self.kernel[1]:
            raise ValueError(f"padding must be smaller than the kernel, not {pad} for {self.kernel}")
        if min(self.output_size) < 1:
            raise ValueError(f"kernel {self.kernel} must fit into the padded image of {self.height}×{self.width}")

    @cached_property
    def output_size(self) -> tuple[int, int]:
        pad = self.padding
        return (
            (self.height + pad.top + pad.bottom - self.kernel[0]) // self.stride[0] + 1,
            (self.width + pad.left + pad.right - self.kernel[1]) // self.stride[1] + 1,
        )

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
        if pad != Padding():
            around = ((0, 0), (pad.top, pad.bottom), (pad.left, pad.right), (0, 0))
            image = np.pad(image, around, constant_values=self.fill)
        patches = np.lib.stride_tricks.sliding_window_view(image, self.kernel, axis=(1, 2))
        patches = patches[:, :: self.stride[0], :: self.stride[1]]  # [frame, row, column, channel, k_row, k_column]
        return patches.transpose(0, 1, 2, 4, 5, 3).reshape(len(x), self.output_beats, self.output_beat.lanes)

    # Geometry of the schedule, shared by the component and its twin.

    @cached_property
    def row_steps(self) -> int:
        """Column shifts of one row of windows: up to the last column (or padding) that the last window covers."""
        return (self.output_size[1] - 1) * self.stride[1] - self.padding.left + self.kernel[1]

    @cached_property
    def tail(self) -> int:
        """How many of them lie beyond the right edge."""
        return max(0, self.row_steps - self.width)

    @cached_property
    def first_window_step(self) -> int:
        return self.kernel[1] - 1 - self.padding.left

    def oldest_row(self, row: int) -> int:
        """The first image row under window row ``row`` (negative: padding)."""
        return row * self.stride[0] - self.padding.top

    def newest_needed(self, row: int) -> int:
        """The last image row that window row ``row`` needs, relative to its oldest row."""
        return min(self.kernel[0], self.height - self.oldest_row(row)) - 1

    def row_advance(self, row: int) -> int:
        """Image rows from the oldest row of window row ``row`` to that of the next one (of the next frame after
        the last).
        """
        if row == self.output_size[0] - 1:
            return self.height - (self.output_size[0] - 1) * self.stride[0]
        return self.stride[0]

    def gives_window(self, step: int) -> bool:
        return step >= self.first_window_step and (step - self.first_window_step) % self.stride[1] == 0

    def create(self) -> WindowsComponent:
        return WindowsComponent(self)


class WindowsModel(BeatModel):
    """The twin of ``WindowsComponent``'s control."""

    def __init__(self, spec: Windows) -> None:
        self.spec = spec
        rows = range(spec.output_size[0])
        self.needed = [spec.newest_needed(r) for r in rows]
        self.advance_of = [spec.row_advance(r) for r in rows]
        self.gives = [spec.gives_window(e) for e in range(spec.row_steps)]
        self.gap = spec.padding.top  # rows from the oldest row under the window to the row being written
        self.write_column = 0
        self.row = self.step = self.ahead = 0
        self.at_memory = self.at_output = False

    def valid(self) -> bool:
        return self.at_output

    def _written(self, needed: int, gap: int, column: int) -> bool:
        return gap > needed or (gap == needed and self.write_column > column)

    def _next_row_ready(self) -> bool:
        following = (self.row + 1) % len(self.needed)
        return self.ahead == self.step - self.spec.width and self._written(
            self.needed[following], self.gap - self.advance_of[self.row], self.ahead
        )

    def _steps(self, output_ready: bool) -> bool:
        if self.at_output and not output_ready:
            return False
        return self.step >= self.spec.width or self._written(self.needed[self.row], self.gap, self.step)

    def ready(self, output_ready: bool) -> bool:
        rows = self.spec.kernel[0]
        if self.gap < rows:
            return True
        column_read = self.step > self.write_column or (self.step == self.write_column and self._steps(output_ready))
        return self.gap == rows and column_read

    def tick(self, input_valid: bool, output_ready: bool) -> None:
        taken = input_valid and self.ready(output_ready)
        steps = self._steps(output_ready)
        if output_ready or not self.at_output:
            self.at_output = self.at_memory
            self.at_memory = steps and self.gives[self.step]
        if steps:
            if self.step >= self.spec.width:
                self.ahead = self.ahead + 1 if self._next_row_ready() else 0
            self.step += 1
        if taken:
            self.write_column += 1
            if self.write_column == self.spec.width:
                self.write_column = 0
                self.gap += 1
        if steps and self.step == self.spec.row_steps:
            self.gap -= self.advance_of[self.row]
            self.row = (self.row + 1) % len(self.needed)
            self.step, self.ahead = self.ahead, 0


class WindowsComponent(StreamComponent):
    """Hardware of ``Windows``."""

    def __init__(self, spec: Windows) -> None:
        self.spec = spec
        super().__init__(spec.input_beat, spec.output_beat)

    def beat_model(self) -> BeatModel:
        return WindowsModel(self.spec)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        rows, columns = spec.kernel
        pixel_bits = spec.channels * spec.format.width

        # Position of the writer: column, and row relative to the oldest row under the window.
        gap_limit = max(rows + 1, spec.height + spec.stride[0])
        gap = Signal(signed(gap_limit.bit_length() + 1), init=spec.padding.top)
        write_column = Signal(range(spec.width))
        write_slot = Signal(range(rows))
        # Position of the reader: window row, column shift in it, columns of the next row already shifted in.
        row = Signal(range(spec.output_size[0]))
        step = Signal(range(spec.row_steps + 1))
        ahead = Signal(range(spec.tail + 1))
        # The memory of window row 0's oldest image row; padding rows count too, so that image row 0 is always in
        # slot 0 at the start.
        oldest_slot = Signal(range(rows), init=-spec.padding.top % rows)

        # An output beat that waits holds the reader back.
        at_output = Signal()
        advance = Signal()
        m.d.comb += advance.eq(self.o.ready | ~at_output)

        def of_row(function: Any) -> Value:
            """A constant for each window row, as logic: the last rows differ, all others are alike."""
            value: Value = Const(function(0))
            for r in range(1, spec.output_size[0]):
                if function(r) != function(r - 1):
                    value = Mux(row >= r, function(r), value)
            return value

        def written(needed: Value, relative_gap: Value, column: Value) -> Value:
            return (relative_gap > needed) | ((relative_gap == needed) & (write_column > column))

        row_count = spec.output_size[0]
        row_advance = of_row(spec.row_advance)
        in_tail = Signal()
        reads = Signal()
        steps = Signal()
        column_written = written(of_row(spec.newest_needed), gap, step)
        m.d.comb += [
            in_tail.eq(step >= spec.width if spec.tail else 0),
            steps.eq(advance & (in_tail | column_written)),
        ]
        if spec.tail:
            next_needed = of_row(lambda r: spec.newest_needed((r + 1) % row_count))
            next_written = written(next_needed, gap - row_advance, ahead)
            m.d.comb += reads.eq(Mux(in_tail, (ahead == step - spec.width) & next_written, 1))
        else:
            m.d.comb += reads.eq(1)

        # The row that is overwritten must be out of the window, or its column already read (or being read in this
        # cycle).
        column_read = (step > write_column) | ((step == write_column) & steps)
        takes = Signal()
        m.d.comb += [
            self.i.ready.eq((gap < rows) | ((gap == rows) & column_read)),
            takes.eq(self.i.ready & self.i.valid),
        ]

        row_written = Signal()
        row_read = Signal()
        m.d.comb += [
            row_written.eq(takes & (write_column == spec.width - 1)),
            row_read.eq(steps & (step == spec.row_steps - 1)),
        ]
        with m.If(takes):
            m.d.sync += write_column.eq(Mux(row_written, 0, write_column + 1))
        with m.If(row_written):
            m.d.sync += write_slot.eq(Mux(write_slot == rows - 1, 0, write_slot + 1))
        m.d.sync += gap.eq(gap + row_written - Mux(row_read, row_advance, 0))

        next_ahead = Mux(in_tail & reads, ahead + 1, 0)
        with m.If(steps):
            m.d.sync += step.eq(Mux(row_read, next_ahead, step + 1))
            m.d.sync += ahead.eq(Mux(row_read, 0, next_ahead))
        with m.If(row_read):
            m.d.sync += row.eq(Mux(row == row_count - 1, 0, row + 1))
            slot = oldest_slot + of_row(lambda r: spec.row_advance(r) % rows)
            m.d.sync += oldest_slot.eq(Mux(slot >= rows, slot - rows, slot))

        # The slot of the row of the column that is read: in the tail, columns of the next row.
        read_slot = Signal.like(oldest_slot)
        next_slot = oldest_slot + of_row(lambda r: spec.row_advance(r) % rows)
        m.d.comb += read_slot.eq(Mux(in_tail, Mux(next_slot >= rows, next_slot - rows, next_slot), oldest_slot))

        def row_masks() -> list[Value]:
            """For each row of the column being read: does it lie in the frame?"""
            masks = []
            for k in range(rows):
                inside = [0 <= spec.oldest_row(r) + k < spec.height for r in range(row_count)]
                ahead_inside = inside[1:] + inside[:1]
                masks.append(Mux(in_tail, of_row(ahead_inside.__getitem__), of_row(inside.__getitem__)))
            return masks

        # Read: one column of K_h pixels, one from each row memory.
        outputs = []
        for k in range(rows):
            memory = m.submodules[f"row_{k}"] = Memory(shape=pixel_bits, depth=spec.width, init=[])
            write = memory.write_port()
            read = memory.read_port(transparent_for=())
            m.d.comb += [
                write.addr.eq(write_column),
                write.data.eq(self.i.payload.as_value()),
                write.en.eq(takes & (write_slot == k)),
                read.addr.eq(Mux(in_tail, ahead, step)),
                read.en.eq(advance),
            ]
            outputs.append(read.data)

        shifted = Signal()
        gives = Signal()
        slot_read = Signal.like(oldest_slot, reset_less=True)
        step_read = Signal.like(step, reset_less=True)
        rows_inside = Signal(rows, reset_less=True)
        with m.If(advance):
            m.d.sync += [
                shifted.eq(steps),
                gives.eq(steps & self._gives_window(m, step, steps)),
                slot_read.eq(read_slot),
                step_read.eq(step),
                rows_inside.eq(Cat(*row_masks())),
            ]

        # Shift: rotate the memories' outputs into row order, mask rows outside the frame.
        fill = Cat(*[Const(spec.fill, spec.format.shape)] * spec.channels)
        column = []
        for k in range(rows):
            value: Value = outputs[k]
            for turn in range(1, rows):
                value = Mux(slot_read == turn, outputs[(k + turn) % rows], value)
            never_outside = all(0 <= spec.oldest_row(r) + k < spec.height for r in range(row_count))
            column.append(value if never_outside else Mux(rows_inside[k], value, fill))
        window = [
            [Signal(pixel_bits, name=f"window_{k}_{j}", reset_less=True) for j in range(columns)] for k in range(rows)
        ]
        step_out = Signal.like(step, reset_less=True)
        with m.If(advance):
            m.d.sync += at_output.eq(gives)
            with m.If(shifted):
                m.d.sync += step_out.eq(step_read)
                for k in range(rows):
                    m.d.sync += [a.eq(b) for a, b in zip(window[k], [*window[k][1:], column[k]], strict=True)]

        # Output: mask columns outside the frame (they hold another row's pixels).
        lanes = []
        for k in range(rows):
            for j in range(columns):
                value = window[k][j]
                if j < columns - 1 - spec.first_window_step:
                    value = Mux(step_out < columns - 1 - j, fill, value)
                if j > columns - 1 - spec.tail:
                    value = Mux(step_out >= spec.width + columns - 1 - j, fill, value)
                lanes.append(value)
        m.d.comb += [self.o.payload.as_value().eq(Cat(*lanes)), self.o.valid.eq(at_output)]
        return m

    def _gives_window(self, m: Module, step: Signal, steps: Signal) -> Value:
        """Whether the shift at ``step`` completes a window. With a column stride a counter says which steps do."""
        spec = self.spec
        started = step >= spec.first_window_step
        if spec.stride[1] == 1:
            return started
        phase = Signal(range(spec.stride[1]))
        with m.If(steps & started):
            wraps = (phase == spec.stride[1] - 1) | (step == spec.row_steps - 1)
            m.d.sync += phase.eq(Mux(wraps, 0, phase + 1))
        return started & (phase == 0)
