"""The page of ``front_ends.py``."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "examples")]
from front_end_samples import Sample  # noqa: E402 - needs the paths above
from integer_model import Comparison  # noqa: E402
from reporting import markdown_table  # noqa: E402

from dnn2fpga.exact.requantizing import Way  # noqa: E402
from dnn2fpga.files.described import Described  # noqa: E402

REQUANTIZERS = ROOT / "docs" / "measurements" / "requantizers.md"
FRAMES = 12  # through the Verilog, besides those of the protocol tests


class Rtl(Described):
    """A design in simulation.

    :param passed: every beat equal, every cycle as predicted, and the recorded frames as well.
    :param messages: what was not.
    :param latency, interval: predicted, measured.
    """

    passed: bool
    messages: tuple[str, ...] = ()
    boundaries: int
    beats: int
    latency: tuple[int | None, int | None]
    interval: tuple[int | None, int | None]
    luts: float
    counting_luts: float


@dataclass(frozen=True)
class Row:
    """One sample: refused, in floating point, or with its integers.

    :param refusal: the problems; of the hardware where there are integers.
    :param evaluated: the numbers of all quantizers, and how many differ from our own evaluation.
    """

    sample: Sample
    refusal: tuple[str, ...] = ()
    found: Comparison | None = None
    evaluated: tuple[int, int] = (0, 0)
    ways: Counter[Way] = field(default_factory=Counter)
    margin: float | None = None
    rtl: Rtl | None = None

    @property
    def is_as_it_should_be(self) -> bool:
        """The integers are those of the graph, and so is the hardware. Some files are refused rightly."""
        passed = self.rtl is None or self.rtl.passed
        return passed and not self.evaluated[1] and not (self.found and self.refusal)


def integers(rows: Sequence[Row]) -> Iterable[tuple[object, ...]]:
    for row, found in ((row, row.found) for row in rows if row.found):
        differ = sum(found.differing.values())
        yield (
            f"`{row.sample.name}`",
            len(found.differing),
            f"{found.numbers:,}",
            f"**{differ:,}**" if differ else 0,
            f"{max(found.deviation.values()):.1e}" if found.deviation else "",
            f"{row.evaluated[1]:,} of {row.evaluated[0]:,}",
            *(row.ways[way] or "" for way in Way),
            "" if row.margin is None else f"{row.margin:.2g}",
        )


def rtl(rows: Sequence[Row]) -> Iterable[tuple[object, ...]]:
    for row, one in ((row, row.rtl) for row in rows if row.rtl):
        yield (
            f"`{row.sample.name}`",
            one.boundaries,
            f"{one.beats:,}",
            *(
                f"{predicted}" if predicted == measured else f"**{predicted}, not {measured}**"
                for predicted, measured in (one.latency, one.interval)
            ),
            "yes" if one.passed else "**no**",
            f"{one.luts:,.0f}",
            f"{one.counting_luts:,.0f}" if one.counting_luts else "",
        )


def floats(rows: Sequence[Row]) -> Iterable[tuple[object, ...]]:
    for row, found in ((row, row.found) for row in rows if row.found):
        largest = max(found.deviation.values())
        yield f"`{row.sample.name}`", len(found.deviation), f"{found.numbers:,}", f"{largest:.1e}"


def refusals(rows: Sequence[Row]) -> Iterable[tuple[object, ...]]:
    for row in rows:
        first, *others = (problem.removeprefix(f"{row.sample.path}: ") for problem in row.refusal)
        yield f"`{row.sample.name}`", first.split("; ")[0], 1 + len(others)


def differing(rows: Sequence[Row]) -> Iterable[tuple[object, ...]]:
    for row in rows:
        for tensor, count in (row.found.differing if row.found else {}).items():
            if count:
                yield f"`{row.sample.name}`", f"`{tensor}`", count


def cost_of_lanes() -> str:
    """A sentence from what benchmarks/requantizers.py has measured of 16 lanes with codes of 4 bits."""

    def luts(requantizer: str) -> float:
        cells = (line.split("|") for line in REQUANTIZERS.read_text(encoding="utf-8").splitlines() if "|" in line)
        found = next(cell[2] for cell in cells if cell[1].strip() == requantizer)
        return float(found.split("+")[0].replace(",", "")) / 16

    one = luts("one line, multipliers of 20 bits")
    second, thresholds = luts("two lines, the same multipliers of 20 bits") - one, luts("thresholds, 15 per lane")
    return (
        f"With codes of 4 bits ([requantizers.md](requantizers.md)), a lane of one multiplier needs {one:.0f} LUTs "
        f"and 2 DSP blocks, one with a second line {second:.0f} LUTs more, one of 15 thresholds {thresholds:.0f} LUTs "
        "and no DSP block."
    )


def section(title: str, text: str, heads: Sequence[str], lines: Iterable[Sequence[object]]) -> list[str]:
    table = list(lines)
    return [f"## {title}", "", text, "", *markdown_table(heads, table), ""] if table else []


def report(rows: Sequence[Row], command: str) -> str:
    """Return the page."""
    exact = [row for row in rows if row.evaluated[0]]
    floating = [row for row in rows if row.found and not row.evaluated[0]]
    numbers = sum(row.found.numbers for row in exact if row.found)
    differ = sum(count for *_, count in differing(exact) if isinstance(count, int))
    lines = [
        "# Front ends",
        "",
        f"Written by `{command}`: the samples of `tests/front_ends/samples` and the larger ones beside the data sets, "
        "each beside what its own tool recorded ([front_ends.md](../front_ends.md)). "
        f"{len(rows)} files and rules: {len(exact)} bring their integers, {len(floating)} are in floating point, "
        f"{len(rows) - len(exact) - len(floating)} are refused. Of {numbers:,} quantized numbers that the tools "
        f"recorded, {differ:,} differ.",
        "",
    ]
    lines += section(
        "Integers",
        "*Recorded*: every quantized tensor of the source that the integer model has, as integers (some tools record "
        "no more than the output, larq's quantizers stand inside of layers). *Sums*: outputs that the source has in "
        "float32 only; the largest difference, as part of the largest number. *Evaluated*: the integer model beside "
        "our float64 evaluation of the source's graph, at every quantizer. Then the lanes by what they need to round "
        "as the source does, and the smallest distance of a sum from a border between two codes, in codes (empty: the "
        "source rounds integers, or at powers of two).",
        (
            *("sample", "recorded tensors", "numbers", "differ", "sums", "evaluated: differ"),
            *(way.value for way in Way),
            "margin",
        ),
        integers(exact),
    )
    lines += section(
        "Numbers that differ",
        "A source that computes in float32 may give a sum that lies within its rounding of a border between two codes "
        "the code on the other side, and what follows differs with it; the integer model has the code of the exact "
        "sum. Each tensor on its own, given the source's numbers before it, is in `tests/read`.",
        ("sample", "tensor", "numbers"),
        differing(exact),
    )
    lines += section(
        "Verilog",
        f"{sum(row.rtl is not None for row in exact)} of {len(exact)} designs were simulated. "
        f"Planned without a goal (as fast as inputs arrive), under every pattern of stalls, and {FRAMES} recorded "
        "frames: every beat at every boundary beside the integer model. LUTs (of 6 inputs) are estimates, those of "
        "layers that are thresholds or tables apart. " + cost_of_lanes(),
        (
            *("sample", "boundaries", "beats", "latency", "interval", "all equal, all as predicted"),
            *("LUTs", "of which thresholds and tables"),
        ),
        rtl([row for row in exact if row.rtl]),
    )
    lines += section(
        "What simulation found",
        "The first message of the verification.",
        ("sample", "message"),
        [(f"`{row.sample.name}`", row.rtl.messages[0]) for row in exact if row.rtl and row.rtl.messages],
    )
    lines += section(
        "Floating point",
        "Every tensor in double precision beside the source's float32; the difference as part of the largest number.",
        ("sample", "tensors", "numbers", "largest difference"),
        floats(floating),
    )
    lines += section(
        "Refused",
        "With the first of the problems.",
        ("sample", "why", "problems"),
        refusals([row for row in rows if row.refusal]),
    )
    return "\n".join(lines)
