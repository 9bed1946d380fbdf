"""The hardware plan: which engine computes each layer, how deep it is pipelined, and when every beat will pass.

The cycles are not estimates: the handshakes of the planned components are replayed exactly
(``rtl_lib.beat_model``), and simulation must agree to the cycle.
"""

from __future__ import annotations

import enum
import re
import warnings
from typing import Any

from amaranth.hdl import UnusedElaboratable
from pydantic import Field

from dnn2fpga.errors import UserError
from dnn2fpga.quantized_graph import Described, QuantizedGraph, QuantizedLayer, Tensor
from rtl_lib.beat_model import trace
from rtl_lib.matrix_product import Engine
from rtl_lib.operator import create
from rtl_lib.stream import MasterSlaveStage, StreamComponent

# Planning creates components only to ask for their timing; Amaranth would warn that they were never elaborated.
warnings.filterwarnings("ignore", category=UnusedElaboratable)


MOST_LEVELS = 16  # adders in a row between two registers


class LayerPlan(Described):
    """What the user may choose about the hardware of one layer; absent: as for all layers."""

    engine: Engine | None = None  # of a matrix product; absent: parallel where vectors arrive in one beat
    simd: int | None = Field(default=None, ge=1)  # numbers that a folded engine takes a cycle; absent: those of a beat
    levels_per_register: int | None = Field(default=None, ge=1, le=MOST_LEVELS)  # adders in a row, parallel engine
    float_units: int | None = Field(default=None, ge=1, le=64)  # multiply-add units of a layer left in binary32


class Stages(enum.Enum):
    """Behind which layers a master-slave stage stands."""

    EVERY_LAYER = "every_layer"
    RUNS = "runs"  # behind the last of several layers in a row that are nothing but pipelines


class PlanSettings(LayerPlan):
    """What the user may choose about the hardware, for all layers and for single ones."""

    stages: Stages = Stages.EVERY_LAYER
    layers: dict[str, LayerPlan] = Field(default_factory=dict)

    def options(self, layer: str) -> dict[str, Any]:
        """What is chosen for a layer, by the names that operators know."""
        own = self.layers.get(layer, LayerPlan())
        of_all = self.model_dump(include=set(LayerPlan.model_fields), exclude_none=True)
        return of_all | own.model_dump(exclude_none=True)


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
    staged: bool  # whether a master-slave stage stands before it


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
    options = settings.options(layer)
    return [
        (f"{name}_{index}", component)
        for index, operator in enumerate(graph.operators[layer])
        for name, component in create(operator, options).components(_snake_case(type(operator).__name__))
    ]


def plan(graph: QuantizedGraph, settings: PlanSettings | None = None) -> HardwarePlan:
    """Plans every layer and predicts its cycles."""
    settings = settings or PlanSettings()
    parts_of = _components(graph, settings)
    models = []
    positions = [(0, graph.input.beats)]
    described = [("input", "input", "-", graph.input)]
    pipelines = [all(part.is_pipeline for _, part in parts) for _, parts in parts_of]
    staged = [
        settings.stages is Stages.EVERY_LAYER or not (here and behind)
        for here, behind in zip(pipelines, [*pipelines, False][1:], strict=True)
    ]
    for (layer, parts), stage in zip(parts_of, staged, strict=True):
        models += [part.beat_model() for _, part in parts]
        if stage:
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
                staged=stage,
            )
            for index, ((name, kind, engine, tensor), passage, stage) in enumerate(
                zip(described, passages, [False, *staged], strict=True)
            )
        ),
    )


def _components(
    graph: QuantizedGraph, settings: PlanSettings
) -> list[tuple[QuantizedLayer, list[tuple[str, StreamComponent]]]]:
    """The layers that have hardware, with it. (Others only give the same beats another shape: the boundary before is
    theirs too.)
    """
    names = [layer.name for layer in graph.layers]
    problems = [
        f"hardware.layers: there is no layer '{name}'; the layers are {', '.join(names)}"
        for name in settings.layers
        if name not in names
    ]
    found = []
    for layer in graph.layers:
        own = settings.layers.get(layer.name, LayerPlan()).model_dump(exclude_none=True)
        known = {
            option for operator in graph.operators[layer.name] for option in getattr(operator, "create_options", ())
        }
        problems += [
            f"layer '{layer.name}' ({layer.kind}): has no '{key}' to choose" for key in own if key not in known
        ]
        try:
            parts = components_of(graph, layer.name, settings)
        except ValueError as error:
            problems.append(f"layer '{layer.name}': {error}")
        else:
            found += [(layer, parts)] if parts else []
    if problems:
        raise UserError(problems)
    return found


def _engine(parts: list[tuple[str, StreamComponent]]) -> str:
    """A short name for reports: the operators of the layer, without the requantization that most end in."""
    names = [re.sub(r"(_\d+)+$", "", name).replace("_", " ") for name, _ in parts]
    return " + ".join([name for name in names if name != "requantize"] or names)


def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
