"""The build of a bitstream from a bundle with open tools: yosys, nextpnr, and the packer of the family.

Everything happens in a scratch folder; ``build/<board>`` then takes its place with bitstream, reports, logs, the
synthesized netlist and ``result.json``, whole or not at all. After a failure the logs are in ``build/<board>.failed``.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dnn2fpga.build.boards import Board
from dnn2fpga.build.build_result import BuildResult, current_result, result_folder, write_result
from dnn2fpga.build.fitting import available, check_fits, planned
from dnn2fpga.build.live_log import run_watched
from dnn2fpga.build.open import nextpnr_report
from dnn2fpga.build.open.nextpnr_report import PlaceReport
from dnn2fpga.build.open.project import PACKING, PLACEMENT, SCRIPT, SYNTHESIS, Project, placement_options, write_project
from dnn2fpga.build.open.toolchains import (
    CELLS,
    NETLIST,
    NEXTPNR_LOG,
    PACK_LOG,
    PLACED,
    REPORT,
    TOOLCHAINS,
    YOSYS,
    YOSYS_LOG,
    Cells,
)
from dnn2fpga.build.open.tools import Tool, found_tools
from dnn2fpga.build.settings import BuildSettings
from dnn2fpga.errors import UserError
from dnn2fpga.files.atomic import digest, replaced_folder, scratch_folder
from dnn2fpga.generate.manifest import MANIFEST, Manifest, read_manifest
from dnn2fpga.processes.programs import ending
from dnn2fpga.progress import Progress, silent

LARGE = (NETLIST, PLACED)  # between two tools only; the commands in the result make them again
OF_PLACEMENT = (PLACED, REPORT, NEXTPNR_LOG)
TAIL_LINES = 12


def build_open(
    work: Path,
    bundle: Path,
    board: Board,
    clock_mhz: float | None = None,
    settings: BuildSettings | None = None,
    progress: Progress = silent,
) -> BuildResult:
    """Minutes for a large design; at once where the same bitstream is there already.

    :raises DoesNotFit: with what runs out.
    :raises UserError: when tools are missing or fail, with the end of the log.
    """
    chain, target = TOOLCHAINS[board.architecture.tools], result_folder(work, board)
    (yosys,), (placer, packer) = found_tools([YOSYS], [chain.placer, chain.packer])
    with _scratch(target) as folder:
        project = write_project(bundle, board, folder, board.target_mhz(clock_mhz))
        tools = {SYNTHESIS: yosys, PLACEMENT: placer, PACKING: packer}
        run = _Run(work, folder, target, board, project, settings or BuildSettings(), progress, tools)
        inputs = run.inputs()
        before = current_result(work, board.name)
        if before and before.inputs == inputs:
            return before
        return run.finished(bundle, inputs)


@contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(target.parent) as folder:
            yield folder
    except OSError as error:
        raise UserError(f"{target}: cannot be written: {error.strerror or error}") from error


@dataclass
class _Run:
    """The steps of one build in their scratch folder."""

    work: Path
    folder: Path
    target: Path
    board: Board
    project: Project
    settings: BuildSettings
    progress: Progress
    tools: dict[str, Tool]
    seconds: dict[str, float] = field(default_factory=dict)

    def inputs(self) -> str:
        """A digest of everything that decides the bitstream."""
        parts = [tool.origin for tool in self.tools.values()] + [str(self.settings), *self.project.lines(0)]
        parts += [digest(file) for file in self.project.files]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def finished(self, bundle: Path, inputs: str) -> BuildResult:
        manifest = read_manifest(bundle / MANIFEST)
        chain, mhz = TOOLCHAINS[self.board.architecture.tools], self.project.clock_mhz
        try:
            cells = self._synthesized()
            check_fits(chain.counted(cells), self.board, chain.names, manifest)
            placements, best, report = self._placed(cells, manifest)
            clock = _checked_clock(report, mhz)
            self._step(PACKING, PACK_LOG)
        except UserError:
            self._keep_logs()
            raise
        used = chain.placed(report.used, cells)
        result = BuildResult(
            board=self.board.name,
            title=self.board.title,
            inputs=inputs,
            bitstream=self.project.bitstream,
            target_mhz=mhz,
            reached_mhz=round(clock.reached_mhz, 2),
            met=report.met,
            seed=best,
            placements={str(seed): mhz for seed, mhz in placements.items()},
            interval_cycles=manifest.interval_cycles,
            frames_per_second=round(mhz * 1e6 / manifest.interval_cycles, 1),
            names=dict(chain.names),
            used=used,
            available=available(self.board),
            planned=planned(manifest, self.board),
            tools=[tool.origin for tool in self.tools.values()],
            commands=self.project.lines(best),
            seconds=self.seconds,
        )
        self._keep(result)
        return result

    def _synthesized(self) -> Cells:
        self._step(SYNTHESIS, YOSYS_LOG)
        try:
            cells = json.loads((self.folder / CELLS).read_text(encoding="utf-8"))["design"]["num_cells_by_type"]
        except (OSError, ValueError, KeyError) as error:
            raise self._failure(SYNTHESIS, YOSYS_LOG, "has counted no cells") from error
        return dict(cells)

    def _placed(self, cells: Cells, manifest: Manifest) -> tuple[dict[int, float], int, PlaceReport]:
        """The clock of every seed that was tried; the best one, and its report. Its files are those in the folder."""
        placements: dict[int, float] = {}
        reports: dict[int, PlaceReport] = {}

        def best() -> int:
            return max(reports, key=lambda seed: reports[seed].slack)

        for seed in range(self.settings.seed, self.settings.seed + self.settings.placements):
            tried = f" (seed {seed}, best so far {max(placements.values()):.1f} MHz)" if placements else ""
            try:
                report = self._placed_once(seed, cells, manifest, tried)
            except UserError:
                if not reports:
                    raise
                continue  # another seed could be routed
            placements[seed] = round(_checked_clock(report, self.project.clock_mhz).reached_mhz, 2)
            reports[seed] = report
            if best() == seed:
                for name in OF_PLACEMENT:
                    (self.folder / name).replace(self.folder / f"best_{name}")
            if report.met:
                break
        for name in OF_PLACEMENT:
            (self.folder / f"best_{name}").replace(self.folder / name)
        return placements, best(), reports[best()]

    def _placed_once(self, seed: int, cells: Cells, manifest: Manifest, tried: str) -> PlaceReport:
        chain = TOOLCHAINS[self.board.architecture.tools]
        try:
            self._step(PLACEMENT, NEXTPNR_LOG, placement_options(seed, self.project.clock_mhz), tried)
            return nextpnr_report.read_report(self.folder / REPORT)
        except (OSError, ValueError, KeyError) as error:
            raise self._failure(PLACEMENT, NEXTPNR_LOG, "has written no report") from error
        except (UserError, _Overfull):
            text = self._text(NEXTPNR_LOG)
            if over := nextpnr_report.overfull(text):
                used = chain.placed(nextpnr_report.used_cells(text), cells)
                check_fits(used, self.board, chain.names, manifest)
                needs = ", ".join(f"{n:,} of {has:,} {name}" for name, (n, has) in over.items())
                raise UserError(f"does not fit the {self.board.title}: needs {needs}") from None
            raise

    def _step(self, step: str, log: str, more: tuple[str, ...] = (), tried: str = "") -> None:
        tool, name = self.tools[step], step + tried
        self.progress(name, 0, 1)
        (self.folder / log).unlink(missing_ok=True)
        start = time.monotonic()
        command = [*tool.command, *self.project.commands[step], *more]
        code, said = run_watched(command, self.folder, log, _news, lambda news: self.progress(name, 0, 1, news))
        took = round(time.monotonic() - start, 1)
        self.seconds[step] = round(self.seconds.get(step, 0) + took, 1)
        if not (self.folder / log).is_file():
            (self.folder / log).write_text(said, encoding="utf-8")
        if code:
            raise self._failure(step, log, ending(code), said)
        self.progress(name, 1, 1)

    def _failure(self, step: str, log: str, what: str, said: str = "") -> UserError:
        """The tool's own errors, or else the end of what it said."""
        text = self._text(log)
        lines = nextpnr_report.errors(text) or (said or text).strip().splitlines()[-TAIL_LINES:]
        kept = _failed(self.target) / log
        return UserError([f"{step}: {self.tools[step].name} {what}; the whole log: {kept}", *lines])

    def _text(self, log: str) -> str:
        file = self.folder / log
        return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""

    def _keep(self, result: BuildResult) -> None:
        """Move the finished build to its place."""
        write_result(result, self.work, self.folder)
        self.project.write_shell_script(self.folder, result.seed)
        with replaced_folder(self.target) as new:
            for file in self.folder.iterdir():
                if file.name not in LARGE:
                    file.replace(new / file.name)
        shutil.rmtree(_failed(self.target), ignore_errors=True)

    def _keep_logs(self) -> None:
        with replaced_folder(_failed(self.target)) as new:
            for file in (*self.folder.glob("*.log"), self.folder / SCRIPT):
                shutil.copy(file, new)


def _failed(target: Path) -> Path:
    return target.with_name(f"{target.name}.failed")


class _Overfull(Exception):
    """nextpnr has more cells than places for them."""


def _news(line: str) -> str | None:
    """nextpnr would try for ever to place what cannot be placed."""
    if nextpnr_report.overfull(line):
        raise _Overfull
    return nextpnr_report.shown(line)


def _checked_clock(report: PlaceReport, mhz: float) -> nextpnr_report.Clock:
    clock = report.main_clock(mhz)
    if clock is None:
        told = ", ".join(f"{c.name} against {c.target_mhz:g} MHz" for c in report.clocks) or "no clock at all"
        raise UserError(f"nextpnr has checked nothing against {mhz:g} MHz, but {told}: the constraint is lost")
    return clock
