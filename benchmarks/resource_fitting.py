"""The fit of the resource estimates to the synthesis of single components, of one FPGA family."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from family_synthesis import COMMANDS, release, synthesized_cells
from resource_cases import Case, cases, parallel_products
from resource_curves import curves, modules
from scipy.optimize import nnls

from dnn2fpga.plan.estimate.cell_counts import counted
from dnn2fpga.plan.estimate.fabric import FABRICS
from dnn2fpga.plan.estimate.feature_costs import Fit, Terms, names_of_terms, terms
from dnn2fpga.plan.estimate.resources import FIT_FILE
from rtl_lib.matrix.parallel.adder_schedule import schedule
from rtl_lib.matrix.parallel.estimate import UnsolvedEngine
from rtl_lib.matrix.parallel.live_register_bits import held_bits

FIRST = "xc7"  # whose coefficients the other families begin with
SMALL = 40  # cells: below, an error counts as if there were this many
ROUNDS = 15  # of the fit, which weighs outliers less and less
TOWARDS_EXPECTED = 0.02  # how strongly a coefficient that hardly matters is drawn to what is expected of it


# The components for every family but the first, which has them all.
FEW = {
    "requantize": range(6),
    "windows": (6, 8, 9, 10, 13, 19),
    "blocks": (21, 24),
    "reduction": (29, 33),
    "frame sum": (36,),
    "average": (38, 39),
    "table": (41, 45),
    "repack": (46, 48, 51),
    "pixels": (55,),
    "binary32": (56,),
    "folded": (
        *(1, 3, 9, 11, 12, 15, 16, 18, 20, 21, 23, 24, 29, 30, 31),
        *(32, 34, 35, 36, 38, 39, 40, 43, 44, 49, 50),
    ),
    "parallel": (0, 1, 3, 7, 8, 9, 10, 12, 14),
}


def few_cases() -> list[Case]:
    few = {f"{name} {k}" for name, numbers in FEW.items() for k in numbers}
    return [case for case in cases() if case.name in few or case.name.startswith(("stage", "fifo"))]


def cells_used(verilog: str, family: str, top: str) -> dict[str, float]:
    """Return the cells in the terms of the estimates."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{top}.v"
        file.write_text(verilog, encoding="utf-8")
        return counted(family, synthesized_cells(family, [file], top))


def component_verilog(component: Any, name: str) -> str:
    """Return the features of a component alone, without names of sources."""
    os.environ["AMARANTH_USE_YOSYS"] = "builtin"
    from amaranth.back import verilog

    return str(verilog.convert(component, name=name, emit_src=False, strip_internal_attrs=True))


def measured_curves(family: str) -> dict[str, list[tuple[float, float]]]:
    return curves(
        {name: cells_used(component_verilog(module, name), family, name)["lut"] for name, module in modules().items()}
    )


def guess_coefficients() -> dict[str, list[float]]:
    """Fit the coefficients of ``UnsolvedEngine`` to graphs that are solved here: no matter for which family."""
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
    used: dict[str, float]

    def predicted(self, resource: str, coefficients: dict[str, float]) -> float:
        return sum(coefficients[n] * float(amount) for (r, n), amount in self.terms.items() if r == resource)


def expected(rows: Sequence[Row], resource: str, first: dict[str, float] | None) -> dict[str, float]:
    """Return the expected values of coefficients that no component determines: those of the first family, times what
    the families differ by; or 1.
    """
    names = {name for row in rows for r, name in row.terms if r == resource}
    if first is None:
        return dict.fromkeys(names, 1.0)
    known = {name: first.get(name, 0.0) for name in names}  # a term that only this family has: none is expected
    ratio = sum(row.used[resource] for row in rows) / sum(row.predicted(resource, known) for row in rows)
    return {name: value * ratio for name, value in known.items()}


def coefficients(rows: Sequence[Row], resource: str, names: list[str], expect: dict[str, float]) -> dict[str, float]:
    """Non-negative, of the smallest relative errors; what one case says against many counts little."""
    amounts = np.array([[float(row.terms.get((resource, name), 0)) for name in names] for row in rows])
    wanted = np.array([float(row.used[resource]) for row in rows])
    scale = 1 / np.maximum(wanted, SMALL)
    weights = scale
    prior = TOWARDS_EXPECTED * np.eye(len(names))
    towards = TOWARDS_EXPECTED * np.array([expect[name] for name in names])
    found = np.ones(len(names))
    for _ in range(ROUNDS):
        system = np.vstack([amounts * weights[:, np.newaxis], prior])
        found, _ = nnls(system, np.concatenate([wanted * weights, towards]))
        errors = np.abs(amounts @ found - wanted) * scale
        weights = scale / np.sqrt(np.maximum(errors, 0.02) / 0.1)
    return {name: round(float(value), 4) for name, value in zip(names, found, strict=True)}


def fit(family: str) -> None:
    """Fit the coefficients, and write the family's part of ``resource_fit.json``."""
    shape = measured_curves(family)
    bare = Fit(lut={}, ff={}, fabric=FABRICS[family], **{name: tuple(points) for name, points in shape.items()})
    rows = []
    for case in cases() if family == FIRST else few_cases():
        component = case.create()
        used = cells_used(component_verilog(component, "top"), family, "top")
        rows.append(Row(case.name, terms(component.features(), bare), used))
        print(f"{case.name}: {used}", flush=True)
    content = json.loads(FIT_FILE.read_text(encoding="utf-8")) if FIT_FILE.is_file() else {}
    first = content[FIRST] if family != FIRST else {}
    names = names_of_terms(FABRICS[family])
    found = {
        resource: coefficients(rows, resource, own, expected(rows, resource, first.get(resource)))
        for resource, own in names.items()
    }
    silent = [
        f"{resource} {name}"
        for resource, own in names.items()
        for name in own
        if not any(row.terms.get((resource, name), 0) for row in rows)
    ]
    guess = {key: first[key] for key in ("sharing", "registers")} if first else guess_coefficients()
    told = {"command": COMMANDS[family], "tool": release(family), "components": len(rows), "borrowed": silent}
    content[family] = {**told, **found, **shape, **guess}
    FIT_FILE.write_text(_one_line_a_point(content), encoding="utf-8")
    for resource, of_names in found.items():
        _tell_errors(rows, resource, of_names)


def _tell_errors(rows: Sequence[Row], resource: str, found: dict[str, float]) -> None:
    errors = []
    for row in rows:
        predicted = row.predicted(resource, found)
        errors.append(abs(predicted - row.used[resource]) / max(row.used[resource], SMALL))
        if errors[-1] > 0.2:
            print(f"{row.name}: {resource} {row.used[resource]}, estimated {predicted:.0f}")
    print(f"{resource}: median error {np.median(errors):.1%}, worst {max(errors):.1%}")


def _one_line_a_point(content: dict[str, Any]) -> str:
    text = json.dumps(content, indent=2)
    return re.sub(r"\[\s+([\d.]+),\s+([\d.]+)\s+\]", r"[\1, \2]", text) + "\n"
