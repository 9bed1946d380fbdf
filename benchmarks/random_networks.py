"""Random small networks as simulated Verilog: every beat at every layer boundary, every predicted cycle.

    python benchmarks/random_networks.py --count 200 --seed 0 --jobs 2

Each network (tests/specimens.py) is quantized, planned, written as a bundle and simulated twice, without
stalls and with a random stall pattern. One network takes about three seconds. The result is written to
docs/measurements/random_networks.md. A failure is shrunk to a small network, which is printed; its bundle is kept.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path

from pydantic import BaseModel

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "end_to_end")]
from simulated import Outcome, simulate  # noqa: E402 - needs the paths above
from specimens import Specimen, on_a_random_network  # noqa: E402

from dnn2fpga.errors import UserError  # noqa: E402

REPORT = ROOT / "docs" / "measurements" / "random_networks.md"
FAILED = ROOT / "build" / "random_networks"


@dataclass
class Tally:
    """What was covered; every counter by the name of what it counts."""

    networks: int = 0
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
        self.networks += 1
        self.stalls[specimen.stalls] += 1
        self.choices[f"levels_per_register {specimen.plan.levels_per_register}"] += 1
        for tensor in (outcome.quantized.input, *(layer.output for layer in outcome.quantized.layers)):
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
                self.choices.update([f"padding {padding}", *(f"stride {stride}" for stride in layer.strides)])
        goal = specimen.plan.goal
        self.hardware["planned" if goal else "chosen"] += 1
        self.hardware[f"{specimen.plan.pixels} pixels a beat"] += outcome.plan.boundaries[0].pixels > 1
        for boundary in outcome.plan.boundaries[1:]:
            self.engines.update(boundary.engine.split(" + "))
            self.hardware["folded layers"] += bool(boundary.folding)
            self.hardware["FIFOs"] += boundary.fifo > 0
        self.boundaries += len(outcome.plan.boundaries)
        self.frames += 2 * outcome.frames
        self.beats += outcome.beats
        self.cycles += outcome.cycles

    def _count(self, chosen: BaseModel, *names: str) -> None:
        self.choices.update(f"{name} {getattr(chosen, name).value}" for name in names)

    def __add__(self, other: Tally) -> Tally:
        ours, theirs = vars(self), vars(other)
        failure = self.failure or other.failure
        return Tally(**{name: ours[name] + theirs[name] for name in ours if name != "failure"}, failure=failure)


def run_share(count: int, first_seed: int, share: int) -> Tally:
    """``count`` networks in this process; ends at the first that fails, once it is shrunk."""
    tally = Tally()
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
        outcome = simulate(specimen, quantized, kept, scratch)
        for old in scratch.glob("bulk-*"):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        tally.add(specimen, outcome)
        kinds = ", ".join(layer.kind for layer in quantized.layers)
        print(f"{seed}: {kinds}: {outcome.beats} beats in {outcome.cycles} cycles", flush=True)

    try:
        on_a_random_network(seed, check)
    except Exception as error:  # whatever went wrong is told with its network
        tally.failure = f"seed {seed}: {type(error).__name__}: {error}\n  {last}\n  its bundle: {kept / 'bundle'}"
    else:
        shutil.rmtree(kept, ignore_errors=True)


def report(tally: Tally, command: str) -> str:
    """The result as a page of the documentation; the same run gives the same page."""

    def listed(counter: Counter) -> str:  # type: ignore[type-arg]
        return ", ".join(f"{name}: {count:,}" for name, count in sorted(counter.items()))

    rows = {
        "networks, each with and without stalls": f"{tally.networks:,}",
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
    return f"# Random networks\n\nWritten by `{command}`.\n\n| what | how much |\n|---|---|\n{lines}\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=200, help="networks (default 200)")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other networks (default 0)")
    parser.add_argument("--jobs", type=int, default=1, help="processes; they share the networks (default 1)")
    parser.add_argument(
        "--report", type=Path, default=REPORT, help=f"page to write (default {REPORT.relative_to(ROOT)})"
    )
    options = parser.parse_args(arguments)
    if min(options.count, options.jobs) < 1:
        parser.error("--count and --jobs must be at least 1")
    shares = [
        options.count * (job + 1) // options.jobs - options.count * job // options.jobs for job in range(options.jobs)
    ]
    with ProcessPoolExecutor(options.jobs) as pool:
        tallies = list(pool.map(run_share, shares, [options.seed] * options.jobs, range(options.jobs)))
    tally = reduce(Tally.__add__, tallies)
    command = (
        f"python benchmarks/random_networks.py --count {options.count} --seed {options.seed} --jobs {options.jobs}"
    )
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
