"""Values of an adder graph in hardware, against their own integers, in Amaranth's simulator."""

from __future__ import annotations

import numpy as np
import pytest
from adder_problems import Problem, every_value, many_bits, problems
from amaranth.hdl import Cat, Elaboratable, Module, Signal, Value
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_lib.core.formats import Format
from rtl_lib.matrix.parallel.adder_graph import AdderGraph
from rtl_lib.matrix.parallel.adder_sums import Carry, Operand, Sum
from rtl_lib.matrix.parallel.adder_values import Constant, GraphValue, Input, Table, extended, trailing_zeros


class Wires(Elaboratable):
    """Every value of a graph, combinational, in one wide signal."""

    def __init__(self, graph: AdderGraph, formats: list[Format]) -> None:
        self.graph = graph
        self.lanes = [Signal(form.shape, name=f"lane_{k}") for k, form in enumerate(formats)]
        self.values = [Signal(value.width, name=f"value_{k}") for k, value in enumerate(graph.values)]
        self.all = Signal(sum(value.width for value in graph.values))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes: list[Value] = list(self.lanes)
        for signal, value in zip(self.values, self.graph.values, strict=True):
            wires = value.wires(lanes, self.values.__getitem__)
            assert len(wires) == value.width
            assert not wires.shape().signed
            m.d.comb += signal.eq(wires)
        m.d.comb += self.all.eq(Cat(self.values))
        return m


def simulated(graph: AdderGraph, formats: list[Format], x: np.ndarray) -> list[list[int]]:
    """``[values][inputs]``."""
    wires = Wires(graph, formats)
    results: list[list[int]] = [[] for _ in graph.values]

    async def bench(ctx):  # type: ignore[no-untyped-def]
        for row in x.tolist():
            for lane, number in zip(wires.lanes, row, strict=True):
                ctx.set(lane, number)
            bits = ctx.get(wires.all)
            for k, value in enumerate(graph.values):
                results[k].append(bits & ((1 << value.width) - 1))
                bits >>= value.width

    simulator = Simulator(wires)
    simulator.add_testbench(bench)
    simulator.run()
    return results


def check(graph: AdderGraph, formats: list[Format], x: np.ndarray) -> None:
    expected = every_value(graph, x)
    for value, got, right in zip(graph.values, simulated(graph, formats, x), expected, strict=True):
        assert got == right.tolist(), value


@settings(max_examples=100)
@given(st.one_of(problems(most_inputs=5), many_bits()), st.booleans(), st.booleans())
def test_wires_are_the_integers(problem: Problem, share: bool, same_format: bool) -> None:
    """All inputs where there are few; lanes as narrow as each interval allows, or all of one format."""
    low, high = np.array(problem.intervals).T
    common = Format.containing(int(low.min()), int(high.max()))
    formats = [common] * len(problem.intervals) if same_format else problem.formats
    check(problem.solve(share), formats, problem.inputs()[:4096])


@pytest.mark.parametrize("form", [Format(True, 4), Format(False, 4), Format(True, 7)])
@pytest.mark.parametrize("interval", [(0, 0), (3, 3), (0, 7), (0, 1), (5, 6)])
def test_inputs(form: Format, interval: tuple[int, int]) -> None:
    x = np.arange(interval[0], interval[1] + 1)[:, None]
    check(AdderGraph(1, (Input(0, *interval),), ()), [form], x)


@pytest.mark.parametrize("interval", [(-5, -5), (-1, -1), (-1, 0), (-8, 7), (-3, 1), (-1, 6)])
def test_signed_inputs(interval: tuple[int, int]) -> None:
    x = np.arange(interval[0], interval[1] + 1)[:, None]
    for width in (4, 6):
        check(AdderGraph(1, (Input(0, *interval),), ()), [Format(True, width)], x)


PLACES = np.array([(a, b, c) for a in range(16) for b in range(16) for c in range(4)])
LANES: tuple[GraphValue, ...] = (Input(0, 0, 15), Input(1, 0, 15), Input(2, 0, 3))
FORMATS = [Format(False, 4), Format(False, 4), Format(False, 2)]


@st.composite
def sums(draw: st.DrawFn) -> tuple[Constant, Sum]:
    """Any sum of two 4-bit inputs, or of a constant (value 3) and one, that keeps the rules."""
    number = draw(st.integers(0, 255))
    constant = draw(st.booleans())
    shift = st.integers(0, 6)
    left = Operand(3, number, draw(shift)) if constant else Operand(0, _upper(draw), draw(shift))
    right = Operand(1, _upper(draw), draw(shift), draw(st.booleans()))
    overlap = left.places & right.places
    # Without an overlap a carry may enter at any place: it is a third summand then.
    lowest = trailing_zeros(overlap) if overlap else draw(st.integers(0, 10))
    carry = Carry(2, draw(st.integers(0, 1)), draw(st.integers(0, lowest))) if draw(st.booleans()) else None
    most = left.places + right.places + (1 << carry.place if carry else 0)
    width = draw(st.integers(0, most.bit_length() + 1))
    return Constant(number), Sum(left, right, carry, constant, False, (0, (1 << width) - 1), width)


def _upper(draw: st.DrawFn) -> int:
    """The bits of a 4-bit value, from some place on."""
    return 15 >> (taken := draw(st.integers(0, 3))) << taken


@settings(max_examples=150)
@given(sums())
def test_any_sum(parts: tuple[Constant, Sum]) -> None:
    """Carries, inversions, constants with holes, bits that are missing, and sums that are cut."""
    constant, value = parts
    check(AdderGraph(3, (*LANES, constant, value), ()), FORMATS, PLACES[:: 3 if value.carry is None else 1])


@pytest.mark.parametrize("weights", [(1,), (-3,), (3, -5, 7), (1, 1, 1, 1, 1, 1), (-1, -2, -4, -8, -16, -32)])
def test_tables(weights: tuple[int, ...]) -> None:
    x = np.array([[n >> k & 1 for k in range(6)] for n in range(64)])
    lanes = tuple((5 - k, weight) for k, weight in enumerate(weights))
    for form in (Format(False, 1), Format(True, 3)):
        check(AdderGraph(6, (Table.of(lanes),), ()), [form] * 6, x)


@pytest.mark.parametrize("width", [0, 1, 3, 6])
@pytest.mark.parametrize(("form", "number"), [(Format(True, 3), -3), (Format(False, 3), 5)])
def test_extension(form: Format, number: int, width: int) -> None:
    m = Module()
    wires = extended(Signal(form.shape, init=number), width)
    assert len(wires) == width
    result = Signal(8)
    m.d.comb += result.eq(wires)

    async def bench(ctx):  # type: ignore[no-untyped-def]
        assert ctx.get(result) == number & ((1 << width) - 1)

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
