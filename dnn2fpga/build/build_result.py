"""The result of a build with open tools, which ``build/<board>/result.json`` records."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from dnn2fpga.build.boards import Board
from dnn2fpga.build.open.toolchains import NETLIST_VERILOG, REPORT, Usage
from dnn2fpga.files.records import digests, write_record
from dnn2fpga.generate.manifest import MANIFEST
from dnn2fpga.work_folder import BUILD, BUNDLE, RESULT, WorkFolder


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """The contents of ``result.json``. Resources as the board counts them; ``frames_per_second`` at the target
    clock.
    """

    board: str
    title: str
    inputs: str  # digest of everything that decides the bitstream
    bitstream: str
    target_mhz: float
    reached_mhz: float
    met: bool
    seed: int
    placements: dict[str, float]  # seed → MHz
    interval_cycles: int
    frames_per_second: float
    names: dict[str, str]
    used: Usage
    available: Usage
    planned: dict[str, float]
    tools: list[str]
    commands: list[str]
    seconds: dict[str, float]


def result_folder(work: Path, board: Board) -> Path:
    return work / BUILD / board.name


def write_result(result: BuildResult, work: Path, made: Path) -> None:
    """Write `result.json` into the folder `made`, which will be ``build/<board>``.

    It rests on the bundle's manifest, which has the digests of the Verilog, and on the files that somebody may take.
    """
    taken = digests(made, [result.bitstream, NETLIST_VERILOG, REPORT])
    rests_on = digests(work, [f"{BUNDLE}/{MANIFEST}"])
    rests_on |= {f"{BUILD}/{result.board}/{name}": digest for name, digest in taken.items()}
    write_record(made, f"{BUILD}/{result.board}/{RESULT}", asdict(result), rests_on)


def current_result(work: Path, board_name: str) -> BuildResult | None:
    """Return what the build for a board has left; None where there is none, or one of another bundle or version, or
    its files have changed.
    """
    content = WorkFolder(work).standing(f"{BUILD}/{board_name}/{RESULT}")
    try:
        return None if content is None else BuildResult(**content)
    except TypeError:
        return None


def current_results(work: Path) -> list[BuildResult]:
    """Return those of all boards."""
    return [result for name in WorkFolder(work).boards if (result := current_result(work, name))]
