"""The words for a fault: which layer, where in its tensor, what was expected, and the command that shows it again."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundle import Vectors
from checks import EXTRA, MISSING, RESET, TIMING, VALUE, Fault, stream_name

SIM = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Circumstances:
    """What a message must tell beside the fault: under which stalls it came, and how to make it come again."""

    stalls: str
    seed: int
    command: str


def run_command(bundle: Path, build_dir: Path | None, plusargs: Sequence[str]) -> list[str]:
    """The start of a command line that repeats a run."""
    command = [sys.executable, str(SIM / "run.py")]
    if bundle.resolve() != SIM.parent:
        command += ["--bundle", str(bundle.resolve())]
    if build_dir is not None:
        command += ["--build-dir", str(build_dir.resolve())]
    for plusarg in plusargs:
        command += ["--plusarg", plusarg]
    return command


def describe(fault: Fault, vectors: Vectors, circumstances: Circumstances) -> dict[str, Any]:
    """A fault with everything that is known about it, and in `message` all of it as text."""
    manifest = vectors.manifest
    boundary = manifest.boundaries[min(fault.stream, len(manifest.boundaries) - 1)]
    facts: dict[str, Any] = {
        "kind": fault.kind,
        "layer": boundary.layer if fault.stream == boundary.index else "m_axis",
        "layer_kind": boundary.kind if fault.stream == boundary.index else "output port",
        "boundary": fault.stream if fault.stream == boundary.index else None,
        "frame": vectors.first + fault.frame % vectors.frames,
        "beat": fault.beat,
        "cycle": fault.cycle,
        "stalls": circumstances.stalls,
        "seed": circumstances.seed,
        "command": circumstances.command,
    }
    if fault.kind == VALUE:
        facts |= _wrong_lane(fault, vectors)
    lines = [f"{stream_name(manifest, fault.stream)}: {_what(fault, facts, vectors)}"]
    if fault.kind != TIMING:
        lines.append(f"in cycle {fault.cycle}, stalls: {circumstances.stalls}, seed {circumstances.seed}")
    lines.append(f"reproduce: {circumstances.command}")
    facts["message"] = "\n".join(lines)
    return facts


def _what(fault: Fault, facts: dict[str, Any], vectors: Vectors) -> str:
    """The fault in one clause."""
    place = f"frame {facts['frame']}, beat {fault.beat}"
    if fault.kind == MISSING:
        return f"beat {fault.beat} of frame {facts['frame']} never came{_why_missing(fault, vectors)}"
    if fault.kind == EXTRA:
        return "an extra beat came after the last beat of the last frame"
    if fault.kind == VALUE:
        where = ", ".join(f"{name} {index}" for name, index in facts["position"].items())
        hint = f" - {facts['hint']}" if facts["hint"] else ""
        lanes = f"{facts['wrong_lanes']} of {len(facts['expected_lanes'])} lanes differ"
        return f"{place}, {where}: expected {facts['expected']}, got {facts['got']} ({lanes}{hint})"
    return fault.detail if fault.kind in (TIMING, RESET) else f"{place}: {fault.detail}"


def _why_missing(fault: Fault, vectors: Vectors) -> str:
    if fault.stream == 0:
        return ", although the source offers it"
    return f", while {stream_name(vectors.manifest, fault.stream - 1)} has delivered its part"


def _wrong_lane(fault: Fault, vectors: Vectors) -> dict[str, Any]:
    """The first lane of a beat that is wrong, and all lanes side by side."""
    manifest = vectors.manifest
    is_port = fault.stream == len(manifest.boundaries)
    boundary = manifest.boundaries[-1] if is_port else manifest.boundaries[fault.stream]
    bits = manifest.output.lane_bits if is_port else boundary.width
    got = boundary.unpack(fault.got or 0, bits)
    expected = vectors.lanes(boundary.index, fault.frame, fault.beat)
    wrong = [lane for lane in range(boundary.lanes) if got[lane] != expected[lane]]
    return {
        "position": boundary.position(fault.beat, wrong[0]),
        "lane": wrong[0],
        "expected": expected[wrong[0]],
        "got": got[wrong[0]],
        "wrong_lanes": len(wrong),
        "expected_lanes": expected,
        "got_lanes": got,
        "hint": _hint(got, expected, vectors, boundary.index, fault),
    }


def _hint(got: Sequence[int], expected: Sequence[int], vectors: Vectors, boundary: int, fault: Fault) -> str:
    """A guess at the cause, where the wrong values are themselves telling."""
    beats = vectors.manifest.boundaries[boundary].beats
    n = fault.frame * beats + fault.beat
    if n > 0 and got == vectors.lanes(boundary, *divmod(n - 1, beats)):
        return "these are the values of the beat before: a beat was repeated?"
    if got == vectors.lanes(boundary, *divmod(n + 1, beats)):
        return "these are the values of the next beat: a beat was lost?"
    if sorted(got) == sorted(expected):
        return "the same values in other lanes"
    return ""
