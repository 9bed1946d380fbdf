"""Switching activity: toggles of the registers of every layer while real frames pass, back to back, without a stall.

    python sim/activity.py --results activity.json        # the frames of sim/vectors

Only what is stored is counted, because registers keep their names through synthesis and what lies between them does
not. Values are not compared here; `run.py` does that. Memories are left out.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SIM = Path(__file__).resolve().parent
if str(SIM) not in sys.path:  # when imported from elsewhere
    sys.path.insert(0, str(SIM))

from builds import build_activity, exclusive  # noqa: E402 - needs the path above
from bundle import Manifest, Port, load_manifest, read_json  # noqa: E402
from errors import BundleError, SimulationError, ToolError  # noqa: E402
from toolchain import find_toolchain  # noqa: E402
from vector_files import Vectors, open_vectors, words  # noqa: E402

PUBLIC = "/*verilator public_flat_rd*/"
_NAME = r"(?:\\\S+|[A-Za-z_]\w*)"
_MODULE = re.compile(r"^module\b.*?^endmodule\b", re.M | re.S)
_ASSIGNED = re.compile(rf"(?:^|[;)]|\bbegin\b|\belse\b)\s*({_NAME})\s*(?:\[[^\]]*\]\s*)?<=", re.M)
_DECLARED = re.compile(r"\breg\b(?:\s+signed\b)?(?:\s*\[[^\]]*\])?\s+[^;)]*")
# A name in a declaration, but not digits after a base (8'hff), and no memory: `reg [7:0] rows [0:27]`.
_DECLARED_NAME = re.compile(rf"(?<!['\w\\])({_NAME})(?=\s*(?:[,=]|$))")


def with_public_registers(verilog: str) -> str:
    """The design with an attribute for Verilator at everything that a clock assigns."""

    def in_module(module: re.Match[str]) -> str:
        clocked = set(_ASSIGNED.findall(module[0]))

        def in_declaration(declaration: re.Match[str]) -> str:
            return _DECLARED_NAME.sub(lambda m: f"{m[1]} {PUBLIC}" if m[1] in clocked else m[0], declaration[0])

        return _DECLARED.sub(in_declaration, module[0])

    return _MODULE.sub(in_module, verilog)


def measure_activity(
    bundle: Path, vectors: Path | None = None, *, frames: int | None = None, build_dir: Path | None = None
) -> dict[str, Any]:
    """Toggles per cycle of the registers of every layer; the first input has what belongs to no layer.

    Raises `BundleError` or `ToolError` when nothing could be measured.
    """
    manifest = load_manifest(bundle)
    selected = open_vectors(vectors or bundle / "sim" / "vectors", manifest, frames=frames)
    toolchain = find_toolchain()
    folder = (build_dir or bundle / "sim" / "build").resolve()
    with exclusive(folder), toolchain.environment():
        verilog = with_public_registers(manifest.rtl.read_text(encoding="utf-8")) if manifest.rtl.is_file() else ""
        executable = build_activity(manifest, toolchain, folder, verilog)
        found = _run(executable, selected, folder / "activity-run")
    layers = _by_layer(manifest, found["scopes"], found["cycles"])
    if found["output_beats"] == 0 or not any(layer["bits"] for layer in layers.values()):
        what = "produces nothing" if found["output_beats"] == 0 else "has no registers"
        raise BundleError(f"{manifest.rtl}: the design {what}; simulate it with run.py first")
    return {
        "activity_version": 1,
        "model": manifest.model,
        "verilator": toolchain.version,
        "vectors": str(selected.folder),
        "frames": selected.frames,
        "cycles": found["cycles"],
        "changed_files": manifest.changed_files(),
        "layers": layers,
    }


def _run(executable: Path, vectors: Vectors, folder: Path) -> dict[str, Any]:
    """Every frame once, after as many cycles as the design needs to be full and in its steady state."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest, result = vectors.manifest, folder / "result.json"
    result.unlink(missing_ok=True)
    files = [folder / f"{port.axis}.bin" for port in manifest.inputs]
    for file, port in zip(files, manifest.inputs, strict=True):
        file.write_bytes(_tdata(vectors, port))
    warm_up = manifest.latency_cycles + manifest.steady_frames * manifest.interval_cycles
    command = [executable, result, str(warm_up), str(vectors.frames * manifest.interval_cycles), *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolError(f"the simulation broke off: {(done.stderr or done.stdout).strip()}")
    return read_json(result)


def _tdata(vectors: Vectors, port: Port) -> bytes:
    """Return the beats as they are in tdata: 1, 2, 4 or 8 bytes, or as many 32-bit words as needed."""
    size = next((size for size in (1, 2, 4, 8) if 8 * size >= port.tdata_bits), -(-port.tdata_bits // 32) * 4)
    return b"".join(word.to_bytes(size, "little") for word in words(vectors, port))


def _by_layer(manifest: Manifest, scopes: dict[str, list[int]], cycles: int) -> dict[str, dict[str, float]]:
    instances = {f"layer_{b.index}_{b.tensor}": b.tensor for b in manifest.boundaries if b.inputs}
    sums = {b.tensor: [0, 0] for b in manifest.boundaries}
    for scope, (bits, toggles) in scopes.items():
        # TOP.accelerator.network.layer_3_dense...
        inside = scope.split(".")[3:4]
        layer = instances.get(inside[0] if inside else "", manifest.boundaries[0].tensor)
        sums[layer] = [sums[layer][0] + bits, sums[layer][1] + toggles]
    return {name: {"bits": bits, "toggles_per_cycle": toggles / cycles} for name, (bits, toggles) in sums.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Exit code 0, or 2 when nothing could be measured."""
    parser = argparse.ArgumentParser(description="Measure how often the registers of every layer toggle.")
    add = parser.add_argument
    add("--bundle", type=Path, default=SIM.parent, help="folder with manifest.json (default: the one around sim/)")
    add("--vectors", type=Path, help="vector folder (default: sim/vectors of the bundle)")
    add("--frames", type=int, help="use only this many frames")
    add("--build-dir", type=Path, help="where builds and logs go (default: sim/build of the bundle)")
    add("--results", type=Path, help="write the results as JSON to this file")
    options = parser.parse_args(arguments)
    try:
        found = measure_activity(options.bundle, options.vectors, frames=options.frames, build_dir=options.build_dir)
        if options.results:
            options.results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    except SimulationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    for name, layer in found["layers"].items():
        bits, toggles = layer["bits"], layer["toggles_per_cycle"]
        print(f"{name:24} {bits:8} bits  {toggles / bits if bits else 0:6.1%} of them toggle in a cycle")
    return 0


if __name__ == "__main__":
    sys.exit(main())
