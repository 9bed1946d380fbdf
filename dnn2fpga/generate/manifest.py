"""``manifest.json``: what a tool must know about a bundle (docs/bundle.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dnn2fpga import __version__
from dnn2fpga.atomic import digest
from dnn2fpga.generate.accelerator import lane_bits
from dnn2fpga.generate.verilog import TOP
from dnn2fpga.plan.hardware_plan import Boundary, HardwarePlan
from dnn2fpga.quantized_graph import QuantizedGraph

MANIFEST_VERSION = 1


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
