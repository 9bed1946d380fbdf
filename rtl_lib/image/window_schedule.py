"""The schedule of sliding windows: geometry, and the timing model of the control of ``windows_component``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from rtl_lib.core.timing import BeatModel


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


NO_PADDING = Padding()


def windows_of_beat(pixels: int, column_stride: int) -> int | None:
    """How many windows leave together when ``pixels`` pixels arrive together; ``None`` where that is no whole number.
    One pixel at a time is always possible: then not every one completes a window.
    """
    if pixels == 1:
        return 1
    return None if pixels % column_stride else pixels // column_stride


@dataclass(frozen=True)
class WindowSchedule:
    """A ``kernel`` that slides over ``height × width`` pixels; all that decides when a window leaves.

    Pixels come in words of ``pixels`` (one beat), and every row starts a new word. The reader shifts in one word a
    step; after every ``beat_steps`` steps ``windows`` windows leave together. What lies right of the frame, in the
    surplus pixels of a row's last word too, counts as padding.
    """

    height: int
    width: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: Padding = NO_PADDING
    pixels: int = 1

    def __post_init__(self) -> None:
        if min(*self.kernel, *self.stride, self.height, self.width) < 1:
            raise ValueError("kernel, stride and image size must be at least 1")
        pad = self.padding
        if max(pad.top, pad.bottom) >= self.kernel[0] or max(pad.left, pad.right) >= self.kernel[1]:
            raise ValueError(f"padding must be smaller than the kernel, not {pad} for {self.kernel}")
        if min(self.output_size) < 1:
            raise ValueError(f"kernel {self.kernel} must fit into the padded image of {self.height}×{self.width}")
        if self.pixels < 1 or windows_of_beat(self.pixels, self.stride[1]) is None:
            raise ValueError(f"pixels must be 1 or a multiple of the column stride {self.stride[1]}, not {self.pixels}")

    @cached_property
    def output_size(self) -> tuple[int, int]:
        pad = self.padding
        return (
            (self.height + pad.top + pad.bottom - self.kernel[0]) // self.stride[0] + 1,
            (self.width + pad.left + pad.right - self.kernel[1]) // self.stride[1] + 1,
        )

    @cached_property
    def words(self) -> int:
        """Words of one image row."""
        return -(-self.width // self.pixels)

    @cached_property
    def windows(self) -> int:
        """Windows that leave in one beat."""
        return windows_of_beat(self.pixels, self.stride[1]) or 1

    @cached_property
    def output_words(self) -> int:
        """Beats of one row of windows."""
        return -(-self.output_size[1] // self.windows)

    @cached_property
    def beat_steps(self) -> int:
        """Steps from one beat of windows to the next of the same row."""
        return self.windows * self.stride[1] // self.pixels

    @cached_property
    def first_window_step(self) -> int:
        """The step that shifts in the last column of a row's first beat of windows."""
        last_column = (self.windows - 1) * self.stride[1] - self.padding.left + self.kernel[1] - 1
        return last_column // self.pixels

    @cached_property
    def row_steps(self) -> int:
        """Steps of one row of windows: up to its last beat."""
        return (self.output_words - 1) * self.beat_steps + self.first_window_step + 1

    @cached_property
    def tail(self) -> int:
        """How many of them lie beyond the right edge."""
        return max(0, self.row_steps - self.words)

    @cached_property
    def ahead_steps(self) -> int:
        """How many steps of the next row can be made in the tail: no step that lets windows leave. (That is all of
        the tail, unless left and right padding together reach the kernel's width.)
        """
        return min(self.tail, self.first_window_step)

    @cached_property
    def first_ahead(self) -> int:
        """The step from which on words of the next row may come along."""
        return self.row_steps - self.ahead_steps

    @cached_property
    def short_rows(self) -> bool:
        """Whether a whole row may arrive during the tail of another, as happens with rows of one word."""
        return self.pixels > 1 and 0 < self.words <= self.ahead_steps

    @cached_property
    def held_columns(self) -> int:
        """Columns in the window's registers; the last ``pixels`` of them are the newest word, and window t of a beat
        starts at the (t * stride)-th.
        """
        return self.padding.left + (self.first_window_step + 1) * self.pixels

    def columns_outside(self, held: int) -> tuple[bool, bool]:
        """Whether some window looks at the ``held``-th register while a column left, or right, of the frame is there.
        (Windows beyond the last one of a row do not count.)
        """
        stride, pad = self.stride[1], self.padding.left
        places = [(w, held - w % self.windows * stride) for w in range(self.output_size[1])]
        seen = [w * stride - pad + k for w, k in places if 0 <= k < self.kernel[1]]
        return any(column < 0 for column in seen), any(column >= self.width for column in seen)

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

    def gives_windows(self, step: int) -> bool:
        return step >= self.first_window_step and (step - self.first_window_step) % self.beat_steps == 0

    def row_inside(self, row: int, k: int) -> bool:
        """Whether image row ``k`` under window row ``row`` lies in the frame."""
        return 0 <= self.oldest_row(row) + k < self.height


class WindowsModel(BeatModel):
    """The twin of ``WindowsComponent``'s control."""

    def __init__(self, schedule: WindowSchedule) -> None:
        self.schedule = schedule
        rows = range(schedule.output_size[0])
        self.needed = [schedule.newest_needed(r) for r in rows]
        self.advance_of = [schedule.row_advance(r) for r in rows]
        self.gives = [schedule.gives_windows(e) for e in range(schedule.row_steps)]
        self.gap = schedule.padding.top  # rows from the oldest row under the window to the row being written
        self.write_column = 0
        self.row = self.step = self.ahead = 0
        self.at_memory = self.at_output = False

    def valid(self) -> bool:
        return self.at_output

    def _written(self, needed: int, gap: int, column: int) -> bool:
        return gap > needed or (gap == needed and self.write_column > column)

    def _next_row_ready(self) -> bool:
        following = (self.row + 1) % len(self.needed)
        return self.ahead == self.step - self.schedule.first_ahead and self._written(
            self.needed[following], self.gap - self.advance_of[self.row], self.ahead
        )

    def _steps(self, output_ready: bool) -> bool:
        if self.at_output and not output_ready:
            return False
        return self.step >= self.schedule.words or self._written(self.needed[self.row], self.gap, self.step)

    def ready(self, output_ready: bool) -> bool:
        rows = self.schedule.kernel[0]
        if self.gap < rows:
            return True
        steps = self._steps(output_ready)
        column_read = self.step > self.write_column or (self.step == self.write_column and steps)
        if self.gap == rows and column_read:
            return True
        if not (self.schedule.short_rows and steps and self.step == self.schedule.row_steps - 1):
            return False
        gap = self.gap - self.advance_of[self.row]
        return gap < rows or (gap == rows and self._next_row_ready() and self.write_column <= self.ahead)

    def resting(self, input_valid: bool, output_ready: bool) -> float:
        moves = self._steps(output_ready) or (input_valid and self.ready(output_ready))
        still = (self.at_output and not output_ready) or not (self.at_output or self.at_memory)
        return math.inf if still and not moves else 0

    def tick(self, input_valid: bool, output_ready: bool) -> None:
        taken = input_valid and self.ready(output_ready)
        steps = self._steps(output_ready)
        if output_ready or not self.at_output:
            self.at_output = self.at_memory
            self.at_memory = steps and self.gives[self.step]
        if steps:
            if self.step >= self.schedule.words:
                self.ahead = self.ahead + 1 if self._next_row_ready() else 0
            self.step += 1
        if taken:
            self.write_column += 1
            if self.write_column == self.schedule.words:
                self.write_column = 0
                self.gap += 1
        if steps and self.step == self.schedule.row_steps:
            self.gap -= self.advance_of[self.row]
            self.row = (self.row + 1) % len(self.needed)
            self.step, self.ahead = self.ahead, 0

    def least(self) -> WindowsModel:
        return _LeastWindowsModel(self.schedule)


class _LeastWindowsModel(WindowsModel):
    """Steps only while no windows wait, and takes no words of the next row along, as they may come too late."""

    def _next_row_ready(self) -> bool:
        return False

    def _steps(self, output_ready: bool) -> bool:
        return not self.at_memory and super()._steps(output_ready)
