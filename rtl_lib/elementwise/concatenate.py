"""Concatenate: inputs lane by lane in every beat, or one after the other. Nothing is computed: the numbers keep their
values, in the narrowest format that holds those of all inputs (docs/arithmetic.md).
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from amaranth.hdl import Array, Module, Mux, Signal, Value

from rtl_lib.core.branch_timing import SequencerModel
from rtl_lib.core.features import Features, Kind, index_bits, pipeline_features
from rtl_lib.core.formats import Format, index_signal
from rtl_lib.core.operator import Operator, Wide
from rtl_lib.core.pipeline import JoinPipeline, PipelineBuilder, Registers
from rtl_lib.core.stream import Beat
from rtl_lib.elementwise.requantize import narrow
from rtl_lib.streams.pixel_rows import PixelRows


def common_format(formats: Sequence[Format]) -> Format:
    """The narrowest format that holds every number of all of them."""
    return Format.containing(min(f.minimum for f in formats), max(f.maximum for f in formats))


@dataclass(frozen=True, kw_only=True)
class ConcatenateChannels(Operator):
    """
    :param input_formats, lanes: of every input.
    """

    input_formats: tuple[Format, ...]
    lanes: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.lanes) != len(self.input_formats):
            raise ValueError(f"lanes must be {len(self.input_formats)} numbers, one per input, not {self.lanes}")

    @property
    def input_beats(self) -> tuple[Beat, ...]:
        return tuple(Beat(*beat) for beat in zip(self.input_formats, self.lanes, strict=True))

    @property
    def output_beat(self) -> Beat:
        return Beat(common_format(self.input_formats), sum(self.lanes))

    @property
    def luts(self) -> float:
        """Predicted: wires."""
        return 0

    def compute(self, *x: np.ndarray) -> np.ndarray:
        """``[..., lanes[k]]`` of input k → ``[..., sum(lanes)]``."""
        return np.concatenate([of_input.astype(self.output_beat.format.dtype) for of_input in x], axis=-1)

    def for_pixels(self, pixels: int, *, surplus: bool) -> Wide | None:
        return Wide(lambda: ConcatenatePipeline(self, pixels), pixels)

    def create(self) -> ConcatenatePipeline:
        return ConcatenatePipeline(self, 1)


class ConcatenatePipeline(JoinPipeline):
    """Wires, and a register: lanes ``[pixel][input][channel]``."""

    def __init__(self, spec: ConcatenateChannels, pixels: int) -> None:
        self.spec, self.pixels = spec, pixels
        inputs = tuple(beat.repeated(pixels) for beat in spec.input_beats)
        super().__init__(inputs, spec.output_beat.repeated(pixels), latency=1)

    def features(self) -> Features:
        bits = self.pixels * sum(beat.layout.size for beat in self.spec.input_beats)  # a sign is not stored twice
        return pipeline_features(self.latency).add(Kind.REGISTER, bits)

    def datapath(self, m: Module, build: PipelineBuilder, inputs: list[list[Value]]) -> list[Value]:
        held = [
            [build.register(lane, f"input_{k}_{number}") for number, lane in enumerate(lanes)]
            for k, lanes in enumerate(inputs)
        ]
        results: list[Value] = []
        for pixel in range(self.pixels):
            for lanes, count in zip(held, self.spec.lanes, strict=True):
                results += lanes[pixel * count : (pixel + 1) * count]
        return results


class Axis(enum.Enum):
    """The axis of an image along which inputs are concatenated."""

    ROWS = "rows"  # one image below the other
    COLUMNS = "columns"  # one image beside the other


@dataclass(frozen=True, kw_only=True)
class ConcatenateBeats(Operator):
    """
    :param input_formats: of every input.
    :param lanes: of all inputs.
    :param sizes: rows and columns of every input. A tensor that is no image has rows of one beat.
    """

    input_formats: tuple[Format, ...]
    lanes: int
    sizes: tuple[tuple[int, int], ...]
    axis: Axis

    def __post_init__(self) -> None:
        if len(self.sizes) != len(self.input_formats):
            raise ValueError(f"sizes must be {len(self.input_formats)} pairs, one per input, not {self.sizes}")
        across = {columns if self.axis is Axis.ROWS else rows for rows, columns in self.sizes}
        if len(across) > 1:
            other = "columns" if self.axis is Axis.ROWS else "rows"
            raise ValueError(f"all inputs must have the same number of {other}, not {self.sizes}")

    @property
    def input_beats(self) -> tuple[Beat, ...]:
        return tuple(Beat(format, self.lanes) for format in self.input_formats)

    @cached_property
    def output_beat(self) -> Beat:
        return Beat(common_format(self.input_formats), self.lanes)

    @property
    def output_size(self) -> tuple[int, int]:
        rows, columns = zip(*self.sizes, strict=True)
        return (sum(rows), columns[0]) if self.axis is Axis.ROWS else (rows[0], sum(columns))

    def turns(self, pixels: int) -> tuple[int, ...]:
        """Beats that pass of every input in its turn; a frame has one turn of each, or one for every row."""
        if self.axis is Axis.COLUMNS:
            return tuple(PixelRows(columns, pixels).beats_per_row for _, columns in self.sizes)
        return tuple(PixelRows(columns, pixels).beats_per_frame(rows) for rows, columns in self.sizes)

    def compute(self, *x: np.ndarray) -> np.ndarray:
        """``[frames, rows * columns, lanes]`` of every input → the same of the whole image."""
        images = [
            of_input.reshape(len(of_input), *size, self.lanes).astype(self.output_beat.format.dtype)
            for of_input, size in zip(x, self.sizes, strict=True)
        ]
        whole = np.concatenate(images, axis=1 if self.axis is Axis.ROWS else 2)
        return whole.reshape(len(whole), -1, self.lanes)

    def for_pixels(self, pixels: int, *, surplus: bool) -> Wide | None:
        # Within a row, the first pixel of an input must start a beat.
        if self.axis is Axis.COLUMNS and any(columns % pixels for _, columns in self.sizes[:-1]):
            return None
        return Wide(lambda: Sequencer(self, pixels), pixels)

    def create(self) -> Sequencer:
        return Sequencer(self, 1)


class Sequencer(Registers):
    """The inputs alternate: a number of beats of the first, then a number of the second, …, and a register::

    i_0   A  B  .  .  C      turns of 2 and 1
    i_1   a  a  a  b  b      waits
    o        A  B  a  .  C
    """

    def __init__(self, spec: ConcatenateBeats, pixels: int) -> None:
        self.spec = spec
        self.turns = spec.turns(pixels)
        inputs = tuple(beat.repeated(pixels) for beat in spec.input_beats)
        super().__init__(inputs, spec.output_beat.repeated(pixels), latency=1)

    def features(self) -> Features:
        bits, inputs = self.output_beat.layout.size, len(self.turns)
        counters = index_bits(max(self.turns)) + index_bits(inputs)
        bill = pipeline_features(self.latency).add(Kind.REGISTER, bits).add(Kind.MUX, bits, inputs)
        return bill.add(Kind.COUNTER, counters).add(Kind.GATE, 2 * inputs)

    def beat_model(self) -> SequencerModel:
        return SequencerModel(self.latency, self.turns)

    def enters(self, m: Module, advance: Signal) -> Value:
        turn = self._turn
        beat = index_signal(max(self.turns), name="beat")
        arrived, last = Signal(), Signal()
        ends = Array([count - 1 for count in self.turns])
        m.d.comb += [arrived.eq(Array(i.valid for i in self.inputs)[turn]), last.eq(beat == ends[turn])]
        m.d.comb += [i.ready.eq(advance & arrived & (turn == k)) for k, i in enumerate(self.inputs)]
        with m.If(advance & arrived):
            m.d.sync += beat.eq(Mux(last, 0, beat + 1))
            with m.If(last):
                m.d.sync += turn.eq(Mux(turn == len(self.turns) - 1, 0, turn + 1))
        return arrived

    def results(self, m: Module, build: PipelineBuilder) -> list[Value]:
        of_inputs = [self._lanes(k) for k in range(len(self.turns))]
        chosen = [Array(of_lane)[self._turn] for of_lane in zip(*of_inputs, strict=True)]
        form = self.output_beat.format
        return [build.register(narrow(m, value, form), f"result_{k}") for k, value in enumerate(chosen)]

    @cached_property
    def _turn(self) -> Signal:
        """The input whose turn it is."""
        return index_signal(len(self.turns), name="turn")
