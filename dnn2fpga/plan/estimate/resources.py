"""Resources before synthesis: LUTs, registers, DSP blocks and block RAMs of any component.

Components say what they consist of (``rtl_lib.core.features``). What a synthesis tool makes of it is known from rules
(``mapping``), from what an FPGA family has to build with (``fabric``), and from coefficients that were fitted to
synthesis results (``resource_fit.json``, made by ``benchmarks/resources.py fit``). Counted as in ``cells``; block RAM
in units of 18 Kbit.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dnn2fpga.plan.estimate.fabric import FABRICS
from dnn2fpga.plan.estimate.feature_costs import Fit, terms
from rtl_lib.core.features import Amount, Features
from rtl_lib.core.stream import StreamComponent
from rtl_lib.matrix.folded.engine import folded_features
from rtl_lib.matrix.folded.multipliers import Multiplier
from rtl_lib.matrix.folded.sums import WeightMemory
from rtl_lib.matrix.matrix_product import MatrixProduct
from rtl_lib.matrix.parallel.estimate import UnsolvedEngine

if TYPE_CHECKING:
    pass

FIT_FILE = Path(__file__).with_name("resource_fit.json")


@dataclass(frozen=True)
class Resources:
    """Numbers, or arrays with one entry for each of many candidates."""

    lut: Amount = 0.0
    ff: Amount = 0.0
    dsp: Amount = 0.0
    bram18: Amount = 0.0

    @property
    def rounded(self) -> dict[str, float]:
        """Return the resources by name; numbers only."""
        return {f.name: round(float(getattr(self, f.name)), 1) for f in fields(self)}

    def __add__(self, other: Resources) -> Resources:
        return Resources(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __mul__(self, times: Amount) -> Resources:
        return Resources(*(getattr(self, f.name) * times for f in fields(self)))


@lru_cache
def fit_of(family: str) -> Fit:
    """The committed fit."""
    content = json.loads(FIT_FILE.read_text(encoding="utf-8"))
    if family not in content:
        raise ValueError(f"resources are estimated for {', '.join(content)}, not for {family!r}")
    own = content[family]
    mux, table = (tuple((float(x), float(y)) for x, y in own[name]) for name in ("mux", "table"))
    guess = tuple(own["sharing"]), tuple(own["registers"])
    return Fit(own["lut"], own["ff"], mux, table, FABRICS[family], *guess)


def resources_of(features: Features, family: str = "xc7", fit: Fit | None = None) -> Resources:
    fit = fit or fit_of(family)
    known = {"lut": fit.lut, "ff": fit.ff, "dsp": {"": 1.0}, "bram18": {"": 1.0}}
    total: dict[str, Amount] = dict.fromkeys(known, 0.0)
    for (resource, name), amount in terms(features, fit).items():
        total[resource] = total[resource] + known[resource][name] * amount
    return Resources(**total)


def estimate(component: StreamComponent, family: str = "xc7") -> Resources:
    """Estimate the resources of a component, or a chain of them."""
    return resources_of(component.features(), family)


def folded_resources(
    product: MatrixProduct,
    pe: np.ndarray,
    simd: np.ndarray,
    multiplier: Multiplier = Multiplier.DSP,
    memory: WeightMemory = WeightMemory.AUTO,
    levels_per_register: int = 3,
    family: str = "xc7",
) -> Resources:
    """Estimate the resources of folded engines with all that belongs to them, one for each ``pe`` and ``simd``; nothing
    is created.
    """
    pe, simd = np.broadcast_arrays(np.asarray(pe, np.int64), np.asarray(simd, np.int64))
    matrix, requantize = product.matrix, product.requantize
    features = folded_features(
        matrix, requantize, product.groups, product.lanes, pe, simd, multiplier, memory, levels_per_register
    )
    return resources_of(features, family)


def parallel_resources(product: MatrixProduct, levels_per_register: int = 3, family: str = "xc7") -> Resources:
    """Estimate the resources of a parallel engine whose adder graph is not solved, from the digits of the weights."""
    fit = fit_of(family)
    engine = UnsolvedEngine(product.matrix, product.parallel_requantize)
    features = engine.features(levels_per_register, list(fit.sharing), list(fit.registers))
    return resources_of(features, family) + after_parallel_resources(product, family)


def after_parallel_resources(product: MatrixProduct, family: str = "xc7") -> Resources:
    """Estimate what stands after a parallel engine."""
    return sum((estimate(part, family) for _, part in product.after_parallel()), Resources())
