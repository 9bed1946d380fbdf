"""``ConstantMatrix``: the integers, the component against them, and the exact cycle of every beat."""

import dataclasses
import re

import numpy as np
import pytest
from amaranth.back import verilog
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_bench import run_component

from rtl_lib.adder_solver import solve
from rtl_lib.beat_model import trace
from rtl_lib.constant_matrix import ConstantMatrix
from rtl_lib.formats import Format
from rtl_lib.stream import Beat

U8, S8 = Format(False, 8), Format(True, 8)


def matrix(weights, bias=None, input_format=U8, **bounds) -> ConstantMatrix:
    weights = np.array(weights)
    return ConstantMatrix(weights, np.zeros(weights.shape[1], int) if bias is None else bias, input_format, **bounds)


@st.composite
def matrices(draw: st.DrawFn) -> ConstantMatrix:
    inputs, outputs = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    largest = 2 ** draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    weights = rng.integers(-largest, largest, (inputs, outputs)) * (
        rng.random((inputs, outputs)) < draw(st.floats(0, 1))
    )
    if draw(st.booleans()):
        weights[:, 0] = -abs(weights[:, 0])
    bias = rng.integers(-largest, largest, outputs) * draw(st.integers(0, 1))
    return ConstantMatrix(weights, bias, Format(draw(st.booleans()), draw(st.integers(2, 16))))


def stimulus(spec: ConstantMatrix, count: int = 12) -> np.ndarray:
    """Random vectors, and those at which the outputs are largest and smallest."""
    low, high = spec.input_format.minimum, spec.input_format.maximum
    rising = spec.weights.T > 0
    random = np.random.default_rng(0).integers(low, high + 1, (count, spec.n_inputs))
    return np.concatenate([np.where(rising, high, low), np.where(rising, low, high), random])


@settings(max_examples=200, deadline=None)
@given(matrices())
def test_compute_is_the_integer_product_and_the_bounds_are_reached(spec):
    x = stimulus(spec)
    y = spec.compute(x)
    exact = np.array(x.astype(object) @ spec.weights.astype(object) + spec.bias)
    assert y.dtype == np.int64
    assert y.tolist() == exact.tolist()
    assert list(zip(y.min(axis=0), y.max(axis=0), strict=True)) == spec.output_intervals
    assert spec.output_format == Format.containing(int(y.min()), int(y.max()))
    np.testing.assert_array_equal(spec.graph.evaluate(x), y)


@pytest.mark.parametrize("scale", [1, 2**10, 2**34])  # sums in binary32, binary64 and 64-bit integers
def test_compute_is_exact_in_every_number_type(scale):
    weights = np.random.default_rng(0).integers(-128, 128, (200, 3)) * scale + 1
    spec = matrix(weights, bias=np.array([1, -1, 0]))
    x = np.random.default_rng(1).integers(0, 256, (4, 5, 200), dtype=np.uint8)
    exact = x.astype(object) @ weights.astype(object) + spec.bias
    assert spec.compute(x).tolist() == exact.tolist()


def test_compute_refuses_what_it_cannot_do_exactly():
    with pytest.raises(OverflowError):
        matrix(np.full((4, 1), 2**55)).compute(np.zeros((1, 4), np.uint8))
    with pytest.raises(TypeError, match="x must be an array of integers, not float64"):
        matrix([[1]]).compute(np.zeros((1, 1)))
    with pytest.raises(ValueError, match=re.escape("x must have shape [..., 1], not (1, 2)")):
        matrix([[1]]).compute(np.zeros((1, 2), int))
    with pytest.raises(ValueError, match=re.escape("x must be within u8, not reach [-1, 256]")):
        matrix([[1]]).compute(np.array([[-1], [256]]))
    bounds = {"input_low": np.array([0, 3]), "input_high": np.array([9, 255])}
    with pytest.raises(ValueError, match="x must be within the bounds of every input"):
        matrix([[1], [1]], **bounds).compute(np.array([[9, 2]], np.uint8))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((2, 3)), np.zeros(3, int), U8), "weights must be integers in 2 dimension(s), not float64 (2, 3)"),
        ((np.zeros((2, 3), int), np.zeros(2, int), U8), "bias must have shape (3,), not (2,)"),
        ((np.zeros((0, 1), int), np.zeros(1, int), U8), "at least one input and one output, not shape (0, 1)"),
        ((np.zeros((1, 1), int), np.zeros(1, int), U8, np.array([-1])), "inside u8, not [-1, 255]"),
    ],
)
def test_specs_that_make_no_sense(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ConstantMatrix(*arguments)


def test_tighter_input_bounds_make_narrower_outputs():
    wide, narrow = matrix([[3], [1]]), matrix([[3], [1]], input_low=np.array([0, 0]), input_high=np.array([3, 1]))
    assert (wide.output_format, narrow.output_format) == (Format(False, 10), Format(False, 4))
    assert narrow.graph.nodes[-1].interval == (0, 10)


CASES = {
    "1x1": matrix([[93]]),
    "a wire": matrix([[4]]),
    "all zero": matrix([[0, 0]]),
    "zero with bias": matrix([[0, 1]], bias=np.array([-5, 7])),
    "negative": matrix([[-3, -1], [-5, 0]], input_format=S8),
    "bias": matrix([[7, 23, 7], [-9, 40, -9], [1, 0, 1]], bias=np.array([100, -64, 3])),
    "signed": matrix(np.random.default_rng(3).integers(-128, 128, (6, 4)), input_format=S8),
    "unsigned": matrix(np.random.default_rng(4).integers(-128, 128, (9, 3))),
    "concatenation": matrix([[1, 1], [256, -1024]]),
}


@pytest.mark.parametrize("levels_per_register", [1, 3])
@pytest.mark.parametrize("name", CASES)
def test_component_is_the_spec_under_random_stalls(name, levels_per_register):
    spec = CASES[name]
    x = stimulus(spec)
    component = spec.create(levels_per_register)
    run = run_component(component, x, len(x), source_pause=0.3, sink_pause=0.4)
    np.testing.assert_array_equal(run.outputs, spec.compute(x))


@settings(max_examples=60, deadline=None)
@given(matrices(), st.integers(1, 4))
def test_component_is_the_spec(spec, levels_per_register):
    x = stimulus(spec, count=4)
    run = run_component(spec.create(levels_per_register), x, len(x), sink_pause=0.2)
    np.testing.assert_array_equal(run.outputs, spec.compute(x))


@pytest.mark.parametrize("levels_per_register", [1, 2, 3])
@pytest.mark.parametrize("name", ["a wire", "bias", "unsigned"])
def test_latency_is_exact_and_that_of_the_model(name, levels_per_register):
    spec = CASES[name]
    component = spec.create(levels_per_register)
    latency = spec.latency(levels_per_register)
    assert latency == max(1, -(-spec.graph.depth // levels_per_register)) == component.latency
    x = stimulus(spec)
    run = run_component(component, x, len(x))
    assert run.output_cycles == [latency + k for k in range(len(x))]
    assert trace([component.beat_model()], [(0, 1), (1, 1)])[1].first_cycle == latency


def test_beats_and_sharing_of_the_solver():
    spec = CASES["bias"]
    assert (spec.input_beat, spec.output_beat) == (Beat(U8, 3), Beat(spec.output_format, 3))
    assert spec.graph == solve(spec.weights, spec.input_intervals, spec.bias)
    assert spec.graph is spec.graph


def test_a_planted_fault_in_the_graph_shows_in_the_component():
    spec = matrix([[7, 3], [5, -11]])
    node = spec.graph.nodes[0]
    broken = (dataclasses.replace(node, subtract=not node.subtract), *spec.graph.nodes[1:])
    spec.__dict__["graph"] = dataclasses.replace(spec.graph, nodes=broken)
    x = stimulus(spec)
    run = run_component(spec.create(), x, len(x))
    assert (run.outputs != spec.compute(x)).any()


def test_verilog_is_reproducible_and_has_one_register_a_bank(monkeypatch):
    monkeypatch.setenv("AMARANTH_USE_YOSYS", "builtin")

    def text() -> str:
        spec = matrix(np.random.default_rng(5).integers(-128, 128, (12, 4)))
        return verilog.convert(spec.create(2), name="dense", emit_src=False, strip_internal_attrs=True)

    first = text()
    assert first == text()
    assert "*" not in re.sub(r"/\*.*?\*/|\(\*.*?\*\)|@\*", "", first)  # no multiplier
    banks = matrix(np.random.default_rng(5).integers(-128, 128, (12, 4))).latency(2)
    assert len(re.findall(r"reg \[\d+:0\] bank_\d+_0", first)) == banks
