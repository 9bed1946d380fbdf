"""The page and the picture of ``parallel.py``, and the figures they are made of."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from reporting import markdown_table

ROOT = Path(__file__).resolve().parent.parent
MEASUREMENTS = ROOT / "docs" / "measurements"
PEERS = MEASUREMENTS / "peers.json"
FIGURES = MEASUREMENTS / "parallel.json"
VECTORS = 10_000  # of each case through the RTL


@dataclass(frozen=True)
class Figures:
    """One design. ``mhz``: on an LFE5U-85F, one for each seed; empty when not placed."""

    who: str
    case: str
    cycles: int
    luts: int
    estimated_lcs: int
    ffs: int
    carry4: int
    inverters: int
    dsps: int
    seconds: float  # configuration files (or the peer's network) to Verilog
    mhz: tuple[float, ...] = ()


def beside(figures: list[Figures], peer: Figures) -> Figures:
    """The design with the most cycles and registers that are not more than the peer's."""
    fitting = [one for one in figures if one.cycles <= peer.cycles and one.ffs <= peer.ffs]
    return max(fitting or figures, key=lambda one: (one.cycles, one.ffs))


def comparison(name: str, mine: list[Figures], peers: list[Figures]) -> list[tuple[Any, ...]]:
    """One row for each peer: our design at no more cycles beside it."""
    rows = []
    for peer in peers:
        own = beside(mine, peer)
        rows.append(
            (
                name,
                peer.who,
                f"{own.cycles} / {peer.cycles}",
                f"{own.luts:,} / {peer.luts:,}",
                f"{own.luts / peer.luts:.2f}",
                f"{own.ffs:,} / {peer.ffs:,}",
                f"{own.ffs / peer.ffs:.2f}",
                f"{own.estimated_lcs:,} / {peer.estimated_lcs:,}",
                f"{own.inverters:,} / {peer.inverters:,}",
                f"{own.carry4:,} / {peer.carry4:,}",
                own.dsps,
                f"{megahertz(own)} / {megahertz(peer)}" if peer.mhz else "",
                f"{own.seconds:.1f} / {peer.seconds:.1f}",
            )
        )
    return rows


def megahertz(figures: Figures) -> str:
    return " ".join(f"{mhz:.1f}" for mhz in figures.mhz)


def report(mine: dict[str, list[Figures]], peers: dict[str, list[Figures]], speed: str) -> str:
    heads = ("case", "peer", "cycles", "LUT cells", "ratio", "registers", "ratio", "est. LCs", "inverters", "CARRY4")
    heads = (*heads, "DSP", "ECP5 MHz by seed", "to Verilog, s")
    rows = [row for name in mine for row in comparison(name, mine[name], peers[name])]
    ratios = [
        max(beside(mine[name], peer).luts for peer in peers[name]) / min(peer.luts for peer in peers[name])
        for name in mine
    ]
    mean = float(np.exp(np.mean(np.log(ratios))))
    front = [
        (name, f.cycles, f"{f.luts:,}", f"{f.ffs:,}", f"{f.estimated_lcs:,}", f"{f.carry4:,}", f"{f.seconds:.1f}")
        for name, figures in mine.items()
        for f in sorted(figures, key=lambda f: f.cycles)
    ]
    lines = [
        "# The parallel engine beside its peers",
        "",
        "`python benchmarks/parallel.py`. Each field: ours / the peer's. Ours is the whole accelerator with its",
        "AXI4-Stream handshakes and the last master-slave stage; the peers' designs have a clock and nothing else.",
        "Cycles as the cases README counts them, ours at most the peer's. Interval 1 everywhere;",
        f"{VECTORS:,} vectors of each case were equal in RTL.",
        "`yosys synth_xilinx -family xc7 -flatten -noiopad -noclkbuf`; LUT cells without inverters, as in that README;",
        "ECP5: `nextpnr-ecp5 --85k --out-of-context`, routed; estimated after placement for int8_s75.",
        "",
        *markdown_table(heads, rows),
        "",
        f"LUT cells against the better peer: at most {max(ratios):.2f}×, {mean:.2f}× in the geometric mean.",
        "",
        "## Pipeline settings",
        "",
        *markdown_table(("case", "cycles", "LUT cells", "registers", "est. LCs", "CARRY4", "to Verilog, s"), front),
        "",
        "![registers and LUT cells by cycles](parallel.png)",
        "",
        "## The tool itself",
        "",
        speed,
        "",
    ]
    return "\n".join(lines)


def plot(mine: dict[str, list[Figures]], peers: dict[str, list[Figures]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    colours = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677", "#aa3377")
    for (name, figures), colour in zip(mine.items(), colours, strict=False):
        ordered = sorted(figures, key=lambda f: f.cycles)
        for axes, what in ((left, "luts"), (right, "ffs")):
            axes.plot([f.cycles for f in ordered], [getattr(f, what) for f in ordered], "o-", color=colour, label=name)
            for peer in peers[name]:
                marker = "x" if peer.who.startswith("alkaid") else "+"
                axes.plot(peer.cycles, getattr(peer, what), marker, color=colour, markersize=8)
    for axes, what in ((left, "LUT cells (x Alkaid, + da4ml)"), (right, "registers")):
        axes.set(xlabel="cycles", ylabel=what, yscale="log")
        axes.grid(alpha=0.3, which="both")
    left.legend(fontsize=7)
    figure.savefig(MEASUREMENTS / "parallel.png", dpi=130, metadata={"Software": None})


def saved(file: Path) -> dict[str, list[Figures]]:
    stored = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return {name: [Figures(**{**one, "mhz": tuple(one["mhz"])}) for one in figures] for name, figures in stored.items()}


def save(file: Path, figures: dict[str, list[Figures]]) -> None:
    stored = {name: [asdict(one) for one in figures[name]] for name in figures}
    file.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
