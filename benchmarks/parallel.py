"""The parallel engine on the six fixed networks of ``cases/``, beside the peers Alkaid and da4ml.

    .venv/bin/python benchmarks/parallel.py [--with-peers] [CASE ...]

Every case is built from its exact integers, with as many cycles as each peer needs (sparse ones in a third way too);
10,000 vectors go through the RTL; yosys counts cells with the same commands for everybody, nextpnr-ecp5 measures the
clock of two of them. ``--with-peers`` makes the peers' Verilog from PyPI in environments of their own and measures it
too; else their figures come from the last such run (``docs/measurements/peers.json``). An hour on two cores the first
time; results are kept. Writes ``docs/measurements/parallel.md`` and its picture.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "examples")]
from parallel_report import FIGURES, MEASUREMENTS, PEERS, VECTORS, Figures, plot, report, save, saved  # noqa: E402
from peers import VERSIONS, build_peer  # noqa: E402
from tools import XilinxCells, estimate_ecp5, place_ecp5, synthesize_xc7  # noqa: E402

from dnn2fpga import flow  # noqa: E402
from dnn2fpga.data import Data  # noqa: E402
from dnn2fpga.graph import files as config_files  # noqa: E402
from dnn2fpga.graph.quantized import QuantizedGraph  # noqa: E402
from dnn2fpga.layers.dense import QuantizedDense  # noqa: E402
from dnn2fpga.plan.settings import PlanSettings  # noqa: E402
from dnn2fpga.tensors.tensor import Tensor  # noqa: E402
from rtl_lib.matrix.constant_matrix import ConstantMatrix  # noqa: E402
from rtl_lib.matrix.parallel.adder_schedule import schedule  # noqa: E402

CASES = Path(os.environ.get("DNN2FPGA_DATA", ROOT.parent / "shared" / "data")) / "cases"
NAMES = ("int8_dense", "int8_s75", "int6_dense", "int6_s75", "int4_dense", "int4_s75")
LEVELS = {"s75": (3,)}  # adders in a row, besides what the peers' cycles ask for: a third setting, by kind of case
# Seeds that are placed and routed, beside the peer with fewer LUTs and the faster clock.
CLOCKED = {("int4_s75", "alkaid"): (1, 2, 3)}
# Placed only: routing that peer's Verilog did not end in 34 minutes of processor time.
ESTIMATED = {("int8_s75", "alkaid"): (1,)}
LARGE = (100, 100)  # inputs and outputs of the layer that times the tool
MERGED = 0.75  # at least this part of the planned register bits is left when yosys has merged equal ones


def network(file: Path) -> tuple[QuantizedGraph, Any]:
    """The case as an integer model, and its arrays."""
    case = np.load(file)
    activations, inputs = int(case["abits"]), int(case["in_bits"])
    tensor = Tensor(shape=(16,), lanes=16, signed=True, width=inputs, scale=1.0, zero_point=0)
    first, layers = tensor, []
    for k in range(4):
        weights, bias = case[f"W{k}"].astype(np.int64), case[f"b{k}"].astype(np.int64)
        outputs = weights.shape[1]
        exact = ConstantMatrix(weights, bias, tensor.format).output_format
        signed, width = (False, activations) if k < 3 else (exact.signed, exact.width)
        output = Tensor(shape=(outputs,), lanes=outputs, signed=signed, width=width, scale=1.0, zero_point=0)
        one = np.ones(outputs, np.int64)
        layer = QuantizedDense(
            name=f"dense_{k}",
            output=output,
            low=output.format.minimum,
            high=output.format.maximum,
            multiplier=one,
            shift=one * (int(case["shifts"][k]) if k < 3 else 0),
            offset=0 * one,
            weight_width=int(case["wbits"]),
            weights=weights,
            bias=bias,
        )
        layers.append(layer)
        tensor = output
    return QuantizedGraph.chain(file.stem, "input", first, layers), case


@dataclass(frozen=True)
class Split:
    """Numbers of registers on the way through each layer."""

    banks: tuple[int, ...]
    levels: tuple[int, ...]  # adders in a row in each layer
    registers: int  # predicted


def splits(graph: QuantizedGraph) -> list[Split]:
    """Every way to pipeline the layers, with up to six registers in each."""
    layers = [graph.operators[layer.name][0].parallel for layer in graph.layers]  # type: ignore[attr-defined]
    choices = []
    for engine in layers:
        depth, results = engine.graph.depth + 1, engine.requantize.output_beat.layout.size
        each = {}
        for wanted in range(1, 7):
            levels = -(-depth // wanted)
            bits = schedule(engine.graph, levels).register_bits(engine.graph) + results
            each[engine.latency(levels)] = (levels, bits)
        choices.append([(banks, *rest) for banks, rest in each.items()])
    stage = 2 * graph.output.lanes * graph.output.width
    return [
        Split(
            tuple(banks for banks, _, _ in layers),
            tuple(levels for _, levels, _ in layers),
            stage + sum(bits for *_, bits in layers),
        )
        for layers in itertools.product(*choices)
    ]


def candidates(graph: QuantizedGraph, peer: Figures) -> Iterator[PlanSettings]:
    """Shortest stages first, with at most the peer's cycles (one of them for the last stage) and perhaps its registers;
    then few cycles.
    """
    possible = [s for s in splits(graph) if sum(s.banks) < peer.cycles and s.registers * MERGED <= peer.ffs]
    for split in sorted(possible, key=lambda s: (max(s.levels), sum(s.banks), s.registers)):
        levels = zip(graph.layers, split.levels, strict=True)
        yield PlanSettings(
            stages="runs", layers={layer.name: {"levels_per_register": count} for layer, count in levels}
        )


def like(graph: QuantizedGraph, peer: Figures, folder: Path) -> Figures:
    """The first candidate that has no more registers than the peer."""
    for settings in candidates(graph, peer):
        figures = build(graph, folder, settings)
        if figures.ffs <= peer.ffs:
            return figures
    sys.exit(f"{graph.name}: no pipelining has as few registers as {peer.who}")


def build(graph: QuantizedGraph, folder: Path, settings: PlanSettings) -> Figures:
    config_files.save(graph, folder)
    start = time.monotonic()
    # As the command does: from the files, with the adders solved anew.
    manifest = flow.generate(folder, settings)
    seconds = time.monotonic() - start
    if manifest.interval_cycles != 1:
        sys.exit(f"{graph.name}: the interval is {manifest.interval_cycles} cycles, not 1")
    cells = synthesize_xc7([verilog(folder)], "accelerator")
    return figures_of("dnn2fpga", graph.name, manifest.latency_cycles, cells, seconds)


def figures_of(who: str, case: str, cycles: int, cells: XilinxCells, seconds: float) -> Figures:
    return Figures(
        who=who,
        case=case,
        cycles=cycles,
        luts=cells.luts,
        estimated_lcs=cells.estimated_lcs,
        ffs=cells.ffs,
        carry4=cells.carry4,
        inverters=cells.inverters,
        dsps=cells.dsps,
        seconds=round(seconds, 1),
    )


def verilog(folder: Path) -> Path:
    return folder / "bundle" / "rtl" / "accelerator.v"


def clocks(case: str, peer: str, files: list[Path], top: str) -> tuple[float, ...]:
    routed = tuple(place_ecp5(files, top, seed).mhz for seed in CLOCKED.get((case, peer), ()))
    return routed + tuple(estimate_ecp5(files, top, seed) for seed in ESTIMATED.get((case, peer), ()))


def verify(graph: QuantizedGraph, case: Any, folder: Path) -> int:
    """Streams the case's vectors and random ones through the RTL; the expected integers are the case's own."""
    given = case["x"].astype(np.int64)
    if not np.array_equal(graph.run(given), case["y"]):
        sys.exit(f"{graph.name}: the integer model differs from the case's expected outputs")
    form = graph.input.format
    more = np.random.default_rng(1).integers(form.minimum, form.maximum + 1, (VECTORS - len(given), 16))
    x = np.concatenate([given, more]).astype(np.float64)
    protocol, bulk = flow.verify(folder, Data(x, None))
    if not (protocol.passed and bulk.passed):
        sys.exit(f"{graph.name}: the RTL differs from the integer model")
    return bulk.frames


def ours(name: str, peers: list[Figures], work: Path) -> Iterator[Figures]:
    graph, case = network(CASES / f"{name}.npz")
    for number, peer in enumerate(peers):
        folder = work / name / f"like_{peer.who.split()[0]}"
        folder.mkdir(parents=True)
        figures = like(graph, peer, folder)
        if number == 0:
            print(f"{name}: {verify(graph, case, folder):,} vectors equal", flush=True)
        yield replace(figures, mhz=clocks(name, peer.who.split()[0], [verilog(folder)], "accelerator"))
    for levels in LEVELS.get(name.split("_")[1], ()):
        folder = work / name / f"levels_{levels}"
        folder.mkdir(parents=True)
        yield build(graph, folder, PlanSettings(stages="runs", levels_per_register=levels))


def large_layer(work: Path) -> str:
    """Measure the time of the tool for one layer of more than 10,000 adders, and where it is spent."""
    inputs, outputs = LARGE
    rng = np.random.default_rng(0)
    weights, bias = rng.integers(-127, 128, LARGE), rng.integers(-999, 1000, outputs)
    first = Tensor(shape=(inputs,), lanes=inputs, signed=False, width=8, scale=1.0, zero_point=0)
    one = np.ones(outputs, np.int64)
    layer = QuantizedDense(
        name="dense",
        output=first.model_copy(update={"shape": (outputs,), "lanes": outputs}),
        low=0,
        high=255,
        multiplier=one,
        shift=8 * one,
        offset=0 * one,
        weight_width=8,
        weights=weights,
        bias=bias,
    )
    graph = QuantizedGraph.chain("large", "input", first, [layer])
    folder = work / "large"
    folder.mkdir()
    config_files.save(graph, folder)
    start = time.monotonic()
    adders = graph.operators["dense"][0].parallel.graph.adders  # type: ignore[attr-defined]
    solved = time.monotonic()
    flow.generate(folder)
    seconds = time.monotonic() - solved
    return (
        f"One layer of {inputs} × {outputs} random INT8 weights, {adders:,} adders: {seconds:.0f} s from configuration "
        f"files to Verilog, of which solving takes {solved - start:.0f} s."
    )


def measure_peers(names: list[str]) -> list[Figures]:
    """Measure the peers' Verilog through the same commands."""
    found = []
    for name, peer in itertools.product(names, VERSIONS):
        design = build_peer(peer, CASES / f"{name}.npz")
        if design.failure or not design.exact:
            print(f"{peer} on {name}: {design.failure or 'not exact'}", flush=True)
            continue
        cells = synthesize_xc7(design.verilog, design.top)
        figures = figures_of(f"{peer} {design.version}", name, design.cycles, cells, design.seconds)
        found.append(replace(figures, mhz=clocks(name, peer, design.verilog, design.top)))
        print(found[-1], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(NAMES)} (default: all)")
    parser.add_argument("--no-clocks", action="store_true", help="leave out nextpnr, which takes most of the time")
    parser.add_argument("--with-peers", action="store_true", help="make and measure the peers' designs too")
    options = parser.parse_args()
    if options.no_clocks:
        CLOCKED.clear()
        ESTIMATED.clear()
    names = list(options.cases or NAMES)
    if missing := [name for name in names if not (CASES / f"{name}.npz").is_file()]:
        sys.exit(f"error: {CASES} has no {', '.join(missing)}; set DNN2FPGA_DATA to the folder that has cases/")
    peers = saved(PEERS)
    if options.with_peers:
        for name in names:
            peers[name] = measure_peers([name])
            save(PEERS, peers)
    if missing := [name for name in names if name not in peers]:
        sys.exit(f"error: no figures of the peers for {', '.join(missing)}; run with --with-peers once")
    mine = saved(FIGURES)
    with tempfile.TemporaryDirectory() as work:
        for name in names:
            mine[name] = []
            for figures in ours(name, peers[name], Path(work)):
                print(figures, flush=True)
                mine[name].append(figures)
            save(FIGURES, mine)
        speed = large_layer(Path(work))
    mine = {name: mine[name] for name in NAMES if name in mine}
    text = report(mine, peers, speed)
    print(text)
    (MEASUREMENTS / "parallel.md").write_text(text, encoding="utf-8")
    plot(mine, peers)


if __name__ == "__main__":
    main()
