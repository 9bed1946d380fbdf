"""Ways to tamper with a work folder of the tiny network (`tiny.quantized_graph`), without computing digests again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tiny

from dnn2fpga.work_folder import GENERATION, QUANTIZATION, SAMPLES, SYNTHESIS, VERIFICATION

Tampering = Callable[[Path], object]


def edited(name: str, old: str, new: str) -> Tampering:
    """Replace a piece of text, which must be there."""

    def tamper(work: Path) -> None:
        text = (work / name).read_text(encoding="utf-8")
        assert old in text
        (work / name).write_text(text.replace(old, new, 1), encoding="utf-8")

    return tamper


def appended(name: str, more: bytes = b"\n") -> Tampering:
    return lambda work: (work / name).write_bytes((work / name).read_bytes() + more)


def removed(name: str) -> Tampering:
    return lambda work: (work / name).unlink()


def added(name: str, content: str = "") -> Tampering:
    return lambda work: (work / name).write_text(content)


def in_manifest(change: Callable[[dict[str, Any]], object]) -> Tampering:
    """Edit ``manifest.json`` as parsed, and write it as `generate` does."""

    def tamper(work: Path) -> None:
        file = work / "bundle" / "manifest.json"
        manifest = json.loads(file.read_text())
        change(manifest)
        file.write_text(json.dumps(manifest, indent=1) + "\n")

    return tamper


def in_record(name: str, change: Callable[[dict[str, Any]], object]) -> Tampering:
    """Edit a record without a new seal."""

    def tamper(work: Path) -> None:
        record = json.loads((work / name).read_text())
        change(record)
        (work / name).write_text(json.dumps(record, indent=1) + "\n")

    return tamper


def one_frame_left(work: Path) -> None:
    vectors = work / "bundle" / "sim" / "vectors"
    for file in vectors.glob("*.bin"):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 6])
    (vectors / "vectors.json").write_text('{"frames": 1, "source": "calibration data"}\n')


def one_expected_value(work: Path) -> None:
    file = work / "bundle" / "sim" / "vectors" / "boundary_pool.bin"
    first, *others = file.read_bytes()
    file.write_bytes(bytes([first ^ 1, *others]))


def one_weight(folder: str) -> Tampering:
    def tamper(work: Path) -> None:
        file = work / folder / "weights.npz"
        arrays = dict(np.load(file))
        arrays["dense/weights"] = arrays["dense/weights"].copy()
        arrays["dense/weights"].flat[0] ^= 1
        np.savez(file, **arrays)

    return tamper


def swapped_boundaries(work: Path) -> None:
    vectors = work / "bundle" / "sim" / "vectors"
    (vectors / "boundary_conv.bin").rename(vectors / "kept")
    (vectors / "boundary_pool.bin").rename(vectors / "boundary_conv.bin")
    (vectors / "kept").rename(vectors / "boundary_pool.bin")


def same_weights_everywhere(work: Path) -> None:
    """Even where the copy in the bundle is changed alike."""
    one_weight("")(work)
    shutil.copy(work / "weights.npz", work / "bundle" / "weights.npz")


def with_digests_of(record: str) -> Tampering:
    """The digests of one record in another, with its seal."""
    return lambda work: shutil.copy(work / record, work / GENERATION)


# Files that a bundle depends on. Each change must stop every step that uses the bundle.
OF_BUNDLES: dict[str, Tampering] = {
    "the checker says passed": edited("bundle/sim/run.py", '"passed": all(', '"passed": True or all('),
    "the checker compares nothing": edited(
        "bundle/sim/checks.py", "if payload != expected", "if False and payload != expected"
    ),
    "the harness finds no fault": appended("bundle/sim/bulk.cpp"),
    "a test less": edited("bundle/sim/testbench.py", "@cocotb.test\n", ""),
    "a Makefile that prints pass": edited("bundle/sim/Makefile", "@$(RUN)", "@echo pass"),
    "a file of the checker is missing": removed("bundle/sim/checks.py"),
    "a module that takes the place of Python's": added("bundle/sim/json.py", "raise SystemExit(0)"),
    "another folder in sim": lambda work: shutil.copytree(work / "bundle/sim/vectors", work / "bundle/sim/cocotb"),
    "files emptied": in_manifest(lambda m: m.update(files={})),
    "files without the Verilog": in_manifest(lambda m: m["files"].pop("rtl/accelerator.v")),
    "another scale at the output": in_manifest(lambda m: m["outputs"][0].update(scale=1.0)),
    "another scale at a boundary": in_manifest(lambda m: m["boundaries"][1].update(scale=1.0)),
    "another zero point": in_manifest(lambda m: m["inputs"][0].update(zero_point=1)),
    "steady_frames": in_manifest(lambda m: m.update(steady_frames=1000)),
    "latency": in_manifest(lambda m: m.update(latency_cycles=m["latency_cycles"] + 1)),
    "interval": in_manifest(lambda m: m.update(interval_cycles=1)),
    "first cycle of a boundary": in_manifest(lambda m: m["boundaries"][1].update(first_cycle=0)),
    "a boundary less": in_manifest(lambda m: m["boundaries"].pop()),
    "a boundary of another layer": in_manifest(lambda m: m["boundaries"][1].update(tensor="other")),
    "fewer beats": in_manifest(lambda m: m["boundaries"][1].update(beats=1)),
    "resources": in_manifest(lambda m: m["boundaries"][1]["resources"].update(lut=1.0)),
    "another version of the manifest": in_manifest(lambda m: m.update(manifest_version=3)),
    "the manifest laid out in another way": lambda work: (work / "bundle/manifest.json").write_text(
        json.dumps(json.loads((work / "bundle/manifest.json").read_text()))
    ),
    "the manifest cut off": lambda work: (work / "bundle/manifest.json").write_text("{"),
    "no manifest": removed("bundle/manifest.json"),
    "another Verilog": appended("bundle/rtl/accelerator.v", b"// edited\n"),
    "empty Verilog": lambda work: (work / "bundle/rtl/accelerator.v").write_text(""),
    "no Verilog": removed("bundle/rtl/accelerator.v"),
    "more Verilog": added("bundle/rtl/more.v", "module more; endmodule\n"),
    "one frame of vectors": one_frame_left,
    "no frames": lambda work: (work / "bundle/sim/vectors/vectors.json").write_text('{"frames": 0}'),
    "another input": appended("bundle/sim/vectors/boundary_input.bin"),
    "one expected value": one_expected_value,
    "vectors of two boundaries swapped": swapped_boundaries,
    "vectors of a boundary missing": removed("bundle/sim/vectors/boundary_conv.bin"),
    "a weight in the bundle": one_weight("bundle"),
    "a weight in the work folder": one_weight(""),
    "a weight in both": same_weights_everywhere,
    "no weights": removed("weights.npz"),
    "model.yaml": appended("model.yaml", b"# edited\n"),
    "model.yaml of the bundle": appended("bundle/model.yaml", b"# edited\n"),
    "no model.yaml": removed("model.yaml"),
    "the bundle's README": appended("bundle/README.md"),
    "other samples": lambda work: np.savez(work / SAMPLES, x=tiny.samples() + 1),
    "no samples": removed(SAMPLES),
    "no generation.json": removed(GENERATION),
    "an empty generation.json": lambda work: (work / GENERATION).write_text("{}"),
    "generation.json is no JSON": lambda work: (work / GENERATION).write_text("\x00"),
    "generation.json without digests": in_record(GENERATION, lambda r: r.update(rests_on={})),
    "generation.json with a digest less": in_record(
        GENERATION, lambda r: r["rests_on"].pop("bundle/rtl/accelerator.v")
    ),
    "generation.json with another digest": in_record(
        GENERATION, lambda r: r["rests_on"].update({"model.yaml": "0" * 64})
    ),
    "generation.json with lists for digests": in_record(GENERATION, lambda r: r.update(rests_on=[1])),
    "generation.json without a seal": in_record(GENERATION, lambda r: r.pop("seal")),
    "generation.json with something more": in_record(GENERATION, lambda r: r.update(passed=True)),
    "another record as generation.json": with_digests_of(QUANTIZATION),
}

# Records about a bundle, or about the configuration files. After a change none must be shown any more.
OF_RESULTS: dict[str, tuple[str, Tampering]] = {
    "more beats compared": (
        VERIFICATION,
        in_record(VERIFICATION, lambda r: r["reports"][0].update(beats_compared=10**9)),
    ),
    "another latency": (
        VERIFICATION,
        in_record(VERIFICATION, lambda r: r["reports"][0]["latency_cycles"].update(measured=1)),
    ),
    "no reports": (VERIFICATION, in_record(VERIFICATION, lambda r: r.update(reports=[]))),
    "the verdict of another bundle": (
        VERIFICATION,
        in_record(VERIFICATION, lambda r: r["rests_on"].update({GENERATION: "0" * 64})),
    ),
    "a verdict that rests on nothing": (VERIFICATION, in_record(VERIFICATION, lambda r: r.update(rests_on={}))),
    "an older verdict": (
        VERIFICATION,
        lambda work: (work / VERIFICATION).write_text('{"manifest": "0", "reports": []}'),
    ),
    "another record in its place": (VERIFICATION, lambda work: shutil.copy(work / SYNTHESIS, work / VERIFICATION)),
    "the record of the bundle in its place": (
        VERIFICATION,
        lambda work: shutil.copy(work / GENERATION, work / VERIFICATION),
    ),
    "a verdict in place of the cells": (SYNTHESIS, lambda work: shutil.copy(work / VERIFICATION, work / SYNTHESIS)),
    "no JSON": (VERIFICATION, lambda work: (work / VERIFICATION).write_bytes(b"\xff\xfe{")),
    "a list": (VERIFICATION, lambda work: (work / VERIFICATION).write_text("[]")),
    "deeply nested": (VERIFICATION, lambda work: (work / VERIFICATION).write_text("[" * 100_000)),
    "fewer LUTs": (SYNTHESIS, in_record(SYNTHESIS, lambda r: r["layers"]["dense"].update(lut=1))),
    "another tool": (SYNTHESIS, edited(SYNTHESIS, "Yosys 9.9", "Vivado")),
    "a better score": (QUANTIZATION, in_record(QUANTIZATION, lambda r: r.update(integer_score=0.99))),
    "a target that was met": (QUANTIZATION, in_record(QUANTIZATION, lambda r: r.update(target="at most 0"))),
}
