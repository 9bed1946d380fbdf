"""Simulates a bundle with its own testbench and compares every layer boundary with the integer model.

The testbench is the one that a hardware engineer gets (``bundle/sim``); it shares no code with the compiler and is
run as a program.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dnn2fpga import config_files
from dnn2fpga.data import Data
from dnn2fpga.errors import UserError
from dnn2fpga.generate.vectors import write_vectors
from dnn2fpga.quantized_graph import QuantizedGraph
from dnn2fpga.task import Measure
from dnn2fpga.task_reading import task_with

CHUNK_BYTES = 64 << 20  # expected values on disk at one time

LONGEST_INTERVAL_FOR_COCOTB = 20_000  # cycles; some ten thousand pass in a second there, a million in the harness
# Frames under each pattern. A long stall must last until every layer is full.
SLOW_PATTERNS = {"none": 6, "source": 3, "sink": 3, "random": 3, "burst": 3, "full": 16}

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class VerificationReport:
    """What was compared and measured; ``passed`` only if every beat was equal and every cycle as predicted."""

    passed: bool
    messages: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()  # protocol tests that passed
    frames: int = 0  # of the bulk run
    beats_compared: int = 0
    cycles: int = 0
    accuracy: float | None = None  # of the design on the frames of the bulk run, where labels say what it must decide
    latency_cycles: dict[str, int] = field(default_factory=dict)  # predicted, measured
    interval_cycles: dict[str, int] = field(default_factory=dict)


def check_protocol(bundle: Path, build_dir: Path, *, seed: int = 1, waves: bool = False) -> VerificationReport:
    """A few frames under every stall pattern, and the exact cycle of every boundary (cocotb; the compiled harness for
    a design that takes so long for a frame that cocotb would need an hour).
    """
    manifest = _manifest(bundle)
    if manifest["interval_cycles"] > LONGEST_INTERVAL_FOR_COCOTB and not waves:
        return _check_slow_protocol(bundle, build_dir, manifest, seed)
    results = _run(bundle, build_dir, ["--seed", str(seed), *(["--waves"] if waves else [])])
    measured = next(test for test in results["tests"] if test["name"] == "no_stalls")
    messages = [test["message"] for test in results["tests"] if not test["passed"]]
    messages += _changed_files(results)
    if waves and results.get("waves"):
        messages.append(f"waveform: {results['waves']}")
    return VerificationReport(
        passed=results["passed"],
        messages=tuple(messages),
        tests=tuple(test["name"] for test in results["tests"] if test["passed"]),
        beats_compared=sum(_beats(test) for test in results["tests"]),
        cycles=sum(test.get("cycles", 0) for test in results["tests"]),
        latency_cycles={"predicted": manifest["latency_cycles"], "measured": measured.get("latency_cycles")},
        interval_cycles={
            "predicted": manifest["interval_cycles"],
            "measured": (measured.get("interval_cycles") or [None])[-1],
        },
    )


def _changed_files(results: dict[str, Any]) -> list[str]:
    return [f"note: {name} is not the file that was generated" for name in results.get("changed_files", [])]


def _check_slow_protocol(bundle: Path, build_dir: Path, manifest: dict[str, Any], seed: int) -> VerificationReport:
    """The stall patterns of the tests on random numbers, without the resets between frames."""
    graph = config_files.load(bundle)
    boundaries = {b["layer"]: (b["index"], b["pixels"]) for b in manifest["boundaries"]}
    patterns = {**SLOW_PATTERNS, "none": max(SLOW_PATTERNS["none"], manifest["steady_frames"])}
    format, frames = graph.input.format, max(patterns.values())
    q = np.random.default_rng(seed).integers(format.minimum, format.maximum + 1, (frames, *graph.input.shape))
    vectors = build_dir / "stall_vectors"  # kept: a message names the command that repeats the run
    write_vectors(graph, boundaries, q, vectors, f"random numbers, seed {seed}")
    options = ["--bulk", str(vectors), "--jobs", "1", "--seed", str(seed)]
    tests = []
    for pattern, frames in patterns.items():
        results = _run(bundle, build_dir, [*options, "--stalls", pattern, "--frames", str(frames)])
        tests.append(results["tests"][0] | {"name": f"stalls: {pattern}"})
    undisturbed = tests[0]
    expected = [(b["first_cycle"], b["last_cycle"]) for b in manifest["boundaries"]]
    found = list(zip(*(undisturbed.get(key, []) for key in ("first_cycles", "last_cycles")), strict=False))
    # The first layers may run ahead until the design is full, and have no interval yet.
    intervals = {*undisturbed.get("interval_cycles", [None])[:-1]} - {None}
    end = undisturbed.get("interval_cycles", [None])[-1]
    messages = [test["message"] for test in tests if not test["passed"]]
    if undisturbed["passed"] and (found != expected or intervals | {end} != {manifest["interval_cycles"]}):
        messages.append(
            f"first and last cycles of the boundaries must be {expected}, and the interval "
            f"{manifest['interval_cycles']}, not {found} and {undisturbed.get('interval_cycles')}"
        )
    passed = not messages
    messages += _changed_files(results)
    note = f"note: a frame takes {manifest['interval_cycles']:,} cycles: no resets in mid-frame were tried"
    return VerificationReport(
        passed=passed,
        messages=(*messages, note),
        tests=tuple(test["name"] for test in tests if test["passed"]),
        beats_compared=sum(_beats(test) for test in tests),
        cycles=sum(test.get("cycles", 0) for test in tests),
        latency_cycles={"predicted": manifest["latency_cycles"], "measured": undisturbed.get("latency_cycles")},
        interval_cycles={
            "predicted": manifest["interval_cycles"],
            "measured": (undisturbed.get("interval_cycles") or [None])[-1],
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
    progress: Progress = lambda done, of: None,
) -> VerificationReport:
    """Streams real inputs through the compiled design, chunk by chunk, and compares everything.

    :raises UserError: when there is nothing to compare, and when the labels do not fit the model.
    """
    if len(data) == 0:
        raise UserError("there is no data to verify with; give at least one sample")
    graph = config_files.load(bundle)
    task = task_with(graph, data)
    boundaries = {b["layer"]: (b["index"], b["pixels"]) for b in _manifest(bundle)["boundaries"]}
    chunk = max(1, CHUNK_BYTES // _bytes_per_frame(graph))
    vectors = build_dir / "vectors"  # kept when something differs: the message names the command that repeats the run
    options = ["--bulk", str(vectors), "--jobs", str(jobs), "--stalls", stalls, "--seed", str(seed)]
    frames = beats = cycles = 0
    outputs: list[np.ndarray] = []
    for start in range(0, len(data), chunk):
        q = graph.input.quantize(data.x[start : start + chunk])
        outputs.append(write_vectors(graph, boundaries, q, vectors, "test data"))
        results = _run(bundle, build_dir, options)
        frames += len(q)
        beats += sum(_beats(test) for test in results["tests"])
        cycles += sum(test.get("cycles", 0) for test in results["tests"])
        if not results["passed"]:
            where = f"in the frames from {start} of the data: " if start else ""
            messages = tuple(where + test["message"] for test in results["tests"] if not test["passed"])
            return VerificationReport(False, messages, frames=frames, beats_compared=beats, cycles=cycles)
        progress(frames, len(data))
    shutil.rmtree(vectors)
    # Every output of the design equalled these integers.
    real = graph.output.dequantize(np.concatenate(outputs))
    is_judged = task.measure(data.y is not None) is Measure.ACCURACY
    accuracy = task.score(real, data.y, real).value if is_judged else None
    return VerificationReport(True, frames=frames, beats_compared=beats, cycles=cycles, accuracy=accuracy)


def _run(bundle: Path, build_dir: Path, options: Sequence[str]) -> dict[str, Any]:
    """Runs the bundle's testbench; raises ``UserError`` when it could not run at all."""
    build_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.json"
        command = [sys.executable, str(bundle / "sim" / "run.py"), "--build-dir", str(build_dir), *options]
        process = subprocess.run([*command, "--results", str(results)], capture_output=True, text=True, check=False)
        if process.returncode not in (0, 1) or not results.is_file():
            raise UserError(f"the simulation could not run: {process.stderr.strip() or process.stdout.strip()}")
        return json.loads(results.read_text(encoding="utf-8"))


def _manifest(bundle: Path) -> dict[str, Any]:
    file = bundle / "manifest.json"
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        for needed in ("boundaries", "latency_cycles", "interval_cycles"):
            manifest[needed]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file}: cannot be read as a manifest ({error}); run 'dnn2fpga generate' again") from error
    return manifest


def _beats(test: dict[str, Any]) -> int:
    return sum(test.get("beats_compared", [])) + test.get("output_beats_compared", 0)


def _bytes_per_frame(graph: QuantizedGraph) -> int:
    tensors = [graph.input, *(layer.output for layer in graph.layers)]
    return sum(tensor.size * tensor.format.dtype.itemsize for tensor in tensors)
