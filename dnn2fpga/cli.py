"""The command line: ``dnn2fpga quantize | generate | verify | build | compile | boards | demo``.

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
from dnn2fpga.errors import UserError

if TYPE_CHECKING:
    from dnn2fpga.config import Config
    from dnn2fpga.data import Data

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From a trained Keras model to a bit-exact, pipelined FPGA accelerator in plain Verilog.",
)
console = Console(highlight=False)

USAGE, MISMATCH = 2, 1

ModelFile = Annotated[
    Path | None, typer.Argument(help="Keras model (.keras or .h5); default: 'model' of dnn2fpga.yaml")
]
WorkFolder = Annotated[Path, typer.Argument(help="folder with model.yaml and weights.npz (from 'quantize')")]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="settings; default: dnn2fpga.yaml here, if any")
]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="work folder to write into [default: work]")]
Calibration = Annotated[Path | None, typer.Option("--calibration", help="calibration data, .npz or .npy")]
Test = Annotated[Path | None, typer.Option("--data", "--test", help="test data, .npz with x and y (labels), or .npy")]
XName = Annotated[str | None, typer.Option("--x", help="name of the inputs in the data files [default: x]")]
YName = Annotated[str | None, typer.Option("--y", help="name of the labels in the data files [default: y]")]
Bits = Annotated[int | None, typer.Option("--bits", help="width of weights, activations and input, 2-16 [default: 8]")]
WeightBits = Annotated[int | None, typer.Option("--weight-bits", help="width of weights, 2-16")]
ActivationBits = Annotated[int | None, typer.Option("--activation-bits", help="width of activations, 2-16")]
ScalesOption = Annotated[str | None, typer.Option("--scales", help="power_of_two or free [default: power_of_two]")]
Samples = Annotated[
    int | None, typer.Option("--calibration-samples", help="how many samples calibrate [default: 1000]")
]
Levels = Annotated[int | None, typer.Option("--levels", help="adder levels between registers [default: 3]")]
Frames = Annotated[int | None, typer.Option("--frames", help="simulate so many samples of the data [default: all]")]
Seed = Annotated[int | None, typer.Option("--seed", help="seed of the stall patterns")]
Stalls = Annotated[
    str | None, typer.Option("--stalls", help="in the bulk run: none, source, sink, random, burst or full")
]
Waves = Annotated[bool, typer.Option("--waves", help="write a waveform of the protocol tests")]
BoardName = Annotated[str | None, typer.Option("--board", help="see 'dnn2fpga boards'")]
Clock = Annotated[float | None, typer.Option("--clock", help="clock in MHz [default: the board's]")]


@app.callback(invoke_without_command=True)
def _main(version: Annotated[bool, typer.Option("--version", help="show the version")] = False) -> None:
    if version:
        console.print(__version__)
        raise typer.Exit


@app.command()
def quantize(
    model: ModelFile = None,
    config: ConfigFile = None,
    output: Output = None,
    calibration: Calibration = None,
    data: Test = None,
    x: XName = None,
    y: YName = None,
    bits: Bits = None,
    weight_bits: WeightBits = None,
    activation_bits: ActivationBits = None,
    scales: ScalesOption = None,
    calibration_samples: Samples = None,
) -> None:
    """Keras model → integer model (configuration files)."""
    settings = _quantization_settings(**locals())
    _quantize(settings)
    _summary(settings)


@app.command()
def generate(work: WorkFolder, config: ConfigFile = None, levels: Levels = None) -> None:
    """Configuration files → Verilog bundle."""
    settings = _settings(config, {"output": work, "hardware.levels_per_register": levels})
    _generate(settings)
    _summary(settings)


@app.command()
def verify(
    work: WorkFolder,
    config: ConfigFile = None,
    data: Test = None,
    x: XName = None,
    y: YName = None,
    frames: Frames = None,
    seed: Seed = None,
    stalls: Stalls = None,
    waves: Waves = False,
) -> None:
    """Simulates the bundle and compares every layer boundary with the integer model, to the bit."""
    chosen: dict[str, Any] = {"data.test": data, "data.x": x, "data.y": y}
    chosen |= {"verification.frames": frames, "verification.seed": seed, "verification.stalls": stalls}
    settings = _settings(config, {"output": work, **chosen})
    _verify(settings, waves)


@app.command()
def build(
    work: WorkFolder,
    config: ConfigFile = None,
    board: BoardName = None,
    clock: Clock = None,
    run: Annotated[bool, typer.Option(help="run Vivado when it is installed")] = True,
) -> None:
    """Writes the Vivado project for a board, and runs Vivado when it is installed."""
    settings = _settings(config, {"output": work, "board": board, "clock_mhz": clock})
    if settings.board is None:
        raise UserError("no board is chosen; give one with --board ('dnn2fpga boards' lists them)")
    _build(settings, run)


@app.command()
def compile(
    model: ModelFile = None,
    config: ConfigFile = None,
    output: Output = None,
    calibration: Calibration = None,
    data: Test = None,
    x: XName = None,
    y: YName = None,
    bits: Bits = None,
    weight_bits: WeightBits = None,
    activation_bits: ActivationBits = None,
    scales: ScalesOption = None,
    calibration_samples: Samples = None,
    levels: Levels = None,
    frames: Frames = None,
    board: BoardName = None,
    clock: Clock = None,
) -> None:
    """All steps at once: quantize, generate, verify and, with --board, build."""
    settings = _quantization_settings(**locals())
    if settings.board is not None:
        from dnn2fpga.build.boards import load_board

        load_board(settings.board)  # an unknown board is said now, not after the simulation
    _quantize(settings)
    _generate(settings)
    _verify(settings)
    if settings.board is not None:
        _build(settings, run=True)


@app.command()
def boards() -> None:
    """Lists the boards."""
    from rich import box
    from rich.table import Table

    from dnn2fpga.build.boards import available_boards, load_board

    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("name", "part"):
        table.add_column(heading, no_wrap=True)
    for heading in ("LUT", "DSP", "BRAM36", "MHz"):
        table.add_column(heading, justify="right")
    table.add_column("board")
    for name in available_boards():
        board = load_board(name)
        r = board.resources
        resources = [f"{n:,}" for n in (r.lut, r.dsp, r.bram36)]
        table.add_row(name, board.part, *resources, f"{board.clocks[0].mhz:g}", board.title)
    console.print(table)


@app.command()
def demo(output: Annotated[Path, typer.Option("--output", "-o", help="work folder")] = Path("demo")) -> None:
    """The whole way on an embedded data set: handwritten digits, 8×8 pixels."""
    from dnn2fpga.demo import prepare

    with _progress() as progress:
        prepared = prepare(output, progress)
    files = {"model": prepared.model, "data.calibration": prepared.calibration, "data.test": prepared.test}
    settings = _settings(None, {"output": output, **files})
    _quantize(settings)
    _generate(settings)
    _verify(settings)


def _quantization_settings(**options: Any) -> Config:
    bits = options["bits"]
    chosen = {
        "model": options["model"],
        "output": options["output"],
        "data.calibration": options["calibration"],
        "data.test": options["data"],
        "data.x": options["x"],
        "data.y": options["y"],
        "quantization.input_bits": bits,
        "quantization.weight_bits": bits if options["weight_bits"] is None else options["weight_bits"],
        "quantization.activation_bits": bits if options["activation_bits"] is None else options["activation_bits"],
        "quantization.scales": options["scales"],
        "quantization.calibration_samples": options["calibration_samples"],
        "hardware.levels_per_register": options.get("levels"),
        "verification.frames": options.get("frames"),
        "board": options.get("board"),
        "clock_mhz": options.get("clock"),
    }
    return _settings(options["config"], chosen)


def _settings(file: Path | None, chosen: dict[str, Any]) -> Config:
    from dnn2fpga.config import load_config

    if file is not None and not file.is_file():
        raise UserError(f"{file}: there is no such settings file")
    return load_config(file, chosen)


def _quantize(settings: Config) -> None:
    from dnn2fpga import flow

    problems = []
    if settings.model is None:
        problems.append("no model is given; name a .keras or .h5 file")
    if settings.data.calibration is None:
        problems.append("no calibration data is given; name an .npz or .npy file with --calibration")
    if problems:
        raise UserError(problems)
    with _progress() as progress:
        progress("reading the model", 0, 1)
        graph = flow.read_model(settings.model)  # type: ignore[arg-type]
        progress("reading the model", 1, 1)
        calibration = _load(settings.data.calibration, graph.input_shape, settings)
        test = _load(settings.data.test, graph.input_shape, settings) if settings.data.test else None
        flow.quantize(graph, calibration, settings.output, settings.quantization, test, progress)


def _generate(settings: Config) -> None:
    from dnn2fpga import flow

    with _progress() as progress:
        flow.generate(settings.output, settings.hardware, progress)


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


def _build(settings: Config, run: bool) -> None:
    from dnn2fpga import flow

    files, result = flow.build(settings.output, settings.board or "", settings.clock_mhz, run=run)
    for file in files:
        console.print(f"wrote {file}")
    if result is not None:
        for line in result.messages:
            console.print(line, markup=False)
        if not result.ran:
            console.print(f"Vivado is not installed here: written, not run. To run it: {result.command}", markup=False)


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
