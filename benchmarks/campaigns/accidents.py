"""Accidents of the command line: each with the exit code it must have, clear lines, and no leftovers."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from .accident_template import template
from .program import USUAL, Surrounding, run
from .trial import BYTES, REFUSED, Fault, Outcome, Tally, faults

Prepare = Callable[[Path], object]  # in a copy of the template


def nothing(folder: Path) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Accident:
    """One command in a copy of the template (``accident_template``), and how it must end.

    :param says: what the message must mention.
    :param silent: there is nobody to hear a message.
    :param keeps: names that may appear although the command fails.
    """

    kind: str
    name: str
    command: str | tuple[str | bytes, ...]
    prepare: Prepare = nothing
    around: Surrounding = USUAL
    code: int | tuple[int, ...] = REFUSED
    says: str = ""
    silent: bool = False
    run: Callable[[tuple[str | bytes, ...], Path, Surrounding], Outcome] = field(default=run)

    @property
    def arguments(self) -> tuple[str | bytes, ...]:
        return tuple(self.command.split()) if isinstance(self.command, str) else self.command

    @property
    def codes(self) -> tuple[int, ...]:
        return (self.code,) if isinstance(self.code, int) else self.code

    @property
    def possible(self) -> bool:
        """Return whether this machine lets it happen."""
        return all(map(shutil.which, self.around.wrapper[:1]))


def accidents_campaign(build: Path, count: int, seed: int, jobs: int) -> Tally:
    """All accidents; they are the same for every seed and count."""
    from .accidents_of_machines import accidents_of_machines
    from .accidents_of_users import accidents_of_users

    return run_accidents([*accidents_of_users(), *accidents_of_machines()], build, jobs)


def run_accidents(accidents: Iterable[Accident], build: Path, jobs: int) -> Tally:
    tally = Tally("accidents")
    scratch = build / "accidents"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    scratch.chmod(0o755)
    original = template(build)
    with ThreadPoolExecutor(jobs) as pool:
        tried = pool.map(lambda one: (one, *_tried(one, original, scratch)), accidents)
        for accident, outcome, wrong in tried:
            if outcome is None:
                tally.add(accident.kind, "not possible on this machine")
                continue
            tally.add(accident.kind, f"exit code {outcome.code}", outcome)
            tally.fault(accident.name, wrong)
            if wrong:
                target = build / "found" / "accidents" / re.sub(r"\W+", "_", accident.name)
                target.mkdir(parents=True, exist_ok=True)
                told = (accident, outcome.code, outcome.out, outcome.err, outcome.logs)
                (target / "outcome.txt").write_text("\n".join(map(str, told)), encoding="utf-8", errors="replace")
    shutil.rmtree(scratch, ignore_errors=True)
    return tally


def _tried(accident: Accident, original: Path, scratch: Path) -> tuple[Outcome | None, dict[Fault, str]]:
    if not accident.possible:
        return None, {}
    folder = scratch / re.sub(r"\W+", "_", accident.name)
    shutil.copytree(original, folder / "work", symlinks=True)
    accident.prepare(folder / "work")
    outcome = accident.run(accident.arguments, folder, accident.around)
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)
    return outcome, _faults(accident, outcome)


def _faults(accident: Accident, outcome: Outcome) -> dict[Fault, str]:
    judged = replace(outcome, bytes=0 if outcome.code == 0 else min(outcome.bytes, 2 * BYTES))
    new = frozenset(path for path in judged.new if "simulation" not in Path(path).parts)  # compiled ones are kept
    if outcome.code > 128:  # what a signal finds finished is kept, and nothing else
        new = frozenset(path for path in new if ".dnn2fpga" in path)
    judged = replace(judged, new=new)
    if outcome.code > 128:
        judged = replace(judged, seconds=0.0)  # it was ended in the middle of its work
    wrong = faults(judged, accident.codes)
    if accident.silent:
        wrong.pop(Fault.MESSAGE, None)
    if accident.says and accident.says not in outcome.err:
        wrong[Fault.MESSAGE] = f"'{accident.says}' is not in {outcome.err[:200]!r}"
    return wrong
