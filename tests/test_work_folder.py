"""Tampering with a work folder: whatever is changed, every step that rests on it stops and says what to run.

The tamperer does not compute digests again; whoever does is not who this protects from (docs/verification.md).
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny
from command_line import Outcome
from rich.console import Console
from tamperings import OF_BUNDLES, OF_RESULTS

from dnn2fpga import flow
from dnn2fpga.errors import UserError
from dnn2fpga.files.records import digests, write_record
from dnn2fpga.generate import bundle as bundle_writer
from dnn2fpga.graph import files as config_files
from dnn2fpga.optimize.diagnosis import Diagnosis
from dnn2fpga.optimize.post_training import Quantization
from dnn2fpga.optimize.result import QuantizationResult
from dnn2fpga.plan.settings import PlanSettings
from dnn2fpga.report.summary import show_summary
from dnn2fpga.verify import verifier
from dnn2fpga.work_folder import (
    CONFIGURATION,
    GENERATION,
    POWER,
    QUANTIZATION,
    RECORDS,
    SAMPLES,
    SYNTHESIS,
    VERIFICATION,
    WorkFolder,
)

Run = Callable[..., Outcome]

REPORT = {"passed": True, "tests": ["no_stalls"], "frames": 0, "beats_compared": 7, "scores": {}, "messages": []}
REPORT |= {name: {"predicted": 5, "measured": 5} for name in ("latency_cycles", "interval_cycles")}
REACHED = QuantizationResult(
    task="2 classes (linear), no labels",
    stage="ptq",
    met=True,
    target="none",
    measure="accuracy",
    float_score=0.9,
    integer_score=0.8125,
    outputs={},
    test_samples=16,
    float_megabytes=1.0,
    integer_megabytes=0.25,
    tries=(),
    diagnosis=Diagnosis(inputs={}, findings=()),
)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder in which everything was done, or pretends to have been; tests copy it."""
    folder = tmp_path_factory.mktemp("finished")
    config_files.save(tiny.quantized_graph(), folder)
    np.savez(folder / SAMPLES, x=tiny.samples())
    write_record(folder, QUANTIZATION, REACHED.model_dump(mode="json"), digests(folder, CONFIGURATION))
    manifest = flow.generate(folder)
    current = WorkFolder(folder).current_bundle()
    current.write_verdict(folder, VERIFICATION, {"reports": [REPORT]})
    layers = {b.tensor: {"lut": 12345, "ff": 5, "dsp": 0, "bram18": 0} for b in manifest.boundaries}
    current.write_verdict(folder, SYNTHESIS, {"tool": "Yosys 9.9", "layers": layers})
    flow.power(folder, "icebreaker", simulate=False)
    return folder


@pytest.fixture
def work(finished: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(finished, tmp_path / "work"))


STEPS: dict[str, Callable[[Path], list[object]]] = {
    "verify": lambda work: ["verify", work],
    "verify with data": lambda work: ["verify", work, "--test", work.parent / "data.npz"],
    "build": lambda work: ["build", work, "--board", "ulx3s_85f"],
    "build for Vivado": lambda work: ["build", work, "--board", "arty_a7_100t", "--no-run"],
    "run": lambda work: ["run", work, work.parent / "data.npz", "--port", "simulation", "--board", "ulx3s_85f"],
    "power": lambda work: ["power", work, "--board", "icebreaker", "--no-simulation"],
    "synthesize": lambda work: ["synthesize", work],
}


def shown(work: Path) -> str:
    """Return the text of the summary."""
    text = io.StringIO()
    show_summary(work, Console(file=text, width=300))
    return text.getvalue()


def test_what_stands_is_used_and_shown(work: Path, dnn2fpga: Run) -> None:
    assert all(WorkFolder(work).standing(name) is not None for name in RECORDS if (work / name).exists())
    summary = shown(work)
    assert all(text in summary for text in ("81.25%", "every boundary equal", "Yosys 9.9", "12,345"))
    assert "out of date" not in summary
    assert dnn2fpga("power", work, "--board", "icebreaker", "--no-simulation").code == 0
    assert dnn2fpga("build", work, "--board", "arty_a7_100t", "--no-run").code == 0
    WorkFolder(work).current_bundle()  # what the build has written into the bundle changes nothing


@pytest.mark.parametrize("name", OF_BUNDLES)
def test_a_tampering_stops_verify_and_empties_the_summary(name: str, work: Path, dnn2fpga: Run) -> None:
    OF_BUNDLES[name](work)
    summary = shown(work)
    assert "out of date" in summary
    assert not any(text in summary for text in ("every boundary equal", "Yosys 9.9", "12,345", "predicted"))
    outcome = dnn2fpga("verify", work)
    assert outcome.code == 2, outcome.out
    assert all(line.startswith("error: ") for line in outcome.err.splitlines())
    assert f"dnn2fpga generate {work}'" in outcome.err
    assert not (work / VERIFICATION).exists()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "name", ["another Verilog", "a weight in the work folder", "one frame of vectors", "steady_frames"]
)
def test_a_tampering_stops_every_step(name: str, step: str, work: Path, dnn2fpga: Run) -> None:
    np.savez(work.parent / "data.npz", x=tiny.samples(), y=np.zeros(8, int))
    OF_BUNDLES[name](work)
    before = {file for file in work.rglob("*") if file.is_file()}
    outcome = dnn2fpga(*STEPS[step](work))
    assert outcome.code == 2, outcome.out
    assert f"run 'dnn2fpga generate {work}' again" in outcome.err
    assert {file for file in work.rglob("*") if file.is_file()} <= before  # nothing was built or found out


@pytest.mark.parametrize("name", OF_RESULTS)
def test_an_edited_result_is_not_shown(name: str, work: Path) -> None:
    record, tamper = OF_RESULTS[name]
    tamper(work)
    assert WorkFolder(work).standing(record) is None
    summary = shown(work)
    told = {VERIFICATION: "every boundary equal", SYNTHESIS: "12,345", QUANTIZATION: "model size"}
    assert told.pop(record) not in summary
    assert all(text in summary for text in told.values())  # the others stand
    assert f"{record}: " in summary


def test_generated_again_alike_results_stand(work: Path) -> None:
    flow.generate(work)
    assert WorkFolder(work).out_of_date() == []


def test_generated_otherwise_no_old_result_is_shown(work: Path) -> None:
    flow.generate(work, PlanSettings(levels_per_register=1))
    summary = shown(work)
    assert "predicted" in summary
    assert not any(text in summary for text in ("every boundary equal", "Yosys 9.9"))
    out_of_date = [line.partition(":")[0] for line in WorkFolder(work).out_of_date()]
    assert out_of_date == [VERIFICATION, SYNTHESIS, POWER]


def test_quantized_again_nothing_of_the_model_before_is_shown(work: Path) -> None:
    config_files.save(tiny.quantized_graph(Quantization(weight_bits=3)), work)
    summary = shown(work)
    assert not any(text in summary for text in ("81.25%", "every boundary equal", "predicted", "Yosys 9.9"))
    assert "quantization.json" in summary


@pytest.mark.parametrize("end", [KeyboardInterrupt, UserError("it could not run")])
def test_an_interrupted_or_failed_verify_leaves_no_verdict(
    work: Path, monkeypatch: pytest.MonkeyPatch, end: BaseException
) -> None:
    monkeypatch.setattr(verifier, "run_checker", raising(end))
    with pytest.raises((KeyboardInterrupt, UserError)):
        flow.verify(work)
    assert not (work / VERIFICATION).exists()


def test_a_mismatch_leaves_a_verdict_that_says_so(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier, "check_protocol", lambda *_, **__: verifier.VerificationReport(False, ("wrong",)))
    flow.verify(work)
    assert "every boundary equal" not in shown(work)
    assert "NOT EQUAL" in shown(work)


@pytest.mark.parametrize(
    "change", [OF_BUNDLES["another Verilog"], lambda work: flow.generate(work, PlanSettings(levels_per_register=1))]
)
def test_what_changes_while_verify_runs_is_noticed(
    work: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object]
) -> None:
    def check(*_: object, **__: object) -> verifier.VerificationReport:
        change(work)
        return verifier.VerificationReport(True)

    monkeypatch.setattr(verifier, "check_protocol", check)
    with pytest.raises(UserError, match=r"has changed|generated again meanwhile"):
        flow.verify(work)
    assert not (work / VERIFICATION).exists()


def test_what_changes_while_generate_runs_is_noticed(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = bundle_writer.write_bundle

    def write_bundle(*arguments: object) -> object:
        (work / "model.yaml").write_text((work / "model.yaml").read_text() + "# edited\n")
        return written(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(bundle_writer, "write_bundle", write_bundle)
    flow.generate(work)
    assert WorkFolder(work).problems(GENERATION) == [f"{work / 'model.yaml'}: has changed"]


def test_what_others_leave_in_a_bundle_is_no_tampering(work: Path) -> None:
    for name in ("sim/build/cocotb-1/Vtop", "sim/__pycache__/run.pyc", "vivado/project.tcl", "notes.txt"):
        file = work / "bundle" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("something")
    WorkFolder(work).current_bundle()


def test_many_changes_are_summed_up(work: Path) -> None:
    shutil.rmtree(work / "bundle" / "sim")
    with pytest.raises(UserError) as refused:
        WorkFolder(work).current_bundle()
    assert len(refused.value.problems) == 10
    assert refused.value.problems[0] == f"{work / 'bundle/sim/Makefile'}: is missing"
    assert "other files" in refused.value.problems[-2]


def raising(end: BaseException) -> Callable[..., None]:
    def run(*_: object, **__: object) -> None:
        raise end

    return run


def test_a_verify_that_fails_before_it_begins_leaves_no_verdict(work: Path, dnn2fpga: Run) -> None:
    for arguments in (["--test", work / "missing.npz"], ["--test", work / SAMPLES, "--y", "labels"]):
        assert (work / VERIFICATION).exists() or arguments[-1] == "labels"
        assert dnn2fpga("verify", work, *arguments).code == 2
        assert not (work / VERIFICATION).exists()


def test_a_folder_whose_name_is_markup(tmp_path: Path, work: Path) -> None:
    odd = Path(shutil.copytree(work, tmp_path / "a[" / "red]x"))
    assert "a[/red]x/model.yaml" in shown(odd).replace("\n", "")
