"""The options of the command line, and the settings that they make up."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from dnn2fpga.errors import UserError

if TYPE_CHECKING:
    from dnn2fpga.config import Config

WorkFolder = Annotated[Path, typer.Argument(help="folder with model.yaml and weights.npz (from 'quantize')")]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="settings; default: dnn2fpga.yaml here, if any")
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="any setting of dnn2fpga.yaml, e.g. optimization.training.epochs=3"
    ),
]
Test = Annotated[Path | None, typer.Option("--test", help="test data, .npz with x and y (labels), or .npy")]
XName = Annotated[str | None, typer.Option("--x", help="name of the inputs in the data files (default: x)")]
YName = Annotated[str | None, typer.Option("--y", help="name of the labels in the data files (default: y)")]
Levels = Annotated[
    int | None, typer.Option("--levels", help="adders in a row between registers (default: by the board's clock, or 3)")
]
Aim = Annotated[
    str | None, typer.Option("--goal", help="let the planner choose: smallest, latency or fastest (docs/hardware.md)")
]
Interval = Annotated[int | None, typer.Option("--interval", help="cycles between two frames, at most")]
Latency = Annotated[int | None, typer.Option("--latency", help="cycles from a frame's first beat to its last, at most")]
Frames = Annotated[
    int | None, typer.Option("--frames", help="simulate this many samples, spread over the test data (default: all)")
]
Seed = Annotated[int | None, typer.Option("--seed", help="seed of the stall patterns and of the choice of frames")]
Stalls = Annotated[
    str | None, typer.Option("--stalls", help="in the bulk run: none, source, sink, random, burst or full")
]
Waves = Annotated[bool, typer.Option("--waves", help="write a waveform of the protocol tests")]
BoardName = Annotated[str | None, typer.Option("--board", help="see 'dnn2fpga boards'")]
Clock = Annotated[float | None, typer.Option("--clock", help="clock in MHz (default: the board's)")]
Placements = Annotated[
    int | None, typer.Option("--placements", help="seeds to try until the clock is met, at most (default: 3)")
]
PlacementSeed = Annotated[int | None, typer.Option("--seed", help="of the first placement (default: 1)")]

Trials = Annotated[int | None, typer.Option("--trials", help="how many, with those made before (default: 60)")]
Cost = Annotated[str | None, typer.Option("--cost", help="model_bits or luts (default: model_bits)")]
Train = Annotated[bool | None, typer.Option("--train", help="train the model of every trial")]


def _option(kind: type, flag: str, help: str) -> Any:
    """An option that may be left out."""
    return Annotated[kind | None, typer.Option(flag, help=help)]


# The options that 'quantize', 'compile' and 'search' share: parameter → the setting it stands for, type and help.
MODEL_OPTIONS: dict[str, tuple[str, Any]] = {
    "model": (
        "model",
        Annotated[
            Path | None, typer.Argument(help="trained model (docs/front_ends.md); default: 'model' of dnn2fpga.yaml")
        ],
    ),
    "output": (
        "output",
        Annotated[Path | None, typer.Option("--output", "-o", help="work folder to write into (default: work)")],
    ),
    "data": (
        "data.train",
        Annotated[
            Path | None, typer.Option("--data", help="data to calibrate and train with: .npz with x (and y), or .npy")
        ],
    ),
    "test": ("data.test", Test),
    "x": ("data.x", XName),
    "y": ("data.y", YName),
    "task": (
        "task",
        _option(
            list[str],
            "--task",
            "binary, classes, classes_per_position, several_labels, regression or reconstruction; for several outputs "
            "OUTPUT=TASK, once for each (default: by the last layer and the labels, docs/tasks.md)",
        ),
    ),
    "weights": ("reading.weights", _option(Path, "--weights", "file with the arrays of a Keras model in JSON")),
    "rule": (
        "reading.rule",
        _option(str, "--rule", "TensorFlow Lite: whose rounding to follow, tflm, reference or xnnpack (default: tflm)"),
    ),
    "input_format": (
        "reading.input_format",
        _option(
            str,
            "--input-format",
            "fixed point of inputs that a model with integers of its own does not quantize (default: s16.10)",
        ),
    ),
    "requantize": (
        "reading.requantize",
        _option(bool, "--requantize", "treat a model that brings its own integers as one in floating point"),
    ),
    "bits": ("", _option(int, "--bits", "width of weights, activations and input, 1-16")),
    "weight_bits": ("quantization.weight_bits", _option(int, "--weight-bits", "width of weights, 1-16 (default: 8)")),
    "activation_bits": (
        "quantization.activation_bits",
        _option(int, "--activation-bits", "width of activations, 1-16 (default: 8)"),
    ),
    "weight_set": (
        "quantization.weight_set",
        _option(
            str,
            "--weight-set",
            "integer, twos_complement, binary, ternary, power_of_two or additive_power_of_two (default: integer)",
        ),
    ),
    "scales": ("quantization.scales", _option(str, "--scales", "power_of_two or free (default: power_of_two)")),
    "calibration": (
        "quantization.calibration",
        _option(
            str,
            "--calibration",
            "ranges of activations: min_max, percentile, mse, entropy or moving_average (default: min_max)",
        ),
    ),
    "calibration_samples": (
        "quantization.calibration_samples",
        _option(int, "--calibration-samples", "how many samples, spread over the data, calibrate (default: 1000)"),
    ),
    "max_drop": (
        "optimization.max_drop",
        _option(float, "--max-drop", "target: at most this many points below the float model"),
    ),
    "target_accuracy": (
        "optimization.target_accuracy",
        _option(float, "--target-accuracy", "target: at least this accuracy, e.g. 0.98"),
    ),
    "stages": (
        "optimization.stages",
        _option(str, "--stages", "what may be tried, of ptq,partial,qat (default: all, in order)"),
    ),
    "config": ("", ConfigFile),
    "settings": ("", Set),
}


def with_model_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the parameters of ``MODEL_OPTIONS`` to a command, before its own; it receives them as one ``Config``."""
    # ``Config`` is no option, and too slow to import only to be named.
    hints = get_type_hints(command, localns={"Config": object}, include_extras=True)
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[parameter.name])
        for parameter in list(inspect.signature(command).parameters.values())[1:]
    ]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, (_, annotation) in MODEL_OPTIONS.items()
    ]

    @functools.wraps(command)
    def run(**values: Any) -> None:
        given = {name: values.pop(name) for name in MODEL_OPTIONS}
        command(model_settings(given), **values)

    parameters = [*shared, *own]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def model_settings(given: dict[str, Any]) -> Config:
    chosen: dict[str, Any] = dict.fromkeys(
        ("quantization.input_bits", "quantization.weight_bits", "quantization.activation_bits"), given["bits"]
    )
    given["task"] = _tasks(given["task"])
    stages = given["stages"]
    given["stages"] = stages and [name.strip() for name in stages.split(",")]
    chosen |= {key: given[name] for name, (key, _) in MODEL_OPTIONS.items() if key and given[name] is not None}
    return settings_from(given["config"], chosen, given["settings"])


def _tasks(texts: list[str] | None) -> str | dict[str, str] | None:
    """``["classes"]`` → ``"classes"``; ``["a=classes", "b=regression"]`` → by output."""
    if not texts:
        return None
    if len(texts) == 1 and "=" not in texts[0]:
        return texts[0]
    if problems := [f"--task {text}: must be OUTPUT=TASK where several are given" for text in texts if "=" not in text]:
        raise UserError(problems)
    return dict(text.split("=", 1) for text in texts)  # type: ignore[arg-type, misc]


def settings_from(file: Path | None, chosen: dict[str, Any], texts: list[str] | None = None) -> Config:
    from dnn2fpga.config import load_config, parsed_settings

    if file is not None and not file.is_file():
        raise UserError(f"{file}: there is no such settings file")
    return load_config(file, chosen | parsed_settings(texts or []))
