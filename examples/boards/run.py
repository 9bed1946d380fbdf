"""Networks on boards with open tools only, from Keras to a bitstream, each by one command.

    .venv/bin/python examples/boards/run.py digits_cnn       # ULX3S-85F; about 3 minutes
    .venv/bin/python examples/boards/run.py mnist_cnn        # ULX3S-85F; 15 minutes and more; needs the MNIST files
    .venv/bin/python examples/boards/run.py digits_dense     # iCEBreaker, and its netlist simulated; about 4 minutes
    .venv/bin/python examples/boards/run.py digits_dense_tang     # Tang Nano 9K
    .venv/bin/python examples/boards/run.py                  # all of them

Trains (where that has not been done), quantizes to INT8, plans for the board, builds the bitstream with yosys and
nextpnr, sends test images through the simulated design of the whole board, and writes ``results.md``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from models import Model, digits_cnn, digits_dense, mnist_cnn  # noqa: E402 - needs the path above
from reporting import markdown_table, show_progress  # noqa: E402

from dnn2fpga import flow  # noqa: E402
from dnn2fpga.build.build_result import BuildResult  # noqa: E402
from dnn2fpga.drive.run import NETLIST, SIMULATED, run_on_board  # noqa: E402
from dnn2fpga.plan.settings import PlanSettings  # noqa: E402

WORK = HERE / "work"
OUTCOMES, RESULTS = WORK / "outcomes.json", HERE / "results.md"


@dataclass(frozen=True)
class Example:
    """``images`` of the test set go through the simulated board, ``netlist_images`` through the synthesized netlist."""

    model: Callable[[Path], Model]
    board: str
    hardware: dict[str, Any]
    images: int = 100
    netlist_images: int = 0


EXAMPLES = {
    "digits_cnn": Example(digits_cnn, "ulx3s_85f", {"goal": {"aim": "smallest", "interval_cycles": 1024}}),
    "mnist_cnn": Example(
        mnist_cnn,
        "ulx3s_85f",
        # Half of the DSP blocks: with nearly all of them, or with adder graphs, nextpnr routes for very long.
        {
            "engine": "folded",
            "multiplier": "dsp",
            "layers": {"dense": {"multiplier": "lut"}},
            "goal": {"aim": "smallest", "interval_cycles": 12544},
        },
        images=20,
    ),
    "digits_dense": Example(
        digits_dense,
        "icebreaker",
        {"weight_memory": "block", "goal": {"aim": "smallest", "interval_cycles": 2000}},
        netlist_images=100,
    ),
    "digits_dense_tang": Example(
        digits_dense,
        "tang_nano_9k",
        {"weight_memory": "block", "goal": {"aim": "smallest", "interval_cycles": 2000}},
    ),
}


@dataclass(frozen=True)
class Outcome:
    """The measurements that ``results.md`` reports."""

    build: BuildResult
    float_accuracy: float
    integer_accuracy: float
    latency_cycles: int
    simulated: int
    simulated_equal: int
    netlist: int
    netlist_equal: int


def run(name: str, example: Example) -> Outcome:
    folder = WORK / name
    model = example.model(WORK)
    graph = flow.read_model(model.keras)
    scores = flow.quantize(graph, model.train, work=folder, test=model.test, progress=show_progress)
    hardware = PlanSettings.model_validate(example.hardware)
    manifest = flow.generate(folder, hardware, board=example.board, progress=show_progress)
    built = flow.build(folder, example.board, hardware=hardware, progress=show_progress)
    assert built.result is not None
    simulated = run_on_board(
        folder, model.test.sample(example.images), example.board, SIMULATED, progress=show_progress
    )
    of_netlist = (0, 0)
    if example.netlist_images:
        images = model.test.sample(example.netlist_images)
        checked = run_on_board(folder, images, example.board, NETLIST, progress=show_progress)
        of_netlist = (checked.frames, checked.equal)
    return Outcome(
        build=built.result,
        float_accuracy=float(scores.float_score or 0),
        integer_accuracy=float(scores.integer_score or 0),
        latency_cycles=manifest.latency_cycles,
        simulated=simulated.frames,
        simulated_equal=simulated.equal,
        netlist=of_netlist[0],
        netlist_equal=of_netlist[1],
    )


def row(name: str, outcome: dict[str, Any]) -> tuple[object, ...]:
    build = outcome["build"]
    used, has, planned = build["used"], build["available"], build["planned"]
    counts = [f"{used[r]:,} of {has[r]:,} ({planned[r]:,.0f})" for r in ("lut", "ff", "dsp", "bram")]
    checked = f"{outcome['simulated_equal']} of {outcome['simulated']}"
    if outcome["netlist"]:
        checked += f"; netlist {outcome['netlist_equal']} of {outcome['netlist']}"
    return (
        f"`{name}`",
        build["title"],
        f"{outcome['float_accuracy']:.2%} → {outcome['integer_accuracy']:.2%}",
        *counts,
        f"{build['reached_mhz']:.1f} ({build['target_mhz']:g})",
        f"{build['frames_per_second']:,.0f}",
        f"{outcome['latency_cycles'] / build['target_mhz']:,.1f}",
        checked,
        f"{sum(build['seconds'].values()):,.0f}",
    )


HEADS = (
    "design",
    "board",
    "accuracy, float → INT8",
    "LUTs used of (planned)",
    "registers",
    "DSP blocks",
    "block RAMs",
    "clock after routing (target), MHz",
    "frames/s",
    "latency, µs",
    "images equal, simulated board",
    "seconds for the bitstream",
)


def report(outcomes: dict[str, Any]) -> str:
    rows = [row(name, outcomes[name]) for name in EXAMPLES if name in outcomes]
    tools = sorted({tool for outcome in outcomes.values() for tool in outcome["build"]["tools"]})
    table = "\n".join(markdown_table(HEADS, rows))
    return f"""# Bitstreams with open tools

Written by `python examples/boards/run.py`. {", ".join(tools)}. *Planned* is the network alone, estimated before
synthesis; used is the whole design with its host link (about 1,100 LUTs). Frames/s and latency are the network's at the
target clock; the serial line is slower. On iCE40 a logic cell is a LUT, a register or both. "Images equal" compares
every number with the integer model, through the pins of the simulated board. Not run on real boards.

{table}
"""


def main() -> None:
    names = sys.argv[1:] or list(EXAMPLES)
    if unknown := [name for name in names if name not in EXAMPLES]:
        sys.exit(f"error: there is no {', '.join(unknown)}; the examples are {', '.join(EXAMPLES)}")
    for name in names:
        print(f"── {name}", flush=True)
        outcome = run(name, EXAMPLES[name])
        outcomes = json.loads(OUTCOMES.read_text(encoding="utf-8")) if OUTCOMES.is_file() else {}
        outcomes[name] = asdict(outcome)
        OUTCOMES.write_text(json.dumps(outcomes, indent=1), encoding="utf-8")
        RESULTS.write_text(report(outcomes), encoding="utf-8")
        print(f"wrote {RESULTS}", flush=True)


if __name__ == "__main__":
    main()
