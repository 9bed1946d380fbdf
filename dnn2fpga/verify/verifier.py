"""The verifier: it simulates a bundle and compares every layer boundary with the integer model.

A verdict counts only with the numbers that the checker reports for it (``dnn2fpga.verify.completeness``).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dnn2fpga.data import Data
from dnn2fpga.errors import UserError
from dnn2fpga.generate.bundle import VECTOR_FRAMES
from dnn2fpga.generate.manifest import MANIFEST, Manifest, read_manifest
from dnn2fpga.generate.vectors import write_vectors
from dnn2fpga.graph import files as config_files
from dnn2fpga.graph.ports import by_name
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.progress import Progress, silent
from dnn2fpga.task import Score
from dnn2fpga.task_reading import tasks_with
from dnn2fpga.verify.checker import RUN, run_checker
from dnn2fpga.verify.completeness import Demand, demand_all

if TYPE_CHECKING:
    from dnn2fpga.config import Verification

STREAMING = "simulating the test data"
CHUNK_BYTES = 64 << 20  # expected values on disk at one time

# Tests of the checker, in its order. Two meet no stalls (in the end), and the plan's cycles.
PROTOCOL_TESTS = (
    "no_stalls",
    "source_stalls",
    "sink_stalls",
    "random_stalls",
    "burst_stalls",
    "full_stalls",
    "reset_in_mid_frame",
    "starve_stalls",
    "refuse_stalls",
)
UNDISTURBED_TESTS = ("no_stalls", "reset_in_mid_frame")

LONGEST_INTERVAL_FOR_COCOTB = 20_000  # cycles; some ten thousand pass in a second there, a million in the harness
# Frames under each pattern. A long stall must last until every layer is full.
SLOW_PATTERNS = {"none": 6, "source": 3, "sink": 3, "random": 3, "burst": 3, "full": 16, "starve": 8, "refuse": 16}


@dataclass(frozen=True)
class VerificationReport:
    """The comparisons and measurements of a verification; ``passed`` only if every beat was equal and every cycle as
    predicted.
    """

    passed: bool
    messages: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()  # protocol tests that passed
    frames: int = 0  # of the bulk run
    beats_compared: int = 0
    cycles: int = 0
    scores: dict[str, Score] = field(default_factory=dict)  # by output: of the design on the bulk run, by the labels
    latency_cycles: dict[str, int | None] = field(default_factory=dict)  # predicted, measured
    interval_cycles: dict[str, int | None] = field(default_factory=dict)


def verify_bundle(
    bundle: Path,
    build_dir: Path,
    data: Data | None,
    settings: Verification,
    *,
    waves: bool = False,
    progress: Progress = silent,
) -> list[VerificationReport]:
    """Run the protocol tests and, if they pass, all of ``data``; return a report of each."""
    progress("simulating stalls and timing", 0, 1)
    protocol = check_protocol(bundle, build_dir, seed=settings.seed, waves=waves)
    progress("simulating stalls and timing", 1, 1)
    if data is None or not protocol.passed:
        return [protocol]
    options = settings.model_dump(include={"stalls", "seed", "jobs"})
    return [protocol, check_data(bundle, build_dir, data, **options, progress=progress)]


def check_protocol(bundle: Path, build_dir: Path, *, seed: int = 1, waves: bool = False) -> VerificationReport:
    """Simulate a few frames under every stall pattern, and the exact cycle of every boundary (cocotb; the compiled
    harness for a design that needs so long for a frame that cocotb would need an hour).

    :raises UserError: when the simulation cannot run, or has not compared everything.
    """
    manifest = read_manifest(bundle / MANIFEST)
    if manifest.interval_cycles > LONGEST_INTERVAL_FOR_COCOTB and not waves:
        return _check_slow_protocol(bundle, build_dir, manifest, seed)
    results = run_checker(RUN, bundle, build_dir, ["--seed", str(seed), *(["--waves"] if waves else [])])
    frames = max(VECTOR_FRAMES, manifest.steady_frames)
    names = [name for name in PROTOCOL_TESTS if _tells(manifest, name)]
    undisturbed = {name: name in UNDISTURBED_TESTS for name in names}
    demands = [Demand(name=name, least_frames=frames, timed=u, steady=u) for name, u in undisturbed.items()]
    demand_all(manifest, results["tests"], demands, build_dir)
    waveform = [f"waveform: {results['waves']}"] if waves else []
    return _protocol_report(manifest, results["tests"], waveform)


def _tells(manifest: Manifest, test: str) -> bool:
    """Return whether a test is meaningful for a design: one port in turn stalls only where there are joins, or
    outputs.
    """
    told = {"starve_stalls": manifest.has_joins, "refuse_stalls": len(manifest.outputs) > 1}
    return told.get(test, True)


def _check_slow_protocol(bundle: Path, build_dir: Path, manifest: Manifest, seed: int) -> VerificationReport:
    """The stall patterns of the tests on random numbers, without the resets between frames."""
    graph = config_files.load(bundle)
    patterns = {name: frames for name, frames in SLOW_PATTERNS.items() if _tells(manifest, f"{name}_stalls")}
    patterns["none"] = max(patterns["none"], manifest.steady_frames)
    q = graph.random_inputs(max(patterns.values()), seed)
    vectors = build_dir / "stall_vectors"  # kept: a message names the command that repeats the run
    write_vectors(graph, manifest.pixels, q, vectors, f"random numbers, seed {seed}")
    options = ["--bulk", str(vectors), "--jobs", "1", "--seed", str(seed)]
    tests, demands = [], []
    for pattern, frames in patterns.items():
        run = run_checker(RUN, bundle, build_dir, [*options, "--stalls", pattern, "--frames", str(frames)])
        name, undisturbed = f"stalls: {pattern}", pattern == "none"
        tests += [test | {"name": name} for test in run["tests"]]
        demands.append(
            Demand(name=name, least_frames=frames, most_frames=frames, timed=undisturbed, steady=undisturbed)
        )
    demand_all(manifest, tests, demands, build_dir)
    note = f"note: a frame needs {manifest.interval_cycles:,} cycles: no resets in mid-frame were tried"
    return _protocol_report(manifest, tests, [note])


def _protocol_report(
    manifest: Manifest, tests: Sequence[Mapping[str, Any]], notes: Sequence[str]
) -> VerificationReport:
    """Return the report of tests of which the first was undisturbed."""
    measured = tests[0]
    intervals = measured.get("output_interval_cycles") or [None]
    return VerificationReport(
        passed=all(test["passed"] for test in tests),
        messages=(*(test["message"] for test in tests if not test["passed"]), *notes),
        tests=tuple(test["name"] for test in tests if test["passed"]),
        beats_compared=sum(_beats(test) for test in tests),
        cycles=sum(test.get("cycles", 0) for test in tests),
        latency_cycles={"predicted": manifest.latency_cycles, "measured": measured.get("latency_cycles")},
        interval_cycles={
            "predicted": manifest.interval_cycles,
            "measured": None if None in intervals else max(intervals),
        },
    )


def check_data(
    bundle: Path,
    build_dir: Path,
    data: Data,
    *,
    stalls: str = "none",
    seed: int = 1,
    jobs: int = 2,
    progress: Progress = silent,
) -> VerificationReport:
    """Streams real inputs through the compiled design, chunk by chunk, and compares everything.

    :raises UserError: when there is nothing to compare, and when the labels do not fit the model.
    """
    if len(data) == 0:
        raise UserError("there is no data to verify with; give at least one sample")
    graph = config_files.load(bundle)
    tasks, manifest = tasks_with(graph, data), read_manifest(bundle / MANIFEST)
    chunk = max(1, CHUNK_BYTES // _bytes_per_frame(graph))
    vectors = build_dir / "vectors"  # kept when something differs: the message names the command that repeats the run
    options = ["--bulk", str(vectors), "--jobs", str(jobs), "--stalls", stalls, "--seed", str(seed)]
    frames = beats = cycles = 0
    outputs: dict[str, list[np.ndarray]] = {name: [] for name in graph.outputs}
    progress(STREAMING, 0, len(data))
    for part in data.batches(chunk):
        expected = write_vectors(graph, manifest.pixels, graph.quantized(part.x), vectors, "test data")
        for name, values in by_name(expected, outputs).items():
            outputs[name].append(graph.outputs[name].dequantize(values))
        tests = run_checker(RUN, bundle, build_dir, options)["tests"]
        demand = Demand(name="bulk", least_frames=len(part), most_frames=len(part), timed=stalls == "none")
        demand_all(manifest, tests, [demand], build_dir)
        start, frames = frames, frames + len(part)
        beats += sum(_beats(test) for test in tests)
        cycles += sum(test.get("cycles", 0) for test in tests)
        if not all(test["passed"] for test in tests):
            where = f"in the frames from {start} of the data: " if start else ""
            messages = tuple(where + test["message"] for test in tests if not test["passed"])
            return VerificationReport(False, messages, frames=frames, beats_compared=beats, cycles=cycles)
        progress(STREAMING, frames, len(data))
    shutil.rmtree(vectors)
    # Every output of the design equalled these integers.
    real = {name: np.concatenate(values) for name, values in outputs.items()}
    labels = data.labels(graph.outputs)
    scores = {name: tasks[name].score(real[name], labels[name], real[name]) for name in labels}
    return VerificationReport(True, frames=frames, beats_compared=beats, cycles=cycles, scores=scores)


def _beats(test: Mapping[str, Any]) -> int:
    return sum((*test.get("beats_compared", ()), *test.get("output_beats_compared", ())))


def _bytes_per_frame(graph: QuantizedGraph) -> int:
    return sum(tensor.size * tensor.format.dtype.itemsize for tensor in graph.tensors.values())
