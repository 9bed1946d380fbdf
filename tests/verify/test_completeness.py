"""A checker that says "passed" is believed only for what it shows to have compared; here it is a pretended one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from dnn2fpga import flow
from dnn2fpga.data import Data
from dnn2fpga.errors import UserError
from dnn2fpga.files.shipped import shipped_folder
from dnn2fpga.generate.bundle import VECTOR_FRAMES
from dnn2fpga.generate.manifest import Manifest
from dnn2fpga.graph import files as config_files
from dnn2fpga.verify import checker, verifier
from dnn2fpga.work_folder import VERIFICATION, WorkFolder

Results = dict[str, Any]
FRAMES = 10  # of test data


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with a bundle; the tests only verify it."""
    folder = tmp_path_factory.mktemp("work")
    config_files.save(tiny.quantized_graph(), folder)
    flow.generate(folder)
    return folder


def honest(manifest: Manifest, options: list[str]) -> Results:
    """Return the checker's results for a right design."""

    def test(name: str, frames: int) -> Results:
        boundaries = manifest.boundaries
        return {
            "name": name,
            "passed": True,
            "message": "",
            "cycles": 1000,
            "frames": frames,
            "beats_compared": [frames * b.beats for b in boundaries],
            "output_beats_compared": [frames * port.beats for port in manifest.outputs],
            "first_cycles": [b.first_cycle for b in boundaries],
            "last_cycles": [b.last_cycle for b in boundaries],
            "interval_cycles": [None, *(manifest.interval_cycles for _ in boundaries[1:])],
            "output_latency_cycles": [port.latency_cycles for port in manifest.outputs],
            "output_interval_cycles": [port.interval_cycles for port in manifest.outputs],
            "latency_cycles": manifest.latency_cycles,
        }

    if "--bulk" in options:
        vectors = json.loads((Path(options[options.index("--bulk") + 1]) / "vectors.json").read_text())
        frames = int(options[options.index("--frames") + 1]) if "--frames" in options else vectors["frames"]
        return {"passed": True, "tests": [test("bulk", frames)], "waves": None}
    frames = max(VECTOR_FRAMES, manifest.steady_frames)
    return {"passed": True, "tests": [test(name, frames) for name in verifier.PROTOCOL_TESTS[:7]], "waves": None}


Lie = Callable[[Results], object]


@pytest.fixture
def pretend(work: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a checker in the place of the real one that tells a lie in its runs of a mode."""

    def install(lie: Lie, mode: str = "tests") -> None:
        manifest = WorkFolder(work).current_bundle().manifest

        def run_checker(program: str, bundle: Path, build_dir: Path, options: list[str]) -> Results:
            results = copy.deepcopy(honest(manifest, options))
            if ("--bulk" in options) == (mode == "bulk"):
                lie(results)
            return results

        monkeypatch.setattr(verifier, "run_checker", run_checker)

    return install


def verify(work: Path) -> list[verifier.VerificationReport]:
    return flow.verify(work, Data(tiny.samples(FRAMES), None))


def nothing(_: Results) -> None:
    pass


def in_test(number: int, change: Callable[[Results], object]) -> Lie:
    return lambda results: change(results["tests"][number])


LIES: dict[str, Lie] = {
    "no tests": lambda r: r.update(tests=[]),
    "a test less": lambda r: r["tests"].pop(),
    "a test twice": lambda r: r["tests"].append(r["tests"][0]),
    "another test": in_test(3, lambda t: t.update(name="easy")),
    "no beats at a boundary": in_test(1, lambda t: t["beats_compared"].__setitem__(2, 0)),
    "a beat less at a boundary": in_test(1, lambda t: t["beats_compared"].__setitem__(0, t["beats_compared"][0] - 1)),
    "a beat more at a boundary": in_test(1, lambda t: t["beats_compared"].__setitem__(0, t["beats_compared"][0] + 1)),
    "a boundary less": in_test(4, lambda t: t["beats_compared"].pop()),
    "no beats compared": in_test(5, lambda t: t.pop("beats_compared")),
    "no beats at the output": in_test(6, lambda t: t.update(output_beats_compared=[0])),
    "no word of the output": in_test(6, lambda t: t.pop("output_beats_compared")),
    "no frames": in_test(2, lambda t: t.update(frames=0, beats_compared=[0] * 5, output_beats_compared=[0])),
    "one frame": in_test(
        2,
        lambda t: t.update(
            beats_compared=[n // t["frames"] for n in t["beats_compared"]],
            output_beats_compared=[n // t["frames"] for n in t["output_beats_compared"]],
            frames=1,
        ),
    ),
    "no latency": in_test(0, lambda t: t.update(latency_cycles=None)),
    "another latency": in_test(0, lambda t: t.update(latency_cycles=t["latency_cycles"] + 1)),
    "another latency of an output": in_test(0, lambda t: t["output_latency_cycles"].__setitem__(0, 1)),
    "an output less": in_test(4, lambda t: t["output_beats_compared"].pop()),
    "no interval": in_test(0, lambda t: t.update(output_interval_cycles=[None])),
    "another interval": in_test(0, lambda t: t["output_interval_cycles"].__setitem__(-1, 1)),
    "a first cycle not measured": in_test(0, lambda t: t["first_cycles"].__setitem__(1, None)),
    "another last cycle": in_test(0, lambda t: t["last_cycles"].__setitem__(1, 0)),
    "no latency after resets": in_test(6, lambda t: t.update(latency_cycles=None)),
}
# The harness runs one test at a time.
BULK_LIES: dict[str, Lie] = {
    "no tests": LIES["no tests"],
    "a test twice": LIES["a test twice"],
    "a frame less than asked": in_test(0, lambda t: t.update(frames=t["frames"] - 1)),
    "a frame more than asked": in_test(0, lambda t: t.update(frames=t["frames"] + 1)),
    "no beats": in_test(0, lambda t: t.update(beats_compared=[0] * len(t["beats_compared"]))),
    "no beats at the output": in_test(0, lambda t: t.update(output_beats_compared=[0])),
    "no latency": in_test(0, lambda t: t.update(latency_cycles=None)),
    "another first cycle": in_test(0, lambda t: t["first_cycles"].__setitem__(-1, 0)),
}
SLOW_LIES = BULK_LIES | {"no interval": LIES["no interval"]}


def test_an_honest_checker_is_believed(work: Path, pretend: Callable[..., None]) -> None:
    pretend(nothing)
    protocol, bulk = verify(work)
    assert protocol.passed
    assert bulk.passed
    assert bulk.frames == FRAMES
    verdict = WorkFolder(work).standing(VERIFICATION)
    assert verdict is not None
    assert verdict["checker"] == checker.checker_digest()
    assert [report["passed"] for report in verdict["reports"]] == [True, True]


@pytest.mark.parametrize("name", LIES)
def test_what_was_not_compared_is_not_verified(name: str, work: Path, pretend: Callable[..., None]) -> None:
    pretend(LIES[name])
    with pytest.raises(UserError, match="the checker has not compared all that the manifest says"):
        verify(work)
    assert not (work / VERIFICATION).exists()


@pytest.mark.parametrize("name", BULK_LIES)
def test_data_that_were_not_compared_are_not_verified(name: str, work: Path, pretend: Callable[..., None]) -> None:
    pretend(BULK_LIES[name], "bulk")
    with pytest.raises(UserError, match="the checker has not compared all that the manifest says"):
        verify(work)
    assert not (work / VERIFICATION).exists()


@pytest.mark.parametrize("name", SLOW_LIES)
def test_nor_in_the_harness_for_slow_designs(
    name: str, work: Path, pretend: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifier, "LONGEST_INTERVAL_FOR_COCOTB", 0)
    pretend(nothing)
    assert all(report.passed for report in verify(work))
    pretend(SLOW_LIES[name], "bulk")
    with pytest.raises(UserError, match="the checker has not compared all that the manifest says"):
        flow.verify(work)
    assert not (work / VERIFICATION).exists()


def test_a_test_that_failed_need_not_have_compared_all(work: Path, pretend: Callable[..., None]) -> None:
    def wrong(results: Results) -> None:
        results["tests"][0] |= {"passed": False, "message": "layer 'conv': wrong", "beats_compared": [1]}

    pretend(wrong)
    (protocol,) = verify(work)
    assert not protocol.passed
    assert protocol.messages == ("layer 'conv': wrong",)


def test_the_tests_are_those_of_the_checker() -> None:
    source = (shipped_folder("sim") / "run.py").read_text(encoding="utf-8")
    listed = source[source.index("TESTS = (") : source.index(")", source.index("TESTS = ("))]
    assert listed.split('"')[1::2] == list(verifier.PROTOCOL_TESTS)


def test_the_shipped_checker_is_run(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> Any:
        commands.append(command)
        Path(command[-1]).write_text("{}")
        return type("Done", (), {"returncode": 0})

    monkeypatch.setattr(checker, "run_program", run)
    bundle = work / "bundle"
    assert checker.run_checker(checker.RUN, bundle, tmp_path / "build", []) == {}
    assert Path(commands[0][1]) == shipped_folder("sim") / "run.py"
    assert not Path(commands[0][1]).is_relative_to(bundle)
    assert commands[0][2:4] == ["--bundle", str(bundle)]


def test_no_data_are_not_verified(work: Path, pretend: Callable[..., None]) -> None:
    pretend(nothing)
    with pytest.raises(UserError, match="there are no samples"):
        flow.verify(work, Data(np.zeros((0, *tiny.INPUT_SHAPE), np.float32), None))
    assert not (work / VERIFICATION).exists()
