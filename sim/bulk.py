"""Bulk runs: whole test sets through the compiled harness `bulk.cpp`, split over processes."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from blame import verdict
from builds import build_bulk, exclusive, log_tail
from bundle import load_manifest
from checks import Checker, Fault, limits
from errors import ToolError
from network import Network
from report import Circumstances, describe, run_command
from stalls import PATTERNS
from toolchain import find_toolchain
from vector_files import Vectors, open_vectors

POLL_SECONDS = 0.05

Progress = Callable[[int, int], None]  # frames done, frames in all


@dataclass(frozen=True)
class Slice:
    """The share of one process."""

    vectors: Vectors
    folder: Path
    seed: int

    @property
    def log(self) -> Path:
        """The output of the process."""
        return self.folder / "log.txt"

    def frames_done(self) -> int:
        """The number of frames that the process last reported."""
        try:
            return int((self.folder / "progress").read_text() or 0)
        except (OSError, ValueError):
            return 0


def run_bulk(
    bundle: Path,
    vectors: Path,
    *,
    jobs: int = 2,
    stalls: str = "none",
    seed: int = 1,
    frames: int | None = None,
    first_frame: int = 0,
    build_dir: Path | None = None,
    plusargs: Sequence[str] = (),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Stream the frames of a vector folder through the design and compare every beat at every boundary.

    Returns the results as described in README.md. Raises `BundleError` or `ToolError` when nothing could be run.
    """
    manifest = load_manifest(bundle)
    selected = open_vectors(vectors, manifest, first=first_frame, frames=frames)
    toolchain = find_toolchain()
    command = run_command(bundle, build_dir, plusargs)
    folder = (build_dir or bundle / "sim" / "build").resolve()
    with exclusive(folder), toolchain.environment():
        executable = build_bulk(manifest, toolchain, folder)
        start = time.monotonic()
        slices = _split(selected, jobs, folder / "bulk-run", seed)
        _run_slices(executable, slices, stalls, plusargs, progress)
        seconds = time.monotonic() - start
        test = _merge([_judge(part, stalls, command) for part in slices], seconds)
    return {
        "results_version": 2,
        "mode": "bulk",
        "passed": test["passed"],
        "model": manifest.model,
        "verilator": toolchain.version,
        "vectors": str(selected.folder),
        "first_frame": first_frame,
        "frames": selected.frames,
        "stalls": stalls,
        "seed": seed,
        "changed_files": manifest.changed_files(),
        "tests": [test],
        "log": str(slices[0].log),
        "waves": None,
    }


def _split(vectors: Vectors, jobs: int, folder: Path, seed: int) -> list[Slice]:
    """Share the frames evenly; no share is empty."""
    jobs = max(1, min(jobs, vectors.frames))
    bounds = [vectors.frames * job // jobs for job in range(jobs + 1)]
    return [
        Slice(Vectors(vectors.folder, vectors.manifest, vectors.first + low, high - low), folder / str(job), seed)
        for job, (low, high) in enumerate(pairwise(bounds))
    ]


def _run_slices(
    executable: Path, slices: Sequence[Slice], stalls: str, plusargs: Sequence[str], progress: Progress | None
) -> None:
    """Run one process per slice and wait for all of them; on an interrupt none is left running."""
    total = sum(part.vectors.frames for part in slices)
    processes: list[subprocess.Popen[bytes]] = []
    with ExitStack() as stack:
        for part in slices:
            part.folder.mkdir(parents=True, exist_ok=True)
            for name in ("result.json", "progress"):
                (part.folder / name).unlink(missing_ok=True)
            plan = part.folder / "plan.txt"
            plan.write_text(_plan(part, stalls), encoding="utf-8")
            log = stack.enter_context(part.log.open("wb"))
            arguments = [executable, plan, part.folder / "result.json", part.folder / "progress"]
            process = subprocess.Popen([*arguments, *(f"+{p}" for p in plusargs)], stdout=log, stderr=log)
            stack.callback(_end, process)
            processes.append(process)
        while any(process.poll() is None for process in processes):
            if progress is not None:
                progress(sum(part.frames_done() for part in slices), total)
            time.sleep(POLL_SECONDS)
    if progress is not None:
        progress(total, total)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()


def _plan(part: Slice, stalls: str) -> str:
    """The plan file of one process; the format is described in bulk.cpp."""
    vectors, manifest = part.vectors, part.vectors.manifest
    source, sink = PATTERNS[stalls]
    patience, drain = limits(manifest)
    lines = [
        f"frames {vectors.first} {vectors.frames}",
        f"stalls {source} {sink} {part.seed} {manifest.interval_cycles}",
        f"limits {patience} {drain}",
        f"period {manifest.interval_frames}",
    ]
    readers = Network(manifest).readers
    for b in manifest.boundaries:
        numbers = f"{b.lanes} {b.width} {b.element_bytes} {int(b.signed)} {b.beats}"
        lines.append(f"boundary {b.tensor} {len(readers[b.index])} {numbers} {vectors.path(b)}")
    for name, ports in (("input", manifest.inputs), ("output", manifest.outputs)):
        lines += [f"{name} {port.axis} {manifest.boundary(port.tensor).index} {port.lane_bits}" for port in ports]
    return "\n".join(lines) + "\n"


def _judge(part: Slice, stalls: str, command: Sequence[str]) -> dict[str, Any]:
    """Judge the result of one process by the same rules as the cocotb tests."""
    try:
        raw = json.loads((part.folder / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ToolError(f"the simulation broke off\n{log_tail(part.log)}") from error
    checker = _as_checker(raw, part.vectors)
    fault = verdict(checker, raw["cycles"], gave_up=raw["gave_up"])
    if fault is None and stalls == "none":
        fault = checker.timing_fault()
    circumstances = Circumstances(stalls, part.seed, _command(part, stalls, fault, command))
    facts = describe(fault, part.vectors, circumstances) if fault else None
    return {
        "passed": fault is None and checker.complete,
        "message": facts["message"] if facts else "",
        "fault": facts,
        "cycles": raw["cycles"],
        "frames": part.vectors.frames,
        **checker.measurements(),
    }


def _as_checker(raw: dict[str, Any], vectors: Vectors) -> Checker:
    """Put what the harness saw into the checker that would have seen it in a cocotb test."""
    checker = Checker(vectors, vectors.frames, load=False)
    checker.origin, steady = raw["origin"], vectors.manifest.frames_to_measure
    for k, stream in enumerate(raw["streams"]):
        checker.restore(k, **{key: stream[key] for key in ("count", "waiting", "taken", "waited_cycles")})
        if stream["count"]:
            checker.first_cycles[k] = stream["first_cycle"]
        beats = checker.beats[k]
        if stream["count"] >= beats:
            first, period, frames = stream["last_cycle"], stream["period_cycles"], stream["count"] // beats
            # only the first end and the length of the latest period are known, and only they are asked for
            checker.last_cycles[k] = [first] if frames < steady else [first] * (frames - 1) + [first + period]
        if stream["fault"]:
            f = stream["fault"]
            cycle, got = f["cycle"] - (checker.origin or 0), int(f["got"], 16)
            checker.faults[k] = Fault(
                kind=f["kind"], stream=k, frame=f["frame"], beat=f["beat"], cycle=cycle, got=got, detail=f["detail"]
            )
    return checker


def _command(part: Slice, stalls: str, fault: Fault | None, command: Sequence[str]) -> str:
    """The same slice in one process, up to the frame of the fault."""
    if fault is None:
        return ""
    frames = max(min(fault.frame + 2, part.vectors.frames), min(4, part.vectors.frames))
    arguments = [
        "--bulk",
        part.vectors.folder,
        "--first-frame",
        part.vectors.first,
        "--frames",
        frames,
        "--jobs",
        1,
        "--stalls",
        stalls,
    ]
    return shlex.join(str(word) for word in [*command, *arguments, "--seed", part.seed])


def _merge(parts: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    """One result of all slices: the first failure, the sum of the beats, and the cycles of the first slice."""
    failed = next((part for part in parts if not part["passed"]), None)
    cycles = sum(part["cycles"] for part in parts)
    merged = dict(parts[0]) | {
        "name": "bulk",
        "passed": failed is None,
        "message": failed["message"] if failed else "",
        "fault": failed["fault"] if failed else None,
        "cycles": cycles,
        "frames": sum(part["frames"] for part in parts),
        "seconds": round(seconds, 3),
        "cycles_per_second": round(cycles / seconds) if seconds else 0,
    }
    for key in ("beats_compared", "output_beats_compared"):
        merged[key] = [sum(column) for column in zip(*(part[key] for part in parts), strict=True)]
    return merged
