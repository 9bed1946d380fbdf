"""The work folder: what lies where, and whether it still belongs together.

Every step writes beside its result what the result rests on (``dnn2fpga.files.records``). A step that uses a bundle
asks `WorkFolder.current_bundle` for it, which compares the digests of everything that `generate` read and wrote; a
summary shows a result only where `WorkFolder.standing` finds nothing changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dnn2fpga.errors import UserError
from dnn2fpga.files.records import UnreadableRecord, changes, digests, read_record, write_record
from dnn2fpga.generate.kept import BY_PRODUCTS
from dnn2fpga.generate.manifest import MANIFEST, Manifest, read_manifest
from dnn2fpga.graph.files import MODEL_FILE, WEIGHTS_FILE

BUNDLE, SIMULATION = "bundle", "simulation"  # compiled simulators are kept when the bundle is generated again
SAMPLES = "samples.npz"  # of the calibration data, for the bundle's own test vectors
BUILD, RESULT = "build", "result.json"  # a folder for each board, with a record in it
STAGES, SEARCHES = "stages", "search"  # finished stages of the optimizer; trials of width searches
PLOT, SEARCH_PLOT, PLAN_PLOT, TRACE_PLOT = "tries.png", "search.png", "plan.png", "trace.png"

# Records: results that say what they rest on.
QUANTIZATION, SEARCH, SOURCE, TRACE = "quantization.json", "search.json", "source.json", "trace.json"
GENERATION = "generation.json"
VERIFICATION, SYNTHESIS, POWER, BOARD_RUN = "verification.json", "synthesis.json", "power.json", "board_run.json"
RECORDS = (QUANTIZATION, SEARCH, SOURCE, TRACE, GENERATION, VERIFICATION, SYNTHESIS, POWER, BOARD_RUN)

CONFIGURATION = (MODEL_FILE, WEIGHTS_FILE)
# The folders of a bundle in which an additional file could change what is synthesized or simulated.
_CLOSED = ("rtl", "sim")
_MOST_NAMED = 8  # files in a message


@dataclass(frozen=True, kw_only=True)
class CurrentBundle:
    """A bundle that was, when it was asked for, all that `generate` has written, from the files beside it."""

    work: WorkFolder
    path: Path
    rests_on: Mapping[str, str]

    @cached_property
    def manifest(self) -> Manifest:
        """The contents of `manifest.json`."""
        return read_manifest(self.path / MANIFEST)

    def write_verdict(self, new: Path, name: str, content: Mapping[str, Any]) -> None:
        """Write what was found out about the bundle as the record `name` into the folder `new`.

        Raises `UserError` when the bundle has changed meanwhile.
        """
        if self.work.current_bundle().rests_on != self.rests_on:
            raise UserError(f"{self.path}: was generated again meanwhile; the result belongs to the bundle before")
        write_record(new, name, content, self.rests_on)


@dataclass(frozen=True)
class WorkFolder:
    """The folder `path` in which all steps for one model work."""

    path: Path

    @property
    def bundle(self) -> Path:
        """The path of the bundle, which need not exist yet."""
        return self.path / BUNDLE

    @property
    def simulation(self) -> Path:
        """The folder in which simulators are compiled."""
        return self.path / SIMULATION

    @property
    def boards(self) -> list[str]:
        """The names of the boards for which something was built."""
        return sorted(file.parent.name for file in (self.path / BUILD).glob(f"*/{RESULT}"))

    def current_bundle(self) -> CurrentBundle:
        """Return the bundle; raises `UserError` that names what has changed since it was generated, and what to do."""
        if not (self.bundle / MANIFEST).is_file():
            raise UserError(f"{self.bundle}: there is no bundle yet; run 'dnn2fpga generate {self.path}' first")
        if problems := self.problems(GENERATION):
            more = [f"and {len(problems) - _MOST_NAMED} other files"] if len(problems) > _MOST_NAMED else []
            told = f"the bundle is not what was generated from these files: run 'dnn2fpga generate {self.path}' again"
            raise UserError([*problems[:_MOST_NAMED], *more, told])
        return CurrentBundle(work=self, path=self.bundle, rests_on=digests(self.path, [GENERATION]))

    def digests_read(self) -> dict[str, str]:
        """The digests of the files that `generate` reads, to be taken before it reads them."""
        return digests(self.path, [*CONFIGURATION, SAMPLES])

    def digests_written(self) -> dict[str, str]:
        """The digests of the files that the last `generate` wrote into the bundle; none when nobody knows."""
        try:
            rests_on = read_record(self.path, GENERATION).rests_on
        except UnreadableRecord:
            return {}
        prefix = f"{BUNDLE}/"
        return {name.removeprefix(prefix): then for name, then in rests_on.items() if name.startswith(prefix)}

    def record_generation(self, new: Path, read: Mapping[str, str], written: Iterable[str] | None = None) -> None:
        """Write `generation.json` into the folder `new`, beside the bundle: the digests of what `generate` has read and
        of the files that it has written into the bundle (None: all that are there).
        """
        names = [f"{BUNDLE}/{name}" for name in (_files(new / BUNDLE) if written is None else written)]
        write_record(new, GENERATION, {}, {**read, **digests(new, names)})

    def problems(self, name: str) -> list[str]:
        """One line for each reason why the record `name` no longer stands, with the file; none if it does."""
        try:
            rests_on = read_record(self.path, name).rests_on
        except UnreadableRecord as reason:
            return [f"{self.path / name}: {reason}"]
        if name == GENERATION:
            return [*changes(self.path, rests_on), *self._added(rests_on)]
        below = (line for record in RECORDS if record in rests_on for line in self.problems(record))
        return [*changes(self.path, rests_on), *below]

    def standing(self, name: str) -> dict[str, Any] | None:
        """The content of the record `name`, if nothing that it rests on has changed."""
        return None if self.problems(name) else read_record(self.path, name).content

    def out_of_date(self) -> list[str]:
        """One line for each result that is there and no longer stands, with the first reason."""
        names = [name for name in RECORDS if (self.path / name).exists()]
        names += [f"{BUILD}/{board}/{RESULT}" for board in self.boards]
        found = ((name, self.problems(name)) for name in names)
        return [f"{name}: {problems[0]}" for name, problems in found if problems]

    def remove(self, *names: str) -> None:
        """Remove results that are about to be found anew."""
        for name in names:
            (self.path / name).unlink(missing_ok=True)

    def _added(self, rests_on: Mapping[str, str]) -> list[str]:
        closed = (
            f"{BUNDLE}/{name}" for name in _files(self.bundle) if name.startswith(tuple(f"{f}/" for f in _CLOSED))
        )
        return [f"{self.path / name}: is not part of what was generated" for name in closed if name not in rests_on]


def _files(bundle: Path) -> Iterator[str]:
    """The names of the files of a bundle, but for by-products."""
    for file in sorted(bundle.rglob("*")):
        name = file.relative_to(bundle).as_posix()
        if file.is_file() and not any(part in f"/{name}/" for part in (f"/{one}/" for one in BY_PRODUCTS)):
            yield name
