"""The planner's settings for a board: what its clock allows, what it has room for, and what would fit instead."""

from __future__ import annotations

from pathlib import Path

from dnn2fpga.build.boards import Board, load_board
from dnn2fpga.build.fitting import DoesNotFit, slower_design
from dnn2fpga.generate.manifest import Manifest
from dnn2fpga.generate.verilog import without_garbage_collection
from dnn2fpga.graph import files as config_files
from dnn2fpga.plan.goals import Aim, Budget, PlanGoal
from dnn2fpga.plan.settings import MOST_LEVELS, PlanSettings

USABLE = 0.85  # of a device's LUTs and registers: fuller ones do not route


def for_board(settings: PlanSettings, board_name: str | None, clock_mhz: float | None) -> PlanSettings:
    """Take from the board, if one is chosen, what `settings` leave open: the FPGA's family, as many adders between two
    registers as the clock allows, and with a goal the budget.
    """
    if board_name is None:
        return settings
    board = load_board(board_name)
    levels = min(board.timing.adders_within(board.target_mhz(clock_mhz)), MOST_LEVELS)
    of_board = {"family": board.architecture.estimates, "levels_per_register": levels}
    given = settings.model_dump(include=settings.model_fields_set & of_board.keys(), exclude_none=True)
    chosen = settings.model_copy(update=of_board | given)
    if chosen.goal is None:
        return chosen
    goal = chosen.goal.model_copy(update={"budget": chosen.goal.budget.with_defaults(_usable(board))})
    return chosen.model_copy(update={"goal": goal})


def _usable(board: Board) -> Budget:
    has = board.resources
    return Budget(lut=int(USABLE * has.lut), ff=int(USABLE * has.ff), dsp=has.dsp, bram18=board.bram18)


def what_would_fit(folder: Path, board: Board, settings: PlanSettings, manifest: Manifest, error: DoesNotFit) -> str:
    """Advice for a design that does not fit: the command that generates the fastest one that would."""
    goal = PlanGoal(aim=Aim.FASTEST, budget=_usable(board))
    wanted = for_board(settings.model_copy(update={"goal": goal}), board.name, None)
    with without_garbage_collection():
        slower = slower_design(config_files.load(folder), wanted, goal, manifest, error.used, board)
    if slower is None:
        return "no slower design that fits was found: take narrower numbers, a smaller model or a larger board"
    limits = "".join(f" --set hardware.goal.budget.{name}={limit}" for name, limit in slower.budget.items())
    return (
        f"a slower design is smaller (this one needs {manifest.interval_cycles:,} cycles per frame): "
        f"dnn2fpga generate {folder} --board {board.name} --goal smallest --interval {slower.interval_cycles}{limits}"
    )
