"""Who builds for a board: one entry for each set of tools."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dnn2fpga.atomic import replaced_folder
from dnn2fpga.build.boards import Board
from dnn2fpga.build.build_result import BuildResult, result_folder
from dnn2fpga.build.families import Tools
from dnn2fpga.build.open_flow import build_open
from dnn2fpga.build.open_project import write_project
from dnn2fpga.build.settings import BuildSettings
from dnn2fpga.build.vivado import run_vivado, write_vivado
from dnn2fpga.build.watched import StepShown, silent


@dataclass(frozen=True, kw_only=True)
class Request:
    """``run``: the tools too, not only what they read."""

    work: Path
    bundle: Path
    board: Board
    clock_mhz: float | None = None
    settings: BuildSettings = field(default_factory=BuildSettings)
    run: bool = True
    shown: StepShown = silent


@dataclass(frozen=True, kw_only=True)
class Built:
    """``files``: for the next tool, or the board; ``met``: whether the clock is, as far as anything was run."""

    files: tuple[Path, ...]
    messages: tuple[str, ...] = ()
    met: bool = True
    result: BuildResult | None = None


def _vivado(request: Request) -> Built:
    files = write_vivado(request.bundle, request.board, request.clock_mhz)
    if not request.run:
        return Built(files=tuple(files))
    run = run_vivado(request.bundle)
    if run.ran:
        return Built(files=tuple(files), messages=run.messages)
    told = f"Vivado is not installed here: written, not run. To run it: {run.command}"
    return Built(files=tuple(files), messages=(told,))


def _open(request: Request) -> Built:
    if not request.run:
        return Built(files=tuple(_sources(request)))
    result = build_open(request.work, request.bundle, request.board, request.clock_mhz, request.settings, request.shown)
    bitstream = result_folder(request.work, request.board) / result.bitstream
    return Built(files=(bitstream,), met=result.met, result=result)


def _sources(request: Request) -> list[Path]:
    """Beside the folder of a bitstream that may be there."""
    target = result_folder(request.work, request.board)
    target = target.with_name(f"{target.name}.sources")
    with replaced_folder(target) as new:
        clock_mhz = request.clock_mhz or request.board.clock_mhz
        write_project(request.bundle, request.board, new, clock_mhz, request.settings.seed)
        names = sorted(file.name for file in new.iterdir())
    return [target / name for name in names]


BUILDERS: dict[Tools, Callable[[Request], Built]] = {
    Tools.VIVADO: _vivado,
    Tools.TRELLIS: _open,
    Tools.ICESTORM: _open,
    Tools.APICULA: _open,
}
