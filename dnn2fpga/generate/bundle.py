"""Writes the bundle: a folder that can be simulated, synthesized and understood without this tool."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
from jinja2 import Environment, StrictUndefined

from dnn2fpga.data import Data
from dnn2fpga.files.atomic import replaced_folder
from dnn2fpga.files.shipped import shipped_folder
from dnn2fpga.generate.accelerator import Accelerator
from dnn2fpga.generate.manifest import MANIFEST, Manifest
from dnn2fpga.generate.vectors import write_vectors
from dnn2fpga.generate.verilog import to_verilog
from dnn2fpga.graph import files as config_files
from dnn2fpga.graph.ports import Values
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.plan.hardware_plan import HardwarePlan

VECTOR_FRAMES = 6  # enough for a steady interval and a reset in mid-frame


def write_bundle(
    graph: QuantizedGraph,
    plan: HardwarePlan,
    target: Path,
    samples: Values | None = None,
    finish: Callable[[Path], None] = lambda new: None,
) -> Manifest:
    """Generate everything into ``target`` (replaced as a whole) and return the manifest.

    :param samples: at least one frame of real inputs ``[frames, *shape]``, by name where there are several, for the
        bundle's own test vectors; random integers when there are none.
    :param finish: called with the new folder before it is moved to its place.
    """
    with replaced_folder(target) as folder:
        (folder / "rtl").mkdir()
        verilog = folder / "rtl" / "accelerator.v"
        verilog.write_text(to_verilog(Accelerator(plan)), encoding="utf-8")
        config_files.save(graph, folder)
        files = {
            str(path.relative_to(folder)): path for path in (verilog, folder / "model.yaml", folder / "weights.npz")
        }
        manifest = Manifest.of(graph, plan, files)
        (folder / MANIFEST).write_text(manifest.text, encoding="utf-8")
        shutil.copytree(shipped_folder("sim"), folder / "sim", ignore=shutil.ignore_patterns("__pycache__", "build"))
        q, source = self_check_inputs(graph, samples)
        write_vectors(graph, plan.pixels, q, folder / "sim" / "vectors", source)
        (folder / "README.md").write_text(_readme(manifest), encoding="utf-8")
        finish(folder)
    return manifest


def self_check_inputs(graph: QuantizedGraph, samples: Values | None) -> tuple[dict[str, np.ndarray], str]:
    """A few quantized frames by the name of the input, and where they come from."""
    if samples is not None and (kept := Data(samples)):
        return graph.quantized(kept.at(np.arange(VECTOR_FRAMES) % len(kept)).x), "calibration data"
    return graph.random_inputs(VECTOR_FRAMES, seed=0), "random numbers, seed 0"


def _readme(manifest: Manifest) -> str:
    template = resources.files("dnn2fpga.generate").joinpath("templates/README.md.j2").read_text(encoding="utf-8")
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(template).render(manifest=manifest)
