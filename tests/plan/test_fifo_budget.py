"""FIFOs count where a design must fit a budget."""

from __future__ import annotations

import math
import re
from functools import lru_cache

import numpy as np
import pytest
from small_networks import network

from dnn2fpga.errors import UserError
from dnn2fpga.graph.dag import Dag, Node
from dnn2fpga.graph.float import Graph
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.weighted_sum import WeightedSum
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.post_training import Quantization, quantize
from dnn2fpga.plan.candidates import COSTS
from dnn2fpga.plan.goals import Budget, PlanGoal
from dnn2fpga.plan.hardware_plan import HardwarePlan, plan
from dnn2fpga.plan.planner import Planner, completed
from dnn2fpga.plan.settings import PlanSettings

INTERVAL = 20_000
LUT = COSTS.index("lut")


@lru_cache
def residual() -> QuantizedGraph:
    """A wide tensor waits for what two convolutions make of it."""
    rng = np.random.default_rng(0)

    def convolution(name: str, before: int, after: int) -> Conv2D:
        return Conv2D(name, rng.normal(size=(3, 3, before, after)), rng.normal(size=after), padding="same")

    nodes = (
        Node("first", convolution("first", 2, 8), ("image",)),
        Node("second", convolution("second", 8, 2), ("first",)),
        Node("third", convolution("third", 2, 8), ("second",)),
        Node("sum", WeightedSum("sum", (1.0, 1.0)), ("first", "third")),
    )
    graph = Graph("residual", {"image": (24, 24, 2)}, Dag(("image",), nodes, ("sum",)))
    x = rng.uniform(0, 1, (4, 24, 24, 2)).astype(np.float32)
    return quantize(graph, calibrate(graph, x), Quantization())


def planned(budget: dict[str, int], **hardware: object) -> HardwarePlan:
    goal = {"interval_cycles": INTERVAL, "budget": budget}
    settings = PlanSettings.model_validate({"goal": goal, **hardware})
    return plan(residual(), completed(residual(), settings))


@lru_cache
def least_without_fifos() -> int:
    """LUTs."""
    wanted = PlanGoal(interval_cycles=INTERVAL, budget=Budget())
    planner = Planner(residual(), PlanSettings(goal=wanted), wanted)
    picks = planner.solve(INTERVAL, objective="lut")
    assert picks is not None
    return math.ceil(planner.fixed[LUT] + sum(pick.costs[0, LUT] for pick in picks))


def test_fifos_that_do_not_fit_are_named() -> None:
    with pytest.raises(UserError) as refused:
        planned({"lut": least_without_fifos()})
    found = re.search(
        r"at least ([\d,]+) LUTs are needed \(estimated, ([\d,]+) of them for FIFOs\)", str(refused.value)
    )
    assert found
    needed, of_fifos = (int(number.replace(",", "")) for number in found.groups())
    assert of_fifos > 50
    assert needed == pytest.approx(least_without_fifos() + of_fifos, abs=2)
    fits = planned({"lut": needed + 1})
    assert fits.settings.fifos
    assert fits.resources["lut"] <= needed + 1


def test_what_is_left_for_the_layers_is_less_by_the_fifos() -> None:
    """What would fit only without FIFOs gives way to something smaller."""
    luts = least_without_fifos() + 400
    assert planned({"lut": luts}).resources["lut"] <= luts


def test_fifos_that_the_settings_give_count_too() -> None:
    deep = [{"tensor": "first", "reader": "sum", "beats": 2_000}]
    blocks = planned({"bram18": 50}, fifos=deep).resources["bram18"]
    assert blocks >= 4
    assert planned({"bram18": 0}).resources["bram18"] == 0
    with pytest.raises(UserError, match=r"block RAMs of 18 Kbit are needed \(estimated\), 3 are allowed"):
        planned({"bram18": 3}, fifos=deep)


def test_what_cannot_be_folded_must_fit_as_well() -> None:
    graph = network((8, 8, 1), ["pool", "pool"])
    goal = PlanGoal(budget=Budget(ff=20))
    with pytest.raises(UserError, match=r"at least [\d,]+ registers are needed \(estimated\), 20 are allowed"):
        completed(graph, PlanSettings(goal=goal))
