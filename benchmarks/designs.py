"""One design from configuration files to numbers: planned, built, simulated, synthesized; predicted beside found."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools import xc7_cells, xilinx

from dnn2fpga import flow, work_folder
from dnn2fpga.data import Data
from dnn2fpga.generate.manifest import Manifest
from dnn2fpga.graph import files as config_files
from dnn2fpga.plan.settings import PlanSettings

RESOURCES = ("lut", "ff", "dsp", "bram18")


@dataclass(frozen=True)
class Measured:
    """The measurements of one design."""

    name: str
    manifest: Manifest
    latency: int  # simulated
    interval: int
    frames: int  # equal to the integer model in RTL, at every boundary
    accuracy: float | None
    cells: dict[str, int]  # by yosys; empty when not synthesized
    seconds: float  # files to Verilog

    @property
    def predicted(self) -> dict[str, float]:
        """Resources by the plan."""
        return {key: sum(b.resources[key] for b in self.manifest.boundaries) for key in RESOURCES}

    @property
    def found(self) -> dict[str, int]:
        """Resources by yosys, counted as the estimates count them: inverters and LUT memories are LUTs too."""
        used = xilinx(self.cells)
        return {"lut": used["LUT"], "ff": used["FF"], "dsp": used["DSP"], "bram18": used["BRAM18"]}

    @property
    def foldings(self) -> str:
        """Layer by layer."""
        return ", ".join(f"{b.tensor} {b.folding}" for b in self.manifest.boundaries if b.folding)


def measured(
    name: str, model: Path, work: Path, settings: dict[str, Any], test: Data, frames: int, *, synthesize: bool = True
) -> Measured:
    """Build in ``work / name``; end the program when anything differs from what was predicted."""
    for file in (config_files.MODEL_FILE, config_files.WEIGHTS_FILE):
        if not (model / file).is_file():
            sys.exit(f"error: {model / file} is missing; run the example that makes it first")
    folder = work / name.replace(" ", "_").replace(",", "")
    folder.mkdir(parents=True, exist_ok=True)
    for file in (config_files.MODEL_FILE, config_files.WEIGHTS_FILE):
        shutil.copy(model / file, folder)
    start = time.monotonic()
    manifest = flow.generate(folder, PlanSettings.model_validate(settings))
    seconds = time.monotonic() - start
    protocol, bulk = flow.verify(folder, test.sample(frames))
    cycles = protocol.latency_cycles, protocol.interval_cycles
    if not (protocol.passed and bulk.passed) or any(one["predicted"] != one["measured"] for one in cycles):
        sys.exit(f"{name}: the RTL is not what was predicted: {protocol.messages} {bulk.messages} {cycles}")
    verilog = folder / work_folder.BUNDLE / "rtl" / "accelerator.v"
    return Measured(
        name=name,
        manifest=manifest,
        latency=cycles[0]["measured"],
        interval=cycles[1]["measured"],
        frames=bulk.frames,
        accuracy=next((score.value for score in bulk.scores.values()), None),
        cells=xc7_cells([verilog], "accelerator") if synthesize else {},
        seconds=seconds,
    )


def resource_cells(one: Measured) -> list[str]:
    """``found (predicted)`` of every resource."""
    return [f"{one.found[key]:,} ({one.predicted[key]:,.0f})" for key in RESOURCES]
