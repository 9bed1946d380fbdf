"""The steps from a model file to a verified bundle, each from what the step before it wrote.

The command line is a thin layer over these functions; they are the Python interface as well (docs/python_api.md), where
``dnn2fpga.quantize`` is ``flow.quantize``::

    model = dnn2fpga.read_model("model.keras")
    dnn2fpga.quantize(model, "train.npz", test="test.npz", work="work")   # model.yaml, weights.npz
    dnn2fpga.generate("work")                                             # bundle/
    dnn2fpga.verify("work", "test.npz")                                   # verification.json
    dnn2fpga.synthesize("work")                                           # synthesis.json
    dnn2fpga.build("work", "ulx3s_85f")                                   # build/ulx3s_85f/, with a bitstream

A step that uses a bundle demands that it is still what was generated from the files beside it (``WorkFolder``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from dnn2fpga.config import DEFAULT_FILE, Verification
from dnn2fpga.data import Data, Network, load_data, save_inputs
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
from dnn2fpga.task_reading import Kinds, with_task
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
    from dnn2fpga.optimize.checkpoints import Checkpoints
    from dnn2fpga.optimize.width_search import SearchResult
    from dnn2fpga.verify.verifier import VerificationReport

KEPT_SAMPLES = 16  # of the calibration data, for the bundle's own test vectors


def read_model(model: Path | str) -> Graph:
    """Read a Keras file (``.keras`` or ``.h5``). Neither Keras nor TensorFlow is needed.

    :returns: the simplified graph of float layers, with its ``inputs`` and ``outputs`` by name.
    :raises UserError: with everything in the file that cannot be read or is not supported.
    """
    from dnn2fpga.passes.simplify import simplify
    from dnn2fpga.read.keras import read_keras_model

    return simplify(read_keras_model(model))


def quantize(
    model: Graph | Path | str,
    data: Data | Path | str,
    *,
    work: Path | str,
    test: Data | Path | str | None = None,
    task: Kinds = None,
    quantization: Quantization | None = None,
    optimization: Optimization | None = None,
    progress: Progress = silent,
) -> QuantizationResult:
    """Quantize a model: write ``model.yaml`` and ``weights.npz`` of the first stage's model that reaches the target, or
    of the best one (``met`` says which).

    :param model: what `read_model` returns, or its file.
    :param data: calibrates, and trains when it comes to that; or its file.
    :param work: the folder in which all steps for this model work; made if it is missing.
    :param test: judges; a target needs it.
    :param task: what the outputs are for (of all, or by name), where that is not to be found out.
    :param quantization: widths, scales and ranges (docs/optimizer.md).
    :param optimization: the target, and what may be tried to reach it.
    :raises UserError: when data or labels do not fit the network, and whatever else stands in the way.
    """
    from dnn2fpga.optimize.loop import check_can_be_judged, optimize

    optimization = optimization or Optimization()
    given = _given(model, data, test, task)
    check_can_be_judged(given.test, optimization)  # now, not after pruning and calibration
    folder, quantization = Path(work), quantization or Quantization()
    problem, checkpoints = _prepared(given, folder, quantization, optimization, progress)
    outcome = optimize(problem, optimization, checkpoints)
    WorkFolder(folder).remove(PLOT, SEARCH, SEARCH_PLOT)  # of the model before
    with added_files(folder) as new:
        result = _write_chosen(problem, outcome.chosen, outcome.tries, new)
        if optimization.is_given:
            plot_tries(result.tries, result.float_score, optimization.wanted(result.float_score), new / PLOT)
    return result


def search(
    model: Graph | Path | str,
    data: Data | Path | str,
    *,
    work: Path | str,
    test: Data | Path | str | None,
    task: Kinds = None,
    search: SearchSettings | None = None,
    quantization: Quantization | None = None,
    optimization: Optimization | None = None,
    progress: Progress = silent,
) -> SearchResult:
    """Quantize a model with the widths, layer by layer, that a search has found: the cheapest that reach the target, or
    the best (``met`` says which). The other parameters are those of `quantize`.

    :param data: calibrates, and trains when ``search.train`` asks for it.
    :param test: judges; the search cannot do without.
    :param search: which widths, how many trials, and what a model costs.
    """
    from dnn2fpga.optimize.width_search import search_widths

    if test is None:
        raise UserError("a search judges every trial on test data: give it with --test")
    settings, optimization = search or SearchSettings(), optimization or Optimization()
    folder, quantization = Path(work), quantization or Quantization()
    given = _given(model, data, test, task)
    problem, _ = _prepared(given, folder, quantization, optimization, progress)
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


@dataclass(frozen=True)
class _Given:
    """A model with its tasks decided, and data that fit it."""

    graph: Graph
    data: Data
    test: Data | None


def _given(model: Graph | Path | str, data: Data | Path | str, test: Data | Path | str | None, task: Kinds) -> _Given:
    graph = read_model(model) if isinstance(model, Path | str) else model
    read = data_for(graph, data)
    judging = None if test is None else data_for(graph, test)
    return _Given(with_task(graph, (read, judging), task), read, judging)


def data_for(network: Network, data: Data | Path | str) -> Data:
    """Data, or what is in a file; raises `UserError` when it does not fit the network."""
    return data.require(network) if isinstance(data, Data) else load_data(data, network)


def _prepared(
    given: _Given, folder: Path, quantization: Quantization, optimization: Optimization, progress: Progress
) -> tuple[Problem, Checkpoints]:
    from dnn2fpga.optimize.preparation import prepare

    folder.mkdir(parents=True, exist_ok=True)
    return prepare(given.graph, given.data, given.test, quantization, optimization, folder / STAGES, progress)


def _write_chosen(problem: Problem, chosen: Candidate, tries: Iterable[Try], new: Path) -> QuantizationResult:
    """The configuration files, samples for the bundle's own test, and how the model was found."""
    result = QuantizationResult.of(problem, chosen, tries)
    config_files.save(chosen.model, new)
    save_inputs(problem.data.sample(KEPT_SAMPLES), problem.graph, new / SAMPLES)
    write_record(new, QUANTIZATION, result.model_dump(mode="json"), digests(new, CONFIGURATION))
    return result


def generate(
    work: Path | str,
    hardware: PlanSettings | None = None,
    *,
    board: str | None = None,
    clock_mhz: float | None = None,
    progress: Progress = silent,
    told: Callable[[str], None] = lambda line: None,
) -> Manifest:
    """Write the bundle of a quantized model: Verilog, testbench and ``manifest.json``. Needs no TensorFlow.

    :param work: the folder with ``model.yaml`` and ``weights.npz``.
    :param hardware: what to plan for (docs/hardware.md).
    :param board, clock_mhz: choose how deep to pipeline where ``hardware`` does not say; with a goal, the board is also
        the budget.
    :param told: called with a line for each file that others have changed in the bundle, and that is kept elsewhere.
    :returns: the manifest: ports, boundaries, predicted cycles and resources.
    :raises UserError: when the model cannot be built as asked.
    """
    from dnn2fpga.build.board_settings import for_board
    from dnn2fpga.generate.bundle import write_bundle
    from dnn2fpga.generate.kept import OldBundle
    from dnn2fpga.generate.vectors import kept_samples
    from dnn2fpga.generate.verilog import without_garbage_collection

    folder, settings = Path(work), for_board(hardware or PlanSettings(), board, clock_mhz)
    place = WorkFolder(folder)
    read = place.digests_read()  # now: what changes while this runs must be noticed
    progress("planning", 0, 1)
    quantized = config_files.load(folder)
    with without_garbage_collection():
        planned = plan(quantized, completed(quantized, settings))
    progress("planning", 1, 1)
    progress("writing Verilog", 0, 1)
    before = OldBundle(place.bundle, place.digests_written())
    samples = kept_samples(folder / SAMPLES, quantized)
    with added_files(folder) as new:  # bundle and record appear together: no bundle is taken for that of another record
        manifest = write_bundle(quantized, planned, new / BUNDLE, samples, before.keep)
        place.record_generation(new, read, before.generated)
        plot_plan(manifest, new / PLAN_PLOT)
    progress("writing Verilog", 1, 1)
    for line in before.moved:
        told(line)
    return manifest


def verify(
    work: Path | str,
    test: Data | Path | str | None = None,
    *,
    verification: Verification | None = None,
    waves: bool = False,
    progress: Progress = silent,
) -> list[VerificationReport]:
    """Simulate the bundle and compare every layer boundary with the integer model: protocol tests under stalls, then
    all of ``test``.

    :param test: real inputs, streamed through the compiled design; with labels, its outputs are scored too.
    :param verification: how much is simulated, and with which stalls.
    :param waves: write a waveform of the protocol tests.
    :returns: a report of the protocol tests, then one of the test data; in ``verification.json`` too.
    :raises UserError: when the bundle is not what was generated, and when the simulation cannot run.
    """
    from dnn2fpga.verify.checker import checker_digest
    from dnn2fpga.verify.verifier import verify_bundle

    place, settings = WorkFolder(Path(work)), verification or Verification()
    place.remove(VERIFICATION)  # whatever happens now, no old verdict is left
    current, frames = place.current_bundle(), None
    if test is not None:
        frames = data_for(config_files.load(current.path), test).sample(settings.frames, settings.seed)
    reports = verify_bundle(current.path, place.simulation, frames, settings, waves=waves, progress=progress)
    with added_files(place.path) as new:
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
