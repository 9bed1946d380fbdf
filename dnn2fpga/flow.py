"""The steps from a model file to a verified bundle, each from what the step before it wrote.

The command line is a thin layer over these functions; they are the Python interface as well::

    graph = flow.read_model("model.keras")
    flow.quantize(graph, data, folder, test=test)   # model.yaml, weights.npz
    flow.generate(folder)                           # bundle/
    flow.verify(folder, test)                       # verification.json
    flow.synthesize(folder)                         # synthesis.json
    flow.build(folder, "ulx3s_85f")                 # build/ulx3s_85f/, with a bitstream
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from dnn2fpga import config_files
from dnn2fpga.array_files import UnreadableArrays, read_arrays
from dnn2fpga.atomic import added_files, digest
from dnn2fpga.config import DEFAULT_FILE, Verification
from dnn2fpga.data import Data
from dnn2fpga.errors import UserError
from dnn2fpga.optimize.diagnosis import Diagnosis, diagnose
from dnn2fpga.optimize.post_training import Quantization
from dnn2fpga.optimize.problem import Candidate, Problem, Try
from dnn2fpga.optimize.settings import Optimization, SearchSettings
from dnn2fpga.plan.goals import Aim, Budget, PlanGoal
from dnn2fpga.plan.hardware_plan import plan
from dnn2fpga.plan.planner import completed
from dnn2fpga.plan.settings import MOST_LEVELS, PlanSettings
from dnn2fpga.plots import plot_front, plot_plan, plot_tries
from dnn2fpga.quantized_graph import Described, QuantizedGraph

if TYPE_CHECKING:
    from dnn2fpga.build.boards import Board
    from dnn2fpga.build.builders import Built
    from dnn2fpga.build.fitting import DoesNotFit
    from dnn2fpga.build.power import PowerEstimate
    from dnn2fpga.build.settings import BuildSettings
    from dnn2fpga.build.watched import StepShown
    from dnn2fpga.graph import Graph
    from dnn2fpga.optimize.width_search import SearchResult
    from dnn2fpga.verify.verifier import VerificationReport

BUNDLE, SAMPLES, QUANTIZATION, VERIFICATION = "bundle", "samples.npz", "quantization.json", "verification.json"
MANIFEST, GENERATION = "manifest.json", "generation.json"
STAGES, PLOT = "stages", "tries.png"  # finished stages of the optimizer; what was tried
SEARCHES, SEARCH, SEARCH_PLOT = "search", "search.json", "search.png"  # trials of width searches; the last one's result
SIMULATION = "simulation"  # compiled simulators; kept when the bundle is generated again
SYNTHESIS = "synthesis.json"
POWER = "power.json"
PLAN_PLOT = "plan.png"  # cycles and resources of every layer
USABLE = 0.85  # of a device's LUTs and registers: fuller ones do not route
KEPT_SAMPLES = 16  # of the calibration data, for the bundle's own test vectors

Progress = Callable[[str, int, int], None]  # what, done, of


def _silent(what: str, done: int, of: int) -> None:
    pass


class QuantizationResult(Described):
    """What the optimizer reached; sizes in megabytes (10^6 bytes)."""

    stage: str  # the one that gave the model
    met: bool  # whether the target holds (always, without a target)
    target: str
    measure: str | None  # accuracy, agreement or r2; None without test data
    float_score: float | None
    integer_score: float | None
    test_samples: int
    float_megabytes: float
    integer_megabytes: float
    tries: tuple[Try, ...]
    diagnosis: Diagnosis


def read_model(model: Path | str) -> Graph:
    """A Keras file as a simplified float graph. The only step that needs TensorFlow."""
    from dnn2fpga.parse.keras_model import read_keras_model
    from dnn2fpga.passes.simplify import simplify

    return simplify(read_keras_model(model))


def quantize(
    graph: Graph,
    data: Data,
    folder: Path,
    quantization: Quantization | None = None,
    optimization: Optimization | None = None,
    test: Data | None = None,
    progress: Progress = _silent,
) -> QuantizationResult:
    """A simplified graph → the configuration files in ``folder``: the first stage's model that reaches the target,
    or the best one (``met`` says which).

    :param data: calibrates, and trains when it comes to that.
    """
    from dnn2fpga.optimize.loop import check_can_be_judged, optimize
    from dnn2fpga.optimize.preparation import prepare

    quantization, optimization = quantization or Quantization(), optimization or Optimization()
    check_can_be_judged(test, optimization)  # now, not after pruning and calibration
    problem, checkpoints = prepare(graph, data, test, quantization, optimization, folder / STAGES, progress)
    outcome = optimize(problem, optimization, checkpoints)
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
    progress: Progress = _silent,
) -> SearchResult:
    """A simplified graph → the configuration files in ``folder`` with the widths, layer by layer, that a search has
    found: the cheapest that reach the target, or the best (``met`` says which).

    :param data: calibrates, and trains when ``settings.train`` asks for it.
    :param test: judges; the search cannot do without.
    """
    from dnn2fpga.optimize.preparation import prepare
    from dnn2fpga.optimize.width_search import search_widths

    if test is None:
        raise UserError("a search judges every trial on test data: give it with --test")
    settings, optimization = settings or SearchSettings(), optimization or Optimization()
    quantization = quantization or Quantization()
    problem, _ = prepare(graph, data, test, quantization, optimization, folder / STAGES, progress)
    found = search_widths(problem, settings, optimization.training, folder / SEARCHES)
    layers = found.chosen.settings.model_dump(mode="json", include={"layers"}, exclude_none=True)
    with added_files(folder / SEARCHES) as new:
        (new / DEFAULT_FILE).write_text(yaml.safe_dump({"quantization": layers}), encoding="utf-8")
    with added_files(folder) as new:
        _write_chosen(problem, found.chosen, [one.result for one in found.front], new)
        (new / SEARCH).write_text(found.result.model_dump_json(indent=1) + "\n", encoding="utf-8")
        plot_front(found.result, new / SEARCH_PLOT)
    return found.result


def _write_chosen(problem: Problem, chosen: Candidate, tries: Iterable[Try], new: Path) -> QuantizationResult:
    """The configuration files, samples for the bundle's own test, and how the model was found."""
    of_float, tries = problem.float_score, tuple(tries)
    result = QuantizationResult(
        stage=chosen.result.stage,
        met=chosen.result.met,
        target=problem.target.described,
        measure=chosen.result.measure,
        float_score=of_float.value if of_float else None,
        integer_score=chosen.result.score,
        test_samples=len(problem.test) if problem.test else 0,
        float_megabytes=problem.reference.float_parameters * 4 / 1e6,
        integer_megabytes=chosen.result.megabytes,
        tries=tries,
        diagnosis=diagnose(problem, chosen, tries),
    )
    config_files.save(chosen.model, new)
    np.savez_compressed(new / SAMPLES, x=np.asarray(problem.data.sample(KEPT_SAMPLES).x))
    (new / QUANTIZATION).write_text(result.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return result


def generate(
    folder: Path,
    settings: PlanSettings | None = None,
    progress: Progress = _silent,
    board: str | None = None,
    clock_mhz: float | None = None,
) -> dict[str, Any]:
    """Configuration files → ``bundle/``; returns its manifest. Needs no TensorFlow.

    :param board, clock_mhz: choose how deep to pipeline where the settings do not say; with a goal, the board is also
        the budget.
    """
    from dnn2fpga.generate.bundle import write_bundle
    from dnn2fpga.generate.verilog import without_garbage_collection

    settings = _for_board(settings or PlanSettings(), board, clock_mhz)
    progress("planning", 0, 1)
    quantized = config_files.load(folder)
    with without_garbage_collection():
        hardware = plan(quantized, completed(quantized, _with_budget(settings, board)))
    progress("planning", 1, 1)
    progress("writing Verilog", 0, 1)
    manifest = write_bundle(quantized, hardware, folder / BUNDLE, _samples(folder, quantized))
    # The digests say from which files, as they stood, this bundle was made.
    sources = (config_files.MODEL_FILE, config_files.WEIGHTS_FILE)
    made = {name: digest(folder / name) for name in (*sources, f"{BUNDLE}/{MANIFEST}")}
    with added_files(folder) as new:
        (new / GENERATION).write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
        plot_plan(manifest, new / PLAN_PLOT)
    progress("writing Verilog", 1, 1)
    return manifest


def _with_budget(settings: PlanSettings, board_name: str | None) -> PlanSettings:
    """What the goal does not limit, the board does."""
    from dnn2fpga.build.boards import load_board

    if board_name is None or settings.goal is None:
        return settings
    board = load_board(board_name)
    has = board.resources
    usable = Budget(lut=int(USABLE * has.lut), ff=int(USABLE * has.ff), dsp=has.dsp, bram18=board.bram18)
    goal = settings.goal.model_copy(update={"budget": settings.goal.budget.with_defaults(usable)})
    return settings.model_copy(update={"goal": goal})


def _for_board(settings: PlanSettings, board_name: str | None, clock_mhz: float | None) -> PlanSettings:
    """The FPGA's family, and as many adders between two registers as its clock allows, where nothing else is said."""
    from dnn2fpga.build.boards import load_board

    if board_name is None:
        return settings
    board = load_board(board_name)
    levels = min(board.timing.adders_within(board.target_mhz(clock_mhz)), MOST_LEVELS)
    of_board = {"family": board.architecture.estimates, "levels_per_register": levels}
    given = settings.model_dump(include=settings.model_fields_set & of_board.keys(), exclude_none=True)
    return settings.model_copy(update=of_board | given)


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
        frames = test.sample(settings.frames, settings.seed)
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
    from dnn2fpga.build.boards import load_board
    from dnn2fpga.build.builders import BUILDERS, Request
    from dnn2fpga.build.fitting import DoesNotFit
    from dnn2fpga.build.settings import BuildSettings
    from dnn2fpga.build.watched import silent

    description, bundle = load_board(board), existing_bundle(folder)
    request = Request(
        work=folder,
        bundle=bundle,
        board=description,
        clock_mhz=clock_mhz,
        settings=settings or BuildSettings(),
        run=run,
        shown=shown or silent,
    )
    try:
        return BUILDERS[description.architecture.tools](request)
    except DoesNotFit as error:
        raise UserError([*error.problems, _what_would_fit(folder, description, hardware, error)]) from error


def _what_would_fit(folder: Path, board: Board, hardware: PlanSettings | None, error: DoesNotFit) -> str:
    from dnn2fpga.build.fitting import slower_design
    from dnn2fpga.generate.verilog import without_garbage_collection

    manifest = json.loads((folder / BUNDLE / MANIFEST).read_text(encoding="utf-8"))
    settings = (hardware or PlanSettings()).model_copy(update={"goal": PlanGoal(aim=Aim.FASTEST)})
    settings = _with_budget(_for_board(settings, board.name, None), board.name)
    with without_garbage_collection():
        slower = slower_design(config_files.load(folder), settings, manifest, error.used, board)
    if slower is None:
        return "no slower design that fits was found: take narrower numbers, a smaller model or a larger board"
    limits = "".join(f" --set hardware.goal.budget.{name}={limit}" for name, limit in slower.budget.items())
    return (
        f"a slower design is smaller (this one takes {manifest['interval_cycles']:,} cycles a frame): "
        f"dnn2fpga generate {folder} --board {board.name} --goal smallest --interval {slower.interval_cycles}{limits}"
    )


def synthesize(folder: Path) -> dict[str, Any]:
    """``synthesis.json``: the cells that yosys makes of every layer, for Xilinx 7-series; redraws ``plan.png``.

    Minutes for a large design.
    """
    from dnn2fpga.build.yosys import resources_by_layer

    bundle = existing_bundle(folder)
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    found = resources_by_layer(bundle / "rtl" / "accelerator.v", manifest)
    with added_files(folder) as new:
        kept = {"manifest": digest(bundle / MANIFEST), **found}
        (new / SYNTHESIS).write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        plot_plan(manifest, new / PLAN_PLOT, found["layers"])
    return found


def power(
    folder: Path, board: str, clock_mhz: float | None = None, *, simulate: bool = True, progress: Progress = _silent
) -> PowerEstimate:
    """``power.json``: power and energy of a frame, estimated (docs/power.md).

    :param simulate: count how much switches; else a usual rate is assumed.
    """
    from dnn2fpga.build.boards import load_board
    from dnn2fpga.build.power import estimate_power
    from dnn2fpga.verify.activity import measure_activity

    bundle, description = existing_bundle(folder), load_board(board)
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    activity = measure_activity(bundle, folder / SIMULATION, progress) if simulate else None
    estimate = estimate_power(manifest, description, description.target_mhz(clock_mhz), activity)
    with added_files(folder) as new:
        (new / POWER).write_text(estimate.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return estimate


def existing_bundle(folder: Path) -> Path:
    """Where the bundle of a work folder is; raises ``UserError`` when there is none that this version knows."""
    bundle = folder / BUNDLE
    file = bundle / MANIFEST
    if not file.is_file():
        raise UserError(f"{bundle}: there is no bundle yet; run 'dnn2fpga generate {folder}' first")
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        known = None
    if not isinstance(known, dict) or not {"boundaries", "family", "estimates"} <= known.keys():
        raise UserError(f"{file}: is damaged, or of an older version; run 'dnn2fpga generate {folder}' again")
    return bundle
