"""The commands that have to do with boards: ``build``, ``run``, ``power``, ``boards``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dnn2fpga.cli.options import (
    BoardName,
    Clock,
    ConfigFile,
    Placements,
    PlacementSeed,
    Set,
    WorkFolder,
    XName,
    YName,
    settings_from,
)
from dnn2fpga.cli.screen import MISMATCH, MISSED, console, loaded, progress_shown
from dnn2fpga.errors import UserError
from dnn2fpga.files.exclusive import exclusive

if TYPE_CHECKING:
    from dnn2fpga.config import Config


def build(
    work: WorkFolder,
    config: ConfigFile = None,
    board: BoardName = None,
    clock: Clock = None,
    placements: Placements = None,
    seed: PlacementSeed = None,
    settings: Set = None,
    run: Annotated[bool, typer.Option(help="run the board's tools (Vivado: when it is installed)")] = True,
) -> None:
    """The bundle for a board: a bitstream by yosys and nextpnr where they know its FPGA, else a Vivado project."""
    given = {"output": work, "board": board, "clock_mhz": clock}
    chosen = settings_from(config, given | {"build.placements": placements, "build.seed": seed}, settings)
    _check_board(chosen)
    with exclusive(work):
        met = build_for_board(chosen, run)
    exit_unless_clock(met)


def run(
    work: WorkFolder,
    data: Annotated[Path, typer.Argument(help="test data, .npz with x and y (labels), or .npy")],
    port: Annotated[
        str, typer.Option("--port", help="serial port, or 'simulation' for the board's design in Verilator")
    ],
    board: BoardName = None,
    clock: Clock = None,
    config: ConfigFile = None,
    x: XName = None,
    y: YName = None,
    frames: Annotated[
        int | None, typer.Option("--frames", min=1, help="this many samples, spread over the data (default: all)")
    ] = None,
    noise: Annotated[
        float, typer.Option("--noise", min=0, max=0.2, help="share of the bytes to corrupt on the way, as a trial")
    ] = 0.0,
) -> None:
    """Send data through the accelerator on its board, and compare it with the integer model on this computer."""
    given = {"output": work, "board": board, "clock_mhz": clock, "data.x": x, "data.y": y}
    settings = settings_from(config, given)
    _check_board(settings)
    with exclusive(work):
        _run_on_board(settings, data, port, frames, noise)


def power(
    work: WorkFolder,
    board: BoardName = None,
    clock: Clock = None,
    config: ConfigFile = None,
    simulation: Annotated[bool, typer.Option(help="count how much switches, in simulation")] = True,
) -> None:
    """Power and energy of a frame on a board: an estimate (docs/power.md)."""
    from dnn2fpga import flow
    from dnn2fpga.report.board import show_power

    settings = settings_from(config, {"output": work, "board": board, "clock_mhz": clock})
    _check_board(settings)
    with exclusive(work), progress_shown() as progress:
        estimate = flow.power(
            settings.output,
            settings.board or "",
            clock_mhz=settings.clock_mhz,
            simulate=simulation,
            progress=progress,
        )
    show_power(estimate, console)


def boards() -> None:
    """List the boards."""
    from rich import box
    from rich.table import Table

    from dnn2fpga.build.boards import available_boards, load_board

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("name", no_wrap=True)
    for heading in ("LUT", "DSP", "BRAM", "MHz"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("tools", no_wrap=True)
    table.add_column("board")
    for name in available_boards():
        board = load_board(name)
        r = board.resources
        numbers = [f"{n:,}" for n in (r.lut, r.dsp, r.bram)]
        tools = "yosys, nextpnr" if board.architecture.tools.is_open else "Vivado"
        table.add_row(name, *numbers, f"{board.clock_mhz:g}", tools, board.title)
    console.print(table)


def exit_unless_clock(met: bool) -> None:
    if not met:
        console.print(
            "the clock was not reached: the bitstream may not work at this frequency; build with a lower --clock, "
            "more --placements, or generate with more registers (--levels)",
            style="red",
        )
        raise typer.Exit(MISSED)


def build_for_board(settings: Config, run: bool) -> bool:
    """Build, show the result, and return whether the clock is met, as far as the tools were run."""
    from dnn2fpga import flow
    from dnn2fpga.cli.step_progress import steps_shown
    from dnn2fpga.report.summary import show_build

    with steps_shown(console) as shown:
        built = flow.build(
            settings.output,
            settings.board or "",
            clock_mhz=settings.clock_mhz,
            run=run,
            build=settings.build,
            hardware=settings.hardware,
            progress=shown,
        )
    for file in built.files:
        console.print(f"wrote {file}")
    for line in built.messages:
        console.print(line, markup=False)
    if built.result is not None:
        show_build(built.result, console)
    return built.met


def _run_on_board(settings: Config, data: Path, port: str, frames: int | None, noise: float) -> None:
    from dnn2fpga import work_folder
    from dnn2fpga.drive.run import run_on_board
    from dnn2fpga.graph import files as config_files
    from dnn2fpga.report.board import show_board_run

    work = work_folder.WorkFolder(settings.output)
    work.remove(work_folder.BOARD_RUN)  # what goes wrong with the data leaves no old result either
    chosen = loaded(data, config_files.load(work.current_bundle().path), settings).sample(frames)
    with progress_shown() as progress:
        board, clock = settings.board or "", settings.clock_mhz
        result = run_on_board(settings.output, chosen, board, port, clock, progress, noise)
    show_board_run(result, console)
    if not result.passed:
        raise typer.Exit(MISMATCH)


def _check_board(settings: Config) -> None:
    if settings.board is None:
        raise UserError("no board is chosen; give one with --board ('dnn2fpga boards' lists them)")
