"""The plan: the cycles of every boundary, predicted before anything is simulated."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from pydantic import ValidationError
from specimens import quantized_networks

from dnn2fpga.graph import Graph
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.dense import Dense
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.post_training import Quantization, quantize
from dnn2fpga.plan.hardware_plan import HardwarePlan, PlanSettings, plan
from dnn2fpga.quantized_graph import QuantizedGraph
from rtl_lib import beat_model


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
    assert [b.layer for b in result.boundaries] == ["input", "a", "b"]
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
    layers = [b.layer for b in plan(tiny.quantized_graph()).boundaries]
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
    monkeypatch.setattr(beat_model, "_leap", lambda *_: 0)
    assert plan(graph) == leaping


def test_settings_are_checked() -> None:
    for levels in (0, 17):
        with pytest.raises(ValidationError):
            PlanSettings(levels_per_register=levels)
