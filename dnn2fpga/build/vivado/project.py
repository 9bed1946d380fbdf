"""Writes the Vivado scripts of a bundle, and runs them when Vivado is installed."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from subprocess import STDOUT

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from dnn2fpga.build.boards import Board
from dnn2fpga.build.vivado.result import RESULT, VivadoResult, read_result
from dnn2fpga.build.vivado.scripts import vivado_files
from dnn2fpga.errors import UserError
from dnn2fpga.files.atomic import scratch_folder
from dnn2fpga.processes.programs import ending, started

_TAIL_LINES = 20


class VivadoScript(StrEnum):
    """The scripts that `write_vivado` writes."""

    OUT_OF_CONTEXT = "out_of_context.tcl"
    PROJECT = "project.tcl"
    PACKAGE_IP = "package_ip.tcl"

    @property
    def reports(self) -> str | None:
        """The folder of its reports, from the bundle."""
        return None if self is VivadoScript.PACKAGE_IP else f"vivado/reports/{self.removesuffix('.tcl')}"


@dataclass(frozen=True, kw_only=True)
class VivadoRun:
    """The outcome of `run_vivado`.

    `ran` is False when Vivado is not installed: the scripts are written, not run, and `command` is how to run them.
    `messages` are the script's own lines, such as whether timing is met; `result` is read from its reports and kept as
    `vivado/result.json`.
    """

    ran: bool
    command: str
    log: Path | None = None
    messages: tuple[str, ...] = ()
    result: VivadoResult | None = None


def write_vivado(
    bundle: Path, board: Board, clock_mhz: float | None = None, board_files: Sequence[Path] = ()
) -> list[Path]:
    """Write the folder `vivado/` of `bundle` for `board`; return the files written.

    `clock_mhz` is the frequency of `aclk`; None means the board's first clock. The period is rounded down to whole
    picoseconds, so the constraint is never slower than asked for. `board_files`: Verilog and constraints of the module
    `board_top`, for boards without a processor; without them the project is out of context.

    A folder that already holds exactly these scripts is left alone. Any other is replaced as a whole; when it also
    holds results of Vivado, it is kept as `vivado.previous/`, because results of another board or clock do not belong
    to the new scripts. Raises `UserError`, and then leaves everything as it was.
    """
    texts = vivado_files(bundle, board, board.target_mhz(clock_mhz), board_files)
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
        raise UserError(f"{log}: cannot be written: {error.strerror or error}") from error
    lines = log.read_text(encoding="utf-8").splitlines()
    if code != 0:
        raise UserError([f"vivado {ending(code)}; the end of {log}:", *lines[-_TAIL_LINES:]])
    messages = tuple(line for line in lines if line.startswith("dnn2fpga:"))
    if script.reports is None:
        return VivadoRun(ran=True, command=command, log=log, messages=messages)
    result = read_result(bundle / script.reports)
    (bundle / "vivado" / RESULT).write_text(result.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return VivadoRun(ran=True, command=command, log=log, messages=messages, result=result)


def _holds(folder: Path, texts: dict[str, str]) -> bool:
    return all(
        (folder / name).is_file() and (folder / name).read_bytes() == text.encode() for name, text in texts.items()
    )


def _replace(target: Path, texts: dict[str, str]) -> None:
    """Put a new folder with `texts` at `target`, whole or not at all."""
    with scratch_folder(target.parent) as scratch:
        fresh = scratch / "vivado"
        fresh.mkdir()
        for name, text in texts.items():
            (fresh / name).parent.mkdir(exist_ok=True)
            (fresh / name).write_bytes(text.encode())
        if target.exists():
            found = [path for entry in target.iterdir() for path in (entry, *entry.rglob("*")) if path.is_file()]
            has_results = any(path.relative_to(target).as_posix() not in texts for path in found)
            previous = target.with_name("vivado.previous") if has_results else scratch / "previous"
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
        with started(words, folder=log.parent, stderr=STDOUT) as process:
            for line in process.stdout or ():
                file.write(line)
                file.flush()
                if line.strip():
                    progress.update(task, description=line.strip()[:80])
            process.wait()
    return process.returncode
