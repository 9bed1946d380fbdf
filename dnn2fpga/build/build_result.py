"""What a build with open tools has reached, as ``build/<board>/result.json`` keeps it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from dnn2fpga.build.boards import Board
from dnn2fpga.build.toolchains import Usage

BUILD, RESULT = "build", "result.json"


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """What ``result.json`` holds. Resources as the board counts them; ``frames_per_second`` at the target clock."""

    board: str
    title: str
    manifest: str  # digest of the bundle's; says for which bundle this stands
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


def read_result(folder: Path) -> BuildResult | None:
    """What a build has left; None where there is none, or one of another version."""
    try:
        return BuildResult(**json.loads((folder / RESULT).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
