"""Power and energy per frame, estimated (docs/power.md), of the digits demo and the MNIST CNN.

    make demo                                      # the digits, once
    .venv/bin/python examples/mnist_cnn/run.py     # the MNIST CNN, once
    .venv/bin/python benchmarks/power.py           # minutes; compiled simulators are kept

Toggle rates are simulated on six real frames, resources are the estimates of the plan. Writes
``docs/measurements/power.md``.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples"))
from reporting import markdown_table, show_progress  # noqa: E402

from dnn2fpga import flow, work_folder  # noqa: E402
from dnn2fpga.build.boards import load_board  # noqa: E402
from dnn2fpga.build.power import KINDS, PowerEstimate, estimate_power  # noqa: E402
from dnn2fpga.generate.manifest import Manifest  # noqa: E402
from dnn2fpga.graph import files as config_files  # noqa: E402
from dnn2fpga.plan.settings import PlanSettings  # noqa: E402
from dnn2fpga.verify.activity import measure_activity  # noqa: E402

WORK = ROOT / "build" / "power"
REPORT = ROOT / "docs" / "measurements" / "power.md"
MNIST = ROOT / "examples" / "mnist_cnn" / "work"
BOARDS = ("arty_a7_100t", "pynq_z2", "zcu104", "ulx3s_85f")


@dataclass(frozen=True)
class Design:
    name: str
    model: Path
    hardware: dict[str, Any] = field(default_factory=dict)


DESIGNS = (
    Design("digits INT8", ROOT / "build" / "demo"),
    Design("MNIST INT8", MNIST / "8_bits"),
    Design("MNIST INT8, interval ≤ 6,272", MNIST / "8_bits", {"goal": {"interval_cycles": 6272}}),
    Design("MNIST 4 bits", MNIST / "4_bits"),
)


def measured(design: Design) -> tuple[Manifest, dict[str, Any]]:
    """Manifest and activity."""
    folder = WORK / "".join(c if c.isalnum() else "_" for c in design.name)
    folder.mkdir(parents=True, exist_ok=True)
    for name in (config_files.MODEL_FILE, config_files.WEIGHTS_FILE, work_folder.SAMPLES):
        if not (design.model / name).is_file():
            sys.exit(f"error: {design.model / name} is missing; run what makes it first: {(__doc__ or '').strip()}")
        shutil.copy(design.model / name, folder)
    manifest = flow.generate(folder, PlanSettings.model_validate(design.hardware), progress=show_progress)
    return manifest, measure_activity(folder / work_folder.BUNDLE, folder / work_folder.SIMULATION, show_progress)


def row(design: Design, manifest: Manifest, activity: dict[str, Any], board: str) -> tuple[Any, ...]:
    target = load_board(board)
    found = estimate_power(manifest, target, target.clock_mhz, activity)
    default = estimate_power(manifest, target, target.clock_mhz)
    return (
        design.name,
        board,
        f"{target.clock_mhz:g}",
        f"{found.frames_per_second:,.0f}",
        f"{found.static_mw:,.0f}",
        f"{found.dynamic_mw:,.0f} ({default.dynamic_mw:,.0f})",
        f"{found.dynamic_energy_per_frame_uj:.2f}",
        f"{found.energy_per_frame_uj:.2f}",
    )


def layer_rows(found: PowerEstimate) -> list[tuple[str, ...]]:
    rows = [
        (
            one.layer,
            f"{one.toggle_rate:.1%}",
            *(f"{one.milliwatts[kind]:.1f}" for kind in KINDS),
            f"{one.dynamic_mw:.1f}",
        )
        for one in found.layers
    ]
    by_kind = found.dynamic_mw_by_kind
    return [*rows, ("all", "", *(f"{by_kind[kind]:.1f}" for kind in KINDS), f"{found.dynamic_mw:.1f}")]


def main() -> None:
    found = [(design, *measured(design)) for design in DESIGNS]
    heads = (
        "design",
        "board",
        "MHz",
        "frames/s",
        "static, mW",
        "dynamic, mW",
        "dynamic, µJ a frame",
        "all, µJ a frame",
    )
    lines = [
        "# Power and energy, estimated",
        "",
        "`python benchmarks/power.py`. Estimates of the order of magnitude, by the model of [power.md](../power.md);",
        "nothing was measured on a board. Frames back to back at the board's clock; toggle rates of the registers",
        "simulated on six frames of the calibration data (in brackets: with the default rate of 12.5 % instead);",
        "resources as the plan estimates them for 7-series.",
        "",
        *markdown_table(heads, [row(*one, board) for one in found for board in BOARDS]),
    ]
    target = load_board(BOARDS[0])
    for design, manifest, activity in found:
        estimate = estimate_power(manifest, target, target.clock_mhz, activity)
        heads = ("layer", "toggles a bit and cycle", "clock", "FF", "LUT", "DSP", "BRAM", "all, mW")
        title = f"## {design.name} on {target.name}, layer by layer"
        lines += ["", title, "", *markdown_table(heads, layer_rows(estimate))]
    text = "\n".join([*lines, ""])
    REPORT.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
