"""A few of the files of ``benchmarks/robustness.py``, which tests thousands; and that its checks can fail."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
from campaigns.forked import ForkServer  # noqa: E402 - needs the path above
from campaigns.kills import _differences  # noqa: E402
from campaigns.page import counted, page  # noqa: E402
from campaigns.trial import BYTES, REFUSED, SECONDS, TRACE, Fault, Outcome, Tally, Trial, faults  # noqa: E402

RIGHT = Outcome(code=REFUSED, out="", err="error: model.keras: is no model\n")
WRONG: dict[str, tuple[Fault, Outcome]] = {
    "a traceback": (Fault.TRACEBACK, replace(RIGHT, err="Traceback (most recent call last):\nKeyError: 3\n")),
    "a traceback in a log": (Fault.TRACEBACK, replace(RIGHT, logs="Traceback (most recent call last):\nKeyError: 3\n")),
    "an end by the last resort": (Fault.EXIT_CODE, replace(RIGHT, code=70)),
    "a crash": (Fault.EXIT_CODE, replace(RIGHT, code=-11)),
    "code that ran": (Fault.CODE, replace(RIGHT, new=frozenset({f"work/{TRACE}"}))),
    "slow": (Fault.SLOW, replace(RIGHT, seconds=SECONDS + 0.1)),
    "large": (Fault.MEMORY, replace(RIGHT, bytes=BYTES + 1)),
    "no message": (Fault.MESSAGE, replace(RIGHT, err="")),
    "a line of something else": (Fault.MESSAGE, replace(RIGHT, err="warning: x\nerror: y\n")),
    "control characters": (Fault.MESSAGE, replace(RIGHT, err="error: \x1b[2J\n")),
    "an endless message": (Fault.MESSAGE, replace(RIGHT, err="error: " + "x" * 100_000)),
    "something written": (Fault.LEFTOVER, replace(RIGHT, new=frozenset({"work/out"}))),
    "something deleted": (Fault.LEFTOVER, replace(RIGHT, gone=frozenset({"work/model.keras"}))),
}


def test_a_refusal_as_it_must_be() -> None:
    assert faults(RIGHT) == {}


@pytest.mark.parametrize("name", WRONG)
def test_every_fault_is_found(name: str) -> None:
    fault, outcome = WRONG[name]
    assert fault in faults(outcome)


def trial(*arguments: str) -> Trial:
    return Trial(kind="test", name="test", arguments=arguments, make=lambda folder: None)


def test_the_program_is_run_and_judged(tmp_path: Path) -> None:
    outcome = ForkServer(tmp_path).run(trial("generate", "nowhere"))
    assert faults(outcome) == {}
    assert "nowhere" in outcome.err


def test_what_a_program_does_wrong_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong() -> None:
        Path(TRACE).write_text("")
        bytearray(BYTES + (64 << 20)).find(b"x")
        raise KeyError(3)

    monkeypatch.setattr("dnn2fpga.cli.app.main", wrong)
    found = faults(ForkServer(tmp_path).run(trial()))
    assert {Fault.TRACEBACK, Fault.EXIT_CODE, Fault.CODE, Fault.MEMORY} <= found.keys()


def test_a_wrong_rerun_is_seen() -> None:
    usual = {"a": "1", "b": "2", "c": ""}  # "c" is never the same
    assert _differences(usual, {"a": "1", "b": "2", "c": "5"}) == ([], [])
    assert _differences(usual, {"a": "0", "c": "5", "d": "1"}) == (["d is left"], ["b is missing", "a differs"])


def test_the_page_tells_every_fault() -> None:
    tally = Tally("model files")
    tally.add("names", "refused", RIGHT)
    tally.fault("names 1", {Fault.SLOW: "9 s"})
    text = page([counted(tally, "the command")])
    assert "| model files | 1 | 0 | 0 | 0 | 1 |" in text
    assert "| names | 1 |" in text


@pytest.mark.parametrize("campaign", ["models", "settings"])
def test_a_few_hostile_files(campaign: str, tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "robustness.py"), "--only", campaign, "--count", "36", "--jobs", "1"]
    result = subprocess.run(
        [*command, "--work", str(tmp_path / "work"), "--report", str(tmp_path / "counts.json")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
