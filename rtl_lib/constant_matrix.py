"""Constant integer matrix × vector: ``y = x @ weights + bias``, one vector a cycle, without multipliers.

The weights become a graph of adders that share what they have in common (``adder_solver``), cut by registers every few adder levels
(``adder_schedule``)::

    i.payload ─ adders ─▐ bank 0 ▌─ adders ─▐ bank 1 ▌─ ... ─▐ last bank ▌─ o.payload
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from amaranth.hdl import C, Cat, Module, Value

from rtl_lib.adder_graph import AdderGraph, Interval, Node
from rtl_lib.adder_schedule import Schedule, latency, schedule
from rtl_lib.adder_solver import solve
from rtl_lib.formats import Format
from rtl_lib.pipeline import Pipeline, PipelineBuilder
from rtl_lib.stream import Beat


@dataclass(frozen=True, eq=False)
class ConstantMatrix:
    """The spec: ``y[j] = sum_k x[k] * weights[k, j] + bias[j]``, exact.

    :param weights: integers ``[inputs, outputs]``.
    :param bias: integers ``[outputs]``.
    :param input_format: of every ``x[k]``.
    :param input_low, input_high: integers ``[inputs]``, tighter bounds of each ``x[k]`` where they are known.
    """

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

    def latency(self, levels_per_register: int = 3) -> int:
        return latency(self.graph.depth, levels_per_register)

    def create(self, levels_per_register: int = 3) -> ConstantMatrixPipeline:
        return ConstantMatrixPipeline(self, levels_per_register)

    @cached_property
    def _arithmetic(self) -> tuple[np.dtype, np.ndarray, np.ndarray]:
        """The fastest number type in which every partial sum is exact, in any order, with the weights and bias in it."""
        largest = np.maximum(np.abs(self.input_low.astype(object)), np.abs(self.input_high.astype(object)))  # type: ignore[union-attr]
        bound = max((largest @ np.abs(self.weights.astype(object)) + np.abs(self.bias.astype(object))).tolist())
        for dtype, exact in ((np.float32, 1 << 24), (np.float64, 1 << 53), (np.int64, 1 << 63)):
            if bound < exact:
                return np.dtype(dtype), self.weights.astype(dtype), self.bias.astype(dtype)
        raise OverflowError(f"sums up to {bound} do not fit 64 bits")

    def compute(self, x: np.ndarray) -> np.ndarray:
        """The outputs for integer inputs, exact: floating-point BLAS is used where all sums are exact in it.

        :param x: integers ``[..., inputs]`` within the input bounds. (A type that cannot exceed the format is not searched.)
        :returns: int64 ``[..., outputs]``.
        """
        x = np.asarray(x)
        if x.dtype.kind not in "iu":
            raise TypeError(f"x must be an array of integers, not {x.dtype}")
        if x.shape[-1:] != (self.n_inputs,):
            raise ValueError(f"x must have shape [..., {self.n_inputs}], not {x.shape}")
        limits = np.iinfo(x.dtype)
        if x.size and not self.input_format.contains(int(limits.min), int(limits.max)):
            low, high = int(x.min()), int(x.max())
            if not self.input_format.contains(low, high):
                raise ValueError(f"x must be within {self.input_format}, not reach [{low}, {high}]")
        dtype, weights, bias = self._arithmetic
        y = x.reshape(-1, self.n_inputs).astype(dtype) @ weights
        y += bias
        return y.astype(np.int64).reshape(*x.shape[:-1], self.n_outputs)


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
        wires: dict[int, Value] = {k: _narrow(lane, formats[k]) for k, lane in enumerate(lanes)}
        constants = {len(lanes) + k: C(c) for k, c in enumerate(graph.constants)}
        for stage, bank in enumerate(self.schedule.banks):
            wires |= constants
            for value, node in enumerate(graph.nodes, start=graph.first_node):
                if self.schedule.stages[value] == stage:
                    wires[value] = add(node, wires, formats[value])
            wires = _register(build, bank, wires, formats, f"bank_{stage}")
        wires |= constants
        return [wires[output.value] << output.shift for output in graph.outputs]


def _register(
    build: PipelineBuilder, bank: tuple[int, ...], wires: dict[int, Value], formats: list[Format], name: str
) -> dict[int, Value]:
    """One wide register for all values of a bank, which Amaranth emits much faster than many small ones."""
    if not bank:
        return {}
    stored = build.register(Cat(_narrow(wires[value], formats[value]) for value in bank), name)
    held, offset = {}, 0
    for value in bank:
        held[value] = _narrow(stored[offset:], formats[value])
        offset += formats[value].width
    return held


def _narrow(wire: Value, form: Format) -> Value:
    """The low bits of a wire, in a format that is known to hold it."""
    bits = wire[: form.width]
    return bits.as_signed() if form.signed else bits


def add(node: Node, wires: dict[int, Value], form: Format) -> Value:
    """The hardware of one node: the carry chain starts where the operands begin to overlap."""
    left, right = wires[node.left], wires[node.right]
    if node.left_shift or not node.right_shift:
        left, right = left << node.left_shift, right << node.right_shift
        return _narrow(left - right if node.subtract else left + right, form)
    shift = node.right_shift
    if len(left) <= shift and not left.shape().signed and not node.subtract:
        return _narrow(Cat(left, C(0, shift - len(left)), right), form)
    above = left >> shift
    return _narrow(Cat(_extended(left, shift), above - right if node.subtract else above + right), form)


def _extended(wire: Value, width: int) -> Value:
    """The low ``width`` bits of a wire, after extension by its sign or by zeros."""
    missing = width - len(wire)
    if missing <= 0:
        return wire[:width]
    return Cat(wire, wire[-1].replicate(missing) if wire.shape().signed else C(0, missing))
