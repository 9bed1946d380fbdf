"""The words for a fault: which layer, where in its tensor, what was expected, and the command that shows it again."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundle import Boundary
from checks import DEADLOCK, EXTRA, MISSING, RESET, TIMING, VALUE, Fault
from network import Network
from vector_files import Vectors

SIM = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Circumstances:
    """The circumstances that a message must state beside the fault: the stalls, and the command that reproduces it."""

    stalls: str
    seed: int
    command: str


@dataclass(frozen=True)
class Place:
    """The place where a fault was seen: a boundary, or an output port, whose lanes are `lane_bits` wide."""

    name: str
    boundary: Boundary
    lane_bits: int | None = None

    @classmethod
    def of(cls, fault: Fault, vectors: Vectors) -> Place:
        """The place of the stream of a fault."""
        manifest = vectors.manifest
        if fault.stream < len(manifest.boundaries):
            boundary = manifest.boundaries[fault.stream]
            return cls(boundary.tensor, boundary)
        port = manifest.outputs[fault.stream - len(manifest.boundaries)]
        return cls(port.axis, manifest.boundary(port.tensor), port.lane_bits)


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
    place = Place.of(fault, vectors)
    network = Network(vectors.manifest)
    facts: dict[str, Any] = {
        "kind": fault.kind,
        "layer": place.name,
        "layer_kind": "output port" if place.lane_bits else place.boundary.kind,
        "boundary": None if place.lane_bits else place.boundary.tensor,
        "frame": vectors.first + fault.frame % vectors.frames,
        "beat": fault.beat,
        "cycle": fault.cycle,
        "stalls": circumstances.stalls,
        "seed": circumstances.seed,
        "command": circumstances.command,
    }
    if fault.kind == VALUE:
        facts |= _wrong_lane(fault, place, vectors)
    lines = [f"{network.name(fault.stream)}: {_what(fault, facts, network)}"]
    if fault.kind != TIMING:
        lines.append(f"in cycle {fault.cycle}, stalls: {circumstances.stalls}, seed {circumstances.seed}")
    lines.append(f"reproduce: {circumstances.command}")
    facts["message"] = "\n".join(lines)
    return facts


def _what(fault: Fault, facts: dict[str, Any], network: Network) -> str:
    """The fault in one clause."""
    place = f"frame {facts['frame']}, beat {fault.beat}"
    if fault.kind == MISSING:
        return f"beat {fault.beat} of frame {facts['frame']} never came{_why_missing(fault, network)}"
    if fault.kind == DEADLOCK:
        return f"{fault.detail}; beat {fault.beat} of frame {facts['frame']} never came"
    if fault.kind == EXTRA:
        return "an extra beat came after the last beat of the last frame"
    if fault.kind == VALUE:
        where = ", ".join(f"{name} {index}" for name, index in facts["position"].items())
        hint = f" - {facts['hint']}" if facts["hint"] else ""
        lanes = f"{facts['wrong_lanes']} of {len(facts['expected_lanes'])} lanes differ"
        return f"{place}, {where}: expected {facts['expected']}, got {facts['got']} ({lanes}{hint})"
    return fault.detail if fault.kind in (TIMING, RESET) else f"{place}: {fault.detail}"


def _why_missing(fault: Fault, network: Network) -> str:
    sources = [read.source for read in network.sources[fault.stream]]
    if not sources:
        return ", although the source offers it"
    have = "have" if len(set(sources)) > 1 else "has"
    return f", while {network.names(sources, 'and')} {have} delivered the beats for it"


def _wrong_lane(fault: Fault, place: Place, vectors: Vectors) -> dict[str, Any]:
    """Return the first wrong lane of a beat, and all its lanes."""
    boundary = place.boundary
    got = boundary.unpack(fault.got or 0, place.lane_bits)
    expected = vectors.lanes(boundary, fault.frame, fault.beat)
    wrong = [lane for lane in range(boundary.lanes) if got[lane] != expected[lane]]
    return {
        "position": boundary.position(fault.beat, wrong[0]),
        "lane": wrong[0],
        "expected": expected[wrong[0]],
        "got": got[wrong[0]],
        "wrong_lanes": len(wrong),
        "expected_lanes": expected,
        "got_lanes": got,
        "hint": _hint(got, expected, vectors, boundary, fault),
    }


def _hint(got: Sequence[int], expected: Sequence[int], vectors: Vectors, boundary: Boundary, fault: Fault) -> str:
    """Return a presumed cause, where the wrong values suggest one."""
    n = fault.frame * boundary.beats + fault.beat
    if n > 0 and got == vectors.lanes(boundary, *divmod(n - 1, boundary.beats)):
        return "these are the values of the beat before: a beat was repeated?"
    if got == vectors.lanes(boundary, *divmod(n + 1, boundary.beats)):
        return "these are the values of the next beat: a beat was lost?"
    if sorted(got) == sorted(expected):
        return "the same values in other lanes"
    return ""
