"""The transport of an image between layers: how many of its pixels are in a beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dnn2fpga.tensors.tensor import Tensor
from rtl_lib.core.stream import Beat
from rtl_lib.streams.pixel_rows import PixelRows


@dataclass(frozen=True)
class Wire:
    """The transport of an image: ``pixels`` of a row of ``width`` per beat. Each row starts a new beat; the lanes after
    its last pixels carry no data (``rtl_lib.streams.pixel_rows``).
    """

    width: int = 1
    pixels: int = 1

    @classmethod
    def of(cls, shape: Sequence[int], pixels: int) -> Wire:
        """Return the wire of a tensor of this shape."""
        return cls(shape[1], pixels) if len(shape) == 3 else cls()

    @classmethod
    def into(cls, tensor: Tensor, pixels: int) -> Wire:
        """Return the wire of a model's input: the pixels per beat that are asked for, where it is an image."""
        if len(tensor.shape) != 3 or tensor.lanes != tensor.shape[2]:
            return cls()
        return cls.of(tensor.shape, min(pixels, tensor.shape[1]))

    def pack(self, beats: np.ndarray) -> np.ndarray:
        """Return ``[frames, pixels, channels]`` as they travel, with 0 in the lanes after the last pixels of a row."""
        return self.rows.pack(beats) if self.pixels > 1 else beats

    @property
    def rows(self) -> PixelRows:
        return PixelRows(self.width, self.pixels)

    @property
    def has_surplus(self) -> bool:
        """True if lanes are left over after the last pixels of a row."""
        return self.rows.last_pixels != self.pixels

    def beats(self, tensor: Tensor) -> int:
        """Beats per frame of ``tensor``, which has one pixel per beat in the integer model."""
        return tensor.beats // self.width * self.rows.beats_per_row if self.pixels > 1 else tensor.beats

    def beat(self, tensor: Tensor) -> Beat:
        """The shape of one beat."""
        return Beat(tensor.format, tensor.lanes * self.pixels)
