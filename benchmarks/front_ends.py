"""Every sample of every front end: its integer model beside what its own tool recorded, and its Verilog beside that.

    python benchmarks/front_ends.py            # a minute
    python benchmarks/front_ends.py --rtl      # an hour: each is generated and simulated as well

Compares every quantized tensor as integers, and writes docs/measurements/front_ends.md. Nothing is left out: refusals
and numbers that differ are on the page. A design that an earlier run has simulated, down to its numbers, is not
simulated again (``benchmarks/work/front_ends/simulated.json``).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "examples")]
from front_end_samples import Sample, samples  # noqa: E402 - needs the paths above
from front_ends_report import FRAMES, Row, Rtl, report  # noqa: E402
from integer_model import Comparison, IntegerModel, compare  # noqa: E402

from dnn2fpga import flow  # noqa: E402
from dnn2fpga.config import Verification  # noqa: E402
from dnn2fpga.data import Data  # noqa: E402
from dnn2fpga.errors import UserError  # noqa: E402
from dnn2fpga.graph import files as config_files  # noqa: E402
from dnn2fpga.graph.float import Graph  # noqa: E402
from dnn2fpga.graph.quantized import QuantizedGraph  # noqa: E402
from dnn2fpga.passes.to_integers import has_integers  # noqa: E402
from dnn2fpga.verify.checker import checker_digest  # noqa: E402

PAGE = ROOT / "docs" / "measurements" / "front_ends.md"
WORK = ROOT / "benchmarks" / "work" / "front_ends"  # one for all designs: what simulators share is compiled once
SIMULATED = WORK / "simulated.json"
COUNTING = ("thresholds", "table")  # kinds of layers that are nothing but a requantizer


def run(sample: Sample, with_rtl: bool) -> Row:
    try:
        graph = sample.read()
        recorded = sample.recorded(graph)
        if not has_integers(graph):
            return Row(sample, found=of_floats(graph, recorded.x, recorded.tensors))
        model = IntegerModel(graph, recorded.x.astype(np.float32), sample.settings)
    except UserError as error:
        return Row(sample, refusal=tuple(error.problems))
    row = Row(
        sample,
        found=compare(model, recorded.tensors),
        evaluated=evaluated(model, graph, recorded.x),
        ways=model.integers.ways,
        margin=model.integers.margin,
    )
    try:
        return replace(row, rtl=simulated(model.integers.graph, recorded.x)) if with_rtl else row
    except UserError as error:
        return replace(row, refusal=tuple(error.problems))


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
    WORK.mkdir(parents=True, exist_ok=True)
    config_files.save(replace(model, origin=None), WORK)  # in two kinds of files: the same design
    manifest = flow.generate(WORK)
    sent = hashlib.sha256(np.ascontiguousarray(frames.x).tobytes()).hexdigest()
    key = json.dumps([manifest.files, sent, checker_digest()], sort_keys=True)
    kept = json.loads(SIMULATED.read_text(encoding="utf-8")) if SIMULATED.is_file() else {}
    if key in kept:
        return Rtl.model_validate(kept[key])
    protocol, *data = flow.verify(WORK, frames, verification=Verification(jobs=1))
    rtl = Rtl(
        equal=protocol.passed and len(data) == 1 and data[0].passed,
        boundaries=len(manifest.boundaries),
        beats=protocol.beats_compared + sum(one.beats_compared for one in data),
        latency=(protocol.latency_cycles["predicted"], protocol.latency_cycles["measured"]),
        interval=(protocol.interval_cycles["predicted"], protocol.interval_cycles["measured"]),
        luts=manifest.estimates["xc7"]["lut"],
        counting_luts=sum(b.resources["lut"] for b in manifest.layers if b.kind in COUNTING),
    )
    SIMULATED.write_text(json.dumps(kept | {key: rtl.model_dump()}, indent=1), encoding="utf-8")
    return rtl


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Every sample of every front end beside its own tool.")
    parser.add_argument("--rtl", action="store_true", help="simulate each design as well; Ctrl-C ends only that")
    parser.add_argument("--only", default="", help="samples with this in their names; the page is printed")
    options = parser.parse_args(arguments)
    rows, with_rtl = [], options.rtl
    for sample in (sample for sample in samples() if options.only in sample.name):
        try:
            rows.append(run(sample, with_rtl))
        except KeyboardInterrupt:
            if not with_rtl:
                raise
            with_rtl = False
            rows.append(run(sample, with_rtl))
        print(f"{sample.tool.name}: {sample.name}: {rows[-1].rtl or 'read'}", flush=True)
    page = report(rows, f"python benchmarks/front_ends.py{' --rtl' if options.rtl else ''}")
    if options.only:
        print(page)
    else:
        PAGE.write_text(page, encoding="utf-8")
        print(f"wrote {PAGE}")
    return 0 if all(row.is_as_it_should_be for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
