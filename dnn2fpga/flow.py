"""The steps from a model file to a verified bundle, each from what the step before it wrote.

The command line is a thin layer over these functions; they are the Python interface as well::

    flow.quantize("model.keras", calibration, folder)   # model.yaml, weights.npz
    flow.generate(folder)                               # bundle/
    flow.verify(folder, test)                           # verification.json
    flow.build(folder, "arty_a7_100t")                  # bundle/vivado/
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dnn2fpga import config_files
from dnn2fpga.array_files import UnreadableArrays, read_arrays
from dnn2fpga.atomic import added_files, digest
from dnn2fpga.config import Quantization, Verification
from dnn2fpga.data import Data, accuracy
from dnn2fpga.errors import UserError
from dnn2fpga.plan.hardware_plan import PlanSettings, plan
from dnn2fpga.quantized_graph import QuantizedGraph

if TYPE_CHECKING:
    from dnn2fpga.build.vivado import VivadoRun
    from dnn2fpga.graph import Graph
    from dnn2fpga.verify.verifier import VerificationReport

BUNDLE, SAMPLES, QUANTIZATION, VERIFICATION = "bundle", "samples.npz", "quantization.json", "verification.json"
MANIFEST, GENERATION = "manifest.json", "generation.json"
SIMULATION = "simulation"  # compiled simulators; kept when the bundle is generated again
KEPT_SAMPLES = 16  # of the calibration data, for the bundle's own test vectors

Progress = Callable[[str, int, int], None]  # what, done, of


def _silent(what: str, done: int, of: int) -> None:
    pass


@dataclass(frozen=True)
class QuantizationResult:
    """What the quantization step reached; sizes in megabytes (10^6 bytes)."""

    float_accuracy: float | None
    integer_accuracy: float | None
    test_samples: int
    float_megabytes: float
    integer_megabytes: float


def read_model(model: Path | str) -> Graph:
    """A Keras file as a simplified float graph. The only step that needs TensorFlow."""
    from dnn2fpga.parse.keras_model import read_keras_model
    from dnn2fpga.passes.simplify import simplify

    return simplify(read_keras_model(model))


def quantize(
    graph: Graph,
    calibration: Data,
    folder: Path,
    settings: Quantization | None = None,
    test: Data | None = None,
    progress: Progress = _silent,
) -> QuantizationResult:
    """Post-training quantization of a simplified graph into the configuration files in ``folder``."""
    from dnn2fpga.optimize import post_training
    from dnn2fpga.optimize.calibration import calibrate

    settings = settings or Quantization()
    samples = calibration.first(settings.calibration_samples).x
    intervals = calibrate(
        graph, samples, settings.calibration, progress=lambda done, of: progress("calibrating", done, of)
    )
    quantized = post_training.quantize(graph, intervals, settings.settings())
    result = _measure(graph, quantized, test, progress)
    with added_files(folder) as new:
        config_files.save(quantized, new)
        np.savez_compressed(new / SAMPLES, x=samples[:KEPT_SAMPLES])
        (new / QUANTIZATION).write_text(json.dumps(vars(result), indent=1) + "\n", encoding="utf-8")
    return result


def _measure(graph: Graph, quantized: QuantizedGraph, test: Data | None, progress: Progress) -> QuantizationResult:
    float_accuracy = integer_accuracy = None
    if test is not None and test.classes is not None:
        progress("measuring accuracy", 0, 2)
        float_accuracy = accuracy(graph.run(test.x), test)
        progress("measuring accuracy", 1, 2)
        integer_accuracy = accuracy(quantized.predict(test.x), test)
        progress("measuring accuracy", 2, 2)
    return QuantizationResult(
        float_accuracy=float_accuracy,
        integer_accuracy=integer_accuracy,
        test_samples=len(test) if test else 0,
        float_megabytes=graph.float_parameters * 4 / 1e6,
        integer_megabytes=quantized.weight_bits / 8e6,
    )


def generate(folder: Path, settings: PlanSettings | None = None, progress: Progress = _silent) -> dict[str, Any]:
    """Configuration files → ``bundle/``; returns its manifest. Needs no TensorFlow."""
    from dnn2fpga.generate.bundle import write_bundle

    progress("planning", 0, 1)
    quantized = config_files.load(folder)
    hardware = plan(quantized, settings)
    progress("planning", 1, 1)
    progress("writing Verilog", 0, 1)
    manifest = write_bundle(quantized, hardware, folder / BUNDLE, _samples(folder, quantized))
    # The digests say from which files, as they stood, this bundle was made.
    sources = (config_files.MODEL_FILE, config_files.WEIGHTS_FILE)
    made = {name: digest(folder / name) for name in (*sources, f"{BUNDLE}/{MANIFEST}")}
    with added_files(folder) as new:
        (new / GENERATION).write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    progress("writing Verilog", 1, 1)
    return manifest


def _samples(folder: Path, quantized: QuantizedGraph) -> np.ndarray | None:
    file = folder / SAMPLES
    if not file.is_file():
        return None
    try:
        samples = read_arrays(file).get("x")
    except UnreadableArrays as error:
        raise UserError(f"{file}: cannot be read ({error}); delete it to use random test vectors instead") from error
    return samples if samples is not None and samples.shape[1:] == quantized.input.shape else None


def verify(
    folder: Path,
    test: Data | None = None,
    settings: Verification | None = None,
    *,
    waves: bool = False,
    progress: Progress = _silent,
) -> list[VerificationReport]:
    """Simulates the bundle: protocol tests, then all of ``test``;
    returns both reports, written to ``verification.json`` too.
    """
    from dnn2fpga.verify.verifier import check_data, check_protocol

    settings = settings or Verification()
    bundle, build_dir = existing_bundle(folder), folder / SIMULATION
    progress("simulating stalls and timing", 0, 1)
    reports = [check_protocol(bundle, build_dir, seed=settings.seed, waves=waves)]
    progress("simulating stalls and timing", 1, 1)
    if test is not None and reports[0].passed:
        frames = test.first(settings.frames)
        progress("simulating the test data", 0, len(frames))
        reports.append(
            check_data(
                bundle,
                build_dir,
                frames,
                stalls=settings.stalls,
                seed=settings.seed,
                jobs=settings.jobs,
                progress=lambda done, of: progress("simulating the test data", done, of),
            )
        )
    with added_files(folder) as new:
        # The digest says for which bundle the verdict stands.
        verdict = {"manifest": digest(bundle / MANIFEST), "reports": [vars(report) for report in reports]}
        text = json.dumps(verdict, indent=1)
        (new / VERIFICATION).write_text(text + "\n", encoding="utf-8")
    return reports


def build(
    folder: Path, board: str, clock_mhz: float | None = None, *, run: bool = True
) -> tuple[list[Path], VivadoRun | None]:
    """Writes ``bundle/vivado`` for a board and runs Vivado when it is installed (and ``run``)."""
    from dnn2fpga.build.boards import load_board
    from dnn2fpga.build.vivado import run_vivado, write_vivado

    description = load_board(board)
    bundle = existing_bundle(folder)
    files = write_vivado(bundle, description, clock_mhz)
    return files, run_vivado(bundle) if run else None


def existing_bundle(folder: Path) -> Path:
    """Where the bundle of a work folder is; raises ``UserError`` when there is none."""
    bundle = folder / BUNDLE
    if not (bundle / "manifest.json").is_file():
        raise UserError(f"{bundle}: there is no bundle yet; run 'dnn2fpga generate {folder}' first")
    return bundle
