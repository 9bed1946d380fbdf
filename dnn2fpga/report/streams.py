"""The streams of a design for the summary and for ``plan.png``: their readers, their FIFOs, and the reasons for
these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dnn2fpga.generate.manifest import BoundaryRecord, EdgeRecord, Manifest

LINE, FIFO = "#999999", "#ee7733"


def reads(boundary: BoundaryRecord) -> str:
    """The tensors that a layer reads, with the FIFOs between them and it."""
    return ", ".join(f"{edge.tensor} [{edge.fifo:,}]" if edge.fifo else edge.tensor for edge in boundary.inputs)


def why_fifos(manifest: Manifest) -> list[str]:
    """A line for each FIFO: how many beats it holds, where it stands, and what for."""
    lines = []
    for boundary in manifest.layers:
        for edge in boundary.inputs:
            if edge.fifo:
                where = f"FIFO of {edge.fifo:,} beats from '{edge.tensor}' to '{boundary.tensor}'"
                lines.append(f"{where}: {_reason(boundary, edge)}")
    for port in manifest.outputs:
        if port.fifo:
            where = f"FIFO of {port.fifo:,} beats from '{port.tensor}' to output '{port.name}'"
            lines.append(f"{where}: the other readers of '{port.tensor}' take it at another pace")
    return lines


def _reason(boundary: BoundaryRecord, edge: EdgeRecord) -> str:
    others = [other.tensor for other in boundary.inputs if other is not edge]
    if others:
        return f"its beats come before those of {' and '.join(map(repr, others))}, which '{boundary.tensor}' needs too"
    return f"beats come in bursts, and '{boundary.tensor}' is folded for their average rate"


def draw_streams(axes: Any, boundaries: Sequence[BoundaryRecord]) -> None:
    """Draw a row per boundary, and a line from each tensor to every layer that reads it; FIFOs with their depths.

    :param axes: of matplotlib; row k is at y = k.
    """
    rows = {boundary.tensor: row for row, boundary in enumerate(boundaries)}
    for boundary in boundaries:
        row = rows[boundary.tensor]
        axes.plot(0, row, "o", color="#333333", markersize=3)
        for edge in boundary.inputs:
            source = rows[edge.tensor]
            reach = 0.0 if row - source == 1 else -0.12 * (row - source)
            colour, width = (FIFO, 1.4) if edge.fifo else (LINE, 0.9)
            bow = [(0, source), (reach, source + 0.15 * (row - source)), (reach, row - 0.15 * (row - source)), (0, row)]
            axes.plot([x for x, _ in bow], [y for _, y in bow], color=colour, linewidth=width)
            if edge.fifo:
                axes.annotate(
                    f"{edge.fifo:,}", (reach, (source + row) / 2), fontsize=6, color=FIFO, ha="right", va="center"
                )
    longest = max((rows[b.tensor] - rows[e.tensor] for b in boundaries for e in b.inputs), default=1)
    axes.set_xlim(-0.12 * longest - 0.6, 0.3)
    axes.set_xticks([])
    axes.set_xlabel("streams (FIFOs in beats)", fontsize=8)
    for side in ("top", "right", "bottom", "left"):
        axes.spines[side].set_visible(False)
