"""A specimen as simulated Verilog: every beat at every boundary compared, and every predicted cycle measured."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specimens import Specimen

from dnn2fpga.errors import UserError
from dnn2fpga.generate.bundle import write_bundle
from dnn2fpga.generate.manifest import Manifest
from dnn2fpga.generate.vectors import write_vectors
from dnn2fpga.graph import files as config_files
from dnn2fpga.graph.ports import by_name
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.plan.hardware_plan import HardwarePlan, plan
from dnn2fpga.plan.planner import completed
from dnn2fpga.plan.settings import PlanSettings

SIM = Path(__file__).resolve().parents[2] / "sim"
sys.path.insert(0, str(SIM))
from bulk import run_bulk  # noqa: E402 - needs the path above


class Mismatch(AssertionError):
    """The Verilog does something else than the integer model, or in other cycles than the plan says."""


@dataclass(frozen=True)
class Outcome:
    """The counts of what was compared, for the report."""

    quantized: QuantizedGraph
    plan: HardwarePlan
    manifest: Manifest
    frames: int
    beats: int
    cycles: int
    refused_fifos: bool = False  # whether the design would have hung with the FIFOs of the settings


def simulate(
    specimen: Specimen, quantized: QuantizedGraph, folder: Path, build_dir: Path, stalls: Sequence[str] | None = None
) -> Outcome:
    """Generate the bundle in ``folder`` and simulate it without stalls, and with patterns of stalls.

    :param stalls: the patterns; None: the specimen's own.
    :raises Mismatch: when a beat, a count or a cycle is not as predicted.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config_files.save(quantized, folder)
    quantized = config_files.load(folder)  # the files say what the hardware is
    hardware, refused_fifos = _planned(quantized, specimen.plan)
    bundle, vectors = folder / "bundle", folder / "vectors"
    manifest = write_bundle(quantized, hardware, bundle)
    q = specimen.frames(quantized, manifest.steady_frames)
    frames = len(next(iter(by_name(q, quantized.inputs).values())))
    write_vectors(quantized, hardware.pixels, q, vectors, "random numbers")
    beats = cycles = 0
    for pattern in ("none", *([specimen.stalls] if stalls is None else stalls)):
        seed = specimen.seed % 1000
        results = run_bulk(bundle, vectors, stalls=pattern, seed=seed, jobs=1, build_dir=build_dir)
        (test,) = results["tests"]
        if not results["passed"]:
            raise Mismatch(test["message"])
        expected = [frames * one.beats for one in (*manifest.boundaries, *manifest.outputs)]
        counted = [*test["beats_compared"], *test["output_beats_compared"]]
        if counted != expected:
            raise Mismatch(f"beats compared at boundaries and outputs must be {expected}, not {counted}")
        if pattern == "none":
            _check_cycles(manifest, test)
        beats += sum(counted)
        cycles += test["cycles"]
    return Outcome(quantized, hardware, manifest, frames, beats, cycles, refused_fifos)


def _planned(quantized: QuantizedGraph, settings: PlanSettings) -> tuple[HardwarePlan, bool]:
    """The plan; where the settings' own FIFOs would let it hang, that with calculated ones, and True."""
    try:
        return plan(quantized, completed(quantized, settings)), False
    except UserError as reason:
        if "can hang" not in str(reason):
            raise
    return plan(quantized, completed(quantized, settings.without_fifos())), True


def _check_cycles(manifest: Manifest, test: dict[str, Any]) -> None:
    """The harness compares them as well; here none may be missing, but an interval before the design is full."""
    boundaries, outputs = manifest.boundaries, manifest.outputs
    intervals = [found or b.interval_cycles for found, b in zip(test["interval_cycles"], boundaries, strict=True)]
    measured = [*test["first_cycles"], *test["last_cycles"], *intervals]
    measured += [*test["output_latency_cycles"], *test["output_interval_cycles"]]
    predicted = [b.first_cycle for b in boundaries] + [b.last_cycle for b in boundaries]
    predicted += [b.interval_cycles for b in boundaries]
    predicted += [port.latency_cycles for port in outputs] + [port.interval_cycles for port in outputs]
    if measured != predicted:
        raise Mismatch(f"first, last and interval cycles must be {predicted} as predicted, not {measured}")
