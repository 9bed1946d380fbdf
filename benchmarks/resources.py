"""Fits the resource estimates (``dnn2fpga.plan.estimate``) to synthesis results, and checks them with whole networks.

    python benchmarks/resources.py fit      # 137 components for xc7, 71 for others; plan/estimate/resource_fit.json
    python benchmarks/resources.py check    # 25 networks for xc7, 8 for others; docs/measurements/resources.md

For all families, or for that of ``--family``. Synthesis is that of yosys (benchmarks/family_synthesis.py); its results
are kept, so a second run is quick.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples"))
from family_synthesis import COMMANDS, release  # noqa: E402 - needs the path above
from reporting import markdown_table  # noqa: E402
from resource_fitting import FIRST, cells_used, fit  # noqa: E402
from resource_networks import Network, all_networks, drawn  # noqa: E402

from dnn2fpga.generate.accelerator import Accelerator  # noqa: E402
from dnn2fpga.generate.verilog import to_verilog  # noqa: E402
from dnn2fpga.plan.estimate.resources import Resources  # noqa: E402
from dnn2fpga.plan.hardware_plan import network_resources, plan  # noqa: E402

REPORT = ROOT / "docs" / "measurements" / "resources.md"
FEW = (0, 1, 3, 4, 5, 7, 9, 11)  # of the drawn networks
KINDS = ("lut", "ff", "dsp", "bram18")
HEADS = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram18": "BRAM18"}
FAMILIES = {
    "xc7": (
        "Xilinx 7-series",
        "LUTs are the cells LUT1 to LUT6, inverters, and LUTs used as memory or shift register.",
    ),
    "ecp5": ("Lattice ECP5", "LUTs are the cells LUT4, two for a CCU2C, and six for a memory of 16 × 4."),
    "ice40": ("Lattice iCE40 UP", "LUTs are the cells SB_LUT4; a block RAM of 4 Kbit is 0.22 of 18 Kbit."),
    "gowin": (
        "Gowin GW1N",
        "LUTs are the cells LUT1 to LUT4 and ALU, and eight for a memory of 16 × 4; a MULT9X9 is half a DSP block.",
    ),
}


@dataclass(frozen=True)
class Checked:
    name: str
    used: dict[str, float]
    estimated: dict[str, float]

    def error(self, kind: str) -> float | None:
        """Relative; None where there is nothing and nothing was estimated."""
        used, estimated = self.used[kind], self.estimated[kind]
        return None if not used and estimated < 0.5 else (estimated - used) / max(used, 1)


def networks(family: str) -> Iterator[Network]:
    """All of them for the first family, few for the others."""
    if family == FIRST:
        yield from all_networks()
    else:
        yield from (network for number, network in enumerate(drawn()) if number in FEW)


def check_network(network: Network, family: str) -> Checked:
    planned = plan(network.graph, network.plan)
    layers = network_resources(planned, family)
    total = sum(layers.values(), Resources())
    estimated = {kind: round(float(getattr(total, kind)), 1) for kind in KINDS}
    used = cells_used(to_verilog(Accelerator(planned)), family, "accelerator")
    return Checked(network.name, {kind: used[kind] for kind in KINDS}, estimated)


def check(family: str) -> None:
    found = []
    for network in networks(family):
        found.append(check_network(network, family))
        print(f"{family}, {found[-1].name}: {found[-1].used} {found[-1].estimated}", flush=True)
    errors = {kind: [abs(e) for row in found if (e := row.error(kind)) is not None] for kind in KINDS}
    summary = {kind: {"median": float(np.median(of)), "worst": max(of)} for kind, of in errors.items() if of}
    record = REPORT.with_suffix(".json")
    content = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    content[family] = {"tool": release(family), "networks": [asdict(row) for row in found], "errors": summary}
    record.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    REPORT.write_text(report(content), encoding="utf-8")


def report(content: dict[str, Any]) -> str:
    families = {family: content[family] for family in FAMILIES if family in content}
    errors = [
        (FAMILIES[family][0], *(_percent(own["errors"].get(kind)) for kind in KINDS))
        for family, own in families.items()
    ]
    lines = [
        "# Resource estimates",
        "",
        "`python benchmarks/resources.py check`: what `dnn2fpga.plan.estimate` says of whole networks, and what",
        "yosys makes of them, before placement. None of the networks was used for the fit, which is made from single",
        "components (`python benchmarks/resources.py fit`). Block RAM is counted in units of 18 Kbit. Weights are",
        "random, and so are the shapes, widths and foldings of the `random` networks. Layers are named by filters of",
        "3 × 3, by neurons, or `pool` (2 × 2). For 7-series there are 137 components and 25 networks, for each of the",
        "others 71 and 8, synthesized with the yosys of PyPI: what the one of Debian makes of them differs.",
        "",
        "Median error and worst error:",
        "",
        *markdown_table(("family", *HEADS.values()), errors),
        "",
    ]
    for family, own in families.items():
        lines += _section(family, own)
    return "\n".join(lines)


def _percent(error: dict[str, float] | None) -> str:
    return f"{error['median']:.1%}, {error['worst']:.1%}" if error else "-"


def _section(family: str, own: dict[str, Any]) -> Iterable[str]:
    name, counting = FAMILIES[family]
    rows = [Checked(**row) for row in own["networks"]]
    return [
        f"## {name}",
        "",
        f"`{COMMANDS[family].format(top='accelerator')}`, {own['tool']}. {counting} Synthesized / estimated:",
        "",
        *markdown_table(
            ("network", *HEADS.values()), [(row.name, *(_cell(row, kind) for kind in KINDS)) for row in rows]
        ),
        "",
    ]


def _cell(row: Checked, kind: str) -> str:
    error = row.error(kind)
    return "0" if error is None else f"{row.used[kind]:,.0f} / {row.estimated[kind]:,.0f} ({error:+.0%})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["fit", "check"])
    parser.add_argument("--family", choices=FAMILIES, action="append", help="absent: all of them")
    given = parser.parse_args()
    for family in given.family or FAMILIES:
        (fit if given.what == "fit" else check)(family)


if __name__ == "__main__":
    main()
