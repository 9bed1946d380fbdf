"""The hardware plan: which engine computes each layer, how deep it is pipelined, and when every beat will pass.

The cycles are not estimates: the handshakes of the planned components are replayed exactly
(``rtl_lib.beat_model``), and simulation must agree to the cycle.
"""

from __future__ import annotations

import re
import warnings

from amaranth.hdl import UnusedElaboratable
from pydantic import Field

from dnn2fpga.quantized_graph import Described, QuantizedGraph, Tensor
from rtl_lib.beat_model import trace
from rtl_lib.operator import create
from rtl_lib.stream import MasterSlaveStage, StreamComponent

# Planning creates components only to ask for their timing; Amaranth would warn that they were never elaborated.
warnings.filterwarnings("ignore", category=UnusedElaboratable)


class PlanSettings(Described):
    """What the user may choose about the hardware."""

    levels_per_register: int = Field(
        default=3, ge=1, le=16
    )  # adder levels between two registers of the parallel engine
    float_units: int = Field(default=1, ge=1, le=64)  # multiply-add units of a layer left in binary32


class Boundary(Described):
    """The stream behind a layer's master-slave stage (or the input), and when frame 0 passes it."""

    index: int
    layer: str
    kind: str
    engine: str
    tensor: Tensor
    first_cycle: int
    last_cycle: int
    interval_cycles: int


class HardwarePlan(Described):
    """Layers without hardware (a flatten) have no boundary of their own.

    ``latency_cycles``: from the first input beat to the last output beat of a frame; ``interval_cycles``: between
    two frames.
    """

    settings: PlanSettings
    boundaries: tuple[Boundary, ...]

    @property
    def latency_cycles(self) -> int:
        return self.boundaries[-1].last_cycle

    @property
    def interval_cycles(self) -> int:
        return self.boundaries[-1].interval_cycles


def components_of(graph: QuantizedGraph, layer: str, settings: PlanSettings) -> list[tuple[str, StreamComponent]]:
    """The components of one layer in stream order, named; fresh ones at every call."""
    options = settings.model_dump()
    return [
        (f"{_snake_case(type(operator).__name__)}_{index}", create(operator, options))
        for index, operator in enumerate(graph.operators[layer])
    ]


def plan(graph: QuantizedGraph, settings: PlanSettings | None = None) -> HardwarePlan:
    """Plans every layer and predicts its cycles."""
    settings = settings or PlanSettings()
    models = []
    positions = [(0, graph.input.beats)]
    described = [("input", "input", "-", graph.input)]
    for layer in graph.layers:
        parts = components_of(graph, layer.name, settings)
        if not parts:
            continue  # the same beats under another shape: the boundary before is this layer's too
        models += [part.beat_model() for _, part in parts]
        models.append(MasterSlaveStage(parts[-1][1].output_beat).beat_model())
        positions.append((len(models), layer.output.beats))
        described.append((layer.name, layer.kind, _engine(parts), layer.output))
    passages = trace(models, positions)
    return HardwarePlan(
        settings=settings,
        boundaries=tuple(
            Boundary(
                index=index,
                layer=name,
                kind=kind,
                engine=engine,
                tensor=tensor,
                first_cycle=passage.first_cycle,
                last_cycle=passage.last_cycle,
                interval_cycles=passage.interval_cycles,
            )
            for index, ((name, kind, engine, tensor), passage) in enumerate(zip(described, passages, strict=True))
        ),
    )


def _engine(parts: list[tuple[str, StreamComponent]]) -> str:
    """A short name for reports: the operators of the layer, without the requantization that most end in."""
    names = [name.rsplit("_", 1)[0].replace("_", " ") for name, _ in parts]
    return " + ".join([name for name in names if name != "requantize"] or names)


def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
