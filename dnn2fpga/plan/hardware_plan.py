"""The hardware plan: which engine computes each layer, how deep it is pipelined, and when every beat will pass.

The cycles are not estimates: the handshakes of the planned components are replayed exactly
(``rtl_lib.core.trace``), and simulation must agree to the cycle.
"""

from __future__ import annotations

import math
from typing import Any

from pydantic import Field

from dnn2fpga.files.described import Described
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.plan.estimate.resources import FABRICS, Resources, resources_of
from dnn2fpga.plan.fifos import refuse_to_hang
from dnn2fpga.plan.schedule import Schedule
from dnn2fpga.plan.settings import PlanSettings
from dnn2fpga.plan.streams import Boundary, Output
from rtl_lib.core.features import Features, Kind, index_bits


class HardwarePlan(Described):
    """Everything that is decided about the hardware; generation only connects it.

    Layers without hardware (a flatten) have no boundary of their own.

    :param boundaries: the streams of all tensors in topological order, the model's inputs first.
    :param outputs: the ports where frames leave.
    :param layout: the components.
    :param latency_cycles: from the first input beat of a frame anywhere to its last output beat.
    :param interval_cycles: between two frames, once ``steady_frames`` have left: the mean of ``interval_frames``.
    :param estimates: resources of the whole network in every FPGA family; those of the boundaries are of the settings'
        family.
    """

    settings: PlanSettings
    boundaries: tuple[Boundary, ...]
    outputs: tuple[Output, ...]
    layout: Any = Field(default=None, exclude=True, repr=False)  # a `Layout`; None in a plan that was read
    interval_frames: int
    steady_frames: int
    latency_cycles: int
    interval_cycles: int
    estimates: dict[str, dict[str, float]]

    def __eq__(self, other: object) -> bool:
        """Two plans are equal when they decide the same; components are made anew for each."""
        return isinstance(other, HardwarePlan) and self.model_dump() == other.model_dump()

    @property
    def inputs(self) -> tuple[Boundary, ...]:
        """The boundaries of the model's inputs."""
        return tuple(boundary for boundary in self.boundaries if boundary.is_input)

    @property
    def resources(self) -> dict[str, float]:
        """The estimated resources of the whole network."""
        return {name: sum(b.resources[name] for b in self.boundaries) for name in self.boundaries[0].resources}

    @property
    def pixels(self) -> dict[str, int]:
        """The pixels per beat, by tensor that has a boundary."""
        return {boundary.name: boundary.pixels for boundary in self.boundaries}


def network_resources(plan: HardwarePlan, family: str = "xc7") -> dict[str, Resources]:
    """Return resources by layer, each with what separates it from its readers, and all that the boundaries and ports
    add.
    """
    bills = {boundary.name: Features() for boundary in plan.boundaries}
    for layer in plan.layout.layers:
        for part in layer.components:
            bills[layer.name] += part.features()
    for boundary in plan.boundaries:
        for part in boundary.components:
            bills[boundary.name] += part.features()
        if boundary.wire.has_surplus:
            bills[boundary.name] += Features().add(Kind.COUNTER, index_bits(boundary.wire.rows.beats_per_row))
    by_name = {boundary.name: boundary for boundary in plan.boundaries}
    counters = Features()
    for output in plan.outputs:
        counters = counters.add(Kind.COUNTER, index_bits(by_name[output.edge.source].beats))
    return {name: resources_of(bill, family) for name, bill in (bills | {"outputs": counters}).items()}


def plan(graph: QuantizedGraph, settings: PlanSettings | None = None) -> HardwarePlan:
    """Plan every layer and predict its cycles.

    :raises UserError: for everything in the settings that does not fit the graph, and for FIFOs that are too short.
    """
    settings = settings or PlanSettings()
    schedule = Schedule(graph, settings)
    refuse_to_hang(schedule)
    passages = schedule.trace()
    boundaries, whole = [], Features()
    for boundary in schedule.boundaries:
        bill = sum((part.features() for part in schedule.components_of(boundary)), Features())
        passage = passages[boundary.name]
        known = {
            "first_cycle": passage.first_cycle,
            "last_cycle": passage.last_cycle,
            "interval_cycles": passage.interval_cycles,
            "busy_cycles": schedule.alone.get(boundary.name, boundary.beats),
            "resources": resources_of(bill, settings.family).rounded,
        }
        boundaries.append(boundary.model_copy(update=known))
        whole += bill
    ports = [passages[schedule.port_of(output)] for output in schedule.outputs]
    interval_frames = math.lcm(*(port.interval_frames for port in ports))
    outputs = [
        output.model_copy(update={"latency_cycles": port.last_cycle, "interval_cycles": port.interval_cycles})
        for output, port in zip(schedule.outputs, ports, strict=True)
    ]
    return HardwarePlan(
        settings=settings,
        boundaries=tuple(boundaries),
        outputs=tuple(outputs),
        layout=schedule.layout,
        interval_frames=interval_frames,
        steady_frames=max(interval_frames + 1, *(port.steady_frames for port in ports)),
        latency_cycles=max(port.last_cycle for port in ports),
        interval_cycles=max(port.interval_cycles for port in ports),
        estimates={family: resources_of(whole, family).rounded for family in FABRICS},
    )
