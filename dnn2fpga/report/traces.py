"""Tensors of a source beside the integers: the result of ``dnn2fpga trace``, and its picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dnn2fpga.files.described import Described


class TensorTrace(Described):
    """A tensor of the source beside the integers that stand for it.

    :param source_low, source_high, low, high: the real numbers that were seen, of the source and of the integers.
    :param largest_error, mean_error: of the difference, absolute.
    :param step: the largest step between two integers of the tensor.
    :param differing: the share of numbers that differ by half a step or more.
    """

    name: str
    kind: str
    source_low: float
    source_high: float
    low: float
    high: float
    largest_error: float
    mean_error: float
    step: float
    differing: float


def plot_trace(tensors: Sequence[TensorTrace], file: Path) -> None:
    """Largest and mean error of every tensor, in steps of its integers."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(5.0, 0.45 * len(tensors) + 2), 4.2), layout="constrained")
    axes = figure.subplots()
    places = range(len(tensors))
    smallest = 1e-3  # of a step: what is exact would not be seen on this axis
    series = (("largest", [one.largest_error for one in tensors]), ("mean", [one.mean_error for one in tensors]))
    for shift, colour, (label, errors) in zip((-0.2, 0.2), ("#ee6677", "#4477aa"), series, strict=True):
        heights = [max(error / one.step, smallest) for one, error in zip(tensors, errors, strict=True)]
        axes.bar([place + shift for place in places], heights, 0.38, color=colour, label=label)
    axes.axhline(0.5, color="#333333", linewidth=0.8, linestyle="--", label="half a step: to nearest")
    axes.set_yscale("log")
    axes.set_ylabel("difference from the source, in steps")
    axes.set_xticks(places, [one.name for one in tensors], rotation=60, ha="right", fontsize=7)
    axes.legend(fontsize=7)
    figure.savefig(file, dpi=130, metadata={"Software": None})
