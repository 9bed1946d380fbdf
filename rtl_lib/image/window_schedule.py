"""The schedule of sliding windows: geometry, and the timing model of the control of ``windows_component``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from rtl_lib.core.rules import FOREVER, State, helper
from rtl_lib.core.timing import BeatModel


class Padding(NamedTuple):
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

    def around(self, size: Sequence[int]) -> tuple[int, int]:
        """Return the rows and columns of an image of ``size`` (rows, columns, …) with these."""
        return size[0] + self.top + self.bottom, size[1] + self.left + self.right

    def plus(self, other: Padding) -> Padding:
        """Return these rows and columns together with those of ``other``."""
        return Padding(*(own + more for own, more in zip(self, other, strict=True)))

    def is_smaller_than(self, kernel: tuple[int, int]) -> bool:
        """Return whether every window holds at least one pixel of the frame."""
        return max(self.top, self.bottom) < kernel[0] and max(self.left, self.right) < kernel[1]


NO_PADDING = Padding()


def windows_of_beat(pixels: int, column_stride: int) -> int | None:
    """Return how many windows leave together when ``pixels`` pixels arrive together; ``None`` where that is no whole
    number. One pixel at a time is always possible: then not every one completes a window.
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
        if min(self.padding) < 0 or not self.padding.is_smaller_than(self.kernel):
            raise ValueError(f"padding must be smaller than the kernel, not {self.padding} for {self.kernel}")
        if min(self.output_size) < 1:
            raise ValueError(f"kernel {self.kernel} must fit into the padded image of {self.height}×{self.width}")
        if self.pixels < 1 or windows_of_beat(self.pixels, self.stride[1]) is None:
            raise ValueError(f"pixels must be 1 or a multiple of the column stride {self.stride[1]}, not {self.pixels}")

    @cached_property
    def output_size(self) -> tuple[int, int]:
        rows, columns = self.padding.around((self.height, self.width))
        return (rows - self.kernel[0]) // self.stride[0] + 1, (columns - self.kernel[1]) // self.stride[1] + 1

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
        """The number of steps of a row that lie beyond the right edge."""
        return max(0, self.row_steps - self.words)

    @cached_property
    def ahead_steps(self) -> int:
        """The number of steps of the next row that can be made in the tail: no step that lets windows leave. (That is
        all of the tail, unless left and right padding together reach the kernel's width.)
        """
        return min(self.tail, self.first_window_step)

    @cached_property
    def first_ahead(self) -> int:
        """The step from which on words of the next row may come along."""
        return self.row_steps - self.ahead_steps

    @cached_property
    def short_rows(self) -> bool:
        """True if a whole row may arrive during the tail of another, as happens with rows of one word."""
        return self.pixels > 1 and 0 < self.words <= self.ahead_steps

    @cached_property
    def held_columns(self) -> int:
        """Columns in the window's registers; the last ``pixels`` of them are the newest word, and window t of a beat
        starts at the (t * stride)-th.
        """
        return self.padding.left + (self.first_window_step + 1) * self.pixels

    def columns_outside(self, held: int) -> tuple[bool, bool]:
        """Return whether some window looks at the ``held``-th register while a column left, or right, of the frame is
        there. (Windows beyond the last one of a row do not count.)
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
        """Return whether image row ``k`` under window row ``row`` lies in the frame."""
        return 0 <= self.oldest_row(row) + k < self.height


(
    ROWS, WORDS, ROW_STEPS, FIRST_AHEAD, SHORT_ROWS, HEIGHT,  # of the schedule; HEIGHT: window rows
    GAP, WRITE_COLUMN, ROW, STEP, AHEAD, AT_MEMORY, AT_OUTPUT, IS_LEAST,
    TABLES,  # by window row: the newest image row that it needs, and its advance; by step: whether windows leave
) = range(15)  # fmt: skip


@helper
def written(s: State, needed: int, gap: int, column: int) -> bool:
    return gap > needed or (gap == needed and s[WRITE_COLUMN] > column)


@helper
def next_row_ready(s: State) -> bool:
    following = s[ROW] + 1 if s[ROW] + 1 < s[HEIGHT] else 0
    gap = s[GAP] - s[TABLES + s[HEIGHT] + s[ROW]]
    # The least model accepts no words of the next row early, as they may come too late.
    return not s[IS_LEAST] and s[AHEAD] == s[STEP] - s[FIRST_AHEAD] and written(s, s[TABLES + following], gap, s[AHEAD])


@helper
def steps(s: State, output_ready: int) -> bool:
    if s[AT_OUTPUT] and not output_ready:
        return False
    if s[IS_LEAST] and s[AT_MEMORY]:
        return False
    return s[STEP] >= s[WORDS] or written(s, s[TABLES + s[ROW]], s[GAP], s[STEP])


@helper
def takes(s: State, output_ready: int) -> bool:
    rows = s[ROWS]
    if s[GAP] < rows:
        return True
    moving = steps(s, output_ready)
    column_read = s[STEP] > s[WRITE_COLUMN] or (s[STEP] == s[WRITE_COLUMN] and moving)
    if s[GAP] == rows and column_read:
        return True
    if not (s[SHORT_ROWS] and moving and s[STEP] == s[ROW_STEPS] - 1):
        return False
    gap = s[GAP] - s[TABLES + s[HEIGHT] + s[ROW]]
    return gap < rows or (gap == rows and next_row_ready(s) and s[WRITE_COLUMN] <= s[AHEAD])


class WindowsModel(BeatModel):
    """The timing model of ``WindowsComponent``'s control.

    :param is_least: whether it steps only while no windows wait, as the least model does.
    """

    def __init__(self, schedule: WindowSchedule, is_least: bool = False) -> None:
        self.schedule = schedule
        rows = range(schedule.output_size[0])
        self.state = [
            schedule.kernel[0],
            schedule.words,
            schedule.row_steps,
            schedule.first_ahead,
            int(schedule.short_rows),
            len(rows),
            schedule.padding.top,  # GAP: rows from the oldest row under the window to the row being written
            *[0] * (AT_OUTPUT - GAP),
            int(is_least),
            *map(schedule.newest_needed, rows),
            *map(schedule.row_advance, rows),
            *(int(schedule.gives_windows(step)) for step in range(schedule.row_steps)),
        ]

    @staticmethod
    def offers(s: State) -> int:
        return s[AT_OUTPUT]

    @staticmethod
    def accepts(s: State, valids: int, readys: int) -> int:
        return 1 if takes(s, readys) else 0

    @staticmethod
    def moves(s: State, valids: int, readys: int, cycles: int) -> int:
        taken = valids and takes(s, readys)
        moving = steps(s, readys)
        still = not moving
        if readys or not s[AT_OUTPUT]:
            still = still and not (s[AT_OUTPUT] or s[AT_MEMORY])
            s[AT_OUTPUT] = s[AT_MEMORY]
            s[AT_MEMORY] = s[TABLES + 2 * s[HEIGHT] + s[STEP]] if moving else 0
        if moving:
            if s[STEP] >= s[WORDS]:
                s[AHEAD] = s[AHEAD] + 1 if next_row_ready(s) else 0
            s[STEP] += 1
        if taken:
            s[WRITE_COLUMN] += 1
            if s[WRITE_COLUMN] == s[WORDS]:
                s[WRITE_COLUMN] = 0
                s[GAP] += 1
        if moving and s[STEP] == s[ROW_STEPS]:
            s[GAP] -= s[TABLES + s[HEIGHT] + s[ROW]]
            s[ROW] = (s[ROW] + 1) % s[HEIGHT]
            s[STEP] = s[AHEAD]
            s[AHEAD] = 0
        return FOREVER if still else 0

    def least(self) -> WindowsModel:
        return WindowsModel(self.schedule, is_least=True)
