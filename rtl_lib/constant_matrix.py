"""Constant integer matrix × vector: ``y = x @ weights + bias``, one vector a cycle, without multipliers.

The weights become a graph of adders that share what they have in common (``adder_solver``), cut by registers every few
adder levels (``adder_schedule``)::

    i.payload ─ adders ─▐ bank 0 ▌─ adders ─▐ bank 1 ▌─ ... ─▐ last bank ▌─ o.payload
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from amaranth.hdl import C, Cat, Module, Signal, Value

from rtl_lib.adder_graph import AdderGraph, Interval, Node
from rtl_lib.adder_schedule import Schedule, latency, schedule
from rtl_lib.adder_solver import solve
from rtl_lib.exact_product import exact_product
from rtl_lib.formats import Format
from rtl_lib.pipeline import Pipeline, PipelineBuilder
from rtl_lib.stream import Beat

# The values in one wide register: Amaranth's netlists take at most 2^16 bits a signal.
BANK_VALUES = 512


@dataclass(frozen=True, eq=False)
class ConstantMatrix:
    """The spec: ``y[j] = sum_k x[k] * weights[k, j] + bias[j]``, exact.

    :param weights: integers ``[inputs, outputs]``.
    :param bias: integers ``[outputs]``.
    :param input_format: of every ``x[k]``.
    :param input_low, input_high: integers ``[inputs]``, tighter bounds of each ``x[k]`` where they are known.
    """

    create_options: ClassVar[tuple[str, ...]] = ("levels_per_register",)

    weights: np.ndarray
    bias: np.ndarray
    input_format: Format
    input_low: np.ndarray | None = None
    input_high: np.ndarray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", _integers("weights", self.weights, 2))
        object.__setattr__(self, "bias", _integers("bias", self.bias, 1))
        inputs, outputs = self.weights.shape
        if inputs < 1 or outputs < 1:
            raise ValueError(f"weights must have at least one input and one output, not shape {self.weights.shape}")
        if self.bias.shape != (outputs,):
            raise ValueError(f"bias must have shape {(outputs,)}, not {self.bias.shape}")
        for name, default in (("input_low", self.input_format.minimum), ("input_high", self.input_format.maximum)):
            bound = getattr(self, name)
            bound = np.full(inputs, default) if bound is None else _integers(name, bound, 1)
            if bound.shape != (inputs,):
                raise ValueError(f"{name} must have shape {(inputs,)}, not {bound.shape}")
            object.__setattr__(self, name, bound)
        for low, high in self.input_intervals:
            if not (low <= high and self.input_format.contains(low, high)):
                raise ValueError(f"input bounds must be an interval inside {self.input_format}, not [{low}, {high}]")

    @property
    def n_inputs(self) -> int:
        return self.weights.shape[0]

    @property
    def n_outputs(self) -> int:
        return self.weights.shape[1]

    @cached_property
    def input_intervals(self) -> list[Interval]:
        return list(zip(self.input_low.tolist(), self.input_high.tolist(), strict=True))  # type: ignore[union-attr]

    @cached_property
    def output_intervals(self) -> list[Interval]:
        """The exact interval of every output, from the weights themselves."""
        # Python integers, because the bounds themselves may not wrap.
        low, high = np.asarray(self.input_low).astype(object), np.asarray(self.input_high).astype(object)
        positive, negative = np.maximum(self.weights, 0).astype(object), np.minimum(self.weights, 0).astype(object)
        lows = low @ positive + high @ negative + self.bias.astype(object)
        highs = high @ positive + low @ negative + self.bias.astype(object)
        return list(zip(lows.tolist(), highs.tolist(), strict=True))

    @cached_property
    def output_format(self) -> Format:
        """The narrowest format that holds every output."""
        return Format.containing(min(low for low, _ in self.output_intervals), max(h for _, h in self.output_intervals))

    @property
    def input_beat(self) -> Beat:
        return Beat(self.input_format, self.n_inputs)

    @property
    def output_beat(self) -> Beat:
        return Beat(self.output_format, self.n_outputs)

    @cached_property
    def graph(self) -> AdderGraph:
        """The adders. Solved at first use: software only needs ``compute``."""
        return solve(self.weights, self.input_intervals, self.bias)

    @property
    def luts(self) -> int:
        """Predicted: one for each bit of a carry chain."""
        return self.graph.adder_bits

    def latency(self, levels_per_register: int = 3) -> int:
        return latency(self.graph.depth, levels_per_register)

    def create(self, levels_per_register: int = 3) -> ConstantMatrixPipeline:
        return ConstantMatrixPipeline(self, levels_per_register)

    def compute(self, x: np.ndarray) -> np.ndarray:
        """The outputs for integer inputs, exact: floating-point BLAS is used where all sums are exact in it.

        :param x: integers ``[..., inputs]`` within the input bounds.
        :returns: int64 ``[..., outputs]``.
        """
        if x.dtype.kind not in "iu":
            raise TypeError(f"x must be an array of integers, not {x.dtype}")
        if x.shape[-1:] != (self.n_inputs,):
            raise ValueError(f"x must have shape [..., {self.n_inputs}], not {x.shape}")
        self._check_range(x)
        y = exact_product(x.reshape(-1, self.n_inputs), self.weights, self.bias, self.input_format)
        return y.reshape(*x.shape[:-1], self.n_outputs)

    def _check_range(self, x: np.ndarray) -> None:
        """Refuses numbers that the hardware has no bits for; a type that cannot exceed the format is not searched."""
        limits, form = np.iinfo(x.dtype), self.input_format
        if x.size and not form.contains(int(limits.min), int(limits.max)):
            low, high = int(x.min()), int(x.max())
            if not form.contains(low, high):
                raise ValueError(f"x must be within {form}, not reach [{low}, {high}]")
        if {*self.input_intervals} != {(form.minimum, form.maximum)} and (
            (x < self.input_low).any() or (x > self.input_high).any()
        ):
            raise ValueError("x must be within the bounds of every input")


def _integers(name: str, array: np.ndarray, dimensions: int) -> np.ndarray:
    array = np.asarray(array)
    if array.dtype.kind not in "iu" or array.ndim != dimensions:
        raise ValueError(f"{name} must be integers in {dimensions} dimension(s), not {array.dtype} {array.shape}")
    return array.astype(np.int64)


class ConstantMatrixPipeline(Pipeline):
    """The hardware of a ``ConstantMatrix``."""

    def __init__(self, spec: ConstantMatrix, levels_per_register: int) -> None:
        self.spec = spec
        self.schedule: Schedule = schedule(spec.graph, levels_per_register)
        super().__init__(spec.input_beat, spec.output_beat, spec.latency(levels_per_register))

    def datapath(self, m: Module, build: PipelineBuilder, lanes: list[Value]) -> list[Value]:
        graph, formats = self.spec.graph, self.spec.graph.formats()
        constants = {len(lanes) + k: _narrow(C(c), formats[len(lanes) + k]) for k, c in enumerate(graph.constants)}
        wires = constants | {k: _narrow(lane, formats[k]) for k, lane in enumerate(lanes)}
        members: list[list[int]] = [[] for _ in self.schedule.banks]
        for value in range(graph.first_node, len(formats)):
            members[self.schedule.stages[value]].append(value)
        for stage, bank in enumerate(self.schedule.banks):
            for value in members[stage]:
                # A wire of its own: an expression with several readers would be written out for each of them.
                wires[value] = Signal(formats[value].shape, name=f"sum_{value}")
                m.d.comb += wires[value].eq(_add(graph.nodes[value - graph.first_node], wires))
            wires = constants | _register(build, bank, wires, formats, f"bank_{stage}")
        return [wires[output.value].shift_left(output.shift) for output in graph.outputs]


def _register(
    build: PipelineBuilder, bank: tuple[int, ...], wires: dict[int, Value], formats: list[Format], name: str
) -> dict[int, Value]:
    """The values of a bank, one cycle later. Amaranth emits few wide registers faster than many narrow ones."""
    held: dict[int, Value] = {}
    for first in range(0, len(bank), BANK_VALUES):
        values = bank[first : first + BANK_VALUES]
        stored = build.register(Cat(wires[value] for value in values), f"{name}_{first // BANK_VALUES}")
        offset = 0
        for value in values:
            bits = stored[offset : offset + formats[value].width]
            held[value] = bits.as_signed() if formats[value].signed else bits
            offset += len(bits)
    return held


def _narrow(wire: Value, form: Format) -> Value:
    """The low bits of a wire, in a format that is known to hold it."""
    bits = _extended(wire, form.width)
    return bits.as_signed() if form.signed else bits


def _extended(wire: Value, width: int) -> Value:
    """The low ``width`` bits of a wire, after extension by its sign or by zeros."""
    missing = width - len(wire)
    if missing <= 0:
        return wire[:width]
    return Cat(wire, wire[-1].replicate(missing) if wire.shape().signed else C(0, missing))


def _add(node: Node, wires: dict[int, Value]) -> Value:
    """The sum of a node: the carry chain starts where the operands begin to overlap."""
    left, right = wires[node.left], wires[node.right]
    if node.left_shift or not node.right_shift:
        left = left.shift_left(node.left_shift)
        return left - right if node.subtract else left + right
    shift = node.right_shift
    below, above = _extended(left, shift), left.shift_right(shift)
    if len(left) <= shift and not left.shape().signed:
        above = -right if node.subtract else right
    else:
        above = above - right if node.subtract else above + right
    joined = Cat(below, above)
    return joined.as_signed() if above.shape().signed else joined
