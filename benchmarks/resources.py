"""Fits the resource estimates (``dnn2fpga.plan.resources``) to synthesis results, and checks them with whole networks.

    python benchmarks/resources.py fit      # ~120 components, 5 to 30 s each; writes dnn2fpga/plan/resource_fit.json
    python benchmarks/resources.py check    # ~25 networks; writes docs/measurements/resources.md and .json

Synthesis is that of yosys for Xilinx 7-series (benchmarks/tools.py); its results are kept, so a second run is quick.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples"))
from reporting import markdown_table  # noqa: E402 - needs the path above
from resource_cases import cases, parallel_products  # noqa: E402
from resource_curves import curves, modules  # noqa: E402
from resource_networks import Network, all_networks  # noqa: E402
from tools import XC7, xc7_cells, xc7_cells_of_modules, xilinx  # noqa: E402

from dnn2fpga.generate.accelerator import Accelerator  # noqa: E402
from dnn2fpga.generate.verilog import to_verilog  # noqa: E402
from dnn2fpga.plan.hardware_plan import plan  # noqa: E402
from dnn2fpga.plan.layout import lay_out  # noqa: E402
from dnn2fpga.plan.resources import (  # noqa: E402
    FIT_FILE,
    Fit,
    Resources,
    Terms,
    fit_of,
    names_of_terms,
    network_resources,
    terms,
)
from rtl_lib.adder_schedule import schedule  # noqa: E402
from rtl_lib.held_bits import held_bits  # noqa: E402
from rtl_lib.parallel_guess import UnsolvedEngine  # noqa: E402
from rtl_lib.stream import StreamComponent  # noqa: E402

REPORT = ROOT / "docs" / "measurements" / "resources.md"
FAMILY = "xc7"
KINDS = ("lut", "ff", "dsp", "bram18")
HEADS = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram18": "BRAM18"}
SMALL = 40  # cells: below, an error counts as if there were so many
ROUNDS = 15  # of the fit, which weighs outliers less and less
TOWARDS_ONE = 0.02  # how strongly a coefficient that hardly matters is drawn to 1


def used(cells: dict[str, int]) -> dict[str, int]:
    """As the estimates count: LUTs with inverters, LUT RAM and shift registers; halves of block RAM."""
    counted = xilinx(cells)
    return {"lut": counted["LUT"], "ff": counted["FF"], "dsp": counted["DSP"], "bram18": counted["BRAM18"]}


def synthesized(component: StreamComponent) -> dict[str, int]:
    return used(_cells(_verilog(component, "top"), "top"))


def _verilog(component: Any, name: str) -> str:
    os.environ["AMARANTH_USE_YOSYS"] = "builtin"
    from amaranth.back import verilog

    return str(verilog.convert(component, name=name, emit_src=False, strip_internal_attrs=True))


def _cells(verilog: str, top: str) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{top}.v"
        file.write_text(verilog, encoding="utf-8")
        return xc7_cells([file], top)


# The fit.


def measured_curves() -> dict[str, list[tuple[float, float]]]:
    made = modules()
    text = "".join(_verilog(module, name) for name, module in made.items())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "modules.v"
        file.write_text(text, encoding="utf-8")
        cells = xc7_cells_of_modules([file], list(made))
    return curves({name: used(found)["lut"] for name, found in cells.items()})


def guess_coefficients() -> dict[str, list[float]]:
    """Of ``UnsolvedEngine``, from graphs that are solved here."""
    predictors, shares, crossing = [], [], []
    for unsolved, solved in ((UnsolvedEngine(p.matrix, p.requantize), p.parallel) for p in parallel_products()):
        graph = solved.graph
        predictors.append(unsolved.sharing_predictors)
        shares.append(np.log(graph.luts / unsolved.unshared_luts))
        dropped = [finish.shift for finish in solved.finishes]
        for levels in (1, 2, 3, 4, 6):
            if held := held_bits(graph, schedule(graph, levels), dropped):
                crossing.append(np.array(unsolved.register_predictors(graph.depth, levels)) * graph.luts / held)
    prior = 0.05 * np.eye(len(predictors[0]))
    prior[0] = 0
    system = np.vstack([predictors, prior])
    sharing = np.linalg.lstsq(system, np.concatenate([shares, np.zeros(len(prior))]), rcond=None)[0]
    errors = np.abs(np.expm1(np.array(predictors) @ sharing - shares))
    print(f"unsolved graphs: median error of the LUTs {np.median(errors):.1%}, worst {errors.max():.1%}")
    registers, _ = nnls(np.array(crossing), np.ones(len(crossing)))
    return {"sharing": sharing.round(4).tolist(), "registers": registers.round(4).tolist()}


@dataclass(frozen=True)
class Row:
    name: str
    terms: Terms
    used: dict[str, int]


def coefficients(rows: Sequence[Row], resource: str) -> dict[str, float]:
    """Non-negative, of the smallest relative errors; what one case says against many counts little."""
    names = names_of_terms()[resource]
    amounts = np.array([[float(row.terms.get((resource, name), 0)) for name in names] for row in rows])
    wanted = np.array([float(row.used[resource]) for row in rows])
    scale = 1 / np.maximum(wanted, SMALL)
    weights = scale
    prior = TOWARDS_ONE * np.eye(len(names))
    found = np.ones(len(names))
    for _ in range(ROUNDS):
        system = np.vstack([amounts * weights[:, np.newaxis], prior])
        found, _ = nnls(system, np.concatenate([wanted * weights, prior.diagonal()]))
        errors = np.abs(amounts @ found - wanted) * scale
        weights = scale / np.sqrt(np.maximum(errors, 0.02) / 0.1)
    return {name: round(float(value), 4) for name, value in zip(names, found, strict=True)}


def fit() -> None:
    shape = measured_curves()
    sizes = {name: tuple(points) for name, points in shape.items()}
    bare = Fit(lut={}, ff={}, **sizes)
    rows = []
    for case in cases():
        component = case.create()
        rows.append(Row(case.name, terms(component.features(), bare), synthesized(component)))
        print(f"{case.name}: {rows[-1].used}", flush=True)
    found = {resource: coefficients(rows, resource) for resource in ("lut", "ff")}
    content = json.loads(FIT_FILE.read_text(encoding="utf-8")) if FIT_FILE.is_file() else {}
    content[FAMILY] = {"command": XC7, "components": len(rows), **found, **shape, **guess_coefficients()}
    FIT_FILE.write_text(_one_line_a_point(content), encoding="utf-8")
    for resource, of_names in found.items():
        errors = []
        for row in rows:
            predicted = sum(of_names[n] * float(amount) for (r, n), amount in row.terms.items() if r == resource)
            errors.append(abs(predicted - row.used[resource]) / max(row.used[resource], SMALL))
            if errors[-1] > 0.2:
                print(f"{row.name}: {resource} {row.used[resource]}, estimated {predicted:.0f}")
        print(f"{resource}: median error {np.median(errors):.1%}, worst {max(errors):.1%}")


def _one_line_a_point(content: dict[str, Any]) -> str:
    text = json.dumps(content, indent=2)
    return re.sub(r"\[\s+([\d.]+),\s+([\d.]+)\s+\]", r"[\1, \2]", text) + "\n"


# The check.


@dataclass(frozen=True)
class Checked:
    name: str
    used: dict[str, int]
    estimated: dict[str, float]

    def error(self, kind: str) -> float | None:
        """Relative; None where there is nothing and nothing was estimated."""
        used, estimated = self.used[kind], self.estimated[kind]
        return None if not used and estimated < 0.5 else (estimated - used) / max(used, 1)


def check_network(network: Network) -> Checked:
    planned = plan(network.graph, network.plan)
    layers = network_resources(planned, lay_out(network.graph, planned.settings))
    total = sum(layers.values(), Resources())
    estimated = {kind: round(float(getattr(total, kind)), 1) for kind in KINDS}
    cells = _cells(to_verilog(Accelerator(network.graph, planned)), "accelerator")
    return Checked(network.name, used(cells), estimated)


def check() -> None:
    fit_of(FAMILY)
    found = []
    for network in all_networks():
        found.append(check_network(network))
        print(f"{found[-1].name}: {found[-1].used} {found[-1].estimated}", flush=True)
    errors = {kind: [abs(e) for row in found if (e := row.error(kind)) is not None] for kind in KINDS}
    summary = {kind: {"median": float(np.median(of)), "worst": max(of)} for kind, of in errors.items() if of}
    REPORT.with_suffix(".json").write_text(
        json.dumps({"networks": [asdict(row) for row in found], "errors": summary}, indent=2) + "\n", encoding="utf-8"
    )
    REPORT.write_text(report(found, summary), encoding="utf-8")
    print(REPORT.read_text(encoding="utf-8"))


def report(found: Iterable[Checked], summary: dict[str, dict[str, float]]) -> str:
    def cell(row: Checked, kind: str) -> str:
        error = row.error(kind)
        return "0" if error is None else f"{row.used[kind]:,} / {row.estimated[kind]:,.0f} ({error:+.0%})"

    rows = [(row.name, *(cell(row, kind) for kind in KINDS)) for row in found]
    errors = [(HEADS[kind], f"{e['median']:.1%}", f"{e['worst']:.1%}") for kind, e in summary.items()]
    lines = [
        "# Resource estimates",
        "",
        "`python benchmarks/resources.py check`: what `dnn2fpga.plan.resources` estimates for whole networks, and what",
        f"yosys makes of them (`{XC7.format(top='accelerator')}`, before placement). None of the networks was used",
        "for the fit, which is made from single components (`python benchmarks/resources.py fit`). LUTs are the cells",
        "LUT1 to LUT6, inverters, and LUTs used as memory or shift register; block RAM in halves of 18 Kbit. Weights",
        "are random, and so are the shapes, widths and foldings of the `random` networks. Layers are named by filters",
        "of 3 × 3, by neurons, or `pool` (2 × 2).",
        "",
        *markdown_table(("resource", "median error", "worst error"), errors),
        "",
        "Synthesized / estimated:",
        "",
        *markdown_table(("network", *HEADS.values()), rows),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    commands = {"fit": fit, "check": check}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit(f"usage: {sys.argv[0]} {'|'.join(commands)}")
    commands[sys.argv[1]]()


if __name__ == "__main__":
    main()
