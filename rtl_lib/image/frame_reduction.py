"""Reductions over the beats of a frame: the sum of all pixels (global pooling), and the folded matrix × vector product.

Both keep a running sum per output and give one beat when the frame's last one has been added.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from amaranth.hdl import Module, Mux, Signal, Value

from rtl_lib.core.features import Features, Kind, index_bits
from rtl_lib.core.formats import Format, index_signal
from rtl_lib.core.operator import Operator
from rtl_lib.core.pipeline import PipelineBuilder
from rtl_lib.core.stream import Beat, StreamComponent
from rtl_lib.core.timing import BeatModel, ReduceModel


class FrameReduction(StreamComponent):
    """A reduction of ``beats`` beats to one, ``latency`` cycles after the last.

    A subclass defines ``terms``: what each beat adds to the running sums, after ``latency - 1`` registers. The sums
    themselves are the last register; a frame starts from ``start``, so no cycle is lost on clearing.
    """

    def __init__(self, input_beat: Beat, output_beat: Beat, beats: int, latency: int, start: list[int]) -> None:
        self.beats = beats
        self.latency = latency
        self.start = start
        super().__init__(input_beat, output_beat)

    @abstractmethod
    def terms(self, m: Module, build: PipelineBuilder, position: Signal) -> list[Value]:
        """One term an output lane; ``position`` is the number of the beat at the input, in the frame."""

    def features(self) -> Features:
        """Without that of the terms."""
        bits = self.output_beat.layout.size
        return (
            Features()
            .add(Kind.HANDSHAKE, 1)
            .add(Kind.COUNTER, index_bits(self.beats))
            .add(Kind.REGISTER, 2 * self.latency - 1 + bits)
            .add(Kind.RUNNING_SUM, bits)
        )

    def beat_model(self) -> BeatModel:
        return ReduceModel(self.latency, self.beats)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        advance = Signal()
        taken = Signal()
        position = index_signal(self.beats)
        last = Signal()
        # One bit per register: does it hold a beat, the first of a frame, the last of a frame?
        present, first, done = (Signal(self.latency) for _ in range(3))
        m.d.comb += [
            advance.eq(self.o.ready | ~done[-1]),
            self.i.ready.eq(advance),
            taken.eq(self.i.valid & advance),
            last.eq(position == self.beats - 1),
            self.o.valid.eq(done[-1]),
        ]
        with m.If(taken):
            m.d.sync += position.eq(Mux(last, 0, position + 1))
        with m.If(advance):
            m.d.sync += [
                present.eq((present << 1) | taken),
                first.eq((first << 1) | (position == 0)),
                done.eq((done << 1) | (taken & last)),
            ]
        terms = self.terms(m, PipelineBuilder(m, advance), position)
        # The flags of the beat whose terms are being added in this cycle; its flags move into the last register
        # with the sums.
        adding = present[-2] if self.latency > 1 else taken
        starts = first[-2] if self.latency > 1 else position == 0
        for k, term in enumerate(terms):
            total = Signal(self.output_beat.format.shape, name=f"total_{k}", reset_less=True)
            with m.If(advance & adding):
                m.d.sync += total.eq(Mux(starts, self.start[k], total) + term)
            m.d.comb += self.o.payload[k].eq(total)
        return m


@dataclass(frozen=True)
class FrameSum(Operator):
    """The sum of ``beats`` pixels of ``channels`` lanes (global average pooling before its division)."""

    input_format: Format
    channels: int
    beats: int

    @cached_property
    def output_format(self) -> Format:
        f = self.input_format
        return Format.containing(f.minimum * self.beats, f.maximum * self.beats)

    @property
    def input_beats(self) -> tuple[Beat, ...]:
        return (Beat(self.input_format, self.channels),)

    @property
    def output_beat(self) -> Beat:
        return Beat(self.output_format, self.channels)

    def compute(self, x: np.ndarray) -> np.ndarray:
        """``[frames, beats, channels]`` → ``[frames, 1, channels]``."""
        return x.sum(axis=1, keepdims=True, dtype=np.int64)

    def create(self) -> FrameReduction:
        return _FrameSum(self)


class _FrameSum(FrameReduction):
    def __init__(self, spec: FrameSum) -> None:
        super().__init__(spec.input_beat, spec.output_beat, spec.beats, latency=1, start=[0] * spec.channels)

    def terms(self, m: Module, build: PipelineBuilder, position: Signal) -> list[Value]:
        return [self.i.payload[k] for k in range(self.input_beat.lanes)]
