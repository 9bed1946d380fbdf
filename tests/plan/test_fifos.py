"""FIFOs as small as the throughput allows."""

from __future__ import annotations

from functools import lru_cache

import pytest
from small_networks import network

from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.plan.fifos import best_interval, fifo_depths, with_fifos
from dnn2fpga.plan.hardware_plan import plan
from dnn2fpga.plan.schedule import Schedule
from dnn2fpga.plan.settings import PlanSettings
from rtl_lib.streams.fifo_depths import LEAST

# A pooling layer brings its pixels in bursts, to a layer that is folded for their average rate.
FOLDED = {"conv_0": {"engine": "folded", "pe": 2, "simd": 9}, "conv_2": {"engine": "folded", "pe": 1, "simd": 6}}
SETTINGS = {
    "folded for the average rate": {"layers": FOLDED},
    "all folded alike": {"engine": "folded", "pe": 1, "simd": 6},
    "two pixels per beat": {"layers": FOLDED, "pixels": 2},
    "no stages in runs": {"layers": FOLDED, "stages": "runs"},
}


@lru_cache
def cnn() -> QuantizedGraph:
    return network((12, 12, 1), [4, "pool", 6, "pool", "flat", 5])


def settings(name: str, **more: object) -> PlanSettings:
    return PlanSettings.model_validate({**SETTINGS[name], **more})


@pytest.mark.parametrize("name", SETTINGS)
def test_the_slowest_layer_alone_sets_the_interval(name: str) -> None:
    chosen = with_fifos(Schedule(cnn(), settings(name)))
    schedule = Schedule(cnn(), chosen)
    reached = plan(cnn(), chosen).interval_cycles
    assert reached == best_interval(schedule)
    slowest = max(schedule.alone.values())
    assert slowest <= reached <= slowest + 1  # (at first they wait for each other)


@pytest.mark.parametrize("name", SETTINGS)
def test_one_beat_less_anywhere_costs_throughput(name: str) -> None:
    depths = fifo_depths(Schedule(cnn(), settings(name)))
    chosen = with_fifos(Schedule(cnn(), settings(name)))
    interval = plan(cnn(), chosen).interval_cycles
    for (layer, _, _), depth in depths.items():
        assert depth >= LEAST
        fewer = depth - 1 if depth > LEAST else 0
        layers = {**chosen.layers, layer: chosen.layers[layer].model_copy(update={"fifo": fewer})}
        assert plan(cnn(), chosen.model_copy(update={"layers": layers})).interval_cycles > interval, layer


def test_some_of_them_are_needed() -> None:
    assert fifo_depths(Schedule(cnn(), settings("folded for the average rate")))


def test_where_nothing_waits_there_are_none() -> None:
    """Parallel engines take what comes."""
    assert fifo_depths(Schedule(cnn(), PlanSettings())) == {}


def test_what_is_given_stays() -> None:
    given = settings("folded for the average rate", fifo=0)
    assert fifo_depths(Schedule(cnn(), given)) == {}
    own = {"conv_0": {**FOLDED["conv_0"], "fifo": 9}, "conv_2": FOLDED["conv_2"]}
    chosen = with_fifos(Schedule(cnn(), PlanSettings.model_validate({"layers": own})))
    assert chosen.layers["conv_0"].fifo == 9
    assert plan(cnn(), chosen).interval_cycles == best_interval(Schedule(cnn(), chosen))


def test_a_fifo_that_is_too_short_costs_throughput() -> None:
    short, calculated = (
        plan(cnn(), one).interval_cycles
        for one in (
            settings("folded for the average rate", fifo=0),
            with_fifos(Schedule(cnn(), settings("folded for the average rate"))),
        )
    )
    assert short > calculated
