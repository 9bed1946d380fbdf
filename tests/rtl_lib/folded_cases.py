"""Matrix products and foldings for the tests of the folded engine, and loops in exact fractions as their oracle."""

from __future__ import annotations

import dataclasses
import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import strategies as st
from small_products import product

from rtl_lib.core.arithmetic import Overflow, Rounding
from rtl_lib.core.formats import Format
from rtl_lib.matrix.constant_matrix import ConstantMatrix
from rtl_lib.matrix.folded.folding import Folding
from rtl_lib.matrix.folded.multipliers import Multiplier
from rtl_lib.matrix.folded.sums import FoldedSums, WeightMemory
from rtl_lib.matrix.matrix_product import Engine, MatrixProduct

U1, U7, U8, S5, S8 = Format(False, 1), Format(False, 7), Format(False, 8), Format(True, 5), Format(True, 8)
FOLDED = {"engine": Engine.FOLDED}


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
