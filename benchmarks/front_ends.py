"""Every sample of every front end: its integer model beside what its own tool recorded, and its Verilog beside that.

    python benchmarks/front_ends.py            # a minute
    python benchmarks/front_ends.py --rtl      # an hour: each is generated and simulated as well

Compares every quantized tensor as integers, and writes docs/measurements/front_ends.md. Nothing is left out: refusals
and numbers that differ are on the page. A design that an earlier run has simulated, down to its numbers, is not
simulated again (``benchmarks/work/front_ends.json``).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "examples")]
from front_end_samples import Sample, samples  # noqa: E402 - needs the paths above
from integer_model import Comparison, IntegerModel, compare  # noqa: E402
from reporting import markdown_table  # noqa: E402

from dnn2fpga import flow  # noqa: E402
from dnn2fpga.config import Verification  # noqa: E402
from dnn2fpga.data import Data  # noqa: E402
from dnn2fpga.errors import UserError  # noqa: E402
from dnn2fpga.exact.requantizing import Way  # noqa: E402
from dnn2fpga.files.described import Described  # noqa: E402
from dnn2fpga.graph import files as config_files  # noqa: E402
from dnn2fpga.graph.float import Graph  # noqa: E402
from dnn2fpga.graph.quantized import QuantizedGraph  # noqa: E402
from dnn2fpga.passes.to_integers import has_integers  # noqa: E402
from dnn2fpga.verify.checker import checker_digest  # noqa: E402

PAGE = ROOT / "docs" / "measurements" / "front_ends.md"
SIMULATED = ROOT / "benchmarks" / "work" / "front_ends.json"
FRAMES = 12  # through the Verilog, besides those of the protocol tests
COUNTING = ("thresholds", "table")  # kinds of layers that are nothing but a requantizer


class Rtl(Described):
    """A design in simulation."""

    equal: bool
    boundaries: int
    beats: int
    latency: tuple[int | None, int | None]  # predicted, measured
    interval: tuple[int | None, int | None]
    luts: float
    counting_luts: float

    @property
    def as_predicted(self) -> bool:
        return self.latency[0] == self.latency[1] and self.interval[0] == self.interval[1]


@dataclass(frozen=True)
class Row:
    """One sample: refused, in floating point, or with its integers."""

    sample: Sample
    refusal: tuple[str, ...] = ()
    found: Comparison | None = None
    evaluated: tuple[int, int] = (0, 0)  # numbers of all quantizers, and how many differ from our own evaluation
    ways: Counter[Way] = field(default_factory=Counter)
    margin: float | None = None
    rtl: Rtl | None = None


def run(sample: Sample, with_rtl: bool) -> Row:
    try:
        graph = sample.read()
        recorded = sample.recorded(graph)
        if not has_integers(graph):
            return Row(sample, found=of_floats(graph, recorded.x, recorded.tensors))
        model = IntegerModel(graph, recorded.x.astype(np.float32), sample.settings)
    except UserError as error:
        return Row(sample, refusal=tuple(error.problems))
    return Row(
        sample,
        found=compare(model, recorded.tensors),
        evaluated=evaluated(model, graph, recorded.x),
        ways=model.integers.ways,
        margin=model.integers.margin,
        rtl=simulated(model.integers.graph, recorded.x) if with_rtl else None,
    )


def of_floats(graph: Graph, x: np.ndarray, recorded: Mapping[str, np.ndarray]) -> Comparison:
    """A model without integers: every tensor in double precision beside the source's float32."""
    computed = dict(graph.tensors(x.astype(np.float64)))
    both = {name: values for name, values in recorded.items() if name in computed}
    deviation = {}
    for name, values in both.items():
        ours = computed[name][: len(values)].reshape(values.shape)
        deviation[name] = float(np.abs(ours - values).max() / np.abs(values).max())
    return Comparison(differing={}, numbers=sum(values.size for values in both.values()), deviation=deviation)


def evaluated(model: IntegerModel, graph: Graph, x: np.ndarray) -> tuple[int, int]:
    """The integer model beside our own evaluation of the source's graph in float64, at every quantizer."""
    names = [node.name for node in graph.nodes if node.layer.kind == "quantizer" and node.name in model]
    computed = dict(graph.tensors(x.astype(np.float64)))
    differ = [np.rint(model.levels(name, computed[name])) != model.codes(name) for name in names]
    return sum(one.size for one in differ), sum(int(one.sum()) for one in differ)


def simulated(model: QuantizedGraph, x: np.ndarray) -> Rtl:
    """Generate and verify; the verdict of an earlier run holds where nothing has changed: no number of the design, of
    the integer model and of the frames, and not the checker.
    """
    frames = Data(x[:FRAMES].astype(np.float32), None)
    with tempfile.TemporaryDirectory() as folder:
        config_files.save(replace(model, origin=None), Path(folder))  # in two kinds of files: the same design
        manifest = flow.generate(folder)
        sent = hashlib.sha256(np.ascontiguousarray(frames.x).tobytes()).hexdigest()
        key = json.dumps([manifest.files, sent, checker_digest()], sort_keys=True)
        kept = json.loads(SIMULATED.read_text(encoding="utf-8")) if SIMULATED.is_file() else {}
        if key in kept:
            return Rtl.model_validate(kept[key])
        protocol, *data = flow.verify(folder, frames, verification=Verification(jobs=1))
    rtl = Rtl(
        equal=protocol.passed and len(data) == 1 and data[0].passed,
        boundaries=len(manifest.boundaries),
        beats=protocol.beats_compared + sum(one.beats_compared for one in data),
        latency=(protocol.latency_cycles["predicted"], protocol.latency_cycles["measured"]),
        interval=(protocol.interval_cycles["predicted"], protocol.interval_cycles["measured"]),
        luts=manifest.estimates["xc7"]["lut"],
        counting_luts=sum(b.resources["lut"] for b in manifest.layers if b.kind in COUNTING),
    )
    SIMULATED.parent.mkdir(parents=True, exist_ok=True)
    SIMULATED.write_text(json.dumps(kept | {key: rtl.model_dump()}, indent=1), encoding="utf-8")
    return rtl


def integers(rows: Sequence[Row]) -> Iterable[tuple[object, ...]]:
    for row in rows:
        assert row.found is not None
        differ = sum(row.found.differing.values())
        yield (
            f"`{row.sample.name}`",
            len(row.found.differing),
            f"{row.found.numbers:,}",
            f"**{differ:,}**" if differ else 0,
            f"{max(row.found.deviation.values()):.1e}" if row.found.deviation else "",
            f"{row.evaluated[1]:,} of {row.evaluated[0]:,}",
            *(row.ways[way] or "" for way in Way),
            "" if row.margin is None else f"{row.margin:.2g}",
        )


def rtl(rows: Sequence[Row]) -> Iterable[tuple[object, ...]]:
    for row in rows:
        assert row.rtl is not None
        one = row.rtl
        yield (
            f"`{row.sample.name}`",
            one.boundaries,
            f"{one.beats:,}",
            "yes" if one.equal else "**no**",
            one.latency[0],
            one.interval[0],
            "yes" if one.as_predicted else f"**no: {one.latency[1]}, {one.interval[1]}**",
            f"{one.luts:,.0f}",
            f"{one.counting_luts:,.0f}" if one.counting_luts else "",
        )


def floats(rows: Sequence[Row]) -> Iterable[tuple[object, ...]]:
    for row in rows:
        assert row.found is not None
        largest = max(row.found.deviation.values())
        yield f"`{row.sample.name}`", len(row.found.deviation), f"{row.found.numbers:,}", f"{largest:.1e}"


def refusals(rows: Sequence[Row]) -> Iterable[tuple[object, ...]]:
    for row in rows:
        first, *others = (problem.removeprefix(f"{row.sample.path}: ") for problem in row.refusal)
        yield f"`{row.sample.name}`", first.split("; ")[0], f"and {len(others)} more" if others else ""


def differing(rows: Sequence[Row]) -> Iterable[tuple[object, ...]]:
    for row in rows:
        for tensor, count in (row.found.differing if row.found else {}).items():
            if count:
                yield f"`{row.sample.name}`", f"`{tensor}`", count


def section(title: str, text: str, heads: Sequence[str], lines: Iterable[Sequence[object]]) -> list[str]:
    table = list(lines)
    return [f"## {title}", "", text, "", *markdown_table(heads, table), ""] if table else []


def report(rows: Sequence[Row], command: str) -> str:
    """Return the page."""
    exact = [row for row in rows if row.found and not row.refusal and row.evaluated[0]]
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
        f"Planned without a goal (as fast as inputs arrive), under every pattern of stalls, and {FRAMES} recorded "
        "frames: every beat at every boundary beside the integer model. LUTs (of 6 inputs) are estimates, those of "
        "layers that are thresholds or tables apart. What a lane of another kind costs is in "
        "[requantizers.md](requantizers.md): a second line hardly anything, thresholds a comparator each.",
        (
            *("sample", "boundaries", "beats", "equal", "latency", "interval", "as predicted"),
            *("LUTs", "of which thresholds and tables"),
        ),
        rtl([row for row in exact if row.rtl]),
    )
    lines += section(
        "Floating point",
        "Every tensor in double precision beside the source's float32; the difference as part of the largest number.",
        ("sample", "tensors", "numbers", "largest difference"),
        floats(floating),
    )
    lines += section("Refused", "", ("sample", "why", ""), refusals([row for row in rows if row.refusal]))
    return "\n".join(lines).replace("\n\n\n", "\n\n")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Every sample of every front end beside its own tool.")
    parser.add_argument("--rtl", action="store_true", help="generate and simulate each design as well")
    parser.add_argument("--only", default="", help="samples with this in their names; the page is printed")
    options = parser.parse_args(arguments)
    rows = []
    for sample in samples():
        if options.only in sample.name:
            rows.append(run(sample, options.rtl))
            print(f"{sample.tool.name}: {sample.name}: {rows[-1].rtl or 'read'}", flush=True)
    page = report(rows, f"python benchmarks/front_ends.py{' --rtl' if options.rtl else ''}")
    if options.only:
        print(page)
    else:
        PAGE.write_text(page, encoding="utf-8")
        print(f"wrote {PAGE}")
    return 0 if all(row.rtl is None or (row.rtl.equal and row.rtl.as_predicted) for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
