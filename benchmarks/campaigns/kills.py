"""Commands that are killed anywhere, and run again: the result must be that of an undisturbed run, file by file.

Half of the kills come at moments spread over the whole run; the others just before a change of the disk
(``kill_hook``). Every fourth is a SIGTERM; every second SIGKILL spares the programs that the command has started.
"""

from __future__ import annotations

import hashlib
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from .accident_template import template
from .program import Program, Surrounding, run
from .trial import Fault, Outcome, Tally, faults

HOOK = Path(__file__).with_name("kill_hook.py")
MINUTES = 600.0  # a bound against hanging
COMPLETE = 60  # kills of all commands, without --count


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command, the work folder of the template that it begins with, and its share of the kills."""

    name: str
    arguments: str
    begins_with: str = ""
    share: int
    code: int = 0


COMMANDS = (
    Command(
        name="quantize, all stages",
        arguments="quantize model.keras --data train.npz --test test.npz -o work --weight-bits 2 --target-accuracy 1.0 "
        "--set optimization.training.epochs=2",
        share=16,
        code=3,
    ),
    Command(name="quantize", arguments="quantize model.keras --data train.npz --test test.npz -o work", share=8),
    Command(name="generate", arguments="generate work", begins_with="quantized", share=10),
    Command(name="generate again", arguments="generate work --levels 1", begins_with="generated", share=10),
    Command(name="verify", arguments="verify work --test test.npz", begins_with="generated", share=8),
    Command(
        name="build, sources", arguments="build work --board icebreaker --no-run", begins_with="generated", share=6
    ),
    Command(name="build", arguments="build work --board icebreaker", begins_with="generated", share=2),
)


@dataclass(frozen=True)
class Kill:
    """The moment of a kill: in seconds, or before the n-th change of the disk."""

    number: int
    moment: float = 0.0
    change: int = 0
    alone: bool = False  # the programs that the command has started continue


@dataclass(frozen=True)
class Undisturbed:
    """The files that a command leaves; names of files whose content differs between two undisturbed runs have no
    digest.
    """

    seconds: float
    changes: int
    files: dict[str, str]


def kills_campaign(build: Path, count: int, seed: int, jobs: int) -> Tally:
    """Run at least ``count`` kills; they are the same for every seed."""
    tally = Tally("kills and reruns")
    scratch = build / "kills"
    shutil.rmtree(scratch, ignore_errors=True)
    original = template(build)
    with ThreadPoolExecutor(jobs) as pool:
        for tried in pool.map(lambda one: list(_killed(one, original, scratch, count)), COMMANDS):
            for kind, word, name, wrong in tried:
                tally.add(kind, word)
                tally.fault(name, wrong)
    shutil.rmtree(scratch, ignore_errors=True)
    return tally


def _killed(
    command: Command, original: Path, scratch: Path, count: int
) -> Iterator[tuple[str, str, str, dict[Fault, str]]]:
    folder = scratch / command.name.replace(" ", "_").replace(",", "")
    usual = _undisturbed(command, original, folder)
    share = max(1, round(command.share * count / COMPLETE))
    for number, kill in enumerate(_points(usual, share)):
        _begin(command, original, folder)
        killed = _run_and_kill(command, folder, kill)
        wrong = _faults_of_killed(command, kill, killed)
        again = run(command.arguments.split(), folder, timeout=MINUTES)
        wrong |= faults(replace(again, seconds=0.0, bytes=0), (command.code,))
        more, different = _differences(usual.files, _files(folder))
        if more:
            wrong[Fault.LEFTOVER] = ", ".join(more[:5])
        if different:
            wrong[Fault.RERUN] = ", ".join(different[:5])
        when = f"before change {kill.change} of {usual.changes}" if kill.change else f"after {kill.moment:.2f} s"
        word = "while writing" if kill.change or ".dnn2fpga-" in " ".join(killed.new) else "at a moment"
        name = f"{command.name}: {signal.Signals(kill.number).name} {when}"
        if killed.code == command.code:
            word = "had ended"
        print(f"  {name}: {wrong or 'as undisturbed'}", flush=True)
        yield f"{command.name}: {signal.Signals(kill.number).name}", word, f"{number} {name}", wrong


def _faults_of_killed(command: Command, kill: Kill, killed: Outcome) -> dict[Fault, str]:
    """A SIGKILL may leave anything; a SIGTERM what is finished, and nothing that was being written."""
    if kill.number == signal.SIGKILL:
        return {}
    unfinished = frozenset(path for path in killed.new if ".dnn2fpga" in path)
    judged = replace(killed, seconds=0.0, bytes=0, new=unfinished, gone=frozenset())
    return faults(judged, (command.code, 128 + kill.number))


def _points(usual: Undisturbed, share: int) -> Iterator[Kill]:
    by_change = share // 2
    for k in range(share):
        number = signal.SIGTERM if k % 4 == 3 else signal.SIGKILL
        if k % 2:
            yield Kill(number, change=max(1, round((k // 2 + 0.5) / by_change * usual.changes)))
        else:
            yield Kill(number, moment=(k // 2 + 0.5) / (share - by_change) * usual.seconds, alone=k % 4 == 0)


def _begin(command: Command, original: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "work").mkdir(parents=True)
    for name in ("model.keras", "train.npz", "test.npz"):
        shutil.copy(original / name, folder / "work")
    if command.begins_with:
        shutil.copytree(original / command.begins_with, folder / "work" / "work")


def _hook(number: int, change: int, folder: Path) -> Surrounding:
    return Surrounding(command=(sys.executable, str(HOOK), str(change), str(number), str(folder / "changes")))


def _undisturbed(command: Command, original: Path, folder: Path) -> Undisturbed:
    _begin(command, original, folder)
    start = time.monotonic()
    first = run(command.arguments.split(), folder, timeout=MINUTES)
    seconds = time.monotonic() - start
    files = _files(folder)
    _begin(command, original, folder)
    second = run(command.arguments.split(), folder, _hook(0, 0, folder), MINUTES)
    for outcome in (first, second):
        if outcome.code != command.code:
            raise RuntimeError(f"the undisturbed '{command.arguments}' ends with {outcome.code}: {outcome.err}")
    again = _files(folder)
    volatile = {name for name in files.keys() | again.keys() if files.get(name) != again.get(name)}
    changes = int((folder / "changes").read_text())
    print(
        f"{command.name}: {seconds:.1f} s, {changes} changes of the disk, never the same: {sorted(volatile)}",
        flush=True,
    )
    return Undisturbed(seconds, changes, {name: "" if name in volatile else files[name] for name in files})


def _run_and_kill(command: Command, folder: Path, kill: Kill) -> Outcome:
    around = _hook(kill.number, kill.change, folder) if kill.change else Surrounding()
    program = Program(command.arguments.split(), folder, around)
    if not kill.change:
        time.sleep(kill.moment)
        program.kill(kill.number, alone=kill.alone)
    return program.outcome()


def _files(folder: Path) -> dict[str, str]:
    """Digests of everything in the work folder and in the folder for temporary files, but for what compilers keep to be
    quicker next time: the verdict tells whether a simulation was right.
    """
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for name in ("work", "tmp")
        for path in sorted((folder / name).rglob("*"))
        if not {"__pycache__", "simulation"} & {*path.parts}
    }


def _differences(usual: dict[str, str], found: dict[str, str]) -> tuple[list[str], list[str]]:
    """Return what is left that an undisturbed run does not leave; and what is missing, or another."""
    missing = [f"{name} is missing" for name in usual if name not in found]
    changed = [f"{name} differs" for name, digest in usual.items() if digest and found.get(name, digest) != digest]
    return [f"{name} is left" for name in found if name not in usual], missing + changed
