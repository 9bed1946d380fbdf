"""The part that all commands share on their way to the screen: the console, progress bars, data files, exit codes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from dnn2fpga.cli.progress_log import ProgressLog

if TYPE_CHECKING:
    from dnn2fpga.config import Config
    from dnn2fpga.data import Data, Network
    from dnn2fpga.progress import Progress as Shown

MISMATCH, MISSED = 1, 3  # exit codes; ``cli_process`` has the others
console = Console(highlight=False)


def loaded(path: Path, network: Network, settings: Config) -> Data:
    """The data in a file, for a network."""
    from dnn2fpga.data import load_data

    return load_data(path, network, settings.data.x, settings.data.y)


@contextmanager
def progress_shown() -> Iterator[Shown]:
    """A bar with the time left for each named activity; on a pipe or in a log file a line now and then."""
    if not console.is_terminal:
        log = ProgressLog(console)
        with log.running():
            yield log.show
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:32}"),
        BarColumn(30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, of: int, news: str = "") -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=of)
            bars.update(tasks[what], completed=done, total=of)

        yield show
