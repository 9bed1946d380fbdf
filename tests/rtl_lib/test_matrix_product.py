"""``MatrixProduct`` on both engines: the component is the spec, under any stalls, in the cycles of its timing
models.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pytest
from adder_problems import Problem, many_bits, problems
from amaranth.back import verilog
from contract import check_cycles, check_operator
from hypothesis import given, settings
from hypothesis import strategies as st
from small_products import PER_LANE, S5, S8, product
from stream_bench import run_component

from rtl_lib.core.arithmetic import Overflow, Rounding
from rtl_lib.core.formats import Format
from rtl_lib.core.stream import Beat
from rtl_lib.core.trace import trace_chain
from rtl_lib.elementwise.epilogue import Finish
from rtl_lib.elementwise.requantize import Line, Requantize
from rtl_lib.matrix.constant_matrix import ConstantMatrix
from rtl_lib.matrix.matrix_product import Engine, MatrixProduct
from rtl_lib.matrix.parallel.adder_sums import Sum
from rtl_lib.matrix.parallel.adder_values import Constant
from rtl_lib.matrix.parallel.engine import ParallelEngine

U8 = Format(False, 8)


@st.composite
def requantized(draw: st.DrawFn, problem: Problem) -> tuple[MatrixProduct, np.ndarray]:
    """The matrix of a problem with any requantization, and frames of one vector each for it."""
    low, high = np.array(problem.intervals).T
    form = Format.containing(int(low.min()), int(high.max()))
    outputs = problem.weights.shape[1]
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    powers = 1 << rng.integers(0, 8, outputs)
    multipliers = {
        "wires": powers,
        "any": rng.integers(-100, 100, outputs),
        "negative": -rng.integers(1, 1000, outputs),
        "positive": rng.integers(1, 1000, outputs),
        "some zero": powers * rng.integers(0, 2, outputs),
    }
    result = Format(draw(st.booleans()), draw(st.integers(1, 12)))
    rounding, overflow = draw(st.sampled_from(Rounding)), draw(st.sampled_from(Overflow))
    lows: Any = result.minimum
    highs: Any = result.maximum
    if overflow is Overflow.WRAP:
        if draw(st.booleans()):  # a narrower range of bits for each
            lows = result.minimum >> (cut := rng.integers(0, result.width, outputs))
            highs = result.maximum >> cut
    elif draw(st.booleans()):
        lows, highs = np.sort(rng.integers(result.minimum, result.maximum + 1, (2, outputs)), axis=0)
    spec = product(
        problem.weights,
        form,
        bias=problem.bias,
        multiplier=multipliers[draw(st.sampled_from(sorted(multipliers)))],
        shift=rng.integers(0, draw(st.sampled_from([1, 8, 24])), outputs),
        offset=rng.integers(-1 << (most := draw(st.integers(0, 20))), 1 << most, outputs),
        output_format=result,
        low=lows,
        high=highs,
        rounding=rounding,
        overflow=overflow,
        input_low=low,
        input_high=high,
    )
    return spec, problem.inputs(8)[:40, None, :]


SPECS = st.one_of(problems(most_inputs=5), many_bits()).flatmap(requantized)


@settings(max_examples=150)
@given(SPECS)
def test_the_graph_and_its_finish_are_the_spec(case: tuple[MatrixProduct, np.ndarray]) -> None:
    spec, x = case
    engine = spec.parallel
    sums = engine.graph.evaluate(x[:, 0])
    for k, (output, finish) in enumerate(zip(engine.graph.outputs, engine.finishes, strict=True)):
        assert output.interval[0] <= sums[:, k].min() <= sums[:, k].max() <= output.interval[1]
        plain = Requantize(
            Format.containing(*output.interval),
            spec.requantize.output_format,
            np.array([1]),
            np.array([finish.shift]),
            np.array([0]),
            finish.low,
            finish.high,
            finish.rounding,
            finish.overflow,
        )
        assert plain.compute(sums[:, k : k + 1]).tolist() == spec.compute(x)[:, 0, k : k + 1].tolist()


@settings(max_examples=60)
@given(SPECS, st.integers(1, 5), st.sampled_from([(0.0, 0.0), (0.3, 0.0), (0.0, 0.4), (0.3, 0.3)]))
def test_the_parallel_component_is_the_spec(
    case: tuple[MatrixProduct, np.ndarray], levels_per_register: int, pauses: tuple[float, float]
) -> None:
    spec, x = case
    component = spec.create(levels_per_register=levels_per_register)
    run = run_component(component, x[:, 0], len(x), source_pause=pauses[0], sink_pause=pauses[1])
    assert run.outputs.tolist() == spec.compute(x)[:, 0].tolist()


@settings(max_examples=30)
@given(problems(most_inputs=6).flatmap(requantized), st.data())
def test_any_engine_lanes_and_simd_are_the_spec(case: tuple[MatrixProduct, np.ndarray], data: st.DataObject) -> None:
    whole, x = case
    inputs = whole.matrix.n_inputs
    divisors = st.sampled_from([k for k in range(1, inputs + 1) if inputs % k == 0])
    spec = dataclasses.replace(whole, lanes=data.draw(divisors))
    options = {"engine": data.draw(st.sampled_from(Engine)), "simd": data.draw(st.integers(1, inputs))}
    options |= {"pe": data.draw(st.integers(1, whole.matrix.n_outputs)), "levels_per_register": 2}
    beats = inputs // spec.lanes
    stalls = data.draw(st.sampled_from([0.0, 0.3]))
    component = spec.create(**spec.known(options))
    run = run_component(component, x.reshape(-1, spec.lanes), len(x), source_pause=stalls, sink_pause=stalls)
    expected = whole.compute(x)
    assert spec.compute(x.reshape(len(x), beats, spec.lanes)).tolist() == expected.tolist()
    assert run.outputs.tolist() == expected[:, 0].tolist()
    if not stalls:
        check_cycles(component, beats, 1, run)


RNG = np.random.default_rng(3)
CASES = {
    "1x1": product([[9]]),
    "a wire": product([[4]]),
    "all zero": product([[0, 0]]),
    "zero with bias": product([[0, 1]], bias=[-5, 7]),
    "negative": product([[-3, -1], [-5, 0]]),
    "bias": product([[7, 23, 7], [-9, 40, -9], [1, 0, 1]], bias=[100, -64, 3], shift=2),
    "signed": product(RNG.integers(-128, 128, (6, 4)), S8, **PER_LANE),
    "unsigned": product(RNG.integers(-128, 128, (9, 3)), U8, shift=9),
    "bits": product(RNG.integers(-9, 9, (14, 3)), Format(False, 1)),
    "concatenation": product([[1, 1], [16, -32]], Format(False, 4), output_format=Format(True, 10)),
}


@pytest.mark.parametrize("levels_per_register", [1, 2, 3, 5])
@pytest.mark.parametrize("name", CASES)
def test_parallel_under_the_contract(name: str, levels_per_register: int) -> None:
    check_operator(CASES[name], 1, levels_per_register=levels_per_register)


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("engine", [{"engine": Engine.PARALLEL}, *({"engine": Engine.FOLDED, "pe": k} for k in (3, 4))])
def test_rounding_and_overflow_of_both_engines(engine: dict[str, Any], overflow: Overflow, rounding: Rounding) -> None:
    options = {**PER_LANE, "rounding": rounding, "overflow": overflow}
    if overflow is Overflow.WRAP:
        options |= {"low": np.array([-32, 0, -4, -8]), "high": np.array([31, 31, 3, 7])}
    spec = product(RNG.integers(-16, 16, (4, 4)), bias=[1, 2, -3, 4], **options)
    check_operator(spec, 1, **engine)


TWELVE = product(RNG.integers(-16, 16, (12, 3)), bias=[1, -20, 3], shift=4)


@pytest.mark.parametrize(
    ("lanes", "options"),
    [
        (12, {"engine": Engine.FOLDED}),
        (12, {"engine": Engine.FOLDED, "simd": 3}),
        (12, {"engine": Engine.FOLDED, "simd": 1}),
        (4, {}),  # folded, a beat a cycle
        (4, {"simd": 2}),
        (4, {"simd": 6}),  # through beats of 2
        (4, {"simd": 12}),
        (4, {"simd": 5}),  # not a divisor, so gathered whole
        (4, {"pe": 2}),  # replayed
        (12, {"engine": Engine.FOLDED, "pe": 1, "simd": 1}),
        (4, {"engine": Engine.PARALLEL}),
        (1, {"engine": Engine.PARALLEL, "levels_per_register": 1}),
    ],
)
def test_engines_and_folding_under_the_contract(lanes: int, options: dict[str, Any]) -> None:
    check_operator(dataclasses.replace(TWELVE, lanes=lanes), 12 // lanes, **options)


def test_several_vectors_in_a_frame() -> None:
    check_operator(TWELVE, 5)
    check_operator(dataclasses.replace(TWELVE, lanes=4), 6)


def stimulus(spec: MatrixProduct, count: int = 12) -> np.ndarray:
    """Random vectors, and those at which the sums are largest and smallest."""
    low, high = spec.matrix.input_format.minimum, spec.matrix.input_format.maximum
    rising = spec.matrix.weights.T > 0
    anything = np.random.default_rng(0).integers(low, high + 1, (count, spec.matrix.n_inputs))
    return np.concatenate([np.where(rising, high, low), np.where(rising, low, high), anything])


@pytest.mark.parametrize("levels_per_register", [1, 2, 3, 5])
@pytest.mark.parametrize("name", ["a wire", "all zero", "bias", "unsigned", "bits"])
def test_latency_is_exact_and_that_of_the_model(name: str, levels_per_register: int) -> None:
    spec = CASES[name]
    component = spec.create(levels_per_register=levels_per_register)
    latency = spec.parallel.latency(levels_per_register)
    assert latency == -(-(spec.parallel.graph.depth + 1) // levels_per_register)
    x = stimulus(spec)
    run = run_component(component, x, len(x))
    assert run.output_cycles == [latency + k for k in range(len(x))]
    models = [part.beat_model() for _, part in component.components("part")]
    assert trace_chain(models, [(0, 1), (len(models), 1)])[1].first_cycle == latency


def test_defaults_and_predictions() -> None:
    narrow = dataclasses.replace(TWELVE, lanes=4)
    assert (TWELVE.default_engine, narrow.default_engine) == (Engine.PARALLEL, Engine.FOLDED)
    assert (TWELVE.input_beat, narrow.input_beat) == (Beat(S5, 12), Beat(S5, 4))
    assert TWELVE.output_beat == narrow.output_beat == Beat(S8, 3)
    assert TWELVE.parallel is TWELVE.parallel
    assert TWELVE.luts == TWELVE.parallel.graph.luts + 24
    assert narrow.luts == narrow.matrix.output_beat.layout.size + narrow.requantize.luts
    names = [[name for name, _ in spec.create().components("x")] for spec in (TWELVE, narrow)]
    assert names == [["parallel"], ["folded", "requantize"]]
    assert [name for name, _ in narrow.create(simd=6).components("x")] == [
        "repack_0",
        "repack_1",
        "folded",
        "requantize",
    ]


def test_only_pipelines_are_pipelines() -> None:
    assert [part.is_pipeline for _, part in TWELVE.create().components("x")] == [True]
    assert [part.is_pipeline for _, part in TWELVE.create(Engine.FOLDED, simd=4).components("x")] == [False, True]


def test_the_constant_takes_everything_in() -> None:
    """Rounding by a half, bias and offset cost no adder of their own before the one constant."""
    plain = product(np.ones((4, 1), int), Format(False, 8), shift=3, rounding=Rounding.FLOOR)
    rounded = product(np.ones((4, 1), int), Format(False, 8), shift=3, bias=17, offset=2)
    assert [spec.parallel.graph.depth for spec in (plain, rounded)] == [2, 3]
    assert rounded.parallel.graph.luts == plain.parallel.graph.luts
    assert sum(isinstance(value, Sum) for value in rounded.parallel.graph.values) == 4


def test_a_finish_has_as_little_in_it_as_possible() -> None:
    floor, up, even = Rounding.FLOOR, Rounding.HALF_UP, Rounding.HALF_EVEN

    def of(multiplier: int, shift: int, offset: int, rounding: Rounding) -> tuple[int, int, int, Rounding]:
        line = Line(multiplier, offset)
        finish = Finish.of((line, line), shift, -8, 7, rounding, Overflow.SATURATE)
        assert finish.below is None
        return finish.multiplier, finish.offset, finish.shift, finish.rounding

    assert of(1, 3, 5, floor) == (1, 5, 3, floor)
    assert of(1, 3, 5, up) == (1, 9, 3, floor)
    assert of(8, 3, 5, up) == (1, 1, 0, floor)
    assert of(-12, 3, 5, up) == (-3, 2, 1, floor)
    assert of(8, 3, 5, even) == (8, 5, 3, even)
    assert of(0, 3, 5, up) == (0, 9, 3, floor)


@pytest.mark.parametrize("fault", ["inversion", "carry", "constant", "finish"])
def test_a_planted_fault_shows_in_the_component(fault: str) -> None:
    spec = product([[7, 3], [5, -11], [9, -6]], bias=[20, -5], output_format=Format(True, 12))
    graph, x = spec.parallel.graph, stimulus(spec)
    values: list[Any] = list(graph.values)
    sums = [k for k, value in enumerate(values) if isinstance(value, Sum)]
    if fault == "inversion":
        value = values[sums[0]]
        values[sums[0]] = dataclasses.replace(value, right=value.right._replace(inverted=not value.right.inverted))
    elif fault == "carry":
        k = next(k for k in sums if values[k].carry)
        values[k] = dataclasses.replace(values[k], carry=None, constant_carry=False)
    elif fault == "constant":
        k = next(k for k, value in enumerate(values) if isinstance(value, Constant) and value.number > 1)
        values[k] = Constant(values[k].bits ^ (values[k].bits & -values[k].bits))
    else:
        first, *rest = spec.parallel.finishes
        spec.parallel.__dict__["finishes"] = [dataclasses.replace(first, high=first.high >> 4), *rest]
    spec.parallel.__dict__["graph"] = dataclasses.replace(graph, values=tuple(values))
    run = run_component(spec.create(), x, len(x))
    assert (run.outputs != spec.compute(x[:, None])[:, 0]).any()


def test_verilog_is_reproducible_and_has_no_multiplier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMARANTH_USE_YOSYS", "builtin")
    weights = np.random.default_rng(5).integers(-128, 128, (12, 4))

    def spec() -> MatrixProduct:
        return product(weights, multiplier=[3, 5, -100, 1], shift=9, rounding=Rounding.HALF_EVEN)

    def text(**options: Any) -> str:
        component = spec().create(**options)
        written = verilog.convert(component, name="dense", emit_src=False, strip_internal_attrs=True)
        return re.sub(r"/\*.*?\*/|\(\*.*?\*\)|@\*", "", written)

    first = text(levels_per_register=2)
    assert first == text(levels_per_register=2)
    assert "*" not in first
    banks = spec().parallel.latency(2) - 1  # the last one holds results
    assert banks > 1
    assert len({int(k) for k in re.findall(r"reg \[\d+:0\] bank_(\d+)_0", first)}) == banks
    assert "*" in text(engine=Engine.FOLDED)


def test_a_bank_is_split_before_it_is_too_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    from rtl_lib.matrix.parallel import engine as parallel_engine

    monkeypatch.setattr(parallel_engine, "BANK_VALUES", 3)
    check_operator(CASES["signed"], 1, levels_per_register=1)


def test_specs_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="lanes must divide the 12 inputs, not 5"):
        dataclasses.replace(TWELVE, lanes=5)
    with pytest.raises(ValueError, match="requantize must take "):
        dataclasses.replace(TWELVE, matrix=ConstantMatrix(TWELVE.matrix.weights * 100, TWELVE.matrix.bias, S5))
    for engine in Engine:
        with pytest.raises(ValueError, match=r"^levels_per_register must be at least 1, not 0$"):
            TWELVE.create(engine, levels_per_register=0)
    with pytest.raises(ValueError, match="levels_per_register must be at least 1, not -1"):
        ParallelEngine(TWELVE.matrix, TWELVE.requantize).latency(-1)


def test_inputs_are_checked() -> None:
    with pytest.raises(ValueError, match="x must be within s5"):
        TWELVE.compute(np.full((1, 1, 12), 16))
