"""The folded engine: any folding of any product produces the integers of loops in exact fractions, in the cycles of the
timing models.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from contract import check_cycles, check_operator
from folded_cases import FOLDED, S5, S8, SIX_BY_FIVE, U8, cases, oracle, sums, vectors_for
from hypothesis import given, settings
from hypothesis import strategies as st
from small_products import PER_LANE, product
from stream_bench import run_component
from test_timing_models_under_stalls import PATTERNS, first_difference

from rtl_lib.core.arithmetic import Rounding
from rtl_lib.core.formats import Format
from rtl_lib.core.trace import trace_chain
from rtl_lib.matrix.constant_matrix import ConstantMatrix
from rtl_lib.matrix.folded.multipliers import Multiplier
from rtl_lib.matrix.folded.sums import WeightMemory
from rtl_lib.matrix.matrix_product import MatrixProduct


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


def test_what_is_added_after_the_sum_is_added_before_it() -> None:
    """So the sums are wider than the matrix says, where the offset is large."""
    spec = product([[3], [-4]], S5, offset=5000, shift=3, rounding=Rounding.FLOOR, output_format=Format(True, 12))
    check_operator(spec, 1, **FOLDED)
    (_, folded), (_, finish) = spec.create(**FOLDED).components("part")
    assert folded.output_beat.format.width > spec.matrix.output_format.width
    assert finish.input_beat == folded.output_beat
