"""The builders for boards: one entry per set of tools."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dnn2fpga.build.boards import Board, Interface
from dnn2fpga.build.build_result import BuildResult, result_folder
from dnn2fpga.build.families import Tools
from dnn2fpga.build.fitting import planned
from dnn2fpga.build.open.flow import build_open
from dnn2fpga.build.open.project import write_project
from dnn2fpga.build.settings import BuildSettings
from dnn2fpga.build.tops.board_top import write_board_top
from dnn2fpga.build.vivado.project import VivadoScript, run_vivado, write_vivado
from dnn2fpga.build.vivado.result import VivadoResult
from dnn2fpga.files.atomic import replaced_folder, scratch_folder
from dnn2fpga.generate.manifest import MANIFEST, Manifest, read_manifest
from dnn2fpga.progress import Progress, silent

# Scripts that run when Vivado is installed: all the way to a bitstream, where there can be one.
_SCRIPTS = {
    Interface.UART: VivadoScript.PROJECT,
    Interface.PROCESSING_SYSTEM: VivadoScript.PROJECT,
    Interface.NONE: VivadoScript.OUT_OF_CONTEXT,
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """``run``: the tools too, not only what they read."""

    work: Path
    bundle: Path
    board: Board
    clock_mhz: float | None = None
    settings: BuildSettings = field(default_factory=BuildSettings)
    run: bool = True
    progress: Progress = silent


@dataclass(frozen=True, kw_only=True)
class Built:
    """``files``: for the next tool, or the board; ``met``: whether the clock is, as far as anything was run."""

    files: tuple[Path, ...]
    messages: tuple[str, ...] = ()
    met: bool = True
    result: BuildResult | None = None


def _vivado(request: Request) -> Built:
    files = tuple(_write_vivado(request))
    if not request.run:
        return Built(files=files)
    run = run_vivado(request.bundle, _SCRIPTS[request.board.interface])
    if not run.ran:
        told = f"Vivado is not installed here: written, not run. To run it: {run.command}"
        return Built(files=files, messages=(told,))
    if run.result is None:
        return Built(files=files, messages=run.messages)
    counted = _beside_the_plan(run.result, read_manifest(request.bundle / MANIFEST), request.board)
    return Built(files=files, messages=(*run.messages, counted), met=run.result.timing_met)


def _write_vivado(request: Request) -> list[Path]:
    board, clock_mhz = request.board, request.board.target_mhz(request.clock_mhz)
    if board.interface is not Interface.UART:
        return write_vivado(request.bundle, board, clock_mhz)
    with scratch_folder() as folder:
        design = write_board_top(request.bundle, board, folder, clock_mhz)
        return write_vivado(request.bundle, board, clock_mhz, [*design.verilog, design.constraints])


def _beside_the_plan(result: VivadoResult, manifest: Manifest, board: Board) -> str:
    """Return one line with Vivado's counts beside the estimates."""
    estimated = planned(manifest, board)
    words = {"lut": "LUTs", "ff": "registers", "dsp": "DSP blocks"}
    counts = [f"{getattr(result, key):,} {word} ({estimated[key]:,.0f} estimated)" for key, word in words.items()]
    return (
        f"dnn2fpga: {', '.join(counts)}, {result.bram18:,} block RAMs of 18 Kbit; {result.reached_mhz:.1f} MHz reached"
    )


def _open(request: Request) -> Built:
    if not request.run:
        return Built(files=tuple(_sources(request)))
    result = build_open(
        request.work, request.bundle, request.board, request.clock_mhz, request.settings, request.progress
    )
    bitstream = result_folder(request.work, request.board) / result.bitstream
    return Built(files=(bitstream,), met=result.met, result=result)


def _sources(request: Request) -> list[Path]:
    """Beside the folder of a bitstream that may be there."""
    target = result_folder(request.work, request.board)
    target = target.with_name(f"{target.name}.sources")
    with replaced_folder(target) as new:
        clock_mhz = request.board.target_mhz(request.clock_mhz)
        write_project(request.bundle, request.board, new, clock_mhz, request.settings.seed)
        names = sorted(file.name for file in new.iterdir())
    return [target / name for name in names]


BUILDERS: dict[Tools, Callable[[Request], Built]] = {
    Tools.VIVADO: _vivado,
    Tools.TRELLIS: _open,
    Tools.ICESTORM: _open,
    Tools.APICULA: _open,
}
