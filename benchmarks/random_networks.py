"""Random small networks as simulated Verilog: every beat at every layer boundary, every predicted cycle.

    python benchmarks/random_networks.py --count 200 --seed 0 --jobs 2

Each network (tests/specimens.py) is quantized, planned, written as a bundle and simulated twice, without stalls and
with a random stall pattern. One network needs about three seconds. The result is written to
docs/measurements/random_networks.md. A failure is shrunk to a small network, which is printed; its bundle is kept.
``random_graphs.py`` does the same with networks that branch.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path

from hypothesis.strategies import SearchStrategy
from pydantic import BaseModel

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "end_to_end")]
from graph_specimens import forks, skips_across_strides  # noqa: E402 - needs the paths above
from simulated import Outcome, simulate  # noqa: E402
from specimens import Specimen, on_a_random_network, specimens  # noqa: E402

from dnn2fpga.errors import UserError  # noqa: E402

MEASUREMENTS = ROOT / "docs" / "measurements"
FAILED = ROOT / "build" / "random_networks"


@dataclass(frozen=True)
class Series:
    """The kind of networks that are drawn, and the stalls that they meet.

    :param script: without suffix; the page has its name.
    :param stalls: patterns of stalls, all of them for each network; None: one that is drawn with it.
    """

    title: str
    script: str
    networks: Callable[[], SearchStrategy[Specimen]]
    count: int
    stalls: tuple[str, ...] | None = None


def chains() -> SearchStrategy[Specimen]:
    """Return the strategy. It is not hypothesis' own object, which no other process can be sent."""
    return specimens()


CHAINS = Series("Random networks", "random_networks", chains, count=200)


@dataclass
class Tally:
    """The coverage; every counter by the name of what it counts."""

    series: Series
    networks: int = 0
    nodes: Counter[int] = field(default_factory=Counter)
    ports: Counter[str] = field(default_factory=Counter)
    readers: Counter[int] = field(default_factory=Counter)
    with_skips: int = 0
    refused_fifos: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    layers: Counter[str] = field(default_factory=Counter)
    engines: Counter[str] = field(default_factory=Counter)
    weight_bits: Counter[int] = field(default_factory=Counter)
    activation_bits: Counter[int] = field(default_factory=Counter)
    choices: Counter[str] = field(default_factory=Counter)
    hardware: Counter[str] = field(default_factory=Counter)
    stalls: Counter[str] = field(default_factory=Counter)
    boundaries: int = 0
    frames: int = 0
    beats: int = 0
    cycles: int = 0
    failure: str = ""

    def add(self, specimen: Specimen, outcome: Outcome) -> None:
        graph, manifest = specimen.graph, outcome.manifest
        self.networks += 1
        self.nodes[len(graph.nodes)] += 1
        self.ports[f"{len(graph.inputs)} in, {len(graph.outputs)} out"] += 1
        self.readers += forks(graph.dag)
        self.with_skips += skips_across_strides(graph) > 0
        self.refused_fifos += outcome.refused_fifos
        patterns = self.series.stalls or (specimen.stalls,)
        self.stalls.update(patterns)
        self.choices[f"levels_per_register {specimen.plan.levels_per_register}"] += 1
        for tensor in outcome.quantized.tensors.values():
            self.activation_bits[tensor.width] += 1
        for layer in outcome.quantized.layers:
            self.layers[layer.kind] += 1
            settings = specimen.quantization.layers[layer.name]
            if weight_bits := getattr(layer, "weight_width", 0):
                self.weight_bits[weight_bits] += 1
                self._count(settings, "weight_set", "weight_symmetry", "weight_calibration", "granularity")
            if arithmetic := getattr(layer, "arithmetic", None):
                self._count(arithmetic, "rounding", "overflow")
                self._count(settings, "scales", "calibration", "activation_symmetry", "activation_granularity")
            if padding := getattr(layer, "padding", ""):
                rule = padding if isinstance(padding, str) else "explicit"
                self.choices.update([f"padding {rule}", *(f"stride {stride}" for stride in layer.strides)])
        goal = specimen.plan.goal
        self.hardware["planned" if goal else "chosen"] += 1
        self.hardware[f"{specimen.plan.pixels} pixels per beat"] += any(port.pixels > 1 for port in manifest.inputs)
        edges = [*(edge for b in manifest.boundaries for edge in b.inputs), *manifest.outputs]
        self.hardware["FIFOs"] += sum(edge.fifo > 0 for edge in edges)
        for boundary in manifest.layers:
            self.engines.update(boundary.engine.split(" + "))
            self.hardware["folded layers"] += bool(boundary.folding)
        self.boundaries += len(manifest.boundaries)
        self.frames += (1 + len(patterns)) * outcome.frames
        self.beats += outcome.beats
        self.cycles += outcome.cycles

    def _count(self, chosen: BaseModel, *names: str) -> None:
        self.choices.update(f"{name} {getattr(chosen, name).value}" for name in names)

    def __add__(self, other: Tally) -> Tally:
        ours, theirs = vars(self), vars(other)
        failure = self.failure or other.failure
        added = {name: ours[name] + theirs[name] for name in ours if name not in ("series", "failure")}
        return Tally(self.series, **added, failure=failure)


def run_share(series: Series, count: int, first_seed: int, share: int) -> Tally:
    """``count`` networks in this process; ends at the first that fails, once it is shrunk."""
    tally = Tally(series)
    with tempfile.TemporaryDirectory() as scratch:
        number = 0
        while tally.networks < count and not tally.failure and sum(tally.refused.values()) <= count:
            _add_network(1_000_000 * first_seed + 10_000 * share + number, tally, Path(scratch))
            number += 1
    return tally


def _add_network(seed: int, tally: Tally, scratch: Path) -> None:
    kept = FAILED / f"seed_{seed}"
    last: Specimen | None = None

    def check(specimen: Specimen) -> None:
        nonlocal last
        try:
            quantized = specimen.quantize()
        except UserError as reason:
            tally.refused[str(reason)] += 1
            return
        last = specimen
        outcome = simulate(specimen, quantized, kept, scratch, tally.series.stalls)
        for old in scratch.glob("bulk-*"):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        tally.add(specimen, outcome)
        kinds = ", ".join(layer.kind for layer in quantized.layers)
        print(f"{seed}: {kinds}: {outcome.beats} beats in {outcome.cycles} cycles", flush=True)

    try:
        on_a_random_network(seed, check, tally.series.networks)
    except Exception as error:  # whatever went wrong is told with its network
        tally.failure = f"seed {seed}: {type(error).__name__}: {error}\n  {last}\n  its bundle: {kept / 'bundle'}"
    else:
        shutil.rmtree(kept, ignore_errors=True)


def report(tally: Tally, command: str) -> str:
    """Return the result as a page of the documentation; the same run produces the same page."""

    def listed(counter: Counter) -> str:  # type: ignore[type-arg]
        return ", ".join(f"{name}: {count:,}" for name, count in sorted(counter.items()))

    branches = {
        "nodes in a network": listed(tally.nodes),
        "ports": listed(tally.ports),
        "readers of a tensor, where several": listed(tally.readers),
        "networks with a skip across strides": f"{tally.with_skips:,}",
        "networks with FIFOs of their own that were refused, and calculated": f"{tally.refused_fifos:,}",
    }
    rows = {
        "networks, each with and without stalls": f"{tally.networks:,}",
        **(branches if tally.readers else {}),
        "refused by the quantization with a message": f"{sum(tally.refused.values()):,}",
        "layers": f"{sum(tally.layers.values()):,}: {listed(tally.layers)}",
        "operators": listed(tally.engines),
        "hardware": listed(+tally.hardware),
        "width of weights, bits": listed(tally.weight_bits),
        "width of tensors, bits": listed(tally.activation_bits),
        "choices": listed(tally.choices),
        "stall patterns": listed(tally.stalls),
        "boundaries": f"{tally.boundaries:,}, at each the first and last cycle and the steady interval as predicted",
        "frames": f"{tally.frames:,}",
        "beats compared": f"{tally.beats:,}, all equal to the bit",
        "cycles simulated": f"{tally.cycles:,}",
    }
    lines = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"# {tally.series.title}\n\nWritten by `{command}`.\n\n| what | how much |\n|---|---|\n{lines}\n"


def main(arguments: Sequence[str] | None = None, series: Series = CHAINS) -> int:
    page = MEASUREMENTS / f"{series.script}.md"
    parser = argparse.ArgumentParser(description=f"{series.title} as simulated Verilog.")
    parser.add_argument("--count", type=int, default=series.count, help=f"networks (default {series.count})")
    parser.add_argument("--seed", type=int, default=0, help="another seed produces other networks (default 0)")
    parser.add_argument("--jobs", type=int, default=1, help="processes; they share the networks (default 1)")
    parser.add_argument("--report", type=Path, default=page, help=f"page to write (default {page.relative_to(ROOT)})")
    options = parser.parse_args(arguments)
    if min(options.count, options.jobs) < 1:
        parser.error("--count and --jobs must be at least 1")
    shares = [
        options.count * (job + 1) // options.jobs - options.count * job // options.jobs for job in range(options.jobs)
    ]
    with ProcessPoolExecutor(options.jobs) as pool:
        tallies = list(
            pool.map(run_share, [series] * options.jobs, shares, [options.seed] * options.jobs, range(options.jobs))
        )
    tally = reduce(Tally.__add__, tallies)
    choices = f"--count {options.count} --seed {options.seed} --jobs {options.jobs}"
    command = f"python benchmarks/{series.script}.py {choices}"
    if tally.failure:
        print(f"FAILED: {tally.failure}\n  again: {command}", file=sys.stderr)
        return 1
    if tally.networks < options.count or not tally.beats:
        print(f"FAILED: only {tally.networks} of {options.count} networks were compared", file=sys.stderr)
        return 1
    options.report.parent.mkdir(parents=True, exist_ok=True)
    options.report.write_text(report(tally, command), encoding="utf-8")
    print(f"{tally.networks} networks, {tally.beats:,} beats, {tally.cycles:,} cycles: all equal; see {options.report}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
