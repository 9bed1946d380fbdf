"""The CNN of Aarrestad et al. in hardware: two designs for a Zynq 7020, and resources against the interval.

    .venv/bin/python examples/svhn_cnn/train.py       # the networks, once
    .venv/bin/python examples/svhn_cnn/hardware.py    # an hour on two cores; synthesis results are kept

7 bits, half of the weights 0, trained on photographs (CIFAR-10 as JPEG) instead of house numbers: the same shapes, so
the same hardware. Every design is simulated on 1,000 test images, all layer boundaries compared with the integer model,
and synthesized with yosys for Xilinx 7-series. Writes ``hardware.md`` and ``hardware.png``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent / "benchmarks")]
from datasets import cifar10_jpeg  # noqa: E402
from designs import RESOURCES, Measured, measured, resource_cells  # noqa: E402
from reporting import markdown_table  # noqa: E402

WORK = HERE / "work"
MODEL = WORK / "7_bits"
IMAGES = 1_000
ZYNQ_7020 = {"lut": 53_200, "ff": 106_400, "dsp": 220, "bram18": 280}
HALF = {"lut": 25_000, "dsp": 110, "bram18": 140}
MHZ = 100

DESIGNS: dict[str, dict[str, Any]] = {
    "throughput": {"goal": {"interval_cycles": 1024, "latency_cycles": 3000, "budget": HALF}},
    "latency": {"goal": {"aim": "latency", "interval_cycles": 1024, "budget": ZYNQ_7020 | {"lut": 46_000}}},
}
SWEEP = (1024, 2048, 4096, 8192, 16384)
PAPER = (
    (
        "Aarrestad et al., Table 4: Zynq 7020",
        "17,085",
        "16,385",
        "2,831 (measured there)",
        "48,259",
        "35,118",
        "213",
        "122",
    ),
    ("Aarrestad et al., Table 3: VU9P, QP 7 bits", "1,035", "1,030", "", "111,152", "32,554", "174", "134"),
)


def rows(found: list[Measured]) -> list[tuple[Any, ...]]:
    return [
        (one.name, f"{one.latency:,}", f"{one.interval:,}", f"{MHZ * 1e6 / one.interval:,.0f}", *resource_cells(one))
        for one in found
    ]


def plot(found: list[Measured], file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3), layout="constrained")
    titles = {"lut": "LUTs", "ff": "registers", "dsp": "DSP blocks", "bram18": "block RAMs (18 Kbit)"}
    for axes, key in zip(figure.subplots(1, len(RESOURCES)), RESOURCES, strict=True):
        intervals = [one.interval for one in found]
        axes.plot(intervals, [one.found[key] for one in found], "o-", color="#4477aa", label="synthesized")
        axes.plot(intervals, [one.predicted[key] for one in found], "x--", color="#ee6677", label="predicted")
        axes.set_xscale("log", base=2)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("interval, cycles")
        axes.set_title(titles[key], fontsize=9)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    figure.savefig(file, dpi=130, metadata={"Software": None})


def main() -> None:
    _, test = cifar10_jpeg()
    hardware = WORK / "hardware"
    designs = [measured(name, MODEL, hardware, settings, test, IMAGES) for name, settings in DESIGNS.items()]
    sweep = [
        measured(f"interval {interval}", MODEL, hardware, {"goal": {"interval_cycles": interval}}, test, IMAGES)
        for interval in SWEEP
    ]
    plot(sweep, HERE / "hardware.png")
    heads = ("design", "latency", "interval", f"frames/s at {MHZ} MHz", "LUT", "FF", "DSP", "BRAM18")
    lines = [
        "# The CNN of Aarrestad et al. in hardware",
        "",
        "`python examples/svhn_cnn/hardware.py`; cycles simulated and equal to the prediction; cells of yosys",
        "(`synth_xilinx -family xc7`, before placement; LUTs with inverters and LUT memories), predicted in brackets.",
        f"RTL equal to the integer model at every layer boundary on {IMAGES:,} test images each"
        f" (accuracy on these {designs[0].accuracy:.1%}).",
        "A Zynq 7020 has 53,200 LUTs, 106,400 FFs, 220 DSPs, 280 BRAM18. The paper's cells are Vivado's.",
        "",
        *markdown_table(heads, [*rows(designs), *PAPER]),
        "",
        "PE × SIMD of the folded layers (the others are parallel):",
        "",
        *(f"- {one.name}: {one.foldings}" for one in designs),
        "",
        "## Interval against resources",
        "",
        "Each the smallest design that meets the interval: of the least sum of shares of the chip, DSP blocks and",
        "block RAM counted half. Where a convolution is folded that was an adder graph, DSP blocks stand for LUTs.",
        "",
        *markdown_table(heads, rows(sweep)),
        "",
        "![resources against interval](hardware.png)",
        "",
    ]
    text = "\n".join(lines)
    (HERE / "hardware.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
