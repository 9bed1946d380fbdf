"""``manifest.json``: what a tool must know about a bundle (docs/bundle.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from dnn2fpga import __version__
from dnn2fpga.errors import UserError
from dnn2fpga.files.atomic import digest
from dnn2fpga.files.validation import problems_of
from dnn2fpga.generate.accelerator import lane_bits
from dnn2fpga.generate.verilog import TOP
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.plan.hardware_plan import Boundary, HardwarePlan

MANIFEST, MANIFEST_VERSION = "manifest.json", 1

_MOST_PROBLEMS = 5  # in a message
_Count = Annotated[int, Field(ge=0)]


class _Stream(BaseModel):
    """The keys below are needed; what a newer version adds is no error."""

    model_config = ConfigDict(strict=True)

    shape: list[PositiveInt]
    signed: bool
    width: PositiveInt
    scale: float | list[float]
    zero_point: int | list[int]
    lanes: PositiveInt
    beats: PositiveInt
    pixels: PositiveInt


class _Port(_Stream):
    lane_bits: PositiveInt
    tdata_bits: PositiveInt


class _Boundary(_Stream):
    index: _Count
    layer: str
    kind: str
    engine: str
    folding: str
    first_cycle: _Count
    last_cycle: _Count
    interval_cycles: _Count
    busy_cycles: _Count
    fifo: _Count
    resources: dict[str, float]


class _Manifest(BaseModel):
    model_config = ConfigDict(strict=True)

    manifest_version: Literal[1]
    model: str
    top: Literal["accelerator"]
    files: dict[str, str]
    input: _Port
    output: _Port
    boundaries: Annotated[list[_Boundary], Field(min_length=2)]
    latency_cycles: _Count
    interval_cycles: PositiveInt
    steady_frames: PositiveInt
    family: str
    estimates: dict[str, dict[str, float]]


def read_manifest(file: Path) -> dict[str, Any]:
    """Return what a manifest says; raises `UserError` when it cannot be read, or lacks what is needed."""
    advice = "run 'dnn2fpga generate' again"
    try:
        text = file.read_bytes()
        _Manifest.model_validate_json(text)
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror or error}; {advice}") from error
    except ValidationError as error:
        found = problems_of(error, file, {})
        raise UserError([*found[:_MOST_PROBLEMS], f"{file}: is damaged, or of another version; {advice}"]) from error
    return dict(json.loads(text))


def manifest(graph: QuantizedGraph, plan: HardwarePlan, files: dict[str, Path]) -> dict[str, Any]:
    """``files``: the bundle's files whose digests are recorded, by their names in the bundle."""
    return {
        "manifest_version": MANIFEST_VERSION,
        "generator": f"dnn2fpga {__version__}",
        "model": graph.name,
        "task": graph.task.model_dump(mode="json"),
        "notes": list(graph.notes),
        "top": TOP,
        "files": {name: digest(path) for name, path in sorted(files.items())},
        "input": _port(plan.boundaries[0]),
        "output": _port(plan.boundaries[-1]),
        "boundaries": [_boundary(boundary) for boundary in plan.boundaries],
        "latency_cycles": plan.latency_cycles,
        "interval_cycles": plan.interval_cycles,
        "steady_frames": plan.steady_frames,
        "family": plan.settings.family,
        "estimates": plan.estimates,
    }


def _wire(boundary: Boundary) -> dict[str, Any]:
    tensor = boundary.tensor
    return {
        "shape": list(tensor.shape),
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
    return {**_wire(boundary), "lane_bits": bits, "tdata_bits": bits * boundary.beat.lanes}


def _boundary(boundary: Boundary) -> dict[str, Any]:
    return {
        "index": boundary.index,
        "layer": boundary.layer,
        "kind": boundary.kind,
        "engine": boundary.engine,
        "folding": boundary.folding,
        **_wire(boundary),
        "first_cycle": boundary.first_cycle,
        "last_cycle": boundary.last_cycle,
        "interval_cycles": boundary.interval_cycles,
        "busy_cycles": boundary.busy_cycles,
        "fifo": boundary.fifo,
        "resources": boundary.resources,
    }
