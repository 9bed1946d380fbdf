"""The page of the documentation that tells what was counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .trial import Fault, Tally

INTRODUCTION = """# Robustness

Written by `{command}`. What shows a fault again, the command keeps in `build/robustness/found`.

What is tried: model files that are damaged or hostile; the same for YAML and NumPy files; accidents of the command
line; files of a finished work folder changed behind the program's back; and commands that are killed anywhere and run
again. Time is the processor time of refusals (others may share the machine; a file that is still right is worked on
for as long as that takes), and a trial that does not end within a minute on the clock counts, too; memory is the peak
beyond what importing the program takes. A refusal is exit code 2 with lines that begin with `error: `, without control
characters, and with the folder as it was before. Whoever tampers here does not compute digests again: the digests find
mistakes and stale results, they are no signature.
"""


def page(tallies: Sequence[Tally], command: str) -> str:
    heads = ("campaign", "trials", *Fault, "slowest refusal or reading", "most memory")
    rows = [
        (
            tally.title,
            f"{tally.trials:,}",
            *(str(tally.count(fault)) for fault in Fault),
            f"{tally.slowest:.1f} s" if tally.slowest else "",
            f"{tally.largest >> 20:,} MiB" if tally.largest else "",
        )
        for tally in tallies
    ]
    parts = [INTRODUCTION.format(command=command), *_table(heads, rows)]
    for tally in tallies:
        words = sorted({word for counted in tally.outcomes.values() for word in counted})
        parts += [f"\n## {tally.title[0].upper()}{tally.title[1:]}\n"]
        if tally.opened:
            parts += [f"{tally.opened:,} of {tally.trials:,} files still open as a zip or as HDF5.\n"]
        parts += _table(
            ("what", *words),
            [(kind, *(counted[word] or "" for word in words)) for kind, counted in tally.outcomes.items()],
        )
    return "\n".join(parts) + "\n"


def _table(heads: Iterable[str], rows: Iterable[Sequence[object]]) -> list[str]:
    heads = list(heads)
    return [
        f"| {' | '.join(heads)} |",
        "|" + "---|" * len(heads),
        *(f"| {' | '.join(map(str, row))} |" for row in rows),
    ]
