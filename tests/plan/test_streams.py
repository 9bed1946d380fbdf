"""The streams of a design: edges, and how many there may be."""

from __future__ import annotations

import numpy as np
import pytest

from dnn2fpga.errors import UserError
from dnn2fpga.graph.dag import Dag, Node
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.dense import Dense
from dnn2fpga.layers.weighted_sum import WeightedSum
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.post_training import Quantization, quantize
from dnn2fpga.plan.schedule import Schedule
from dnn2fpga.plan.settings import PlanSettings
from dnn2fpga.plan.streams import MOST_STREAMS


def wide(branches: int) -> Graph:
    """Return a graph of many dense layers that read the input, and their sum."""
    names = [f"branch_{k}" for k in range(branches)]
    dense = Dense("dense", np.eye(2, dtype=np.float32), np.zeros(2, np.float32))
    nodes = [Node(name, dense, ("input",)) for name in names]
    sum = Node("sum", WeightedSum("sum", (1.0,) * branches), tuple(names))
    return Graph("wide", {"input": (2,)}, Dag(("input",), (*nodes, sum), ("sum",)))


@pytest.mark.parametrize("branches", [MOST_STREAMS, MOST_STREAMS + 1])
def test_more_streams_than_a_timing_model_can_tell_apart_are_refused(branches: int) -> None:
    graph = wide(branches)
    quantized = quantize(graph, calibrate(graph, np.ones((4, 2), np.float32)), Quantization())
    if branches <= MOST_STREAMS:
        passages = Schedule(quantized, PlanSettings()).trace()
        assert passages["sum"].interval_cycles == 1
        return
    with pytest.raises(UserError) as refused:
        Schedule(quantized, PlanSettings())
    assert refused.value.problems == (
        "'input' is read 61 times; at most 60 are supported: copy it through a layer",
        "layer 'sum' reads 61 tensors; at most 60 are supported: join them in two steps",
    )
