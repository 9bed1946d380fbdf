"""Rate matching: what the planner chooses meets the goal, costs the least, and leaves alone what was given."""

from __future__ import annotations

import itertools
import re
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from small_networks import network

from dnn2fpga.errors import UserError
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.plan.candidates import COSTS
from dnn2fpga.plan.goals import Budget, PlanGoal
from dnn2fpga.plan.hardware_plan import HardwarePlan, plan
from dnn2fpga.plan.planner import Planner, completed
from dnn2fpga.plan.settings import PlanSettings
from rtl_lib.matrix.folded.multipliers import Multiplier
from rtl_lib.matrix.matrix_product import Engine

WITH_WEIGHTS = ("conv_0", "conv_2", "dense_5", "dense_6")


@lru_cache
def cnn() -> QuantizedGraph:
    return network((14, 14, 1), [6, "pool", 8, "pool", "flat", 12, 5])


def planned(goal: dict[str, Any], graph: QuantizedGraph | None = None, **hardware: Any) -> HardwarePlan:
    graph = graph or cnn()
    return plan(graph, completed(graph, PlanSettings.model_validate({"goal": goal, **hardware})))


def slots(graph: QuantizedGraph, settings: PlanSettings, layer: str) -> int:
    """Cycles a vector of a folded layer."""
    own = settings.layers[layer]
    (product,) = [o for o in graph.operators[layer] if hasattr(o, "default_engine")]
    if own.engine is Engine.PARALLEL:
        return 1
    return -(-product.matrix.n_outputs // own.pe) * -(-(product.matrix.n_inputs // product.groups) // own.simd)


@pytest.mark.parametrize("interval", [196, 200, 400, 1500, 10_000])
@pytest.mark.parametrize("aim", ["smallest", "latency"])
def test_the_interval_is_met(interval: int, aim: str) -> None:
    assert planned({"aim": aim, "interval_cycles": interval}).interval_cycles <= interval


def test_without_an_interval_it_is_that_of_the_input() -> None:
    assert planned({}).interval_cycles == 14 * 14


def test_without_a_goal_only_fifos_are_chosen() -> None:
    settings = PlanSettings.model_validate({"engine": "folded", "pe": 2})
    chosen = completed(cnn(), settings)
    assert {name for own in chosen.layers.values() for name in own.model_dump(exclude_none=True)} <= {"fifo"}


def test_slower_designs_are_cheaper() -> None:
    def price(found: HardwarePlan) -> float:
        return sum(
            found.resources[name] / limit for name, limit in zip(COSTS, (53_200, 106_400, 220, 280), strict=True)
        )

    prices = [price(planned({"interval_cycles": interval})) for interval in (196, 800, 3_200, 12_800)]
    assert prices == sorted(prices, reverse=True)
    assert prices[-1] < 0.7 * prices[0]


def test_the_choice_is_the_cheapest_of_all() -> None:
    """Against every combination of what a small network offers."""
    graph = network((4,), [3, 2], bits=4)
    wanted = PlanGoal(interval_cycles=5, budget=Budget(dsp=4))
    planner = Planner(graph, PlanSettings(goal=wanted), wanted)
    planner.free = [of_layer.with_exact_parallel().within(5) for of_layer in planner.free]
    picked = planner.solve(5)
    assert picked is not None
    prices = planner._prices
    fixed_dsps = float(planner.fixed[COSTS.index("dsp")])
    everything = [
        sum(float(costs @ prices) for costs in choice)
        for choice in itertools.product(*(of_layer.costs for of_layer in planner.free))
        if fixed_dsps + sum(costs[COSTS.index("dsp")] for costs in choice) <= 4
    ]
    found = sum(float(pick.costs[0] @ prices) for pick in picked)
    # Candidates that are almost as good as another are left out.
    assert min(everything) * (1 - 1e-9) <= found <= min(everything) * 1.06


def test_the_shortest_way_through() -> None:
    smallest, quick = planned({"interval_cycles": 196}), planned({"aim": "latency", "interval_cycles": 196})
    assert quick.latency_cycles < smallest.latency_cycles
    middle = (quick.latency_cycles + smallest.latency_cycles) // 2
    found = planned({"interval_cycles": 196, "latency_cycles": middle})
    assert found.latency_cycles <= middle
    assert found.resources["lut"] < quick.resources["lut"] or found.resources["dsp"] < quick.resources["dsp"]


@pytest.mark.parametrize("limits", [{"dsp": 0}, {"dsp": 5, "lut": 5_000}, {"bram18": 0}, {"ff": 3_000}])
def test_a_budget_is_kept(limits: dict[str, int]) -> None:
    found = planned({"interval_cycles": 2_000, "budget": limits})
    assert found.interval_cycles <= 2_000
    assert all(found.resources[name] <= limit for name, limit in limits.items())


def test_without_dsp_blocks_multipliers_are_luts() -> None:
    found = planned({"interval_cycles": 2_000, "budget": {"dsp": 0}})
    folded = [own for own in found.settings.layers.values() if own.engine is Engine.FOLDED]
    assert folded
    assert all(own.multiplier is Multiplier.LUT for own in folded)


def test_as_fast_as_fits() -> None:
    budget = {"lut": 2_000, "dsp": 20}
    found = planned({"aim": "fastest", "budget": budget})
    assert found.interval_cycles > 2 * 196
    assert all(found.resources[name] <= limit for name, limit in budget.items())
    with pytest.raises(UserError, match="no design with an interval of"):
        planned({"interval_cycles": int(0.9 * found.interval_cycles), "budget": budget})


def test_what_runs_out_is_said_and_what_would_fit() -> None:
    budget = {"lut": 2_000, "dsp": 20}
    with pytest.raises(UserError) as refused:
        planned({"interval_cycles": 196, "budget": budget})
    message = str(refused.value)
    assert re.search(r"at least [\d,]+ LUTs are needed \(estimated\), 2,000 are allowed", message)
    (would_fit,) = re.findall(r"an interval of ([\d,]+) cycles would fit", message)
    cycles = int(would_fit.replace(",", ""))
    assert planned({"interval_cycles": cycles, "budget": budget}).interval_cycles <= cycles


def test_a_device_that_is_too_small_for_any_interval() -> None:
    with pytest.raises(UserError, match="no interval, however long, would fit"):
        planned({"interval_cycles": 300, "budget": {"lut": 100}})


def test_an_impossible_latency_says_which_one_would_fit() -> None:
    with pytest.raises(UserError) as refused:
        planned({"interval_cycles": 196, "latency_cycles": 150})
    message = str(refused.value)
    assert "the latency is to be at most 150 cycles" in message
    (would_fit,) = re.findall(r"with this interval a latency of ([\d,]+) cycles would fit", message)
    latency = int(would_fit.replace(",", ""))
    assert planned({"aim": "latency", "interval_cycles": 196, "latency_cycles": latency}).latency_cycles <= latency


def test_an_impossible_interval_names_the_layer() -> None:
    with pytest.raises(UserError, match=r"an interval of 100 cycles cannot be reached: 'input' needs at least 196"):
        planned({"interval_cycles": 100})
    with pytest.raises(
        UserError, match=r"'conv_2' needs at least [\d,]+ cycles per frame; ask for that, fold this layer"
    ):
        planned({"interval_cycles": 300}, layers={"conv_2": {"engine": "folded", "pe": 1, "simd": 1}})


def test_what_is_given_stays() -> None:
    given = {"conv_2": {"engine": "folded", "pe": 3, "multiplier": "lut"}, "dense_5": {"weight_memory": "block"}}
    found = planned({"interval_cycles": 4_000}, layers=given, levels_per_register=2).settings
    assert (found.layers["conv_2"].pe, found.layers["conv_2"].multiplier) == (3, Multiplier.LUT)
    assert found.layers["conv_2"].simd is not None
    assert found.layers["dense_5"].weight_memory is not None
    assert found.layers["dense_5"].weight_memory.value == "block"
    assert found.levels_per_register == 2


@pytest.mark.parametrize("factor", [1, 4, 18, 10_000])
def test_a_uniform_reuse_factor(factor: int) -> None:
    """A uniform reuse factor is that of hls4ml: every multiplier is used this many times per vector, or as often as
    there is something to do.
    """
    settings = completed(cnn(), PlanSettings(goal=PlanGoal(reuse_factor=factor)))
    for layer in WITH_WEIGHTS:
        (product,) = [o for o in cnn().operators[layer] if hasattr(o, "default_engine")]
        most = product.matrix.n_outputs * product.matrix.n_inputs
        assert min(factor, most) / 2 <= slots(cnn(), settings, layer) <= factor, layer


def test_several_pixels_a_beat() -> None:
    graph = network((14, 14, 1), [4, "pool", 6, "pool", "flat", 5])
    one, two = (planned({}, graph, pixels=pixels).interval_cycles for pixels in (1, 2))
    assert (one, two) == (196, 98)


def test_depthwise_layers_are_folded_too() -> None:
    graph = network((10, 10, 2), [6, "depthwise", 4, "flat", 3])
    found = planned({"interval_cycles": 5_000, "budget": {"lut": 4_000}}, graph)
    assert found.settings.layers["depthwise_1"].engine is Engine.FOLDED
    assert found.interval_cycles <= 5_000


def test_layers_that_wait_for_each_other_are_made_faster() -> None:
    """All as slow as the interval, they would lose some cycles to each other."""
    graph = network((12, 12, 2), [4, 4, 4, 4, "flat", 3])
    interval = 64 * 144 // 8
    assert planned({"interval_cycles": interval}, graph).interval_cycles <= interval


def test_costs_come_in_one_order() -> None:
    assert tuple(Budget(lut=1, ff=2, dsp=3, bram18=4).limits) == COSTS
    assert np.array_equal(sorted(COSTS), sorted(cnn_resources()))


def cnn_resources() -> list[str]:
    return list(plan(cnn()).resources)
