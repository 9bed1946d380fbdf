"""The steps from the configuration files to a verified bundle and a bitstream: `generate`, `verify`, `build` and what
they say about the hardware.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnn2fpga.config import Verification
from dnn2fpga.data import Data
from dnn2fpga.errors import UserError
from dnn2fpga.files.atomic import added_files
from dnn2fpga.flow.models import data_for
from dnn2fpga.generate.manifest import Manifest
from dnn2fpga.graph import files as config_files
from dnn2fpga.plan.hardware_plan import plan
from dnn2fpga.plan.planner import completed
from dnn2fpga.plan.settings import PlanSettings
from dnn2fpga.progress import Progress, silent
from dnn2fpga.report.plots import plot_plan
from dnn2fpga.work_folder import BUNDLE, PLAN_PLOT, POWER, SAMPLES, SYNTHESIS, VERIFICATION, WorkFolder

if TYPE_CHECKING:
    from dnn2fpga.build.builders import Built
    from dnn2fpga.build.power import PowerEstimate
    from dnn2fpga.build.settings import BuildSettings
    from dnn2fpga.verify.verifier import VerificationReport


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

    :param work: the work folder, with ``model.yaml`` and ``weights.npz``.
    :param hardware: the hardware settings (docs/hardware.md); None: all by default.
    :param board: the name of a board, as ``dnn2fpga boards`` lists it. With ``clock_mhz`` it decides the pipeline depth
        where ``hardware`` does not; with a goal, it is also the budget.
    :param clock_mhz: the target clock in MHz; None: the board's own.
    :param progress: called as the work advances (``Progress``).
    :param told: called with a line for each file that others have changed in the bundle, and that is kept elsewhere.
    :returns: the manifest: ports, boundaries, predicted cycles and resources.
    :raises UserError: when the configuration files are missing or invalid, the board or clock is unknown, no design
        meets the goal, or the design could hang with the given FIFOs.
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

    :param work: the work folder, with a bundle.
    :param test: real inputs ``[samples, *shape]``, or their file, streamed through the compiled design; with labels,
        its outputs are scored too. None: protocol tests only.
    :param verification: the amount of simulation, and the stalls; None: all by default.
    :param waves: write a waveform of the protocol tests.
    :param progress: called as the work advances (``Progress``).
    :returns: a report of the protocol tests, then one of the test data; in ``verification.json`` too.
    :raises UserError: when the bundle is not what was generated, the data does not fit the network, or the simulation
        cannot run.
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
    work: Path | str,
    board: str,
    *,
    clock_mhz: float | None = None,
    run: bool = True,
    build: BuildSettings | None = None,
    hardware: PlanSettings | None = None,
    progress: Progress = silent,
) -> Built:
    """Build the bundle for a board: a bitstream in ``build/<board>`` where the tools are open ones, else a project in
    ``bundle/vivado``, which is run when Vivado is installed.

    :param work: the work folder, with a bundle.
    :param board: the name of the board, as ``dnn2fpga boards`` lists it.
    :param clock_mhz: the target clock in MHz; None: the board's own.
    :param run: run the tools; else only their input files are written.
    :param build: the number of placements, and their seeds; None: all by default.
    :param hardware: the settings of `generate`, from which an error says what would fit where this design does not.
    :param progress: called as the work advances (``Progress``).
    :returns: the files, the messages of the tools, whether the clock is met, and the result (None where nothing ran).
    :raises UserError: when the bundle is not what was generated, the board is unknown, the design does not fit, or a
        tool is missing or fails.
    """
    from dnn2fpga.build.board_settings import what_would_fit
    from dnn2fpga.build.boards import load_board
    from dnn2fpga.build.builders import BUILDERS, Request
    from dnn2fpga.build.fitting import DoesNotFit
    from dnn2fpga.build.settings import BuildSettings

    folder, description = Path(work), load_board(board)
    current = WorkFolder(folder).current_bundle()
    request = Request(
        work=folder,
        bundle=current.path,
        board=description,
        clock_mhz=clock_mhz,
        settings=build or BuildSettings(),
        run=run,
        progress=progress,
    )
    try:
        return BUILDERS[description.architecture.tools](request)
    except DoesNotFit as error:
        advice = what_would_fit(folder, description, hardware or PlanSettings(), current.manifest, error)
        raise UserError([*error.problems, advice]) from error


def synthesize(work: Path | str, *, progress: Progress = silent) -> dict[str, Any]:
    """Count the cells that yosys makes of every layer, for Xilinx 7-series; redraw ``plan.png``. A large design needs
    minutes.

    :param work: the work folder, with a bundle.
    :param progress: called as the work advances (``Progress``).
    :returns: the counts by layer (LUTs, flip-flops, DSP blocks, block RAMs of 18 Kbit); in ``synthesis.json`` too.
    :raises UserError: when the bundle is not what was generated, or yosys is missing or fails.
    """
    from dnn2fpga.build.open.yosys import resources_by_layer

    place = WorkFolder(Path(work))
    place.remove(SYNTHESIS)
    current = place.current_bundle()
    progress("yosys", 0, 1)
    found = resources_by_layer(current.path / "rtl" / "accelerator.v", current.manifest)
    with added_files(place.path) as new:
        current.write_verdict(new, SYNTHESIS, found)
        plot_plan(current.manifest, new / PLAN_PLOT, found["layers"])
    progress("yosys", 1, 1)
    return found


def power(
    work: Path | str,
    board: str,
    *,
    clock_mhz: float | None = None,
    simulate: bool = True,
    progress: Progress = silent,
) -> PowerEstimate:
    """Estimate power and energy per frame (docs/power.md).

    :param work: the work folder, with a bundle.
    :param board: the name of the board, as ``dnn2fpga boards`` lists it.
    :param clock_mhz: the clock in MHz; None: the board's own.
    :param simulate: measure toggle rates by simulation; else a usual rate is assumed.
    :param progress: called as the work advances (``Progress``).
    :returns: the estimate, in mW and µJ per frame; in ``power.json`` too.
    :raises UserError: when the bundle is not what was generated, the board or its family's constants are unknown, or
        the simulation cannot run.
    """
    from dnn2fpga.build.boards import load_board
    from dnn2fpga.build.power import estimate_power
    from dnn2fpga.verify.activity import measure_activity

    place, description = WorkFolder(Path(work)), load_board(board)
    place.remove(POWER)
    current = place.current_bundle()
    activity = measure_activity(current.path, place.simulation, progress) if simulate else None
    estimate = estimate_power(current.manifest, description, description.target_mhz(clock_mhz), activity)
    with added_files(place.path) as new:
        current.write_verdict(new, POWER, estimate.model_dump(mode="json"))
    return estimate
