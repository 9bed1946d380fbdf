"""FIFOs that the settings give, and with which a design could hang, are refused."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from dnn2fpga.errors import UserError
from dnn2fpga.graph.dag import Dag, Node
from dnn2fpga.graph.float import Graph
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.weighted_sum import WeightedSum
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.post_training import Quantization, quantize
from dnn2fpga.plan.hardware_plan import plan
from dnn2fpga.plan.planner import completed
from dnn2fpga.plan.settings import PlanSettings


@lru_cache
def residual() -> QuantizedGraph:
    """A sum of a convolution's output and of what two more make of it; the output of the first also leaves."""
    rng = np.random.default_rng(0)

    def convolution(name: str) -> Conv2D:
        return Conv2D(name, rng.normal(size=(3, 3, 2, 2)), rng.normal(size=2), padding="same")

    nodes = (
        Node("first", convolution("first"), ("image",)),
        Node("second", convolution("second"), ("first",)),
        Node("third", convolution("third"), ("second",)),
        Node("sum", WeightedSum("sum", (1.0, 1.0)), ("first", "third")),
    )
    graph = Graph("residual", {"image": (8, 8, 2)}, Dag(("image",), nodes, ("sum", "first")))
    x = rng.uniform(0, 1, (8, 8, 8, 2)).astype(np.float32)
    return quantize(graph, calibrate(graph, x), Quantization())


def given(beats: int, **more: object) -> PlanSettings:
    """A FIFO of the skip."""
    return PlanSettings.model_validate({"fifos": [{"tensor": "first", "reader": "sum", "beats": beats}], **more})


def least() -> int:
    """The fewest beats of the skip that are not refused."""
    for beats in range(2, 64):
        try:
            plan(residual(), given(beats))
        except UserError:
            continue
        return beats
    raise AssertionError("every depth is refused")


def test_one_beat_less_than_needed_is_refused_with_what_is_needed() -> None:
    with pytest.raises(UserError) as refused:
        plan(residual(), given(least() - 1))
    text = str(refused.value)
    assert "layer 'sum' waits for 'third'" in text
    assert "the FIFO from 'first' to 'sum' is full" in text
    assert "beats from 'first' to 'sum'" in text
    assert "leave them out of the settings" in text


@pytest.mark.parametrize("goal", [None, {}, {"aim": "latency"}])
def test_no_other_fifo_makes_up_for_it(goal: object) -> None:
    """Although the other output could continue for ever, this ends."""
    with pytest.raises(UserError, match="can hang when a source or a sink pauses"):
        completed(residual(), given(0, goal=goal))


@pytest.mark.parametrize("goal", [None, {}])
def test_deeper_ones_stay_as_they_are(goal: object) -> None:
    beats = least() + 5
    chosen = completed(residual(), given(beats, goal=goal))
    assert [one.beats for one in chosen.fifos if one.reader == "sum"] == [beats]
    plan(residual(), chosen)
