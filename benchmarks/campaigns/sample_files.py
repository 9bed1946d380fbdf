"""Campaigns on the samples of one tool: each damaged file is read, and made integers."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from .model_files import Change
from .seeds import ROOT, Seed

SAMPLES = ROOT / "tests" / "front_ends" / "samples"


@dataclass(frozen=True)
class Campaign:
    """A campaign against the files of a tool.

    :param tool: the beginning of the names of its samples.
    :param changes: by kind.
    """

    tool: str
    changes: Mapping[str, Change]

    def seeds(self) -> list[Seed]:
        """Return the undamaged files."""
        paths = [path for suffix in ("keras", "h5") for path in sorted(SAMPLES.glob(f"{self.tool}*/model.{suffix}"))]
        return [Seed(f"{path.parent.name}/{path.name}", path.suffix, path.read_bytes()) for path in paths]

    def files(self, each: int, seed: int) -> Iterator[tuple[bytes, str]]:
        """Yield ``each`` files of every kind of change: their content and their suffix."""
        whole = self.seeds()
        for number in range(each):
            for kind, change in self.changes.items():
                random = Random(f"{kind} {seed}.{number}")
                yield change(random.choice(whole), random)

    def of_kind(self, kind: str) -> Campaign:
        """Return the campaign with one kind of change."""
        return Campaign(self.tool, {kind: self.changes[kind]})

    def run(self, count: int = 2_000, seed: int = 0, folder: Path = ROOT / "build" / "robustness") -> None:
        """Read many, and count what came of them."""
        folder.mkdir(parents=True, exist_ok=True)
        first = self.seeds()[0]
        outcome(first.content, folder / f"{self.tool}{first.suffix}")  # imports take time
        results, slowest = Counter[str](), 0.0
        for content, suffix in self.files(-(-count // len(self.changes)), seed):
            start = time.monotonic()
            refused = outcome(content, folder / f"{self.tool}{suffix}")
            slowest = max(slowest, time.monotonic() - start)
            results["refused" if refused else "read"] += 1
        print(f"{sum(results.values()):,} files: {dict(results)}; the slowest took {slowest:.2f} s")


def on_tree(change: Callable[[Any, Random], Any]) -> Change:
    """Return the change of a file by a change of its configuration."""
    return lambda seed, random: (seed.with_text(json.dumps(change(json.loads(seed.text), random))), seed.suffix)


def outcome(content: bytes, path: Path) -> tuple[str, ...]:
    """Return why a file is refused; nothing where it is read and becomes integers."""
    from dnn2fpga.errors import UserError
    from dnn2fpga.passes.to_integers import has_integers, to_integers
    from dnn2fpga.read.front_ends import read_model
    from dnn2fpga.read.settings import ReadSettings

    path.write_bytes(content)
    try:
        graph = read_model(path)
        if has_integers(graph):
            to_integers(graph, ReadSettings().input_encoding)
    except UserError as reason:
        return reason.problems
    return ()
