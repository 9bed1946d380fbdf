"""The hardware plan: which engine computes each layer, how deep it is pipelined, and when every beat will pass.

The cycles are not estimates: the handshakes of the planned components are replayed exactly
(``rtl_lib.core.timing``), and simulation must agree to the cycle.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Sequence
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

from dnn2fpga.files.described import Described
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.plan.estimate.resources import FABRICS, resources_of
from dnn2fpga.plan.layout import LayerLayout, Wire, lay_out
from dnn2fpga.plan.settings import PlanSettings, Stages
from dnn2fpga.tensors.tensor import Tensor
from rtl_lib.core.features import Features
from rtl_lib.core.stream import Beat, StreamComponent
from rtl_lib.core.timing import BeatModel
from rtl_lib.core.trace import Passage, trace_chain
from rtl_lib.streams.fifo import Fifo
from rtl_lib.streams.master_slave_stage import MasterSlaveStage


class Boundary(Described):
    """The stream behind a layer's master-slave stage (or the input), and when frame 0 passes it.

    ``pixels`` of an image travel in one beat (1: as ``tensor`` says).
    """

    index: int
    layer: str
    kind: str
    engine: str
    folding: str  # PE × SIMD
    tensor: Tensor
    pixels: int
    first_cycle: int
    last_cycle: int
    interval_cycles: int
    busy_cycles: int  # that the layer itself needs for a frame
    resources: dict[str, float]  # of the layer, estimated: lut, ff, dsp, bram18
    staged: bool  # whether a master-slave stage stands before it (behind it, for the input)
    fifo: int  # beats that a FIFO in the place of that stage holds; 0: there is none

    @property
    def wire(self) -> Wire:
        return Wire.of(self.tensor.shape, self.pixels)

    @property
    def beats(self) -> int:
        """A frame."""
        return self.wire.beats(self.tensor)

    @property
    def beat(self) -> Beat:
        return self.wire.beat(self.tensor)

    def separator(self) -> StreamComponent | None:
        """What stands between this boundary and the layer before it."""
        if self.fifo:
            return Fifo(self.beat, self.fifo)
        return MasterSlaveStage(self.beat) if self.staged else None


class HardwarePlan(Described):
    """Layers without hardware (a flatten) have no boundary of their own.

    ``latency_cycles``: from the first input beat to the last output beat of a frame; ``interval_cycles``: between
    two frames, once ``steady_frames`` have left. ``estimates``: resources of the whole network in every FPGA family,
    while those of the boundaries are of the settings' family.
    """

    settings: PlanSettings
    boundaries: tuple[Boundary, ...]
    steady_frames: int
    estimates: dict[str, dict[str, float]]

    @property
    def resources(self) -> dict[str, float]:
        """Of the whole network, estimated."""
        return {name: sum(b.resources[name] for b in self.boundaries) for name in self.boundaries[0].resources}

    @property
    def pixels(self) -> dict[str, int]:
        """By tensor that has a boundary: the pixels that are sent in one beat."""
        return {boundary.layer: boundary.pixels for boundary in self.boundaries}

    @property
    def latency_cycles(self) -> int:
        return self.boundaries[-1].last_cycle

    @property
    def interval_cycles(self) -> int:
        return self.boundaries[-1].interval_cycles


def plan(graph: QuantizedGraph, settings: PlanSettings | None = None) -> HardwarePlan:
    """Plans every layer and predicts its cycles."""
    settings = settings or PlanSettings()
    schedule = Schedule(graph, settings)
    passages = schedule.trace()
    busy = [schedule.boundaries[0].beats, *schedule.alone]
    parts = [[], *([component for _, component in layout.parts] for layout in schedule.layouts)]
    boundaries, whole = [], Features()
    for boundary, passage, cycles, own in zip(schedule.boundaries, passages, busy, parts, strict=True):
        separator = boundary.separator()
        bill = sum((part.features() for part in [*own, *([separator] if separator else [])]), Features())
        resources = resources_of(bill, settings.family).rounded
        known = {**vars(passage), "busy_cycles": cycles, "resources": resources}
        boundaries.append(boundary.model_copy(update=known))
        whole += bill
    return HardwarePlan(
        settings=settings,
        boundaries=tuple(boundaries),
        steady_frames=passages[-1].steady_frames,
        estimates={family: resources_of(whole, family).rounded for family in FABRICS},
    )


class Schedule:
    """The twins of a design, from which the cycles of all its boundaries follow."""

    def __init__(self, graph: QuantizedGraph, settings: PlanSettings) -> None:
        self.settings = settings
        self.layouts = lay_out(graph, settings)
        self.boundaries = _boundaries(graph, settings, self.layouts)  # their cycles are not known yet

    @cached_property
    def alone(self) -> list[int]:
        """Cycles between two frames of every layer by itself, which nothing keeps waiting."""
        beats = [boundary.beats for boundary in self.boundaries]
        models = [[part.beat_model() for _, part in layout.parts] for layout in self.layouts]
        return [
            _remembered(own, [(0, before), (len(own), behind)])[-1].interval_cycles
            for own, (before, behind) in zip(models, pairwise(beats), strict=True)
        ]

    def separators(self) -> list[BeatModel | None]:
        """Twins of what stands before the boundaries."""
        made = [boundary.separator() for boundary in self.boundaries]
        return [component and component.beat_model() for component in made]

    def trace(
        self,
        separators: list[BeatModel | None] | None = None,
        source_period: int = 0,
        least_interval: int | None = None,
    ) -> Sequence[Passage]:
        """
        :param separators: others than the schedule's own.
        :param source_period, least_interval: of ``rtl_lib.core.timing.trace``; no interval is shorter than that of the
            slowest layer.
        """
        least = least_interval or max([*self.alone, source_period])
        return _remembered(*self.chain(separators or self.separators()), source_period, least)

    def chain(self, separators: list[BeatModel | None]) -> tuple[list[BeatModel], list[tuple[int, int]]]:
        """What ``rtl_lib.core.timing.trace`` takes."""
        entry, *behind = separators
        positions = [(0, self.boundaries[0].beats)]
        models = [entry] if entry else []
        for boundary, layout, separator in zip(self.boundaries[1:], self.layouts, behind, strict=True):
            models += [part.beat_model() for _, part in layout.parts]
            models += [separator] if separator else []
            positions.append((len(models), boundary.beats))
        return models, positions


def _remembered(*given: Any) -> Sequence[Passage]:
    """``trace``, once for the same twins: many layers are alike, and planning comes back to the same designs."""
    return _trace_of(pickle.dumps(given))


@lru_cache(maxsize=512)
def _trace_of(given: bytes) -> Sequence[Passage]:
    return trace_chain(*pickle.loads(given))


def _boundaries(graph: QuantizedGraph, settings: PlanSettings, layouts: list[LayerLayout]) -> list[Boundary]:
    """All that is known of them without a schedule."""
    pipelines = [all(part.is_pipeline for _, part in layout.parts) for layout in layouts]
    staged = [
        settings.stages is Stages.EVERY_LAYER or not (here and behind)
        for here, behind in zip(pipelines, [*pipelines, False][1:], strict=True)
    ]
    # An engine that goes on reading its input must not keep the source waiting.
    held = bool(layouts) and layouts[0].parts[0][1].holds_input
    described = [("input", "input", "-", "", graph.input, Wire.into(graph.input, settings.pixels), held, 0)]
    for layout, stage in zip(layouts, staged, strict=True):
        layer = layout.layer
        fifo = settings.options(layer.name).get("fifo", 0)
        folding = ", ".join(part.detail for _, part in layout.parts if part.detail)
        engine = _engine(layout.parts)
        described.append((layer.name, layer.kind, engine, folding, layer.output, layout.wire, stage, fifo))
    return [
        Boundary(
            index=index,
            layer=name,
            kind=kind,
            engine=engine,
            folding=folding,
            tensor=tensor,
            pixels=wire.pixels,
            first_cycle=0,
            last_cycle=0,
            interval_cycles=0,
            busy_cycles=0,
            resources={},
            staged=stage,
            fifo=fifo,
        )
        for index, (name, kind, engine, folding, tensor, wire, stage, fifo) in enumerate(described)
    ]


def _engine(parts: list[tuple[str, StreamComponent]]) -> str:
    """A short name for reports: the operators of the layer, without the requantization that most end in."""
    names = [re.sub(r"(_\d+)+$", "", name).replace("_", " ") for name, _ in parts]
    return " + ".join([name for name in names if name != "requantize"] or names)
