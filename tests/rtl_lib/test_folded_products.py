"""The products of the folded engine, one by one: of shared DSP blocks, of gated rows, of signs, and counts of bits."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Const, Module, Signal, signed
from amaranth.sim import Simulator
from folded_cases import S5, S8, U1, U7, U8

from rtl_lib.core.formats import Format
from rtl_lib.core.pipeline import PipelineBuilder
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
