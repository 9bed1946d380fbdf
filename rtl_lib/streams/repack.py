"""The same numbers in beats of another width: what a reshape costs when it changes the number of channels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal

from rtl_lib.core.features import Features, gatherer_features, serializer_features
from rtl_lib.core.formats import Format
from rtl_lib.core.operator import Operator
from rtl_lib.core.rules import FOREVER, State
from rtl_lib.core.stream import Beat, StreamComponent
from rtl_lib.core.timing import BeatModel


@dataclass(frozen=True)
class Repack(Operator):
    """Beats of ``input_lanes`` to beats of ``output_lanes``, where one divides the other;
    the order of the numbers does not change.
    """

    format: Format
    input_lanes: int
    output_lanes: int

    def __post_init__(self) -> None:
        if max(self.input_lanes, self.output_lanes) % min(self.input_lanes, self.output_lanes):
            raise ValueError(f"one of the widths must divide the other, not {self.input_lanes} and {self.output_lanes}")

    @property
    def input_beats(self) -> tuple[Beat, ...]:
        return (Beat(self.format, self.input_lanes),)

    @property
    def output_beat(self) -> Beat:
        return Beat(self.format, self.output_lanes)

    def compute(self, x: np.ndarray) -> np.ndarray:
        """``[frames, beats, input_lanes]`` → ``[frames, beats', output_lanes]``."""
        return x.reshape(len(x), -1, self.output_lanes)

    def create(self) -> StreamComponent:
        return Serializer(self) if self.input_lanes > self.output_lanes else Gatherer(self)


def repack(format: Format, input_lanes: int, output_lanes: int) -> list[Repack]:
    """The steps between any two widths: down to their greatest common divisor, and up again."""
    common = math.gcd(input_lanes, output_lanes)
    widths = [input_lanes, common, output_lanes]
    return [Repack(format, a, b) for a, b in pairwise(widths) if a != b]


LEFT, BEAT, BEATS, PARTS_OF = range(4)


class SerializerModel(BeatModel):
    """
    :param parts: what the beats are taken apart into, one after the other.
    """

    def __init__(self, *parts: int) -> None:
        self.state = [0, 0, len(parts), *parts]

    @staticmethod
    def offers(s: State) -> int:
        return 1 if s[LEFT] else 0

    @staticmethod
    def accepts(s: State, valids: int, readys: int) -> int:
        return 1 if s[LEFT] == 0 or (s[LEFT] == 1 and readys) else 0

    @staticmethod
    def moves(s: State, valids: int, readys: int, cycles: int) -> int:
        if s[LEFT] and readys:
            s[LEFT] -= 1
        elif s[LEFT]:
            return FOREVER
        if s[LEFT] == 0 and valids:
            s[LEFT] = s[PARTS_OF + s[BEAT]]
            s[BEAT] = (s[BEAT] + 1) % s[BEATS]
        return FOREVER


class Serializer(StreamComponent):
    """One wide beat in, several narrow ones out: a shift register.
    The next wide beat is loaded while the last narrow one leaves.
    """

    def __init__(self, spec: Repack) -> None:
        self.parts = spec.input_lanes // spec.output_lanes
        super().__init__(spec.input_beat, spec.output_beat)

    def features(self) -> Features:
        return serializer_features(self.input_beat.layout.size, self.output_beat.layout.size)

    def beat_model(self) -> BeatModel:
        return SerializerModel(self.parts)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        stored = Signal(self.input_beat.layout.size, reset_less=True)
        left = Signal(range(self.parts + 1))
        part_bits = self.output_beat.layout.size
        m.d.comb += [
            self.o.valid.eq(left != 0),
            self.o.payload.as_value().eq(stored[:part_bits]),
            self.i.ready.eq((left == 0) | ((left == 1) & self.o.ready)),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [stored.eq(self.i.payload.as_value()), left.eq(self.parts)]
        with m.Elif(self.o.valid & self.o.ready):
            m.d.sync += [stored.eq(stored >> part_bits), left.eq(left - 1)]
        return m


COUNT, PARTS = range(2)


class GathererModel(BeatModel):
    def __init__(self, parts: int) -> None:
        self.parts = parts
        self.state = [0, parts]

    @staticmethod
    def offers(s: State) -> int:
        return 1 if s[COUNT] == s[PARTS] else 0

    @staticmethod
    def accepts(s: State, valids: int, readys: int) -> int:
        return 1 if s[COUNT] != s[PARTS] or readys else 0

    @staticmethod
    def moves(s: State, valids: int, readys: int, cycles: int) -> int:
        if s[COUNT] == s[PARTS]:
            if not readys:
                return FOREVER
            s[COUNT] = 0
        s[COUNT] += valids
        return FOREVER


class Gatherer(StreamComponent):
    """Several narrow beats in, one wide beat out. The next beat's first part is taken while the wide beat leaves."""

    def __init__(self, spec: Repack) -> None:
        self.parts = spec.output_lanes // spec.input_lanes
        super().__init__(spec.input_beat, spec.output_beat)

    def features(self) -> Features:
        return gatherer_features(self.input_beat.layout.size, self.parts)

    def beat_model(self) -> BeatModel:
        return GathererModel(self.parts)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        part_bits = self.input_beat.layout.size
        stored = Signal(self.parts * part_bits, reset_less=True)
        count = Signal(range(self.parts + 1))
        full = Signal()
        m.d.comb += [
            full.eq(count == self.parts),
            self.o.valid.eq(full),
            self.o.payload.as_value().eq(stored),  # without the last lanes, where the parts hold more than the beat
            self.i.ready.eq(~full | self.o.ready),
        ]
        with m.If(self.i.valid & self.i.ready):
            # Shifted in from the top: after the last part the first one has arrived at the bottom.
            m.d.sync += stored.eq(Cat(stored[part_bits:], self.i.payload.as_value()))
        with m.If(self.i.ready):
            m.d.sync += count.eq(Mux(full, 0, count) + self.i.valid)
        return m
