"""Can a design hang that is proved alive? Random networks of timing models, whose sources and sinks pause at random.

    python benchmarks/deadlock_trials.py --blocks 10000 --jobs 2

Every block (tests/rtl_lib/random_blocks.py) is tried with FIFOs of three kinds: as the planner chooses them (for the
full rate, and proved alive); the shortest that are proved alive; and the shortest with which it does not hang while
nothing pauses, which prove nothing. The counts are written to docs/measurements/deadlock.md.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "rtl_lib"))
from known_blocks import CASES  # noqa: E402 - needs the path above
from random_blocks import Drawing, Edge, hangs, runs_without_pauses  # noqa: E402

from rtl_lib.core.trace import trace  # noqa: E402
from rtl_lib.streams import fifo_depths  # noqa: E402
from rtl_lib.streams.fifo import FifoModel, QueueModel  # noqa: E402
from rtl_lib.streams.fifo_depths import LEAST, FifoDepths, drained_depths, is_alive  # noqa: E402

REPORT = ROOT / "docs" / "measurements" / "deadlock.md"
PATTERNS = 10
SIDE, NESTED = 5, 2  # of the images; of forks in forks
Depths = dict[Edge, int]


def queues(depths: Depths) -> dict[Edge, FifoModel]:
    return {edge: FifoModel(max(depth, LEAST)) for edge, depth in depths.items() if depth}


def shortest(depths: Depths, holds: Callable[[Depths], bool]) -> Depths:
    """One FIFO after the other as short as it can be."""
    for edge in sorted(depths, key=lambda edge: -depths[edge]):
        least = fifo_depths._smallest(depths[edge], lambda depth: holds({**depths, edge: depth}))  # noqa: B023 - called at once
        depths = {**depths, edge: least}
    return depths


def trial(seed: int) -> Counter[str]:
    """Return what one block adds to the counts."""
    block = Drawing(seed, SIDE, NESTED).block
    counts = Counter({"blocks": 1, "edges": len(block.edges)})
    tensors = block.tensors.values()
    counts.update(f"with {kind}" for kind in {tensor.kind for tensor in tensors})
    counts["with several inputs"] = sum(not tensor.inputs for tensor in tensors) > 1
    counts["with several outputs"] = len(block.outputs) > 1
    counts["with joins in branches"] = sum(len(tensor.inputs) > 1 for tensor in tensors) > 2
    fifo_depths.MOST_WORK = 0
    endless = trace(block.build({edge: QueueModel() for edge in block.edges}))
    interval = max(passage.interval_cycles for passage in endless.values())
    planner = FifoDepths(block.build, dict.fromkeys(block.edges, 8), interval)
    full = planner.full_rate()
    proved = shortest(drained_depths(block.build, block.edges), partial(is_alive, block.build))
    chosen = planner.alive(full)
    unpaused = shortest(proved, lambda depths: runs_without_pauses(block, queues(depths)))
    counts["full rate alone not proved"] += chosen != full
    counts["unpaused shorter than proved"] += unpaused != proved
    tried = {"chosen": chosen, "proved": proved} | ({"unpaused": unpaused} if unpaused != proved else {})
    for name, depths in tried.items():
        hung = sum(hangs(block, queues(depths), PATTERNS * seed + k) for k in range(PATTERNS))
        counts[f"runs {name}"] += PATTERNS
        counts[f"hung runs {name}"] += hung
        counts[f"hung blocks {name}"] += hung > 0
        counts[f"beats {name}"] += sum(depths.values())
    return counts


def report(counts: Counter[str], seeds: range) -> str:
    def number(key: str) -> str:
        return f"{counts[key]:,}"

    rows = "\n".join(
        f"| {told} | {number(f'beats {name}')} | {number(f'runs {name}')} | {number(f'hung runs {name}')} |"
        f" {number(f'hung blocks {name}')} |"
        for name, told in FIFOS.items()
    )
    known = "\n".join(
        f"| {name} | {unpaused} | {proved} | {one_beat_less(name)} of {PATTERNS} |"
        for name, (_, _, proved, unpaused) in CASES.items()
    )
    kinds = "\n".join(f"| {told} | {number(f'with {kind}')} |" for kind, told in KINDS.items())
    return f"""# Trials: can a design hang?

Written by `python benchmarks/deadlock_trials.py --blocks {len(seeds)} --first {seeds.start}`.

{number("blocks")} random blocks of timing models with {number("edges")} edges where a FIFO may stand.
Each block runs under {PATTERNS} random patterns, in which every source and every sink pauses in its own way.

| FIFOs | beats in all | runs | runs that hung | blocks that hung |
|---|---|---|---|---|
{rows}

The first two rows must show no hang: `rtl_lib/core/liveness.py` has the proof, and these trials are its check. The
third shows that the check can fail: that a design does not hang while nothing pauses is no proof. These FIFOs were
tried where they are shorter than those of the proof: in {number("unpaused shorter than proved")} blocks.

In {number("full rate alone not proved")} blocks the FIFOs of the full rate were no proof; the planner made them deeper.

| blocks with | |
|---|---|
{kinds}

## One beat less

Blocks of 12 × 12 pixels with parallel engines and one FIFO (tests/rtl_lib/known_blocks.py): the depth with which they
run while nothing pauses, the depth that is proved, and the runs that hang with one beat less than that.

| block | unpaused | proved | hung |
|---|---|---|---|
{known}
"""


def one_beat_less(name: str) -> int:
    """The runs of a known block that hang with one beat less than is proved."""
    block, edge, proved, _ = CASES[name]
    return sum(hangs(block, {edge: FifoModel(proved - 1)}, k) for k in range(PATTERNS))


FIFOS = {
    "chosen": "as the planner chooses them: full rate, and proved alive",
    "proved": "the shortest that are proved alive",
    "unpaused": "the shortest that do not hang while nothing pauses",
}
KINDS = {
    "conv": "windows of any size and stride, folded engines or not",
    "pool": "block reduction",
    "sum": "a sum",
    "product": "a product",
    "channels": "concatenated channels",
    "rows": "concatenated rows, columns or beats (a sequencer)",
    "scale": "a gate that waits for a frame (squeeze and excite)",
    "joins in branches": "three joins or more",
    "several inputs": "two inputs",
    "several outputs": "several outputs",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="seed of the first block")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.blocks)
    with ProcessPoolExecutor(options.jobs) as pool:
        counts = sum(pool.map(trial, seeds, chunksize=20), Counter())
    REPORT.write_text(report(counts, seeds))
    print(report(counts, seeds))
    sys.exit(1 if counts["hung runs chosen"] + counts["hung runs proved"] else 0)


if __name__ == "__main__":
    main()
