"""Shows the steps of a run that takes minutes: what the tool at work says; on a pipe a line now and then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from dnn2fpga.cli.progress_log import ProgressLog

if TYPE_CHECKING:
    from dnn2fpga.build.live_log import StepShown


@contextmanager
def steps_shown(console: Console) -> Iterator[StepShown]:
    if not console.is_terminal:
        log = ProgressLog(console)
        with log.running():
            yield lambda step, news="", seconds=None: log.show(step, int(seconds is not None), 1, news)
        return
    columns = (
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description:32}", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[news]}", markup=False),
    )
    with Progress(*columns, console=console) as lines:
        tasks = {}

        def show(step: str, news: str = "", seconds: float | None = None) -> None:
            if step not in tasks:
                tasks[step] = lines.add_task(step, total=1, news=news)
            lines.update(tasks[step], news=news)
            if seconds is not None:
                lines.update(tasks[step], completed=1)

        yield show
