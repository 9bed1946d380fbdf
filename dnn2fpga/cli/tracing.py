"""``dnn2fpga trace``: every tensor of the source beside the integers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table

from dnn2fpga.cli.options import ConfigFile, Frames, Set, WorkFolder, XName, settings_from
from dnn2fpga.cli.screen import console, progress_shown
from dnn2fpga.errors import UserError
from dnn2fpga.files.exclusive import exclusive

if TYPE_CHECKING:
    from dnn2fpga.report.traces import TensorTrace


def trace(
    work: WorkFolder,
    model: Annotated[Path | None, typer.Argument(help="the model that was quantized (docs/front_ends.md)")] = None,
    data: Annotated[Path | None, typer.Option("--test", help="data, .npz with x, or .npy")] = None,
    config: ConfigFile = None,
    x: XName = None,
    frames: Frames = None,
    settings: Set = None,
) -> None:
    """Compare every tensor of the integer model with that of its source, on data."""
    from dnn2fpga import flow
    from dnn2fpga.data import load_data
    from dnn2fpga.graph import files as config_files

    chosen = settings_from(config, {"output": work, "model": model, "data.test": data, "data.x": x}, settings)
    missing = ["no model is given; name the file of the source"] if chosen.model is None else []
    missing += ["no data are given; name an .npz or .npy file with --test"] if chosen.data.test is None else []
    if chosen.model is None or chosen.data.test is None:
        raise UserError(missing)
    with exclusive(work), progress_shown() as progress:
        loaded = load_data(chosen.data.test, config_files.load(work), chosen.data.x, chosen.data.y)
        seen = flow.trace(work, chosen.model, loaded, frames=frames, reading=chosen.reading, progress=progress)
    show_trace(seen)
    console.print(f"{work / 'trace.png'} shows the differences", markup=False)


def show_trace(seen: Sequence[TensorTrace]) -> None:
    """Print a row for each tensor."""
    table = Table(title="the source beside the integers", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("tensor", "kind", "source", "integers"):
        table.add_column(heading)
    for heading in ("step", "largest error", "mean error", "differ"):
        table.add_column(heading, justify="right")
    for one in seen:
        ranges = (f"{low:.4g} … {high:.4g}" for low, high in ((one.source_low, one.source_high), (one.low, one.high)))
        numbers = (f"{number:.3g}" for number in (one.step, one.largest_error, one.mean_error))
        table.add_row(one.name, one.kind, *ranges, *numbers, f"{one.differing:.2%}")
    console.print(table)
