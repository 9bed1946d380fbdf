"""A specimen as simulated Verilog: every beat at every boundary compared, and every predicted cycle measured."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specimens import Specimen

from dnn2fpga.generate.bundle import write_bundle
from dnn2fpga.generate.vectors import write_vectors
from dnn2fpga.graph import files as config_files
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.plan.hardware_plan import HardwarePlan, plan
from dnn2fpga.plan.planner import completed

SIM = Path(__file__).resolve().parents[2] / "sim"
sys.path.insert(0, str(SIM))
from bulk import run_bulk  # noqa: E402 - needs the path above


class Mismatch(AssertionError):
    """The Verilog does something else than the integer model, or in other cycles than the plan says."""


@dataclass(frozen=True)
class Outcome:
    """What was compared, for the report."""

    quantized: QuantizedGraph
    plan: HardwarePlan
    frames: int
    beats: int
    cycles: int


def simulate(specimen: Specimen, quantized: QuantizedGraph, folder: Path, build_dir: Path) -> Outcome:
    """Generates the bundle in ``folder`` and simulates it with and without stalls; raises ``Mismatch``."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config_files.save(quantized, folder)
    quantized = config_files.load(folder)  # what the files say is what is built
    hardware = plan(quantized, completed(quantized, specimen.plan))
    bundle, vectors = folder / "bundle", folder / "vectors"
    write_bundle(quantized, hardware, bundle)
    frames = specimen.frames(quantized)
    write_vectors(quantized, hardware.pixels, frames, vectors, "random numbers")
    beats = cycles = 0
    for stalls in ("none", specimen.stalls):
        seed = specimen.seed % 1000
        results = run_bulk(bundle, vectors, stalls=stalls, seed=seed, jobs=1, build_dir=build_dir)
        (test,) = results["tests"]
        if not results["passed"]:
            raise Mismatch(test["message"])
        expected = [len(frames) * b.beats for b in hardware.boundaries]
        counted = [*test["beats_compared"], *test["output_beats_compared"]]
        if counted != [*expected, expected[-1]]:
            raise Mismatch(f"beats compared must be {expected} and the last once more, not {counted}")
        if stalls == "none":
            _check_cycles(hardware, test)
        beats += sum(counted)
        cycles += test["cycles"]
    return Outcome(quantized, hardware, len(frames), beats, cycles)


def _check_cycles(hardware: HardwarePlan, test: dict[str, Any]) -> None:
    """The harness compares them as well; here none may be missing, but an interval before the design is full."""
    intervals = test["interval_cycles"]
    measured = [*test["first_cycles"], *test["last_cycles"], intervals[-1], *filter(None, intervals)]
    predicted = [b.first_cycle for b in hardware.boundaries] + [b.last_cycle for b in hardware.boundaries]
    predicted += [hardware.interval_cycles] * (len(measured) - len(predicted))
    if measured != predicted:
        raise Mismatch(f"first, last and interval cycles must be {predicted} as predicted, not {measured}")
