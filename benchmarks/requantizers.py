"""Costs of one requantization: 16 lanes of sums of 20 bits to codes 0 … 15, in the ways that give such steps.

    python benchmarks/requantizers.py       # docs/measurements/requantizers.md

Synthesis is that of the yosys of PyPI, before placement; its results are kept, so a second run is quick.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples"))
from family_synthesis import release, synthesized_cells  # noqa: E402 - needs the path above
from reporting import markdown_table  # noqa: E402
from resource_fitting import component_verilog  # noqa: E402

from dnn2fpga.plan.estimate.cell_counts import counted  # noqa: E402
from rtl_lib.core.formats import Format  # noqa: E402
from rtl_lib.core.stream import StreamComponent  # noqa: E402
from rtl_lib.elementwise.requantize import Requantize  # noqa: E402
from rtl_lib.elementwise.thresholds import Thresholds  # noqa: E402

REPORT = ROOT / "docs" / "measurements" / "requantizers.md"
LANES, STEPS = 16, 15
SUMS, CODES = Format(True, 20), Format(False, 4)
LARGEST = 1 << 18  # sum, which gives the largest code, about


def one_line(bits: int, *, second_line: bool = False) -> StreamComponent:
    """Multipliers of ``bits``, none of them a power of two (of 1: all are). A second line moves ties away from 0."""
    rng = np.random.default_rng(bits)
    multiplier = rng.integers(1 << (bits - 1), 1 << bits, LANES) | 1
    shift = np.full(LANES, 14 + bits)
    offset = rng.integers(0, LARGEST >> 3, LANES)
    negative = {"negative_multiplier": multiplier, "negative_offset": offset - 1} if second_line else {}
    return Requantize(SUMS, CODES, multiplier, shift, offset, CODES.minimum, CODES.maximum, **negative).create()


def thresholds() -> StreamComponent:
    rows = np.sort(np.random.default_rng(0).integers(-LARGEST, LARGEST, (LANES, STEPS)), axis=1)
    return Thresholds(SUMS, CODES, rows, 0).create()


CASES: dict[str, Callable[[], StreamComponent]] = {
    "one line, a power of two": lambda: one_line(1),
    "one line, multipliers of 8 bits": lambda: one_line(8),
    "one line, multipliers of 17 bits": lambda: one_line(17),
    "one line, multipliers of 20 bits": lambda: one_line(20),
    "two lines, the same multipliers of 20 bits": lambda: one_line(20, second_line=True),
    f"thresholds, {STEPS} per lane": thresholds,
}
COMMANDS = {
    "LUT6": ("xc7", "synth_xilinx -family xc7 -flatten -noiopad -noclkbuf -top {top}"),
    "LUT4": ("ecp5", "synth_ecp5 -top {top}"),
    "LUT6, without DSP": ("xc7", "synth_xilinx -family xc7 -flatten -noiopad -noclkbuf -nodsp -top {top}"),
}


def cell(component: StreamComponent, heading: str) -> str:
    """LUTs, and multiplier blocks where there may be any."""
    family, command = COMMANDS[heading]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "top.v"
        file.write_text(component_verilog(component, "top"), encoding="utf-8")
        found = counted(family, synthesized_cells(family, [file], "top", command))
    return f"{found['lut']:,}" if "-nodsp" in command else f"{found['lut']:,} + {found['dsp']:,} DSP"


def main() -> None:
    rows = []
    for name, create in CASES.items():
        rows.append((name, *(cell(create(), heading) for heading in COMMANDS), create().latency))
        print(*rows[-1], sep=" | ", flush=True)
    REPORT.write_text("\n".join(report(rows)), encoding="utf-8")


def report(rows: list[tuple[str, ...]]) -> list[str]:
    commands = [f"- {heading}: `{command.format(top='top')}`" for heading, (_, command) in COMMANDS.items()]
    return [
        "# Requantizers",
        "",
        f"`python benchmarks/requantizers.py`: what {LANES} lanes cost that bring sums of {SUMS.width} bits to",
        f"codes of {CODES.width} bits, in one beat; {release('ecp5')}, before placement. LUTs are counted as in",
        "[resources.md](resources.md); the latency is in cycles. Constants are random, and other ones in every lane.",
        "",
        *markdown_table(("16 lanes", *COMMANDS, "latency"), rows),
        "",
        *commands,
        "",
    ]


if __name__ == "__main__":
    main()
