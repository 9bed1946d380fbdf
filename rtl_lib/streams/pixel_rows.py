"""Several pixels per beat: where the pixels of an image are on the wire, and back to one pixel per beat.

Every row starts a new beat, so that a column is always in the same lanes; lanes are ``[pixel][channel]``. When the
width is no multiple of the pixels, the last beat of each row has surplus lanes, which carry no data::

    width 5, two pixels per beat    row 0: 01 23 4.    row 1: 01 23 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from amaranth.hdl import Module, Mux, Signal

from rtl_lib.core.features import Features, Kind, index_bits, serializer_features
from rtl_lib.core.formats import Format, index_signal
from rtl_lib.core.operator import Operator
from rtl_lib.core.stream import Beat, StreamComponent
from rtl_lib.core.timing import BeatModel
from rtl_lib.streams.repack import SerializerModel


@dataclass(frozen=True)
class PixelRows:
    """Rows of ``width`` pixels (or windows) in beats of ``pixels``."""

    width: int
    pixels: int

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width must be at least 1, not {self.width!r}")
        if self.pixels < 1:
            raise ValueError(f"pixels must be at least 1, not {self.pixels!r}")

    @property
    def beats_per_row(self) -> int:
        return -(-self.width // self.pixels)

    @property
    def last_pixels(self) -> int:
        """The number of pixels that the last beat of a row carries."""
        return self.width - (self.beats_per_row - 1) * self.pixels

    def beats_per_frame(self, height: int) -> int:
        return height * self.beats_per_row

    def counted(self, height: int) -> np.ndarray:
        """Return which pixels of which beats are no surplus: booleans ``[beats, pixels]``."""
        row = np.arange(self.beats_per_row * self.pixels) < self.width
        return np.tile(row.reshape(self.beats_per_row, self.pixels), (height, 1))

    def pack(self, x: np.ndarray) -> np.ndarray:
        """``[frames, height * width, channels]`` → ``[frames, beats, pixels * channels]``, surplus lanes zero."""
        frames, _, channels = x.shape
        surplus = self.pixels - self.last_pixels
        rows = x.reshape(frames, -1, self.width, channels)
        whole = np.pad(rows, ((0, 0), (0, 0), (0, surplus), (0, 0)))
        return whole.reshape(frames, rows.shape[1] * self.beats_per_row, self.pixels * channels)

    def unpack(self, beats: np.ndarray) -> np.ndarray:
        """``[frames, beats, pixels * channels]`` → ``[frames, height * width, channels]``."""
        frames, _, lanes = beats.shape
        channels = lanes // self.pixels
        rows = beats.reshape(frames, -1, self.beats_per_row * self.pixels, channels)[:, :, : self.width]
        return rows.reshape(frames, rows.shape[1] * self.width, channels)


@dataclass(frozen=True)
class UnpackPixels(Operator):
    """Beats of ``pixels`` pixels to beats of one pixel; surplus pixels are dropped."""

    format: Format
    channels: int
    width: int
    pixels: int

    def __post_init__(self) -> None:
        self.rows  # noqa: B018 - refuses sizes that are impossible

    @property
    def rows(self) -> PixelRows:
        return PixelRows(self.width, self.pixels)

    @property
    def input_beats(self) -> tuple[Beat, ...]:
        return (Beat(self.format, self.pixels * self.channels),)

    @property
    def output_beat(self) -> Beat:
        return Beat(self.format, self.channels)

    def compute(self, x: np.ndarray) -> np.ndarray:
        """``[frames, beats, pixels * channels]`` → ``[frames, height * width, channels]``."""
        return self.rows.unpack(x)

    def create(self) -> PixelSerializer:
        return PixelSerializer(self)


class PixelSerializer(StreamComponent):
    """A shift register, as ``Serializer``; the last beat of a row is over sooner."""

    def __init__(self, spec: UnpackPixels) -> None:
        self.rows = spec.rows
        super().__init__(spec.input_beat, spec.output_beat)

    def features(self) -> Features:
        bill = serializer_features(self.input_beat.layout.size, self.output_beat.layout.size)
        return bill.add(Kind.COUNTER, index_bits(self.rows.beats_per_row))

    def beat_model(self) -> BeatModel:
        return SerializerModel(*[self.rows.pixels] * (self.rows.beats_per_row - 1), self.rows.last_pixels)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        rows = self.rows
        stored = Signal(self.input_beat.layout.size, reset_less=True)
        left = Signal(range(rows.pixels + 1))
        beat = index_signal(rows.beats_per_row)
        last = Signal()
        pixel_bits = self.output_beat.layout.size
        m.d.comb += [
            last.eq(beat == rows.beats_per_row - 1),
            self.o.valid.eq(left != 0),
            self.o.payload.as_value().eq(stored[:pixel_bits]),
            self.i.ready.eq((left == 0) | ((left == 1) & self.o.ready)),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                stored.eq(self.i.payload.as_value()),
                left.eq(Mux(last, rows.last_pixels, rows.pixels)),
                beat.eq(Mux(last, 0, beat + 1)),
            ]
        with m.Elif(self.o.valid & self.o.ready):
            m.d.sync += [stored.eq(stored >> pixel_bits), left.eq(left - 1)]
        return m
