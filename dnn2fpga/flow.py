"""The steps from a model file to a verified bundle, each from what the step before it wrote.

The command line is a thin layer over these functions; they are the Python interface as well::

    graph = flow.read_model("model.keras")
    flow.quantize(graph, data, folder, test=test)   # model.yaml, weights.npz
    flow.generate(folder)                           # bundle/
    flow.verify(folder, test)                       # verification.json
    flow.synthesize(folder)                         # synthesis.json
    flow.build(folder, "ulx3s_85f")                 # build/ulx3s_85f/, with a bitstream

A step that uses a bundle demands that it is still what was generated from the files beside it (``WorkFolder``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from dnn2fpga.config import DEFAULT_FILE, Verification
from dnn2fpga.data import Data
from dnn2fpga.errors import UserError
from dnn2fpga.files.atomic import added_files
from dnn2fpga.files.records import digests, write_record
from dnn2fpga.generate.manifest import Manifest
from dnn2fpga.graph import files as config_files
from dnn2fpga.optimize.post_training import Quantization
from dnn2fpga.optimize.problem import Candidate, Problem, Try
from dnn2fpga.optimize.result import QuantizationResult
from dnn2fpga.optimize.settings import Optimization, SearchSettings
from dnn2fpga.plan.hardware_plan import plan
from dnn2fpga.plan.planner import completed
from dnn2fpga.plan.settings import PlanSettings
from dnn2fpga.progress import Progress, silent
from dnn2fpga.report.plots import plot_front, plot_plan, plot_tries
from dnn2fpga.task import TaskKind
from dnn2fpga.task_reading import with_task
from dnn2fpga.work_folder import (
    BUNDLE,
    CONFIGURATION,
    PLAN_PLOT,
    PLOT,
    POWER,
    QUANTIZATION,
    SAMPLES,
    SEARCH,
    SEARCH_PLOT,
    SEARCHES,
    STAGES,
    SYNTHESIS,
    VERIFICATION,
    WorkFolder,
)

if TYPE_CHECKING:
    from dnn2fpga.build.builders import Built
    from dnn2fpga.build.live_log import StepShown
    from dnn2fpga.build.power import PowerEstimate
    from dnn2fpga.build.settings import BuildSettings
    from dnn2fpga.graph.float import Graph
    from dnn2fpga.optimize.width_search import SearchResult
    from dnn2fpga.verify.verifier import VerificationReport

KEPT_SAMPLES = 16  # of the calibration data, for the bundle's own test vectors


def read_model(model: Path | str) -> Graph:
    """Read a model file as a simplified float graph. Neither Keras nor TensorFlow is needed."""
    from dnn2fpga.passes.simplify import simplify
    from dnn2fpga.read import front_ends

    return simplify(front_ends.read_model(model))


def quantize(
    graph: Graph,
    data: Data,
    folder: Path,
    quantization: Quantization | None = None,
    optimization: Optimization | None = None,
    test: Data | None = None,
    progress: Progress = silent,
    task: TaskKind | None = None,
) -> QuantizationResult:
    """A simplified graph → the configuration files in ``folder``: the first stage's model that reaches the target,
    or the best one (``met`` says which).

    :param data: calibrates, and trains when it comes to that.
    :param task: what the network is for, where that is not to be found out.
    :raises UserError: when the labels do not fit the network, and whatever else stands in the way.
    """
    from dnn2fpga.optimize.loop import check_can_be_judged, optimize
    from dnn2fpga.optimize.preparation import prepare

    quantization, optimization = quantization or Quantization(), optimization or Optimization()
    check_can_be_judged(test, optimization)  # now, not after pruning and calibration
    graph = with_task(graph, (data, test), task)
    problem, checkpoints = prepare(graph, data, test, quantization, optimization, folder / STAGES, progress)
    outcome = optimize(problem, optimization, checkpoints)
    WorkFolder(folder).remove(PLOT, SEARCH, SEARCH_PLOT)  # of the model before
    with added_files(folder) as new:
        result = _write_chosen(problem, outcome.chosen, outcome.tries, new)
        if optimization.is_given:
            plot_tries(result.tries, result.float_score, optimization.wanted(result.float_score), new / PLOT)
    return result


def search(
    graph: Graph,
    data: Data,
    folder: Path,
    test: Data | None,
    settings: SearchSettings | None = None,
    quantization: Quantization | None = None,
    optimization: Optimization | None = None,
    progress: Progress = silent,
    task: TaskKind | None = None,
) -> SearchResult:
    """A simplified graph → the configuration files in ``folder`` with the widths, layer by layer, that a search has
    found: the cheapest that reach the target, or the best (``met`` says which).

    :param data: calibrates, and trains when ``settings.train`` asks for it.
    :param test: judges; the search cannot do without.
    :param task: as for ``quantize``.
    """
    from dnn2fpga.optimize.preparation import prepare
    from dnn2fpga.optimize.width_search import search_widths

    if test is None:
        raise UserError("a search judges every trial on test data: give it with --test")
    settings, optimization = settings or SearchSettings(), optimization or Optimization()
    quantization = quantization or Quantization()
    graph = with_task(graph, (data, test), task)
    problem, _ = prepare(graph, data, test, quantization, optimization, folder / STAGES, progress)
    found = search_widths(problem, settings, optimization.training, folder / SEARCHES)
    layers = found.chosen.settings.model_dump(mode="json", include={"layers"}, exclude_none=True)
    with added_files(folder / SEARCHES) as new:
        (new / DEFAULT_FILE).write_text(yaml.safe_dump({"quantization": layers}), encoding="utf-8")
    WorkFolder(folder).remove(PLOT)
    with added_files(folder) as new:
        _write_chosen(problem, found.chosen, [one.result for one in found.front], new)
        write_record(new, SEARCH, found.result.model_dump(mode="json"), digests(new, CONFIGURATION))
        plot_front(found.result, new / SEARCH_PLOT)
    return found.result


def _write_chosen(problem: Problem, chosen: Candidate, tries: Iterable[Try], new: Path) -> QuantizationResult:
    """The configuration files, samples for the bundle's own test, and how the model was found."""
    result = QuantizationResult.of(problem, chosen, tries)
    config_files.save(chosen.model, new)
    np.savez_compressed(new / SAMPLES, x=np.asarray(problem.data.sample(KEPT_SAMPLES).x))
    write_record(new, QUANTIZATION, result.model_dump(mode="json"), digests(new, CONFIGURATION))
    return result


def generate(
    folder: Path,
    settings: PlanSettings | None = None,
    progress: Progress = silent,
    board: str | None = None,
    clock_mhz: float | None = None,
    told: Callable[[str], None] = lambda line: None,
) -> Manifest:
    """Configuration files → ``bundle/``; returns its manifest. Needs no TensorFlow.

    :param board, clock_mhz: choose how deep to pipeline where the settings do not say; with a goal, the board is also
        the budget.
    :param told: called with a line for each file that others have changed in the bundle, and that is kept elsewhere.
    """
    from dnn2fpga.build.board_settings import for_board
    from dnn2fpga.generate.bundle import write_bundle
    from dnn2fpga.generate.kept import OldBundle
    from dnn2fpga.generate.vectors import kept_samples
    from dnn2fpga.generate.verilog import without_garbage_collection

    work, settings = WorkFolder(folder), for_board(settings or PlanSettings(), board, clock_mhz)
    read = work.digests_read()  # now: what changes while this runs must be noticed
    progress("planning", 0, 1)
    quantized = config_files.load(folder)
    with without_garbage_collection():
        hardware = plan(quantized, completed(quantized, settings))
    progress("planning", 1, 1)
    progress("writing Verilog", 0, 1)
    before = OldBundle(work.bundle, work.digests_written())
    samples = kept_samples(folder / SAMPLES, quantized)
    with added_files(folder) as new:  # bundle and record appear together: no bundle is taken for that of another record
        manifest = write_bundle(quantized, hardware, new / BUNDLE, samples, before.keep)
        work.record_generation(new, read, before.generated)
        plot_plan(manifest, new / PLAN_PLOT)
    progress("writing Verilog", 1, 1)
    for line in before.moved:
        told(line)
    return manifest


def verify(
    folder: Path,
    test: Data | None = None,
    settings: Verification | None = None,
    *,
    waves: bool = False,
    progress: Progress = silent,
) -> list[VerificationReport]:
    """Simulates the bundle: protocol tests, then all of ``test``;
    returns both reports, written to ``verification.json`` too.
    """
    from dnn2fpga.verify.checker import checker_digest
    from dnn2fpga.verify.verifier import verify_bundle

    work, settings = WorkFolder(folder), settings or Verification()
    work.remove(VERIFICATION)  # whatever happens now, no old verdict is left
    current = work.current_bundle()
    frames = test.sample(settings.frames, settings.seed) if test is not None else None
    reports = verify_bundle(current.path, work.simulation, frames, settings, waves=waves, progress=progress)
    with added_files(folder) as new:
        verdict = {"checker": checker_digest(), "reports": [asdict(report) for report in reports]}
        current.write_verdict(new, VERIFICATION, verdict)
    return reports


def build(
    folder: Path,
    board: str,
    clock_mhz: float | None = None,
    *,
    run: bool = True,
    settings: BuildSettings | None = None,
    hardware: PlanSettings | None = None,
    shown: StepShown | None = None,
) -> Built:
    """The bundle for a board: a bitstream in ``build/<board>`` where the tools are open ones, else ``bundle/vivado``,
    which is run when Vivado is installed. Without ``run``, only what the tools read.

    :param hardware: the settings of ``generate``; they say what would fit, where this design does not.
    :raises UserError: when the design does not fit, and when tools are missing or fail.
    """
    from dnn2fpga.build.board_settings import what_would_fit
    from dnn2fpga.build.boards import load_board
    from dnn2fpga.build.builders import BUILDERS, Request
    from dnn2fpga.build.fitting import DoesNotFit
    from dnn2fpga.build.live_log import silent
    from dnn2fpga.build.settings import BuildSettings

    description, current = load_board(board), WorkFolder(folder).current_bundle()
    request = Request(
        work=folder,
        bundle=current.path,
        board=description,
        clock_mhz=clock_mhz,
        settings=settings or BuildSettings(),
        run=run,
        shown=shown or silent,
    )
    try:
        return BUILDERS[description.architecture.tools](request)
    except DoesNotFit as error:
        advice = what_would_fit(folder, description, hardware or PlanSettings(), current.manifest, error)
        raise UserError([*error.problems, advice]) from error


def synthesize(folder: Path) -> dict[str, Any]:
    """``synthesis.json``: the cells that yosys makes of every layer, for Xilinx 7-series; redraws ``plan.png``.

    Minutes for a large design.
    """
    from dnn2fpga.build.open.yosys import resources_by_layer

    work = WorkFolder(folder)
    work.remove(SYNTHESIS)
    current = work.current_bundle()
    found = resources_by_layer(current.path / "rtl" / "accelerator.v", current.manifest)
    with added_files(folder) as new:
        current.write_verdict(new, SYNTHESIS, found)
        plot_plan(current.manifest, new / PLAN_PLOT, found["layers"])
    return found


def power(
    folder: Path, board: str, clock_mhz: float | None = None, *, simulate: bool = True, progress: Progress = silent
) -> PowerEstimate:
    """``power.json``: power and energy of a frame, estimated (docs/power.md).

    :param simulate: count how much switches; else a usual rate is assumed.
    """
    from dnn2fpga.build.boards import load_board
    from dnn2fpga.build.power import estimate_power
    from dnn2fpga.verify.activity import measure_activity

    work, description = WorkFolder(folder), load_board(board)
    work.remove(POWER)
    current = work.current_bundle()
    activity = measure_activity(current.path, work.simulation, progress) if simulate else None
    estimate = estimate_power(current.manifest, description, description.target_mhz(clock_mhz), activity)
    with added_files(folder) as new:
        current.write_verdict(new, POWER, estimate.model_dump(mode="json"))
    return estimate
