"""A campaign against a reader of single files: samples are damaged in many ways, and outcomes are counted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from random import Random

from dnn2fpga.errors import UserError

from .seeds import ROOT

SAMPLES = ROOT / "tests" / "front_ends" / "samples"
Change = Callable[[bytes, Random], bytes]


@dataclass(frozen=True)
class Campaign:
    """The damage that is done to the samples of one format.

    :param pattern: of the samples' paths.
    :param changes: kinds of damage, by name.
    """

    pattern: str
    changes: Mapping[str, Change]

    def seeds(self) -> list[bytes]:
        """Return the undamaged files."""
        return [path.read_bytes() for path in sorted(SAMPLES.glob(self.pattern))]

    def files(self, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
        """Yield at least ``count`` files with names, as many of every kind of change."""
        whole = self.seeds()
        for number in range(-(-count // len(self.changes))):
            for kind, change in self.changes.items():
                random = Random(f"{kind} {seed}.{number}")
                yield f"{kind} {seed}.{number}", change(random.choice(whole), random)

    def run(self, read: Callable[[Path], object], others: Iterable[bytes] = (), count: int = 5_000) -> None:
        """Read many, and print what came of them.

        :param others: files that are read as well.
        """
        path = ROOT / "build" / "robustness" / Path(self.pattern).name.replace("*", "")
        path.parent.mkdir(parents=True, exist_ok=True)
        results, slowest = Counter[str](), 0.0
        for content in chain(others, (content for _, content in self.files(count, 0))):
            path.write_bytes(content)
            start = time.monotonic()
            try:
                read(path)
                results["read"] += 1
            except UserError:
                results["refused"] += 1
            slowest = max(slowest, time.monotonic() - start)
        print(f"{sum(results.values()):,} files: {dict(results)}; the slowest took {slowest:.2f} s")
