"""Sliding windows over a streamed image: a K_h × K_w window for every output position, at one beat of pixels per cycle.

``window[r, c] = image[r*stride - top ..., c*stride - left ...]``, pixels outside the frame replaced by ``fill``.

The first window leaves three cycles after its last pixel arrived; an image needs as many cycles as it has input beats.
``rtl_lib.image.windows_component`` says how.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rtl_lib.core.formats import Format
from rtl_lib.core.operator import Rowwise
from rtl_lib.core.stream import Beat
from rtl_lib.image.window_schedule import NO_PADDING, Padding, WindowSchedule, WindowsModel, windows_of_beat
from rtl_lib.image.windows_component import WindowsComponent

__all__ = ["Padding", "Windows", "WindowsComponent", "WindowsModel"]


@dataclass(frozen=True)
class Windows(Rowwise):
    """Windows of an image of ``height × width`` pixels with ``channels`` lanes.

    One input beat is a pixel, in row-major order; one output beat is a window, lanes in the order
    ``[row][column][channel]``. ``create`` can make hardware for several pixels per beat.
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
        """The values of a pixel outside the frame, ``[channels]``."""
        return np.broadcast_to(np.asarray(self.fill), (self.channels,))

    @property
    def input_pixels(self) -> int:
        return self.height * self.width

    @property
    def output_windows(self) -> int:
        return self.output_size[0] * self.output_size[1]

    @property
    def input_beats(self) -> tuple[Beat, ...]:
        return (Beat(self.format, self.channels),)

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
        return patches.transpose(0, 1, 2, 4, 5, 3).reshape(len(x), self.output_windows, self.output_beat.lanes)

    def pixels_out(self, pixels: int) -> int | None:
        """Return how many windows leave in a beat when ``pixels`` pixels arrive in one; None: not possible."""
        return windows_of_beat(pixels, self.stride[1])

    def create(self, pixels: int = 1) -> WindowsComponent:
        """Create the component. With several pixels per beat, every row (of pixels and of windows) starts a new beat,
        and lanes beyond its end carry no data: ``PixelRows(width, pixels)`` in, ``PixelRows(output_size[1],
        pixels_out(pixels))`` out.
        """
        schedule = WindowSchedule(self.height, self.width, self.kernel, self.stride, self.padding, pixels)
        return WindowsComponent(schedule, self.format, self.fills.tolist())
