"""The two campaigns on files: models; and settings, configuration files and arrays."""

from __future__ import annotations

import itertools
import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from . import model_files, numpy_files, yaml_files
from .forked import ForkServer
from .seeds import Seed, seeds
from .trial import READ, REFUSED, Outcome, Tally, Trial, faults
from .work_files import work_files

WORDS = {READ: "read", REFUSED: "refused"}
OTHER = "other"
LARGEST = 20 << 20  # bytes of a file that is kept
EVERY = 100  # trials between two lines of progress


def models(build: Path, count: int, seed: int, jobs: int) -> Tally:
    """Damaged and hostile model files; the undamaged ones of public models among them."""
    every = seeds(build / "seeds")
    with_weights = [one for one in every if one.has_weights]
    return _run("model files", model_files.trials(with_weights, count, seed), build, jobs, with_weights[0])


def settings(build: Path, count: int, seed: int, jobs: int) -> Tally:
    """Damaged and hostile YAML and NumPy files, half of each."""
    model = next(one for one in seeds(build / "seeds") if "dense_behind_flatten" in one.name)
    work, half = work_files(), -(-count // 2)
    trials = itertools.chain(yaml_files.trials(work, model, half, seed), numpy_files.trials(work, model, half, seed))
    return _run("YAML and NumPy files", trials, build, jobs, model)


def _run(title: str, trials: Iterable[Trial], build: Path, jobs: int, model: Seed) -> Tally:
    tally, start = Tally(title), time.monotonic()
    scratch, found = build / "trials", build / "found" / title.replace(" ", "_")
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.rmtree(found, ignore_errors=True)
    scratch.mkdir(parents=True)
    server = ForkServer(scratch, jobs)
    server.warm_up(model_files.trial(model_files.UNCHANGED, model, "first"))
    for trial, outcome, folder in server.run_all(trials):
        _count(tally, trial, outcome)
        if wrong := faults(outcome):
            tally.fault(trial.name, wrong)
            keep(folder / "work", found / re.sub(r"[^A-Za-z0-9.]+", "_", trial.name), trial, outcome)
        if tally.trials % EVERY == 0:
            print(f"{title}: {tally.trials} in {time.monotonic() - start:.0f} s", flush=True)
    shutil.rmtree(scratch)
    return tally


def _count(tally: Tally, trial: Trial, outcome: Outcome) -> None:
    tally.opened += trial.opens
    tally.add(trial.kind, WORDS.get(outcome.code, OTHER), outcome)


def _large(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if (Path(folder) / name).stat().st_size > LARGEST]


def keep(work: Path, target: Path, trial: Trial, outcome: Outcome) -> None:
    """Keep the files that reproduce the fault."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(work, target, symlinks=True, ignore=_large)
    command = " ".join(("dnn2fpga", *trial.arguments))
    told = (command, f"exit code {outcome.code}", outcome.out, outcome.err, outcome.logs)
    (target / "command.txt").write_text("\n".join(told), encoding="utf-8", errors="replace")
