"""The command line: ``dnn2fpga quantize | search | generate | verify | build | run | power | compile | boards | demo``.

TensorFlow is imported only by the commands that read a Keras model, and every other heavy module only by the
command that needs it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from dnn2fpga import __version__
from dnn2fpga.cli_options import (
    Aim,
    BoardName,
    Clock,
    ConfigFile,
    Cost,
    Frames,
    Interval,
    Latency,
    Levels,
    Placements,
    PlacementSeed,
    Seed,
    Set,
    Stalls,
    Test,
    Train,
    Trials,
    Waves,
    WorkFolder,
    XName,
    YName,
    settings_from,
    with_model_options,
)
from dnn2fpga.errors import UserError

if TYPE_CHECKING:
    from dnn2fpga.config import Config
    from dnn2fpga.data import Data
    from dnn2fpga.graph import Graph

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From a trained Keras model to a bit-exact, pipelined FPGA accelerator in plain Verilog.",
)
console = Console(highlight=False)

MISMATCH, USAGE, MISSED = 1, 2, 3


@app.callback(invoke_without_command=True)
def _main(version: Annotated[bool, typer.Option("--version", help="show the version")] = False) -> None:
    if version:
        console.print(__version__)
        raise typer.Exit


@app.command()
@with_model_options
def quantize(config: Config) -> None:
    """Keras model → integer model (configuration files): post-training, then partial, then quantization-aware
    training, until the target holds.
    """
    met = _quantize(config)
    _summary(config)
    _exit_unless(met)


@app.command()
@with_model_options
def search(
    config: Config,
    trials: Trials = None,
    cost: Cost = None,
    train: Train = None,
) -> None:
    """Keras model → integer model with a width of its own for every layer: the cheapest that reaches the target.
    An interrupted search goes on where it was.
    """
    config = config.overridden({"search.trials": trials, "search.cost": cost, "search.train": train})
    met = _search(config)
    _summary(config)
    _exit_unless(met)


@app.command()
def generate(
    work: WorkFolder,
    config: ConfigFile = None,
    goal: Aim = None,
    interval: Interval = None,
    latency: Latency = None,
    levels: Levels = None,
    board: BoardName = None,
    clock: Clock = None,
    settings: Set = None,
) -> None:
    """Configuration files → Verilog bundle."""
    given = {"output": work, "hardware.levels_per_register": levels, "board": board, "clock_mhz": clock}
    wanted = {"aim": goal, "interval_cycles": interval, "latency_cycles": latency}
    given |= {f"hardware.goal.{key}": value for key, value in wanted.items()}
    chosen = settings_from(config, given, settings)
    _generate(chosen)
    _summary(chosen)


@app.command()
def verify(
    work: WorkFolder,
    config: ConfigFile = None,
    test: Test = None,
    x: XName = None,
    y: YName = None,
    frames: Frames = None,
    seed: Seed = None,
    stalls: Stalls = None,
    waves: Waves = False,
    settings: Set = None,
) -> None:
    """Simulates the bundle and compares every layer boundary with the integer model, to the bit."""
    chosen: dict[str, Any] = {"data.test": test, "data.x": x, "data.y": y}
    chosen |= {"verification.frames": frames, "verification.seed": seed, "verification.stalls": stalls}
    _verify(settings_from(config, {"output": work, **chosen}, settings), waves)


@app.command()
def synthesize(work: WorkFolder) -> None:
    """What yosys makes of every layer (Xilinx 7-series), beside the estimates; minutes for a large design."""
    from dnn2fpga import flow

    with console.status("yosys is at work"):
        flow.synthesize(work)
    _summary(settings_from(None, {"output": work}, None))


@app.command()
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
    if chosen.board is None:
        raise UserError("no board is chosen; give one with --board ('dnn2fpga boards' lists them)")
    _exit_unless_clock(_build(chosen, run))


@app.command()
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
    frames: Annotated[int | None, typer.Option("--frames", help="only so many of the data (default: all)")] = None,
    noise: Annotated[
        float, typer.Option("--noise", min=0, max=0.2, help="share of the bytes to hurt on the way, as a trial")
    ] = 0.0,
) -> None:
    """Sends data through the accelerator on its board, and compares it with the integer model on this computer."""
    given = {"output": work, "board": board, "clock_mhz": clock, "data.x": x, "data.y": y}
    settings = settings_from(config, given)
    if settings.board is None:
        raise UserError("no board is chosen; give one with --board ('dnn2fpga boards' lists them)")
    _run(settings, data, port, frames, noise)


@app.command()
def power(
    work: WorkFolder,
    board: BoardName = None,
    clock: Clock = None,
    config: ConfigFile = None,
    simulation: Annotated[bool, typer.Option(help="count how much switches, in simulation")] = True,
) -> None:
    """Power and energy of a frame on a board: an estimate (docs/power.md)."""
    from dnn2fpga import flow
    from dnn2fpga.board_report import show_power

    settings = settings_from(config, {"output": work, "board": board, "clock_mhz": clock})
    if settings.board is None:
        raise UserError("no board is chosen; give one with --board ('dnn2fpga boards' lists them)")
    with _progress() as progress:
        estimate = flow.power(
            settings.output, settings.board, settings.clock_mhz, simulate=simulation, progress=progress
        )
    show_power(estimate, console)


@app.command()
@with_model_options
def compile(
    config: Config, levels: Levels = None, frames: Frames = None, board: BoardName = None, clock: Clock = None
) -> None:
    """All steps at once: quantize, generate, verify and, with --board, build."""
    chosen = {"hardware.levels_per_register": levels, "verification.frames": frames}
    config = config.overridden(chosen | {"board": board, "clock_mhz": clock})
    if config.board is not None:
        from dnn2fpga.build.boards import load_board

        load_board(config.board)  # an unknown board is said now, not after the simulation
    met = _quantize(config)
    _generate(config)
    _verify(config)
    fast_enough = config.board is None or _build(config, run=True)
    _exit_unless(met)
    _exit_unless_clock(fast_enough)


@app.command()
def boards() -> None:
    """Lists the boards."""
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


@app.command()
def demo(output: Annotated[Path, typer.Option("--output", "-o", help="work folder")] = Path("demo")) -> None:
    """The whole way on an embedded data set: handwritten digits, 8×8 pixels."""
    from dnn2fpga.demo import prepare

    with _progress() as progress:
        prepared = prepare(output, progress)
    files = {"model": prepared.model, "data.train": prepared.train, "data.test": prepared.test}
    settings = settings_from(None, {"output": output, **files})
    _quantize(settings)
    _generate(settings)
    _verify(settings)


def _exit_unless(met: bool) -> None:
    if not met:
        console.print("the target was not reached: the best model was kept", style="red")
        raise typer.Exit(MISSED)


def _exit_unless_clock(met: bool) -> None:
    if not met:
        console.print(
            "the clock was not reached: the bitstream may not work at this frequency; build with a lower --clock, "
            "more --placements, or generate with more registers (--levels)",
            style="red",
        )
        raise typer.Exit(MISSED)


def _read(settings: Config) -> tuple[Graph, Data, Data | None]:
    """Model, training data and test data."""
    from dnn2fpga import flow

    problems = []
    if settings.model is None:
        problems.append("no model is given; name a .keras or .h5 file")
    if settings.data.train is None:
        problems.append("no data to calibrate with is given; name an .npz or .npy file with --data")
    if problems:
        raise UserError(problems)
    with _progress() as progress:
        progress("reading the model", 0, 1)
        graph = flow.read_model(settings.model)  # type: ignore[arg-type]
        progress("reading the model", 1, 1)
    test = _load(settings.data.test, graph.input_shape, settings) if settings.data.test else None
    return graph, _load(settings.data.train, graph.input_shape, settings), test


def _quantize(settings: Config) -> bool:
    """Whether the target was reached."""
    from dnn2fpga import flow

    graph, data, test = _read(settings)
    with _progress() as progress:
        result = flow.quantize(
            graph, data, settings.output, settings.quantization, settings.optimization, test, progress
        )
    return result.met


def _search(settings: Config) -> bool:
    """Whether the target was reached."""
    from dnn2fpga import flow

    graph, data, test = _read(settings)
    with _progress() as progress:
        result = flow.search(
            graph,
            data,
            settings.output,
            test,
            settings.search,
            settings.quantization,
            settings.optimization,
            progress,
        )
    return result.met


def _generate(settings: Config) -> None:
    from dnn2fpga import flow

    with _progress() as progress:
        flow.generate(settings.output, settings.hardware, progress, settings.board, settings.clock_mhz)


def _verify(settings: Config, waves: bool = False) -> None:
    from dnn2fpga import config_files, flow

    test = None
    if settings.data.test:
        test = _load(settings.data.test, config_files.load(flow.existing_bundle(settings.output)).input.shape, settings)
    with _progress() as progress:
        reports = flow.verify(settings.output, test, settings.verification, waves=waves, progress=progress)
    _summary(settings)
    for report in reports:
        for message in report.messages:
            console.print(message, markup=False, style=None if report.passed else "red")
    if not all(report.passed for report in reports):
        raise typer.Exit(MISMATCH)


def _build(settings: Config, run: bool) -> bool:
    """Whether the clock is met, as far as the tools were run."""
    from dnn2fpga import flow
    from dnn2fpga.report import show_build
    from dnn2fpga.step_progress import steps_shown

    with steps_shown(console) as shown:
        built = flow.build(
            settings.output,
            settings.board or "",
            settings.clock_mhz,
            run=run,
            settings=settings.build,
            hardware=settings.hardware,
            shown=shown,
        )
    for file in built.files:
        console.print(f"wrote {file}")
    for line in built.messages:
        console.print(line, markup=False)
    if built.result is not None:
        show_build(built.result, console)
    return built.met


def _run(settings: Config, data: Path, port: str, frames: int | None, noise: float) -> None:
    from dnn2fpga import config_files, flow
    from dnn2fpga.board_report import show_board_run
    from dnn2fpga.board_run import run_on_board

    shape = config_files.load(flow.existing_bundle(settings.output)).input.shape
    chosen = _load(data, shape, settings).first(frames)
    with _progress() as progress:
        board, clock = settings.board or "", settings.clock_mhz
        result = run_on_board(settings.output, chosen, board, port, clock, progress, noise)
    show_board_run(result, console)
    if not result.passed:
        raise typer.Exit(MISMATCH)


def _load(path: Path | None, shape: tuple[int, ...], settings: Config) -> Data:
    from dnn2fpga.data import load_data

    return load_data(path or "", shape, settings.data.x, settings.data.y)


def _summary(settings: Config) -> None:
    from dnn2fpga.report import show_summary

    show_summary(settings.output, console, settings.clock_mhz)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar with the time left for each named activity; on a pipe or in a log file one line each."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:32}"),
        BarColumn(30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=of)
            bars.update(tasks[what], completed=done, total=of)

        yield show


def main() -> None:
    """Runs the command line; exit code 2 and one line a problem for everything the user can put right."""
    try:
        app()
    except UserError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        sys.exit(USAGE)
