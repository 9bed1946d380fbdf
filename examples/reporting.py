"""Tables and progress for the examples."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    return lines + [f"| {' | '.join(map(str, row))} |" for row in rows]


def show_progress(what: str, done: int, of: int, news: str = "") -> None:
    """One line that is written over, on a terminal."""
    if sys.stderr.isatty():
        print(f"\r{what}: {done} of {of}   ", end="\n" if done == of else "", file=sys.stderr, flush=True)
