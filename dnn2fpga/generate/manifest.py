"""``manifest.json``: what a tool must know about a bundle (docs/bundle.md), one type for writer and readers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from dnn2fpga.errors import UserError
from dnn2fpga.files.atomic import digest
from dnn2fpga.files.validation import problems_of
from dnn2fpga.generate.accelerator import axis_of, lane_bits
from dnn2fpga.generate.verilog import TOP
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.plan.hardware_plan import HardwarePlan
from dnn2fpga.plan.streams import Boundary
from dnn2fpga.task import Task
from dnn2fpga.tensors.conversion import Conversion
from dnn2fpga.version import __version__

MANIFEST: Final = "manifest.json"
MANIFEST_VERSION: Final = 2

_MOST_PROBLEMS = 5  # in a message
_Count = Annotated[int, Field(ge=0)]
_Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class _Record(BaseModel):
    """The keys that are declared are needed; what a newer generator adds is no error."""

    model_config = ConfigDict(strict=True, frozen=True)


class StreamRecord(_Record):
    """The encoding of a tensor on its stream: shape, format and scale of the numbers, numbers per beat (lanes), beats
    per frame.
    """

    shape: tuple[PositiveInt, ...]
    signed: bool
    width: PositiveInt
    scale: float | tuple[float, ...]
    zero_point: int | tuple[int, ...]
    lanes: PositiveInt
    beats: PositiveInt
    pixels: PositiveInt  # of an image in one beat


class PortRecord(StreamRecord):
    """An AXI4-Stream port. ``tensor`` names the boundary at it, and the names of its signals begin with ``axis``."""

    name: _Name  # what the model calls it
    tensor: _Name
    axis: _Name
    lane_bits: PositiveInt
    tdata_bits: PositiveInt


class InputRecord(PortRecord):
    """An input port, and how the host converts real numbers for it."""

    conversion: Conversion = Conversion()


class OutputRecord(PortRecord):
    """An output port: what its numbers are for, when frame 0 leaves by it, and how often frames do in the steady
    state.
    """

    task: Task
    fifo: _Count  # beats, on the edge from the tensor to this port
    latency_cycles: _Count
    interval_cycles: PositiveInt


class EdgeRecord(_Record):
    """A tensor that a layer reads, and the beats that a FIFO between the two holds (0: there is none)."""

    tensor: _Name
    fifo: _Count


class BoundaryRecord(StreamRecord):
    """The stream of one tensor, the layer that produces it, and when the beats of frame 0 pass."""

    index: _Count
    tensor: _Name
    kind: str
    inputs: tuple[EdgeRecord, ...]
    engine: str
    folding: str
    first_cycle: _Count
    last_cycle: _Count
    interval_cycles: _Count
    busy_cycles: _Count
    resources: dict[str, float]

    @property
    def is_input(self) -> bool:
        """True if the model reads this tensor, rather than a layer produces it."""
        return not self.inputs


class Manifest(_Record):
    """All that a bundle says about itself. Boundaries are in topological order, the model's inputs first."""

    manifest_version: Literal[2]
    generator: str
    model: str
    notes: tuple[str, ...]
    top: Literal["accelerator"]
    files: dict[str, str]
    inputs: Annotated[tuple[InputRecord, ...], Field(min_length=1)]
    outputs: Annotated[tuple[OutputRecord, ...], Field(min_length=1)]
    boundaries: Annotated[tuple[BoundaryRecord, ...], Field(min_length=2)]
    latency_cycles: _Count
    interval_cycles: PositiveInt
    interval_frames: PositiveInt = 4  # as in manifests without it
    steady_frames: PositiveInt
    family: str
    estimates: dict[str, dict[str, float]]

    @classmethod
    def of(cls, graph: QuantizedGraph, plan: HardwarePlan, files: dict[str, Path]) -> Manifest:
        """Describe a planned design.

        :param files: the bundle's files whose digests are recorded, by their names in the bundle.
        """
        by_name = {boundary.name: boundary for boundary in plan.boundaries}
        tasks, names = graph.tasks, [output.name for output in plan.outputs]
        inputs = [boundary.name for boundary in plan.inputs]
        return cls(
            manifest_version=MANIFEST_VERSION,
            generator=f"dnn2fpga {__version__}",
            model=graph.name,
            notes=tuple(graph.notes),
            top=TOP,
            files={name: digest(path) for name, path in sorted(files.items())},
            inputs=tuple(
                InputRecord(
                    **_port(boundary),
                    name=boundary.name,
                    axis=axis_of("s_axis", boundary.name, inputs),
                    conversion=graph.conversions.get(boundary.name, Conversion()),
                )
                for boundary in plan.inputs
            ),
            outputs=tuple(
                OutputRecord(
                    **_port(by_name[output.edge.source]),
                    name=output.name,
                    axis=axis_of("m_axis", output.name, names),
                    task=tasks[output.name],
                    fifo=output.edge.fifo,
                    latency_cycles=output.latency_cycles,
                    interval_cycles=output.interval_cycles,
                )
                for output in plan.outputs
            ),
            boundaries=tuple(_boundary(boundary) for boundary in plan.boundaries),
            latency_cycles=plan.latency_cycles,
            interval_cycles=plan.interval_cycles,
            interval_frames=plan.interval_frames,
            steady_frames=plan.steady_frames,
            family=plan.settings.family,
            estimates=plan.estimates,
        )

    @property
    def text(self) -> str:
        """The file."""
        return json.dumps(self.model_dump(mode="json"), indent=1) + "\n"

    @property
    def layers(self) -> tuple[BoundaryRecord, ...]:
        """The boundaries after layers: all but those of the model's inputs."""
        return tuple(b for b in self.boundaries if not b.is_input)

    @property
    def has_joins(self) -> bool:
        """Do inputs, or tensors that one layer reads, arrive independently of each other?"""
        return len(self.inputs) > 1 or any(len(b.inputs) > 1 for b in self.boundaries)

    @property
    def pixels(self) -> dict[str, int]:
        """The pixels per beat, by tensor."""
        return {b.tensor: b.pixels for b in self.boundaries}

    @property
    def sources(self) -> list[str]:
        """The Verilog files, sorted, as paths from the bundle."""
        return sorted(name for name in self.files if re.fullmatch(r"rtl/[A-Za-z0-9_.-]+\.v", name))


def read_manifest(file: Path) -> Manifest:
    """Return what a manifest says; raises `UserError` when it cannot be read, or lacks what is needed."""
    advice = "run 'dnn2fpga generate' again"
    try:
        return Manifest.model_validate_json(file.read_bytes())
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror or error}; {advice}") from error
    except ValidationError as error:
        found = problems_of(error, file, {})
        raise UserError([*found[:_MOST_PROBLEMS], f"{file}: is damaged, or of another version; {advice}"]) from error


def _stream(boundary: Boundary) -> dict[str, Any]:
    tensor = boundary.tensor
    return {
        "shape": tuple(tensor.shape),
        "signed": tensor.signed,
        "width": tensor.width,
        "scale": tensor.scale,
        "zero_point": tensor.zero_point,
        "lanes": boundary.beat.lanes,
        "beats": boundary.beats,
        "pixels": boundary.pixels,
    }


def _port(boundary: Boundary) -> dict[str, Any]:
    bits = lane_bits(boundary.tensor)
    sizes = {"lane_bits": bits, "tdata_bits": bits * boundary.beat.lanes}
    return {"tensor": boundary.name, **_stream(boundary), **sizes}


def _boundary(boundary: Boundary) -> BoundaryRecord:
    return BoundaryRecord(
        index=boundary.index,
        tensor=boundary.name,
        kind=boundary.kind,
        inputs=tuple(EdgeRecord(tensor=edge.source, fifo=edge.fifo) for edge in boundary.inputs),
        engine=boundary.engine,
        folding=boundary.folding,
        **_stream(boundary),
        first_cycle=boundary.first_cycle,
        last_cycle=boundary.last_cycle,
        interval_cycles=boundary.interval_cycles,
        busy_cycles=boundary.busy_cycles,
        resources=boundary.resources,
    )
