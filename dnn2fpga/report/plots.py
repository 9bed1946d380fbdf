"""Pictures of what the optimizer tried, and of the hardware plan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dnn2fpga.generate.manifest import Manifest
from dnn2fpga.optimize.cost import UNITS
from dnn2fpga.optimize.problem import Try
from dnn2fpga.optimize.width_search import Point, SearchResult
from dnn2fpga.report.streams import draw_streams

COLOURS = {"ptq": "#4477aa", "partial": "#228833", "qat": "#ee6677"}


def plot_tries(tries: Sequence[Try], float_score: float | None, wanted: float | None, file: Path) -> None:
    """Score of each try in order, and against model size."""
    from matplotlib.figure import Figure  # needs half a second

    scored = [one for one in tries if one.score is not None]
    if not scored:
        return
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, positions in ((left, list(range(len(scored)))), (right, [one.megabytes * 1e3 for one in scored])):
        for x, one in zip(positions, scored, strict=True):
            marker = "o" if one.met else "X"
            axes.plot(x, one.score, marker, color=COLOURS.get(one.stage, "#777777"), markersize=8)
        if float_score is not None:
            axes.axhline(float_score, color="#333333", linewidth=0.8, label="float model")
        if wanted is not None:
            axes.axhline(wanted, color="#333333", linewidth=0.8, linestyle="--", label="target")
        axes.grid(alpha=0.3)
    left.set_xticks(range(len(scored)), [_label(one) for one in scored], fontsize=7)
    left.set_ylabel(scored[0].measure or "")
    left.set_xlabel("tries (● reached the target, ✕ did not)" if wanted is not None else "tries")
    right.set_xlabel("size of weights and biases in kilobytes")
    left.legend(fontsize=7)
    figure.savefig(file, dpi=130, metadata={"Software": None})


def plot_front(result: SearchResult, file: Path) -> None:
    """Score of every trial of a width search against its cost; the front, and one width for all layers, in colour."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.axhline(result.float_score, color="#333333", linewidth=0.8, label="float model")
    if result.wanted is not None:
        axes.axhline(result.wanted, color="#333333", linewidth=0.8, linestyle="--", label="target")
    axes.plot(*_places(result.points), "o", color="#bbbbbb", markersize=4, label="trials")
    uniform = [point for point in result.points if point.uniform]
    axes.plot(*_places(uniform), "s", color="#4477aa", markersize=6, label="one width everywhere")
    for point, x, y in zip(uniform, *_places(uniform), strict=True):
        axes.annotate(str(point.uniform), (x, y), (5, -10), textcoords="offset points", fontsize=7, color="#4477aa")
    front = [result.points[number] for number in result.front]
    axes.plot(*_places(front), "o-", color="#ee6677", markersize=5, linewidth=1, label="front")
    chosen = [result.points[result.chosen]]
    axes.plot(*_places(chosen), "o", color="#aa3377", markersize=12, fillstyle="none", label="chosen")
    axes.set_xlabel(UNITS[result.cost])
    axes.set_ylabel(result.measure)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    figure.savefig(file, dpi=130, metadata={"Software": None})


RESOURCES = {"lut": "LUTs", "ff": "registers", "dsp": "DSP blocks", "bram18": "block RAMs (18 Kbit)"}


def plot_plan(manifest: Manifest, file: Path, found: dict[str, dict[str, int]] | None = None) -> None:
    """Draw the readers of every tensor and the FIFOs, the layer that limits the throughput, and the resources per
    layer.

    :param found: resources of the layers by synthesis.
    """
    from matplotlib.figure import Figure

    layers = manifest.boundaries
    names = [layer.tensor for layer in layers]
    figure = Figure(figsize=(12, 1.2 + 0.32 * len(layers)), layout="constrained")
    streams, cycles, *resources = figure.subplots(1, 2 + len(RESOURCES), sharey=True, width_ratios=[1, 2, 1, 1, 1, 1])
    streams.set_yticks(range(len(names)), names)
    draw_streams(streams, layers)
    slowest = max(layer.busy_cycles for layer in layers)
    colours = ["#ee6677" if layer.busy_cycles == slowest else "#4477aa" for layer in layers]
    cycles.barh(range(len(names)), [layer.busy_cycles for layer in layers], color=colours)
    cycles.axvline(manifest.interval_cycles, color="#333333", linewidth=0.8, linestyle="--")
    cycles.set_xlabel(f"busy cycles per frame (interval {manifest.interval_cycles:,})")
    cycles.invert_yaxis()
    for axes, (key, title) in zip(resources, RESOURCES.items(), strict=True):
        estimated = [layer.resources[key] for layer in layers]
        axes.barh(range(len(names)), estimated, color="#228833", label="estimated")
        axes.set_xlabel(f"{title}, {sum(estimated):,.0f}", fontsize=8)
        if found:
            rows = [row for row, name in enumerate(names) if name in found]
            axes.plot([found[names[row]][key] for row in rows], rows, "kx", label="yosys")
    if found:
        resources[-1].legend(fontsize=7)
    streams.tick_params(labelsize=7)
    for axes in (cycles, *resources):
        axes.grid(axis="x", alpha=0.3)
        axes.tick_params(labelsize=7)
    figure.savefig(file, dpi=130, metadata={"Software": None})


def _places(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    """Costs and scores, on all test data where they were measured on it."""
    return [point.cost for point in points], [point.best_known_score for point in points]


def _label(one: Try) -> str:
    widths = sorted(set(one.weight_bits))
    bits = f"{widths[0]}" if len(widths) == 1 else f"{widths[0]}-{widths[-1]}" if widths else "?"
    return f"{one.stage}\n{bits} bits"
