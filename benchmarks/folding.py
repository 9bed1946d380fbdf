"""The MNIST CNN of Tourad and Eleuldj at other speeds: folded to 784, 2×, 4× and 8× that, and with 2 and 4 pixels a
beat.

    .venv/bin/python examples/mnist_cnn/run.py     # the network, once
    .venv/bin/python benchmarks/folding.py         # half an hour on two cores; synthesis results are kept

INT8. Every design is the smallest that the planner finds for its interval. Simulated on 1,000 test images, all layer
boundaries compared with the integer model; synthesized with yosys for Xilinx 7-series. Writes
``docs/measurements/folding.md`` and ``.json``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "examples")]
from datasets import mnist  # noqa: E402
from designs import measured, resource_cells  # noqa: E402
from reporting import markdown_table  # noqa: E402

MODEL = ROOT / "examples" / "mnist_cnn" / "work" / "8_bits"
REPORT = ROOT / "docs" / "measurements" / "folding.md"
IMAGES = 1_000
DESIGNS: dict[str, dict[str, Any]] = {
    "4 pixels per beat": {"pixels": 4, "goal": {"interval_cycles": 196}},
    "2 pixels per beat": {"pixels": 2, "goal": {"interval_cycles": 392}},
    **{f"1 pixel a beat {784 * k}": {"goal": {"interval_cycles": 784 * k}} for k in (1, 2, 4, 8)},
}


def main() -> None:
    _, test = mnist()
    found = [
        measured(name, MODEL, ROOT / "build" / "folding", settings, test, IMAGES) for name, settings in DESIGNS.items()
    ]
    heads = ("design", "interval", "latency", "LUT", "FF", "DSP", "BRAM18", "PE × SIMD where folded")
    rows = [(one.name, f"{one.interval:,}", f"{one.latency:,}", *resource_cells(one), one.foldings) for one in found]
    lines = [
        "# The MNIST CNN at other speeds",
        "",
        "`python benchmarks/folding.py`; cycles simulated, equal to the prediction; cells of yosys (`synth_xilinx",
        "-family xc7`, before placement; LUTs with inverters and LUT memories), predicted in brackets. RTL equal to",
        f"the integer model at every layer boundary on {IMAGES:,} test images each.",
        "",
        *markdown_table(heads, rows),
        "",
    ]
    text = "\n".join(lines)
    REPORT.write_text(text, encoding="utf-8")
    kept = [
        {"name": one.name, "interval": one.interval, "seconds_to_verilog": round(one.seconds, 1), "cells": one.cells}
        for one in found
    ]
    REPORT.with_suffix(".json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
