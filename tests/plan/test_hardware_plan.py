"""The plan: the cycles of every boundary, predicted before anything is simulated."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from pydantic import ValidationError
from specimens import quantized_networks

from dnn2fpga.errors import UserError
from dnn2fpga.graph.float import Graph
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.dense import Dense
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.post_training import Quantization, quantize
from dnn2fpga.plan import schedule
from dnn2fpga.plan.hardware_plan import HardwarePlan, plan
from dnn2fpga.plan.settings import PlanSettings
from rtl_lib.core import trace as engine
from rtl_lib.matrix.matrix_product import Engine


def chain(shape: tuple[int, ...], *layers: object) -> QuantizedGraph:
    graph = Graph.chain("net", "input", shape, list(layers))  # type: ignore[arg-type]
    x = np.random.default_rng(0).uniform(-1, 1, (4, *shape))
    return quantize(graph, calibrate(graph, x), Quantization())


def conv(name: str, channels: int, filters: int, padding: str) -> Conv2D:
    rng = np.random.default_rng(1)
    return Conv2D(name, rng.normal(size=(3, 3, channels, filters)), np.zeros(filters), padding=padding)


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_the_interval_is_the_number_of_input_pixels(padding: str) -> None:
    result = plan(chain((7, 9, 2), conv("a", 2, 3, padding), conv("b", 3, 2, padding)))
    assert [b.name for b in result.boundaries] == ["input", "a", "b"]
    assert result.interval_cycles == 63
    assert all(b.interval_cycles == 63 for b in result.boundaries)
    assert result.boundaries[0].first_cycle == 0
    assert result.boundaries[0].last_cycle == 62
    assert 62 < result.latency_cycles < 62 + 80


def test_a_vector_in_one_beat_passes_every_cycle() -> None:
    rng = np.random.default_rng(0)
    result = plan(
        chain((6,), Dense("a", rng.normal(size=(6, 4)), np.zeros(4)), Dense("b", rng.normal(size=(4, 2)), np.zeros(2)))
    )
    assert result.interval_cycles == 1


def test_pipelining_changes_the_latency_and_nothing_else() -> None:
    graph = tiny.quantized_graph()
    shallow, deep = plan(graph, PlanSettings(levels_per_register=16)), plan(graph, PlanSettings(levels_per_register=1))
    assert deep.latency_cycles > shallow.latency_cycles
    assert deep.interval_cycles == shallow.interval_cycles == 36


def test_a_flatten_has_no_boundary_of_its_own() -> None:
    layers = [b.name for b in plan(tiny.quantized_graph()).boundaries]
    assert "flat" not in layers
    assert layers == ["input", "conv", "pool", "scale", "average", "tanh", "dense"]


@settings(max_examples=40)
@given(quantized_networks(most_layers=3))
def test_plans_are_deterministic_ordered_and_survive_a_round_trip(network: tuple[QuantizedGraph, np.ndarray]) -> None:
    graph, _ = network
    result = plan(graph)
    assert plan(graph) == result
    assert HardwarePlan.model_validate_json(result.model_dump_json()) == result
    cycles = [b.first_cycle for b in result.boundaries]
    assert cycles == sorted(cycles)
    assert all(b.first_cycle <= b.last_cycle for b in result.boundaries)
    assert result.interval_cycles >= max(b.tensor.beats for b in result.boundaries)
    assert [b.index for b in result.boundaries] == list(range(len(result.boundaries)))


@pytest.mark.parametrize("layers", [["conv"], ["dense"], ["conv", "dense"]], ids="+".join)
def test_leaps_over_cycles_without_events_change_nothing(layers: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    graph = tiny.quantized_graph(Quantization(layers={name: {"numbers": "binary32"} for name in layers}))
    leaping = plan(graph)
    assert leaping.interval_cycles > 100
    monkeypatch.setattr(engine, "LONGEST_REST", 0)
    schedule._trace_of.cache_clear()
    assert plan(graph) == leaping


def test_a_fifo_of_one_beat_is_refused() -> None:
    for one in ({"fifo": 1}, {"fifos": [{"tensor": "a", "reader": "b", "beats": 1}]}):
        with pytest.raises(ValidationError, match="must be 0 \\(no FIFO\\), or at least 2"):
            PlanSettings.model_validate(one)


def test_settings_are_checked() -> None:
    for levels in (0, 17):
        with pytest.raises(ValidationError):
            PlanSettings(levels_per_register=levels)


def dense(name: str, inputs: int, outputs: int) -> Dense:
    rng = np.random.default_rng(inputs)
    return Dense(name, rng.normal(size=(inputs, outputs)), rng.normal(size=outputs))


def dense_chain() -> QuantizedGraph:
    return chain((6,), dense("a", 6, 4), dense("b", 4, 4), dense("c", 4, 2))


def described(settings: PlanSettings, graph: QuantizedGraph | None = None) -> dict[str, tuple[str, bool]]:
    """Engine and stage of every layer."""
    return {b.name: (b.engine, b.staged) for b in plan(graph or dense_chain(), settings).boundaries[1:]}


def settings_of(**options: object) -> PlanSettings:
    return PlanSettings.model_validate(options)


def test_engines_are_chosen_for_all_layers_and_for_single_ones() -> None:
    parallel, folded = ("parallel", True), ("folded", True)
    assert described(PlanSettings()) == dict.fromkeys("abc", parallel)
    everywhere = settings_of(engine="folded")
    assert described(everywhere) == dict.fromkeys("abc", folded)
    assert described(settings_of(layers={"b": {"engine": "folded"}})) == {"a": parallel, "b": folded, "c": parallel}
    mixed = settings_of(engine="folded", layers={"b": {"engine": "parallel"}})
    assert described(mixed) == {"a": folded, "b": parallel, "c": folded}


def test_options_of_a_layer_come_before_those_of_all() -> None:
    chosen = settings_of(levels_per_register=2, simd=4, layers={"b": {"levels_per_register": 5, "engine": "folded"}})
    assert chosen.options("a") == {"levels_per_register": 2, "simd": 4}
    assert chosen.options("b") == {"levels_per_register": 5, "simd": 4, "engine": Engine.FOLDED}
    assert PlanSettings().options("a") == {}


def test_levels_of_one_layer_change_its_cycles_alone() -> None:
    graph = dense_chain()
    usual, deep = (plan(graph, settings_of(layers=layers)) for layers in ({}, {"b": {"levels_per_register": 1}}))

    def cycles(result: HardwarePlan) -> list[int]:
        first = [b.first_cycle for b in result.boundaries]
        return [after - before for before, after in pairwise(first)]

    a, b, c = (after - before for before, after in zip(cycles(usual), cycles(deep), strict=True))
    assert (a, c) == (0, 0)
    assert b > 0
    assert usual.interval_cycles == deep.interval_cycles == 1


@pytest.mark.parametrize(("simd", "cycles"), [(6, 1), (3, 2), (2, 3), (1, 6)])
def test_a_folded_vector_takes_a_cycle_for_each_of_its_parts(simd: int, cycles: int) -> None:
    result = plan(chain((6,), dense("a", 6, 4)), settings_of(engine="folded", simd=simd))
    assert result.interval_cycles == cycles


def test_stages_stand_behind_every_layer_or_behind_runs() -> None:
    graph = dense_chain()
    every = plan(graph, settings_of(stages="every_layer"))
    runs = plan(graph, settings_of(stages="runs"))
    assert plan(graph) == every
    assert [b.staged for b in every.boundaries] == [False, True, True, True]
    assert [b.staged for b in runs.boundaries] == [False, False, False, True]
    # A stage needs one cycle; nothing else changes.
    assert [a.first_cycle - b.first_cycle for a, b in zip(every.boundaries, runs.boundaries, strict=True)] == [
        0,
        1,
        2,
        2,
    ]
    assert every.latency_cycles == runs.latency_cycles + 2
    assert every.interval_cycles == runs.interval_cycles == 1


def test_a_run_ends_where_a_layer_is_more_than_a_pipeline() -> None:
    folded = {"engine": "folded"}
    assert described(settings_of(stages="runs", layers={"b": folded})) == {
        "a": ("parallel", True),
        "b": ("folded", True),
        "c": ("parallel", True),
    }
    assert [staged for _, staged in described(settings_of(stages="runs", layers={"a": folded})).values()] == [
        True,
        False,
        True,
    ]
    assert [staged for _, staged in described(settings_of(stages="runs", layers={"c": folded})).values()] == [
        False,
        True,
        True,
    ]


def test_convolutions_end_runs() -> None:
    """Windows are more than a pipeline, so both layers keep their stages."""
    graph = chain((5, 5, 2), conv("a", 2, 3, "same"), conv("b", 3, 2, "valid"))
    assert [staged for _, staged in described(settings_of(stages="runs"), graph).values()] == [True, True]


def test_all_problems_of_the_settings_are_told_at_once() -> None:
    chosen = settings_of(
        engine="folded",
        layers={"a": {"simd": 7}, "b": {"pe": 5}, "d": {"simd": 1}, "e": {}, "c": {"simd": 2}},
    )
    with pytest.raises(UserError) as caught:
        plan(dense_chain(), chosen)
    assert caught.value.problems == (
        "hardware.layers: there is no layer 'd'; the layers are a, b, c",
        "hardware.layers: there is no layer 'e'; the layers are a, b, c",
        "layer 'a': simd must be 1 to 6, the inputs of an output, not 7",
        "layer 'b': pe must be 1 to 4, the number of outputs, not 5",
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"stages": "none"},
        {"engine": "systolic"},
        {"simd": 0},
        {"layers": {"a": {"engine": "none"}}},
        {"layers": {"a": {"levels_per_register": 0}}},
        {"layers": {"a": {"levels": 3}}},
        {"layers": {"a": {"stages": "runs"}}},
    ],
    ids=str,
)
def test_unknown_choices_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        settings_of(**wrong)


def test_settings_survive_a_round_trip() -> None:
    result = plan(dense_chain(), settings_of(stages="runs", layers={"b": {"engine": "folded", "simd": 2}}))
    assert HardwarePlan.model_validate_json(result.model_dump_json()) == result
