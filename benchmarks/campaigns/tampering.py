"""Files of a finished work folder changed without the program's knowledge: every step that depends on them must notice.

The tamperer does not compute digests again: whoever does is not who this protects from.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from .accident_template import template
from .files import keep
from .forked import ForkServer
from .program import run
from .trial import Fault, Outcome, Tally, Trial, faults

Change = Callable[[Path], object]  # of a work folder

STEPS = {
    "verify": ("verify", "work", "--test", "test.npz"),
    "build": ("build", "work", "--board", "icebreaker", "--no-run"),
    "run": ("run", "work", "test.npz", "--board", "icebreaker", "--port", "simulation"),
    "power": ("power", "work", "--board", "icebreaker", "--no-simulation"),
    "synthesize": ("synthesize", "work"),
}
FINISHED = (
    STEPS["verify"],
    ("build", "work", "--board", "icebreaker"),
    STEPS["run"],
    STEPS["power"],
    STEPS["synthesize"],
)
MINUTES = 600.0  # a bound against hanging
RECORDS = ("verification.json", "power.json", "board_run.json", "quantization.json", "build/icebreaker/result.json")
OWN_RECORDS = {"verification.json", "synthesis.json", "power.json", "board_run.json"}  # a step removes its old one


def finished(build: Path) -> Path:
    """A folder in which every step was done, by the program itself."""
    folder = build / "finished"
    shutil.rmtree(folder, ignore_errors=True)
    original = template(build)
    (folder / "work").mkdir(parents=True)
    for name in ("model.keras", "train.npz", "test.npz"):
        shutil.copy(original / name, folder / "work")
    shutil.copytree(original / "generated", folder / "work" / "work")
    for step in FINISHED:
        outcome = run(step, folder, timeout=MINUTES)
        if outcome.code:
            raise RuntimeError(f"the undisturbed '{' '.join(step)}' ends with {outcome.code}: {outcome.err}")
    return folder / "work"


def byte_changed(name: str) -> Change:
    def change(work: Path) -> None:
        content = bytearray((work / name).read_bytes()) or bytearray(b"x")
        content[len(content) // 2] ^= 1
        (work / name).write_bytes(content)

    return change


def appended(name: str, more: bytes = b"\n") -> Change:
    return lambda work: (work / name).write_bytes((work / name).read_bytes() + more)


def emptied(name: str) -> Change:
    return lambda work: (work / name).write_bytes(b"")


def removed(name: str) -> Change:
    return lambda work: (work / name).unlink()


def edited(name: str, pattern: str, new: str) -> Change:
    """A piece of text replaced, which must be there."""

    def change(work: Path) -> None:
        text, count = re.subn(pattern, new, (work / name).read_text(encoding="utf-8"), count=1)
        if not count:
            raise ValueError(f"{name} has no {pattern!r}")
        (work / name).write_text(text, encoding="utf-8")

    return change


def added(name: str, content: str = "") -> Change:
    return lambda work: (work / name).write_text(content)


def one_weight(name: str) -> Change:
    def change(work: Path) -> None:
        with np.load(work / name) as loaded:
            arrays = dict(loaded)
        first = next(key for key in sorted(arrays) if arrays[key].ndim > 1)
        arrays[first] = arrays[first].copy()
        arrays[first].flat[0] ^= 1
        np.savez(work / name, **arrays)

    return change


def one_frame(work: Path) -> None:
    vectors = work / "bundle" / "sim" / "vectors"
    described = json.loads((vectors / "vectors.json").read_text())
    for file in vectors.glob("*.bin"):
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // described["frames"]])
    (vectors / "vectors.json").write_text(json.dumps({**described, "frames": 1}))


def both(*changes: Change) -> Change:
    return lambda work: [change(work) for change in changes]


def of_every_file(work: Path) -> Iterator[tuple[str, Change]]:
    """Every file of the bundle, and what it was made from: a byte changed, removed, emptied, one more at the end."""
    files = sorted(file for file in (work / "bundle").rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    made_from = [work / name for name in ("model.yaml", "weights.npz", "samples.npz", "generation.json")]
    for number, file in enumerate([*files, *made_from]):
        name = str(file.relative_to(work))
        for kind in (byte_changed, removed, (emptied, appended)[number % 2]):
            yield f"{name} {kind.__name__.replace('_', ' ')}", kind(name)


DELIBERATE: dict[str, Change] = {
    "the checker says passed": edited("bundle/sim/run.py", r'"passed": ', '"passed": True or '),
    "the checker compares nothing": edited("bundle/sim/checks.py", r"if (\w+) != ", r"if False and \1 != "),
    "a module in the place of Python's": added("bundle/sim/json.py", "raise SystemExit(0)"),
    "a module in the place of cocotb": added("bundle/sim/cocotb.py", "raise SystemExit(0)"),
    "more Verilog": added("bundle/rtl/more.v", "module more; endmodule\n"),
    "one frame of vectors": one_frame,
    "files of the manifest emptied": edited("bundle/manifest.json", r'"files": \{[^}]*\}', '"files": {}'),
    "steady_frames": edited("bundle/manifest.json", r'"steady_frames": \d+', '"steady_frames": 99'),
    "another scale": edited("bundle/manifest.json", r'"scale": [\d.e-]+', '"scale": 1.0'),
    "another latency": edited("bundle/manifest.json", r'"latency_cycles": \d+', '"latency_cycles": 1'),
    "a weight in the bundle": one_weight("bundle/weights.npz"),
    "a weight beside the bundle": one_weight("weights.npz"),
    "the same weight in both": both(one_weight("weights.npz"), one_weight("bundle/weights.npz")),
    "the scale of model.yaml": edited("model.yaml", r"scale: [\d.e-]+", "scale: 1.0"),
    "the scale of both model.yaml": both(
        *(edited(name, r"scale: [\d.e-]+", "scale: 1.0") for name in ("model.yaml", "bundle/model.yaml"))
    ),
    "generation.json without digests": edited("generation.json", r'"rests_on": \{[^}]*\}', '"rests_on": {}'),
    "generation.json with a digest less": edited("generation.json", r'"bundle/rtl/accelerator.v": "\w+",?', ""),
    "no bundle": lambda work: shutil.rmtree(work / "bundle"),
    "the rtl of another design": edited("bundle/rtl/accelerator.v", r"\+", "-"),
}
OF_RECORDS: dict[str, Callable[[str], Change]] = {
    "edited": lambda name: edited(name, r"\b(true|false|[1-9]\d*)\b", "12345"),
    "without what it rests on": lambda name: edited(name, r'"rests_on": \{[^}]*\}', '"rests_on": {}'),
    "emptied": emptied,
}


def tampering_campaign(build: Path, count: int, seed: int, jobs: int) -> Tally:
    """All tamperings; they are the same for every seed and count."""
    tally, original = Tally("tampering"), finished(build)
    scratch = build / "trials"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    for trial, outcome, folder in ForkServer(scratch, jobs).run_all(_trials(original)):
        wrong = faults(_without_own_record(outcome), (0, 1, 2))
        shown = trial.kind.startswith("record")
        noticed = (
            _told(trial, outcome) if shown else outcome.code in (1, 2) and "every boundary equal" not in outcome.out
        )
        tally.add(trial.kind, "noticed" if noticed else "unnoticed", outcome)
        if not noticed:
            wrong[Fault.UNNOTICED] = f"exit code {outcome.code}"
        if wrong:
            tally.fault(trial.name, wrong)
            keep(folder / "work", build / "found" / "tampering" / re.sub(r"\W+", "_", trial.name), trial, outcome)
    shutil.rmtree(scratch)
    return tally


def _trials(original: Path) -> Iterator[Trial]:
    steps = list(STEPS)
    for number, (name, change) in enumerate(of_every_file(original / "work")):
        step = steps[number % len(steps)]
        yield _trial(f"a file, then {step}", f"{name}, then {step}", STEPS[step], original, change)
    for name, change in DELIBERATE.items():
        for step in steps:
            yield _trial(f"deliberate, then {step}", f"{name}, then {step}", STEPS[step], original, change)
    for record in RECORDS:
        for what, kind in OF_RECORDS.items():
            yield _trial("record, then the summary", f"{record} {what}", STEPS["synthesize"], original, kind(record))


def _trial(kind: str, name: str, step: tuple[str, ...], original: Path, change: Change) -> Trial:
    def make(folder: Path) -> None:
        shutil.copytree(original, folder, copy_function=_linked, dirs_exist_ok=True)
        change(folder / "work")

    return Trial(kind=kind, name=name, arguments=step, make=make)


def _linked(source: str, target: str) -> None:
    """Compiled simulators are large, and nobody changes them."""
    if "simulation" in Path(source).parts:
        Path(target).hardlink_to(source)
    else:
        shutil.copy2(source, target)


def _told(trial: Trial, outcome: Outcome) -> bool:
    """Return whether the summary says that the record no longer stands."""
    record = trial.name.split(" ")[0]
    return outcome.code == 0 and re.search(rf"out of date\s+{re.escape(record)}", outcome.out) is not None


def _without_own_record(outcome: Outcome) -> Outcome:
    gone = frozenset(path for path in outcome.gone if Path(path).name not in OWN_RECORDS)
    return replace(outcome, gone=gone)
