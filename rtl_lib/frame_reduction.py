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
from amaranth.lib import data
from amaranth.lib.memory import Memory

from rtl_lib.beat_model import BeatModel, ReduceModel
from rtl_lib.exact_product import exact_product
from rtl_lib.formats import Format, index_signal
from rtl_lib.pipeline import PipelineBuilder
from rtl_lib.stream import Beat, StreamComponent


class FrameReduction(StreamComponent):
    """Takes ``beats`` beats, gives one, ``latency`` cycles after the last.

    A subclass gives ``terms``: what each beat adds to the running sums, behind ``latency - 1`` registers. The sums
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

    def beat_model(self) -> BeatModel:
        return ReduceModel(self.latency, self.beats)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        advance = Signal()
        taken = Signal()
        position = index_signal(self.beats)
        last = Signal()
        # One bit a register: does it hold a beat, the first of a frame, the last of a frame?
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
class FrameSum:
    """The sum of ``beats`` pixels of ``channels`` lanes (global average pooling before its division)."""

    input_format: Format
    channels: int
    beats: int

    @cached_property
    def output_format(self) -> Format:
        f = self.input_format
        return Format.containing(f.minimum * self.beats, f.maximum * self.beats)

    @property
    def input_beat(self) -> Beat:
        return Beat(self.input_format, self.channels)

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


@dataclass(frozen=True, eq=False)
class FoldedMatrix:
    """Matrix × vector where the vector arrives in several beats:
    ``SIMD = lanes`` products for each of ``PE = n_outputs`` sums a cycle.

    ``weights [n_inputs, n_outputs]``, ``bias [n_outputs]`` (int64); input element ``beat * lanes + lane``.
    """

    weights: np.ndarray
    bias: np.ndarray
    input_format: Format
    lanes: int
    weights_format: Format

    def __post_init__(self) -> None:
        if len(self.weights) % self.lanes:
            raise ValueError(f"lanes must divide the {len(self.weights)} inputs, not {self.lanes}")

    @property
    def beats(self) -> int:
        return len(self.weights) // self.lanes

    @cached_property
    def output_format(self) -> Format:
        """Holds every partial sum: the interval is that of the actual weights, with 0 (not yet added) in every
        term's interval.
        """
        f = self.input_format
        terms = np.stack([self.weights * f.minimum, self.weights * f.maximum])
        low = np.minimum(terms.min(axis=0), 0).sum(axis=0) + self.bias
        high = np.maximum(terms.max(axis=0), 0).sum(axis=0) + self.bias
        return Format.containing(int(low.min()), int(high.max()))

    @property
    def input_beat(self) -> Beat:
        return Beat(self.input_format, self.lanes)

    @property
    def output_beat(self) -> Beat:
        return Beat(self.output_format, self.weights.shape[1])

    def compute(self, x: np.ndarray) -> np.ndarray:
        """``[frames, beats, lanes]`` → ``[frames, 1, n_outputs]``, exact."""
        flat = x.reshape(len(x), 1, -1)
        return exact_product(flat, self.weights, self.bias, self.input_format)

    def create(self) -> FrameReduction:
        return _FoldedMatrix(self)


class _FoldedMatrix(FrameReduction):
    """Registers: weight and input; product; one every two levels of the adder tree over the lanes; running sum."""

    LEVELS_PER_REGISTER = 2

    def __init__(self, spec: FoldedMatrix) -> None:
        self.spec = spec
        self.tree_registers = -(-(spec.lanes - 1).bit_length() // self.LEVELS_PER_REGISTER)
        super().__init__(
            spec.input_beat,
            spec.output_beat,
            spec.beats,
            latency=3 + self.tree_registers,
            start=[int(b) for b in spec.bias],
        )

    def terms(self, m: Module, build: PipelineBuilder, position: Signal) -> list[Value]:
        spec = self.spec
        outputs = spec.weights.shape[1]
        word = data.ArrayLayout(spec.weights_format.shape, spec.lanes * outputs)
        # One word holds what one beat needs: all outputs' weights of its lanes.
        words = spec.weights.reshape(spec.beats, spec.lanes * outputs)
        memory = m.submodules.weights = Memory(
            shape=word, depth=spec.beats, init=[[int(w) for w in row] for row in words]
        )
        read = memory.read_port()
        m.d.comb += [read.addr.eq(position), read.en.eq(build.advance)]
        inputs = [build.register(self.i.payload[k], f"input_{k}") for k in range(spec.lanes)]
        terms = []
        for out in range(outputs):
            row: list[Value] = [
                build.register(inputs[k] * read.data[k * outputs + out], f"product_{k}_{out}")
                for k in range(spec.lanes)
            ]
            for _ in range(self.tree_registers):
                for _ in range(self.LEVELS_PER_REGISTER):
                    row = [a + b for a, b in zip(row[::2], row[1::2], strict=False)] + (
                        row[-1:] if len(row) % 2 else []
                    )
                row = [build.register(value) for value in row]
            terms.append(row[0])
        return terms
