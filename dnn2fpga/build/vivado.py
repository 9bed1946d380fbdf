"""Writes the Vivado scripts of a bundle, and runs them when Vivado is installed."""

import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from dnn2fpga.build.boards import Board, Interface
from dnn2fpga.errors import UserError
from dnn2fpga.validation import problems_of

_GENERATED = ("README.md", "out_of_context.tcl", "out_of_context.xdc", "project.tcl")
_SLOWEST_MHZ, _FASTEST_MHZ = 1, 1000
_NEIGHBOUR_SHARE_PERCENT = 20  # of the clock period, left to the logic on the other side of a port
_TAIL_LINES = 20
_HOST_LINK = {
    Interface.UART: "a serial link over the board's USB-UART",
    Interface.PROCESSING_SYSTEM: "DMA from the processing system",
    Interface.NONE: "of your own",
}


class VivadoScript(StrEnum):
    """The scripts that `write_vivado` writes."""

    OUT_OF_CONTEXT = "out_of_context.tcl"
    PROJECT = "project.tcl"


@dataclass(frozen=True, kw_only=True)
class VivadoRun:
    """What came of `run_vivado`.

    `ran` is False when Vivado is not installed: the scripts are written, not run, and `command` is how to run them.
    `messages` are the script's own lines, such as whether timing is met.
    """

    ran: bool
    command: str
    log: Path | None = None
    messages: tuple[str, ...] = ()


class _Manifest(BaseModel):
    """The part of manifest.json that the scripts need."""

    manifest_version: Literal[1]
    top: Literal["accelerator"]
    files: dict[str, str]


def write_vivado(bundle: Path, board: Board, clock_mhz: float | None = None) -> list[Path]:
    """Write the folder `vivado/` of `bundle` for `board`; returns the files written.

    `clock_mhz` is the frequency of `aclk`; None takes the board's first clock. The period is rounded down to whole
    picoseconds, so the constraint is never slower than asked for.

    A folder that already holds exactly these scripts is left alone. Any other is replaced as a whole; when it also
    holds results of Vivado, it is kept as `vivado.previous/`, because results of another board or clock do not belong
    to the new scripts. Raises `UserError`, and then leaves everything as it was.
    """
    sources = _rtl_sources(bundle)
    texts = _render(board, sources, board.clock_mhz if clock_mhz is None else clock_mhz)
    target = bundle / "vivado"
    try:
        if not _holds(target, texts):
            _replace(target, texts)
    except OSError as error:
        raise UserError(f"{target}: cannot be written: {error.strerror or error}") from error
    return [target / name for name in texts]


def run_vivado(
    bundle: Path, script: VivadoScript = VivadoScript.OUT_OF_CONTEXT, console: Console | None = None
) -> VivadoRun:
    """Run `script` of `bundle` in batch mode, with progress on `console` and all output in a log beside the script.

    Without `vivado` on the PATH nothing is run. Raises `UserError` with the end of the log when Vivado fails, or when
    the script has not been written yet.
    """
    path = bundle / "vivado" / script
    if not path.is_file():
        raise UserError(f"{path} is missing; write it first with 'dnn2fpga build'")
    command = shlex.join(["vivado", "-mode", "batch", "-source", str(path)])
    vivado = shutil.which("vivado")
    if vivado is None:
        return VivadoRun(ran=False, command=command)

    log = path.with_suffix(".log")
    words = [vivado, "-mode", "batch", "-nojournal", "-nolog", "-notrace", "-source", str(path.resolve())]
    try:
        code = _run_logged(words, log, console or Console(stderr=True))
    except OSError as error:
        raise UserError(f"vivado cannot be run: {error}") from error
    lines = log.read_text(encoding="utf-8").splitlines()
    if code != 0:
        raise UserError([f"vivado ended with exit code {code}; the end of {log}:", *lines[-_TAIL_LINES:]])
    messages = tuple(line for line in lines if line.startswith("dnn2fpga:"))
    return VivadoRun(ran=True, command=command, log=log, messages=messages)


def _rtl_sources(bundle: Path) -> list[str]:
    """The Verilog files that the manifest names, sorted, as paths from the bundle; `UserError` when one is missing."""
    manifest_file = bundle / "manifest.json"
    try:
        manifest = _Manifest.model_validate_json(manifest_file.read_bytes())
    except OSError as error:
        raise UserError(f"{manifest_file}: cannot be read: {error.strerror or error}; is this a bundle?") from error
    except ValidationError as error:
        raise UserError(problems_of(error, manifest_file, {})) from error
    sources = sorted(name for name in manifest.files if re.fullmatch(r"rtl/[A-Za-z0-9_.-]+\.v", name))
    if not sources:
        raise UserError(f"{manifest_file}: files must name at least one rtl/<name>.v")
    missing = [
        f"{bundle / name}: named in manifest.json, but missing" for name in sources if not (bundle / name).is_file()
    ]
    if missing:
        raise UserError(missing)
    return sources


def _render(board: Board, sources: list[str], clock_mhz: float) -> dict[str, str]:
    if not _SLOWEST_MHZ <= clock_mhz <= _FASTEST_MHZ:
        raise UserError(f"the clock must be {_SLOWEST_MHZ} to {_FASTEST_MHZ} MHz, not {clock_mhz:g}")
    period_ps = int(1_000_000 / clock_mhz)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Tcl and Markdown, not HTML
    )
    values = {
        "board": board,
        "sources": sources,
        "mhz": f"{clock_mhz:g}",
        "period_ns": f"{period_ps / 1000:.3f}",
        "io_percent": _NEIGHBOUR_SHARE_PERCENT,
        "io_delay_ns": f"{period_ps * _NEIGHBOUR_SHARE_PERCENT / 100 / 1000:.3f}",
        "host_link": _HOST_LINK[board.interface],
    }
    return {name: environment.get_template(f"{name}.j2").render(values).strip() + "\n" for name in _GENERATED}


def _holds(folder: Path, texts: dict[str, str]) -> bool:
    return all(
        (folder / name).is_file() and (folder / name).read_bytes() == text.encode() for name, text in texts.items()
    )


def _replace(target: Path, texts: dict[str, str]) -> None:
    """Put a new folder with `texts` at `target`, whole or not at all."""
    with TemporaryDirectory(prefix=".vivado-", dir=target.parent) as scratch:
        fresh = Path(scratch) / "vivado"
        fresh.mkdir()
        for name, text in texts.items():
            (fresh / name).write_bytes(text.encode())
        if target.exists():
            has_results = any(entry.name not in texts for entry in target.iterdir())
            previous = target.with_name("vivado.previous") if has_results else Path(scratch) / "previous"
            if previous.exists():
                shutil.rmtree(previous)
            target.rename(previous)
        fresh.rename(target)


def _run_logged(words: list[str], log: Path, console: Console) -> int:
    """Run a command in the folder of `log`, copy its output there, show its latest line; returns the exit code."""
    columns = (
        SpinnerColumn(),
        TextColumn("Vivado", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with log.open("w", encoding="utf-8") as file, Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("starting")
        with subprocess.Popen(
            words,
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        ) as process:
            try:
                for line in process.stdout or ():
                    file.write(line)
                    file.flush()
                    if line.strip():
                        progress.update(task, description=line.strip()[:80])
            except BaseException:
                process.terminate()
                raise
    return process.returncode
