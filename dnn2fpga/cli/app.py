"""The command line: ``dnn2fpga quantize | search | trace | generate | verify | build | run | power | compile | boards |
demo``.

TensorFlow is imported only where a model is trained, and every other heavy module only by the command that needs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dnn2fpga.cli.boards import boards, build, build_for_board, exit_unless_clock, power, run
from dnn2fpga.cli.options import (
    Aim,
    BoardName,
    Clock,
    ConfigFile,
    Cost,
    Frames,
    Interval,
    Latency,
    Levels,
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
from dnn2fpga.cli.process import run_to_its_end
from dnn2fpga.cli.screen import MISMATCH, MISSED, console, loaded, progress_shown
from dnn2fpga.cli.tracing import trace
from dnn2fpga.errors import UserError
from dnn2fpga.files.exclusive import exclusive
from dnn2fpga.version import __version__

if TYPE_CHECKING:
    from dnn2fpga.config import Config
    from dnn2fpga.data import Data
    from dnn2fpga.graph.float import Graph

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From a trained Keras model to a bit-exact, pipelined FPGA accelerator in plain Verilog.",
)


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
    with exclusive(config.output, make=True):
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
    """Keras model → integer model with a width of its own for every layer: the cheapest that reaches the target. An
    interrupted search resumes.
    """
    config = config.overridden({"search.trials": trials, "search.cost": cost, "search.train": train})
    with exclusive(config.output, make=True):
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
    with exclusive(work):
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
    """Simulate the bundle and compare every layer boundary with the integer model, bit by bit."""
    chosen: dict[str, Any] = {"data.test": test, "data.x": x, "data.y": y}
    chosen |= {"verification.frames": frames, "verification.seed": seed, "verification.stalls": stalls}
    with exclusive(work):
        _verify(settings_from(config, {"output": work, **chosen}, settings), waves)


@app.command()
def synthesize(work: WorkFolder) -> None:
    """Synthesize every layer with yosys (Xilinx 7-series), beside the estimates; minutes for a large design."""
    from dnn2fpga import flow

    with exclusive(work):
        with progress_shown() as progress:
            flow.synthesize(work, progress=progress)
        _summary(settings_from(None, {"output": work}, None))


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
    with exclusive(config.output, make=True):
        met = _quantize(config)
        _generate(config)
        _verify(config)
        fast_enough = config.board is None or build_for_board(config, run=True)
    _exit_unless(met)
    exit_unless_clock(fast_enough)


for command in (trace, build, run, power, boards):
    app.command()(command)


@app.command()
def demo(output: Annotated[Path, typer.Option("--output", "-o", help="work folder")] = Path("demo")) -> None:
    """The whole way on an embedded data set: handwritten digits, 8×8 pixels."""
    from dnn2fpga.cli.demo import prepare

    with exclusive(output, make=True):
        with progress_shown() as progress:
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


def _read(settings: Config) -> tuple[Graph, Data | None, Data | None]:
    """Model, training data and test data; says what the network is for."""
    from dnn2fpga import flow
    from dnn2fpga.task_reading import task_lines, with_task

    if settings.model is None:
        raise UserError("no model is given; name its file (docs/front_ends.md lists what can be read)")
    with progress_shown() as progress:
        progress("reading the model", 0, 1)
        graph = flow.read_model(settings.model, settings.reading)
        progress("reading the model", 1, 1)
    test = loaded(settings.data.test, graph, settings) if settings.data.test else None
    data = loaded(settings.data.train, graph, settings) if settings.data.train else None
    for line in task_lines(with_task(graph, (data, test), settings.task), test):
        console.print(f"task: {line}", markup=False)
    return graph, data, test


def _quantize(settings: Config) -> bool:
    """Quantize, show the result, and return whether the target was reached."""
    from dnn2fpga import flow

    graph, data, test = _read(settings)
    with progress_shown() as progress:
        result = flow.quantize(
            graph,
            data,
            work=settings.output,
            test=test,
            task=settings.task,
            reading=settings.reading,
            quantization=settings.quantization,
            optimization=settings.optimization,
            progress=progress,
        )
    return result.met


def _search(settings: Config) -> bool:
    """Search, show the result, and return whether the target was reached."""
    from dnn2fpga import flow

    graph, data, test = _read(settings)
    with progress_shown() as progress:
        result = flow.search(
            graph,
            data,
            work=settings.output,
            test=test,
            task=settings.task,
            search=settings.search,
            quantization=settings.quantization,
            optimization=settings.optimization,
            progress=progress,
        )
    return result.met


def _generate(settings: Config) -> None:
    from dnn2fpga import flow

    def told(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    with progress_shown() as progress:
        flow.generate(
            settings.output,
            settings.hardware,
            board=settings.board,
            clock_mhz=settings.clock_mhz,
            progress=progress,
            told=told,
        )


def _verify(settings: Config, waves: bool = False) -> None:
    from dnn2fpga import flow, work_folder
    from dnn2fpga.graph import files as config_files

    test, work = None, work_folder.WorkFolder(settings.output)
    if settings.data.test:
        work.remove(work_folder.VERIFICATION)  # what goes wrong with the data leaves no old verdict either
        test = loaded(settings.data.test, config_files.load(work.current_bundle().path), settings)
    with progress_shown() as progress:
        reports = flow.verify(settings.output, test, verification=settings.verification, waves=waves, progress=progress)
    _summary(settings)
    for report in reports:
        for message in report.messages:
            console.print(message, markup=False, style=None if report.passed else "red")
    if not all(report.passed for report in reports):
        raise typer.Exit(MISMATCH)


def _summary(settings: Config) -> None:
    from dnn2fpga.report.summary import show_summary

    show_summary(settings.output, console, settings.clock_mhz)


def main() -> None:
    """Run the command line. Exit code 2 and one line per problem for everything the user can put right."""
    run_to_its_end(app)
