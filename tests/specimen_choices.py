"""Random choices about a network, drawn by hypothesis: how it is quantized, and how it is pipelined."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st

from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.activation import Table
from dnn2fpga.layers.base import Layer
from dnn2fpga.optimize.post_training import Quantization
from dnn2fpga.plan.goals import Aim, PlanGoal
from dnn2fpga.plan.settings import EdgeFifo, LayerPlan, PlanSettings, Stages
from dnn2fpga.quantize.ranges import RangeMethod
from dnn2fpga.quantize.settings import Granularity, Numbers, Scales, Symmetry
from dnn2fpga.quantize.weight_sets import WeightSet
from dnn2fpga.tensors.basics import Shape
from rtl_lib.core.arithmetic import Overflow, Rounding
from rtl_lib.matrix.folded.multipliers import Multiplier
from rtl_lib.matrix.folded.sums import WeightMemory
from rtl_lib.matrix.matrix_product import Engine

WIDEST_TABLE_INPUT = 10  # bits: a table of 2^16 entries in every lane only costs time
# Settings of a layer in binary32, which is slow hardware: it processes one term after the other.
MOST_BINARY32_WEIGHTS, MOST_BINARY32_PIXELS = 16, 16
WEIGHT_WIDTHS = {
    WeightSet.INTEGER: (1, 16),
    WeightSet.TWOS_COMPLEMENT: (2, 16),
    WeightSet.BINARY: (1, 1),
    WeightSet.TERNARY: (2, 2),
    WeightSet.POWER_OF_TWO: (2, 5),
    WeightSet.ADDITIVE_POWER_OF_TWO: (3, 7),
}
NO_HARDWARE = ("reshape", "pass_through")
FIFO = st.sampled_from([None, None, None, 0, 2, 3, 7])  # beats
FOLDED = ("dense", "conv2d", "depthwise_conv2d")


@st.composite
def quantizations(draw: st.DrawFn, graph: Graph, input_lanes: int | None) -> Quantization:
    """Every layer with settings of its own."""
    has_table = any(isinstance(layer, Table) for layer in graph.layers)
    activation_bits = st.integers(1, WIDEST_TABLE_INPUT if has_table else 16)
    layers = {}
    for node in graph.nodes:
        own = draw(_weight_settings(node.layer, graph.shapes[node.name])) if node.layer.has_weights else {}
        # wrapping cannot be joined with a clamp, nor with floating point
        clamps = node.layer.as_clamp() or getattr(node.layer, "clamp", None) not in (None, (-math.inf, math.inf))
        wraps = not clamps and own.get("numbers") is not Numbers.BINARY32
        overflows = [overflow for overflow in Overflow if wraps or overflow is not Overflow.WRAP]
        tensor = draw(_tensor_settings())
        if clamps and own.get("numbers") is Numbers.BINARY32:  # accepts one clamp for all channels
            tensor["activation_granularity"] = Granularity.PER_TENSOR
        layers[node.name] = {
            **own,
            **tensor,
            "activation_bits": draw(activation_bits),
            "rounding": draw(st.sampled_from(Rounding)),
            "overflow": draw(st.sampled_from(overflows)),
        }
    return Quantization(
        **draw(_tensor_settings()), layers=layers, input_bits=draw(activation_bits), input_lanes=input_lanes
    )


@st.composite
def plans(draw: st.DrawFn, graph: Graph, quantization: Quantization) -> PlanSettings:
    """Foldings and FIFOs layer by layer, or whatever the planner chooses."""
    layers = {}
    for node in graph.nodes:
        own: dict[str, Any] = {}
        numbers = quantization.layers[node.name].numbers
        if node.layer.kind in FOLDED and numbers is not Numbers.BINARY32:
            weights = node.layer.weights  # type: ignore[attr-defined]
            inputs = weights.size // weights.shape[-1]  # of one output
            own["engine"] = draw(st.sampled_from([None, None, *Engine]))
            own["pe"] = draw(st.none() | st.integers(1, graph.shapes[node.name][-1]))
            own["simd"] = draw(st.none() | st.integers(1, inputs))
            own["multiplier"] = draw(st.sampled_from([None, *Multiplier]))
            own["weight_memory"] = draw(st.sampled_from([None, *WeightMemory]))
        if node.layer.kind not in NO_HARDWARE and len(_readers(graph, node.name)) == 1:
            own["fifo"] = draw(FIFO)
        layers[node.name] = LayerPlan.model_validate(own)
    forks = [(name, _readers(graph, name)) for name in graph.dag.names if name not in _without_hardware(graph)]
    fifos = [
        EdgeFifo(tensor=name, reader=reader, beats=beats)
        for name, readers in forks
        if len(readers) > 1
        for reader in dict.fromkeys(readers)
        # A reshape on the way needs hardware where it moves channels: then the edge has another end.
        if reader in _direct_readers(graph, name) and (beats := draw(FIFO)) is not None
    ]
    goals = [None, None, PlanGoal(reuse_factor=draw(st.integers(1, 40))), PlanGoal(aim=draw(st.sampled_from(Aim)))]
    return PlanSettings(
        levels_per_register=draw(st.integers(1, 4)),
        engine=draw(st.sampled_from([None, None, *Engine])),
        stages=draw(st.sampled_from(Stages)),
        pixels=draw(st.sampled_from([1, 1, 1, 2, 3, 4])),
        layers=layers,
        fifos=tuple(fifos),
        goal=draw(st.sampled_from(goals)),
    )


def _without_hardware(graph: Graph) -> set[str]:
    return {node.name for node in graph.nodes if node.layer.kind in NO_HARDWARE}


def _direct_readers(graph: Graph, name: str) -> list[str]:
    """Return the layers and outputs that read a tensor by its own name."""
    return [o for o, tensor in graph.outputs.items() if tensor == name] + [n.name for n in graph.dag.readers(name)]


def _readers(graph: Graph, name: str) -> list[str]:
    """Return the readers of the stream of a tensor: layers and outputs, also of the same numbers by another name."""
    found = [output for output, tensor in graph.outputs.items() if tensor == name]
    for node in graph.dag.readers(name):
        found += _readers(graph, node.name) if node.layer.kind in NO_HARDWARE else [node.name] * node.inputs.count(name)
    return found


@st.composite
def _tensor_settings(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the settings of a layer's output, or of the input."""
    return {
        "scales": draw(st.sampled_from(Scales)),
        "calibration": draw(st.sampled_from(RangeMethod)),
        "activation_symmetry": draw(st.sampled_from(Symmetry)),
        "activation_granularity": draw(st.sampled_from(Granularity)),
    }


@st.composite
def _weight_settings(draw: st.DrawFn, layer: Layer, shape: Shape) -> dict[str, Any]:
    # Most weights are plain integers, and few layers are in binary32.
    weight_set = draw(st.sampled_from([WeightSet.INTEGER] * 4 + list(WeightSet)))
    symmetries = list(Symmetry) if weight_set is WeightSet.INTEGER else [Symmetry.SYMMETRIC]
    weights, pixels = layer.parameter_count - shape[-1], math.prod(shape[:-1])
    small = weights <= MOST_BINARY32_WEIGHTS and pixels <= MOST_BINARY32_PIXELS
    return {
        "numbers": draw(st.sampled_from([Numbers.INTEGER] * 5 + [Numbers.BINARY32] * small)),
        "weight_set": weight_set,
        "weight_bits": draw(st.integers(*WEIGHT_WIDTHS[weight_set])),
        "weight_symmetry": draw(st.sampled_from(symmetries)),
        "weight_calibration": draw(st.sampled_from(RangeMethod)),
        "granularity": draw(st.sampled_from(Granularity)),
    }
