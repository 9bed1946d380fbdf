"""The page of the documentation that tells what was counted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from .trial import Fault, Tally

INTRODUCTION = """# Robustness

Written by `python benchmarks/robustness.py`, or for one campaign by the command below its heading. What shows a fault
again, the command keeps in `build/robustness/found`.

What is tried: model files that are damaged or hostile; the same for YAML and NumPy files; accidents of the command
line; files of a finished work folder changed behind the program's back; and commands that are killed anywhere and run
again. Time is the processor time of refusals (others may share the machine; a file that is still right is worked on
for as long as that takes), and a trial that does not end within a minute on the clock counts, too; memory is the peak
beyond what importing the program takes. A refusal is exit code 2 with lines that begin with `error: `, without control
characters, and with the folder as it was before. Whoever tampers here does not compute digests again: the digests find
mistakes and stale results, they are no signature.
"""


def counted(tally: Tally, command: str) -> dict[str, Any]:
    """The counts of a campaign as plain values, with the command that repeats them."""
    return {
        "title": tally.title,
        "command": command,
        "trials": tally.trials,
        "opened": tally.opened,
        "faults": {fault.value: tally.count(fault) for fault in Fault},
        "slowest_s": round(tally.slowest, 1),
        "largest_mib": tally.largest >> 20,
        "outcomes": {kind: dict(sorted(words.items())) for kind, words in tally.outcomes.items()},
    }


def page(campaigns: Collection[Mapping[str, Any]]) -> str:
    """Return the page for the counts of campaigns, as ``counted`` returns them."""
    heads = ("campaign", "trials", *(fault.value for fault in Fault), "slowest", "most memory")
    rows = [
        (
            one["title"],
            f"{one['trials']:,}",
            *one["faults"].values(),
            f"{one['slowest_s']} s" if one["slowest_s"] else "",
            f"{one['largest_mib']:,} MiB" if one["largest_mib"] else "",
        )
        for one in campaigns
    ]
    parts = [INTRODUCTION, *_table(heads, rows)]
    for one in campaigns:
        words = sorted({word for counts in one["outcomes"].values() for word in counts})
        parts += [f"\n## {one['title'][0].upper()}{one['title'][1:]}\n", f"`{one['command']}`\n"]
        if one["opened"]:
            parts += [f"{one['opened']:,} of {one['trials']:,} files still open as a zip or as HDF5.\n"]
        parts += _table(
            ("what", *words),
            [(kind, *(counts.get(word, "") for word in words)) for kind, counts in one["outcomes"].items()],
        )
    return "\n".join(parts) + "\n"


def _table(heads: Iterable[str], rows: Iterable[Sequence[object]]) -> list[str]:
    heads = list(heads)
    return [
        f"| {' | '.join(heads)} |",
        "|" + "---|" * len(heads),
        *(f"| {' | '.join(map(str, row))} |" for row in rows),
    ]
