"""Matrix × vector in binary32, folded onto a few multiply-add units: integers in, integers out.

``y[j] = clamp(round(sum_k float(x[k] - input_zero_point[k]) * weights[k, j] + bias[j]) + output_zero_point[j])``, where
the sum starts from the bias and takes its terms in stream order, each product and each sum rounded (``binary32``).

``float_units`` units work in parallel, each on its own outputs. A unit applies one input number (a *term*) to all its
outputs, one per cycle (a *slot*), before it proceeds to the next one; so a sum has long left the adder when its next
term arrives. Where a unit has fewer outputs than that needs (``LOOP_CYCLES``), the slots left over stay idle. One beat
keeps the engine busy for ``lanes * slots`` cycles, and the next one is accepted in the last of them::

    slot         0   1   2   .   .   n   0   1   2          n + 1 slots a term
    term         x0  x0  x0          x0  x1  x1  x1
    7 cycles later, the adder takes the slot's product and the sum of that output; 5 cycles later, the sum is written
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data
from amaranth.lib.memory import Memory

from rtl_lib.binary32 import datapath as datapath
from rtl_lib.binary32.arithmetic import check_clamp, from_integer, to_integer
from rtl_lib.core import arithmetic
from rtl_lib.core.arithmetic import Rounding
from rtl_lib.core.features import Features, Kind, index_bits
from rtl_lib.core.formats import Format, index_signal
from rtl_lib.core.operator import Operator
from rtl_lib.core.pipeline import PipelineBuilder
from rtl_lib.core.rules import FOREVER, State, line, line_moves, line_ready, line_valid
from rtl_lib.core.stream import Beat, StreamComponent
from rtl_lib.core.timing import BeatModel
from rtl_lib.elementwise.requantize import narrow

LOOP_CYCLES = datapath.ADD_LATENCY + 2  # from reading a sum to reading it again: memory, adder, memory

# The stages of the pipeline, in registers after the slot counter.
TO_MULTIPLIER = 1 + datapath.FROM_INTEGER_LATENCY
TO_ADDER = TO_MULTIPLIER + datapath.MULTIPLY_LATENCY
TO_SUMS = TO_ADDER + datapath.ADD_LATENCY
TO_CLAMP = TO_SUMS + datapath.TO_INTEGER_LATENCY
LATENCY = TO_CLAMP + 1


@dataclass(frozen=True, eq=False)
class Binary32Matrix(Operator):
    """A matrix product in binary32 with requantized results.

    :param weights: float32 ``[terms, outputs]``; input number ``beat * lanes + lane`` of a group is a term.
    :param bias: float32 ``[outputs]``.
    :param lanes: numbers per beat; ``terms / lanes`` input beats produce one output beat.
    :param input_zero_point: int64 ``[lanes]``, subtracted before the conversion to floating point.
    :param low, high: the clamp of the results, in ``output_format``.
    :param output_zero_point: int64 ``[outputs]``, added after rounding and before the clamp.

    A weight or bias is 0 or has a magnitude from 2^-100 to 2^60. Then every product and sum is a multiple of 2^-123,
    so none is subnormal, and none comes near 2^128: the software model is plain IEEE arithmetic.
    """

    create_options: ClassVar[tuple[str, ...]] = ("float_units",)

    weights: np.ndarray
    bias: np.ndarray
    input_format: Format
    lanes: int
    input_zero_point: np.ndarray
    output_format: Format
    low: int
    high: int
    output_zero_point: np.ndarray
    rounding: Rounding = Rounding.HALF_UP

    def __post_init__(self) -> None:
        if self.weights.ndim != 2 or 0 in self.weights.shape:
            raise ValueError(f"weights must be [terms, outputs], not of shape {self.weights.shape}")
        if self.lanes < 1 or self.terms % self.lanes:
            raise ValueError(f"lanes must divide the {self.terms} terms, not {self.lanes}")
        vectors = {"bias": self.outputs, "input_zero_point": self.lanes, "output_zero_point": self.outputs}
        for name, length in vectors.items():
            if (shape := getattr(self, name).shape) != (length,):
                raise ValueError(f"{name} must have shape {(length,)}, not {shape}")
        for name in ("weights", "bias"):
            _check_magnitudes(name, getattr(self, name))
        if self.difference_format.width > 17:
            raise ValueError(f"inputs minus their zero points must fit 17 bits, not {self.difference_format}")
        if not Format(True, 32).contains(int(self.output_zero_point.min()), int(self.output_zero_point.max())):
            raise ValueError("output zero points must fit 32 bits")
        check_clamp(self.low, self.high, self.output_format)

    @property
    def terms(self) -> int:
        return self.weights.shape[0]

    @property
    def outputs(self) -> int:
        return self.weights.shape[1]

    @property
    def beats(self) -> int:
        """Input beats for one output beat."""
        return self.terms // self.lanes

    @cached_property
    def difference_format(self) -> Format:
        """The format of the inputs minus their zero points."""
        f, zero = self.input_format, self.input_zero_point
        return Format.containing(f.minimum - int(zero.max()), f.maximum - int(zero.min()))

    @property
    def input_beats(self) -> tuple[Beat, ...]:
        return (Beat(self.input_format, self.lanes),)

    @property
    def output_beat(self) -> Beat:
        return Beat(self.output_format, self.outputs)

    def compute(self, x: np.ndarray) -> np.ndarray:
        """``[frames, beats, lanes]`` → ``[frames, beats / (terms / lanes), outputs]`` in the output format's dtype."""
        zero = np.tile(self.input_zero_point, self.beats)
        # One row a term and one a sum: long rows are what NumPy is fast at.
        inputs = from_integer(np.ascontiguousarray((x.reshape(-1, self.terms) - zero).T))
        sums = np.repeat(self.bias[:, np.newaxis], inputs.shape[1], axis=1)
        for row, weights in zip(inputs, self.weights, strict=True):
            sums += row * weights[:, np.newaxis]
        offset = self.output_zero_point[:, np.newaxis]
        y = to_integer(sums, self.low - offset, self.high - offset, self.rounding) + offset
        return y.T.reshape(len(x), -1, self.outputs).astype(self.output_format.dtype)

    def create(self, float_units: int = 1) -> StreamComponent:
        """``float_units``: parallel multiply-add units; more than there are outputs are of no use."""
        if float_units < 1:
            raise ValueError(f"float_units must be at least 1, not {float_units!r}")
        return _Engine(self, float_units)


def _check_magnitudes(name: str, values: np.ndarray) -> None:
    magnitudes = np.abs(values[values != 0])  # NaN stays, and is in no interval
    wrong = magnitudes[~((magnitudes >= 2.0**-100) & (magnitudes <= 2.0**60))]
    if values.dtype != np.float32 or wrong.size:
        found = f"{wrong[0]:.3g}" if wrong.size else values.dtype
        raise ValueError(f"{name} must be float32, each 0 or of a magnitude from 2^-100 to 2^60, not {found}")


GROUP, BEAT_CYCLES, LAST_SLOT, BEATS_LEFT, LEFT, LINE = range(6)


class Binary32MatrixModel(BeatModel):
    """The timing model: the last working slot of a group enters a line, from which the output beat comes."""

    def __init__(self, beats: int, beat_cycles: int, idle_slots: int, latency: int = LATENCY) -> None:
        # BEATS_LEFT: of the group, the present one included; LEFT: cycles of the present beat, this one included; 0:
        # there is none.
        self.state = [beats, beat_cycles, idle_slots + 1, beats, 0, *line(latency)]

    @staticmethod
    def offers(s: State) -> int:
        return line_valid(s, LINE)

    @staticmethod
    def accepts(s: State, valids: int, readys: int) -> int:
        return line_ready(s, LINE, readys) if s[LEFT] <= 1 else 0

    @staticmethod
    def moves(s: State, valids: int, readys: int, cycles: int) -> int:
        if not line_ready(s, LINE, readys):
            return FOREVER
        finishes = 1 if s[BEATS_LEFT] == 1 and s[LEFT] == s[LAST_SLOT] else 0
        if s[LEFT] == 1:
            s[BEATS_LEFT] = s[BEATS_LEFT] - 1 if s[BEATS_LEFT] > 1 else s[GROUP]
        s[LEFT] = s[LEFT] - cycles if s[LEFT] > 1 else valids * s[BEAT_CYCLES]
        rest = line_moves(s, LINE, finishes, readys, cycles)
        if not s[LEFT]:
            return rest
        # The last working slot of a group enters the line; in the last slot of all, a beat is taken.
        ends = s[LAST_SLOT] if s[BEATS_LEFT] == 1 and s[LEFT] >= s[LAST_SLOT] else 1
        return min(rest, s[LEFT] - ends)

    def least(self) -> Binary32MatrixModel:
        beats, beat_cycles, last_slot = self.state[: LAST_SLOT + 1]
        return Binary32MatrixModel(beats, beat_cycles, last_slot - 1, latency=1)


class _Engine(StreamComponent):
    """The hardware. Everything moves together, whenever no finished beat is waiting to be taken.

    What belongs to a slot is not carried along: every stage counts for itself the slots that reach it.
    """

    def __init__(self, spec: Binary32Matrix, float_units: int) -> None:
        self.spec = spec
        self.unit_outputs = -(-spec.outputs // min(float_units, spec.outputs))
        self.units = -(-spec.outputs // self.unit_outputs)
        self.slots = max(self.unit_outputs, LOOP_CYCLES)
        super().__init__(spec.input_beat, spec.output_beat)

    def features(self) -> Features:
        spec = self.spec
        bits, beat = 32 * self.units, spec.input_beat.layout.size
        return (
            Features()
            .add(Kind.HANDSHAKE, 1)
            .add(Kind.BINARY32_UNIT, self.units)
            .add(Kind.COUNTER, 4 * index_bits(self.unit_outputs) + index_bits(self.slots) + index_bits(spec.lanes))
            .add(Kind.COUNTER, index_bits(spec.terms * self.unit_outputs))
            .add(Kind.REGISTER, beat + LATENCY + self.units * self.unit_outputs * spec.output_format.width)
            .add(Kind.GATE, beat)
            .add(Kind.ROM, 1 * (spec.terms * self.unit_outputs > 1), spec.terms * self.unit_outputs, bits)
            .add(Kind.ROM, 1 * (self.unit_outputs > 1), self.unit_outputs, bits)
            .add(Kind.RAM, 1, self.unit_outputs, bits)
            .add(Kind.PRODUCT, 2 * self.units, 25, 18, 43)
        )

    def beat_model(self) -> BeatModel:
        return Binary32MatrixModel(self.spec.beats, self.spec.lanes * self.slots, self.slots - self.unit_outputs)

    def elaborate(self, platform: Any) -> Module:
        spec = self.spec
        m = Module()
        advance = Signal()
        m.d.comb += advance.eq(self.o.ready | ~self.o.valid)
        build = PipelineBuilder(m, advance)
        difference, working = self._issue(m, advance)
        x = datapath.integer_to_float(m, build, build.register(difference, "difference"))

        # For every term, a word per slot that works.
        words = spec.terms * self.unit_outputs
        word = _counter(m, advance & working[TO_MULTIPLIER - 1], words, "word")
        weights = self._constants(m, "weights", spec.weights, word, advance)
        first, last, end = word < self.unit_outputs, word >= words - self.unit_outputs, word == words - 1
        first = datapath.later(build, first, TO_ADDER - TO_MULTIPLIER + 1, "first")
        last, end = (datapath.later(build, flag, TO_CLAMP - TO_MULTIPLIER + 1, "last") for flag in (last, end))

        reading = _counter(m, advance & working[TO_ADDER - 1], self.unit_outputs, "reading")
        writing = _counter(m, advance & working[TO_SUMS], self.unit_outputs, "writing")
        clamping = _counter(m, advance & working[TO_CLAMP], self.unit_outputs, "clamping")
        bias = self._constants(m, "bias", spec.bias[np.newaxis], reading, advance)
        m.submodules.sums = sums = Memory(shape=self._word, depth=self.unit_outputs, init=[])
        read, write = sums.read_port(), sums.write_port()
        m.d.comb += [
            read.addr.eq(reading),
            read.en.eq(advance),
            write.addr.eq(writing),
            write.en.eq(advance & working[TO_SUMS]),
        ]
        results = []
        for unit in range(self.units):
            product = datapath.multiplier(m, build, x, weights[unit])
            total = datapath.adder(m, build, Mux(first, bias[unit], read.data[unit]), product)
            m.d.comb += write.data[unit].eq(total)
            result = self._result(m, build, total, unit, clamping)
            # Shifted in from the top: after the last slot the first result has arrived at the bottom.
            held = Signal(len(result) * self.unit_outputs, name=f"held_{unit}", reset_less=True)
            with m.If(advance & working[TO_CLAMP] & last):
                m.d.sync += held.eq(Cat(held[len(result) :], result))
            results.append(held)
        with m.If(advance):
            m.d.sync += self.o.valid.eq(working[TO_CLAMP] & end)
        m.d.comb += self.o.payload.as_value().eq(Cat(results)[: self.output_beat.layout.size])
        return m

    def _issue(self, m: Module, advance: Signal) -> tuple[Value, list[Value]]:
        """Hold the present beat and count its slots. Return the present number minus its zero point, and one bit per
        stage: does it hold a slot that is not idle?
        """
        spec = self.spec
        busy, term_ends, beat_ends, issued = Signal(), Signal(), Signal(), Signal()
        beat = Signal(spec.input_beat.layout.size, reset_less=True)  # the present number in the lowest lane
        slot = _counter(m, advance & busy, self.slots, "slot")
        lane = _counter(m, advance & term_ends, spec.lanes, "lane")
        working = Signal(LATENCY - 1)
        stages = [issued, *working]
        m.d.comb += [
            term_ends.eq(busy & (slot == self.slots - 1)),
            beat_ends.eq(term_ends & (lane == spec.lanes - 1)),
            self.i.ready.eq(advance & (~busy | beat_ends)),
            issued.eq(busy & (slot < self.unit_outputs)),
        ]
        with m.If(advance):
            m.d.sync += working.eq(Cat(stages[:-1]))
        with m.If(self.i.ready):
            m.d.sync += [busy.eq(self.i.valid), beat.eq(self.i.payload.as_value())]
        with m.Elif(advance & term_ends):
            m.d.sync += beat.eq(beat[spec.input_format.width :])
        number = Signal(spec.input_format.shape)
        m.d.comb += number.eq(beat[: spec.input_format.width])
        return narrow(m, number - _choose(spec.input_zero_point, lane), spec.difference_format), stages

    def _result(self, m: Module, build: PipelineBuilder, total: Value, unit: int, slot: Signal) -> Value:
        """The finished sum as an integer of the output format; ``slot`` counts in the stage of the clamp."""
        spec = self.spec
        bounds = [abs(bound - int(zero)) for bound in (spec.low, spec.high) for zero in spec.output_zero_point]
        rounded = datapath.float_to_integer(m, build, total, max(bounds), spec.rounding)
        zero = self._by_unit(spec.output_zero_point[np.newaxis])[:, unit]
        moved = datapath.named(m, rounded + _choose(zero, slot), "moved")
        return narrow(m, arithmetic.clamp(moved, spec.low, spec.high), spec.output_format)

    @property
    def _word(self) -> data.ArrayLayout:
        """One number for every unit."""
        return data.ArrayLayout(unsigned(32), self.units)

    def _by_unit(self, values: np.ndarray) -> np.ndarray:
        """``[rows, outputs]`` → ``[rows * unit_outputs, units]``; the last units may have outputs that nobody reads."""
        missing = self.units * self.unit_outputs - self.spec.outputs
        padded = np.pad(values, ((0, 0), (0, missing)))
        return padded.reshape(len(values), self.units, self.unit_outputs).swapaxes(1, 2).reshape(-1, self.units)

    def _constants(self, m: Module, name: str, values: np.ndarray, address: Signal, advance: Signal) -> data.View:
        """The word of float32 ``values [rows, outputs]`` that was addressed one cycle ago."""
        words = self._by_unit(values).view(np.uint32).tolist()
        m.submodules[name] = memory = Memory(shape=self._word, depth=len(words), init=words)
        m.d.comb += [(read := memory.read_port()).addr.eq(address), read.en.eq(advance)]
        return read.data


def _counter(m: Module, step: Value, count: int, name: str) -> Signal:
    """Count the cycles of ``step`` modulo ``count``."""
    value = index_signal(count, name=name)
    with m.If(step):
        m.d.sync += value.eq(Mux(value == count - 1, 0, value + 1))
    return value


def _choose(constants: np.ndarray, index: Signal) -> Value:
    """``constants[index]``; only a constant where all are equal."""
    values = constants.tolist()
    return Value.cast(Array(values)[index] if len(set(values)) > 1 else values[0])
