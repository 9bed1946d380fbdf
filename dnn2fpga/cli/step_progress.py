"""Show the steps of a run that needs minutes: the lines of the tool at work; on a pipe a line now and then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from dnn2fpga.cli.progress_log import ProgressLog

if TYPE_CHECKING:
    from dnn2fpga.progress import Progress as Shown


@contextmanager
def steps_shown(console: Console) -> Iterator[Shown]:
    if not console.is_terminal:
        log = ProgressLog(console)
        with log.running():
            yield log.show
        return
    columns = (
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description:32}", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[news]}", markup=False),
    )
    with Progress(*columns, console=console) as lines:
        tasks = {}

        def show(step: str, done: int, of: int, news: str = "") -> None:
            if step not in tasks:
                tasks[step] = lines.add_task(step, total=of, news=news)
            lines.update(tasks[step], completed=done, news=news)

        yield show
