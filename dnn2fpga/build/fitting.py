"""Check of a design's resources against its board, with the advice when it does not fit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from dnn2fpga.build.boards import Board
from dnn2fpga.build.open.toolchains import Usage
from dnn2fpga.errors import UserError
from dnn2fpga.generate.manifest import Manifest
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.plan.fifos import best_interval
from dnn2fpga.plan.goals import Budget, PlanGoal
from dnn2fpga.plan.planner import Planner
from dnn2fpga.plan.schedule import Schedule
from dnn2fpga.plan.settings import PlanSettings

LARGEST_LAYERS = 3
TIGHTER, TRIES = 0.8, 6  # of the budget, until a slower design comes out


class DoesNotFit(UserError):
    """``used``: what the design needs, as far as the tools came."""

    def __init__(self, problems: list[str], used: Usage) -> None:
        super().__init__(problems)
        self.used = used


def available(board: Board) -> Usage:
    return dict(board.resources.model_dump())


def planned(manifest: Manifest, board: Board) -> dict[str, float]:
    """Return the estimated resources of the network, without the host link, in the board's blocks."""
    own = manifest.estimates[board.architecture.estimates]
    halves = 18 / board.architecture.bram_kbit
    return {name: own[name] for name in ("lut", "ff", "dsp")} | {"bram": math.ceil(own["bram18"] * halves - 0.05)}


def _planned_by_layer(manifest: Manifest, board: Board) -> dict[str, dict[str, float]]:
    own = {b.tensor: b.resources for b in manifest.boundaries}
    found = {resource: {layer: r[resource] for layer, r in own.items()} for resource in ("lut", "ff", "dsp")}
    halves = 18 / board.architecture.bram_kbit
    return found | {"bram": {layer: math.ceil(r["bram18"] * halves) for layer, r in own.items()}}


def check_fits(used: Usage, board: Board, names: Mapping[str, str], manifest: Manifest) -> None:
    """:raises DoesNotFit: with everything that runs out, and the layers that take most of it."""
    has = available(board)
    over = [resource for resource in used if used[resource] > has[resource]]
    if not over:
        return
    needs = ", ".join(
        f"{used[r]:,} of {has[r]:,} {names[r]}" + (f" ({used[r] / has[r]:.0%})" if has[r] else "") for r in over
    )
    raise DoesNotFit([f"does not fit the {board.title}: needs {needs}", *_largest(over, names, manifest, board)], used)


def _largest(over: list[str], names: Mapping[str, str], manifest: Manifest, board: Board) -> list[str]:
    of_layers = _planned_by_layer(manifest, board)
    lines = []
    for resource in over:
        most = sorted(of_layers[resource].items(), key=lambda item: -item[1])[:LARGEST_LAYERS]
        told = ", ".join(f"{layer} {amount:,.0f}" for layer, amount in most if amount)
        if told:
            lines.append(f"most {names[resource]} are for (estimated): {told}")
    return lines


@dataclass(frozen=True)
class Slower:
    """A design that would fit. ``budget``: what it must be limited to, because the estimates are too low here."""

    interval_cycles: int
    budget: dict[str, int]


def slower_design(
    graph: QuantizedGraph, settings: PlanSettings, goal: PlanGoal, manifest: Manifest, used: Usage, board: Board
) -> Slower | None:
    """The fastest one that would fit, if it is slower than the manifest's; None where none was found.

    The estimates are corrected by what the tools have made of this design.

    :param goal: to be as fast as its budget allows.
    """
    usable = goal.budget
    budget = _corrected(usable, planned(manifest, board), used)
    for _ in range(TRIES):
        limited = goal.model_copy(update={"budget": budget})
        changed = settings.model_copy(update={"goal": limited})
        try:
            interval = best_interval(Schedule(graph, Planner(graph, changed, limited).chosen()))
        except UserError:
            return None
        if interval > manifest.interval_cycles:
            limits = budget.limits
            return Slower(interval, {name: limits[name] for name, had in usable.limits.items() if limits[name] < had})
        budget = Budget(**{name: int(limit * TIGHTER) for name, limit in budget.limits.items()})
    return None


def _corrected(budget: Budget, estimated: Mapping[str, float], used: Usage) -> Budget:
    """Return the limits that the estimates must meet for the design to fit; where they were too high, they count as
    they are.
    """
    names = {"lut": "lut", "ff": "ff", "dsp": "dsp", "bram18": "bram"}
    limits = {}
    for name, limit in budget.limits.items():
        amount, real = estimated[names[name]], used[names[name]]
        limits[name] = int(limit * min(1.0, amount / real)) if amount and real else limit
    return Budget(**limits)
