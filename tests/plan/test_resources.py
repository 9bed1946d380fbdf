"""Estimates of LUTs, registers, DSP blocks and block RAMs: every component has one, and synthesis agrees."""

from __future__ import annotations

import importlib
import json
import pkgutil
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.back import verilog

import rtl_lib
from dnn2fpga.plan.estimate.fabric import FABRICS
from dnn2fpga.plan.estimate.feature_costs import names_of_terms
from dnn2fpga.plan.estimate.resources import (
    FIT_FILE,
    Resources,
    estimate,
    fit_of,
    folded_resources,
    parallel_resources,
    resources_of,
)
from dnn2fpga.plan.settings import PlanSettings
from rtl_lib.core.features import Features, Kind, MemoryStyle
from rtl_lib.core.formats import Format
from rtl_lib.core.stream import Beat, Chain, StreamComponent
from rtl_lib.elementwise.requantize import Requantize
from rtl_lib.matrix.constant_matrix import ConstantMatrix
from rtl_lib.matrix.folded.multipliers import Multiplier
from rtl_lib.matrix.folded.sums import WeightMemory
from rtl_lib.matrix.matrix_product import Engine, MatrixProduct
from rtl_lib.streams.master_slave_stage import MasterSlaveStage

KINDS = ("lut", "ff", "dsp", "bram18")


def product(
    inputs: int,
    outputs: int,
    *,
    bits: int = 6,
    width: int = 6,
    lanes: int | None = None,
    multiplier: Any = 1,
    groups: int = 1,
    signed: bool = False,
) -> MatrixProduct:
    rng = np.random.default_rng(inputs * outputs)
    top = max((1 << (bits - 1)) - 1, 1)
    weights = rng.integers(-top, top + 1, (inputs, outputs)) if bits > 1 else rng.choice([-1, 1], (inputs, outputs))
    if groups > 1:
        own = np.arange(outputs) * groups // outputs
        weights = weights * ((np.arange(inputs) % groups)[:, np.newaxis] == own)
    matrix = ConstantMatrix(weights, rng.integers(-50, 50, outputs), Format(signed, width))
    factors = np.resize(multiplier, outputs)
    shift = np.full(outputs, max(0, matrix.output_format.width - 8))
    requantize = Requantize(
        matrix.output_format, Format(False, 8), factors, shift, rng.integers(-9, 9, outputs), 0, 255
    )
    return MatrixProduct(matrix, requantize, lanes or inputs, groups)


def numbers(resources: Resources) -> list[float]:
    return [float(getattr(resources, kind)) for kind in KINDS]


def subclasses(base: type) -> Iterator[type]:
    for found in base.__subclasses__():
        yield found
        yield from subclasses(found)


def test_every_component_declares_its_features() -> None:
    for module in pkgutil.walk_packages(rtl_lib.__path__, "rtl_lib."):
        importlib.import_module(module.name)
    ours = [kind for kind in subclasses(StreamComponent) if kind.__module__.startswith("rtl_lib.")]
    kinds = [kind for kind in ours if not any(other.__module__.startswith("rtl_lib.") for other in subclasses(kind))]
    assert len(kinds) >= 15
    # Parts of the floating-point unit, which is counted as a whole.
    kinds = [kind for kind in kinds if kind.__module__ != "rtl_lib.binary32.arithmetic"]
    without = [kind.__name__ for kind in kinds if kind.features is StreamComponent.features]  # type: ignore[attr-defined]
    assert without == []


def test_a_component_without_features_is_named() -> None:
    with pytest.raises(NotImplementedError, match="StreamComponent declares no features"):
        StreamComponent(Beat(Format(False, 4), 1), Beat(Format(False, 4), 1)).features()


def test_a_chain_is_the_sum_of_its_parts() -> None:
    chain = product(24, 10).create(Engine.FOLDED, pe=5, simd=4)
    assert isinstance(chain, Chain)
    assert len(chain.parts) == 3
    total = sum((estimate(part) for _, part in chain.parts), Resources())
    assert numbers(estimate(chain)) == pytest.approx(numbers(total))


FOLDED: list[tuple[dict[str, Any], tuple[int, ...], tuple[int, ...]]] = [
    # the product, some pe, some simd
    ({"inputs": 24, "outputs": 10}, (1, 3, 5, 10), (1, 4, 5, 24)),
    ({"inputs": 24, "outputs": 10, "multiplier": [3, 5, 7]}, (2, 5, 10), (3, 8)),
    ({"inputs": 48, "outputs": 8, "lanes": 4}, (1, 4, 8), (4, 6, 16, 48)),
    ({"inputs": 48, "outputs": 8, "lanes": 16, "bits": 4, "width": 4}, (3, 8), (4, 5, 16)),
    ({"inputs": 36, "outputs": 8, "groups": 4}, (1, 2, 3, 8), (1, 2, 9)),
    ({"inputs": 32, "outputs": 8, "bits": 1}, (2, 8), (4, 5)),
    ({"inputs": 32, "outputs": 8, "bits": 1, "width": 1}, (2, 8), (8, 16)),
    ({"inputs": 30, "outputs": 6, "bits": 14, "width": 16, "signed": True}, (2, 6), (5, 7)),
]


@pytest.mark.parametrize("multiplier", Multiplier)
@pytest.mark.parametrize(("spec", "pes", "simds"), FOLDED)
def test_many_foldings_at_once_are_estimated_like_their_components(
    spec: dict[str, Any], pes: tuple[int, ...], simds: tuple[int, ...], multiplier: Multiplier
) -> None:
    matrix_product = product(**spec)
    pe, simd = (grid.ravel() for grid in np.meshgrid(pes, simds))
    options = multiplier, WeightMemory.AUTO, 2
    at_once = {family: folded_resources(matrix_product, pe, simd, *options, family) for family in FABRICS}
    for k in range(len(pe)):
        component = matrix_product.create(
            Engine.FOLDED, pe=int(pe[k]), simd=int(simd[k]), multiplier=multiplier, levels_per_register=2
        )
        for family, of_all in at_once.items():
            each = [float(np.broadcast_to(getattr(of_all, kind), pe.shape)[k]) for kind in KINDS]
            assert each == pytest.approx(numbers(estimate(component, family))), (family, pe[k], simd[k])


def test_more_parallel_foldings_take_more() -> None:
    grown = folded_resources(product(64, 16), np.array([1, 2, 4, 8, 16]), np.array([4]))
    assert (np.diff(grown.dsp) >= 0).all()
    assert grown.dsp[-1] == 4 * 8  # two outputs a block
    assert (np.diff(grown.ff) > 0).all()


def test_a_parallel_engine_is_guessed_without_its_graph() -> None:
    known = product(32, 12, bits=5)
    guess, solved = parallel_resources(known), estimate(known.create(Engine.PARALLEL))
    assert float(guess.lut) == pytest.approx(float(solved.lut), rel=0.25)
    assert float(guess.dsp) == float(solved.dsp) == 0
    unsolved = product(32, 12, bits=5)
    parallel_resources(unsolved)
    assert "parallel" not in vars(unsolved)


@pytest.mark.parametrize(
    ("family", "command"),
    [("xc7", "synth_xilinx"), ("ecp5", "synth_ecp5"), ("ice40", "synth_ice40 -dsp"), ("gowin", "synth_gowin")],
)
def test_the_committed_fit_has_all_coefficients(family: str, command: str) -> None:
    fit = fit_of(family)
    for resource, names in names_of_terms(fit.fabric).items():
        assert set(names) <= set(getattr(fit, resource))
    assert all(value >= 0 for value in (*fit.lut.values(), *fit.ff.values()))
    assert json.loads(FIT_FILE.read_text())[family]["command"].startswith(command)


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(ValueError, match=r"resources are estimated for xc7, .*, not for 'max10'"):
        fit_of("max10")
    with pytest.raises(ValueError, match="family"):
        PlanSettings.model_validate({"family": "max10"})


@pytest.mark.parametrize(
    ("kind", "sizes", "style", "blocks"),
    [
        (Kind.ROM, (96, 168), MemoryStyle.AUTO, 0),  # cheaper as LUTs
        (Kind.ROM, (24, 128), MemoryStyle.BLOCK, 4),
        (Kind.ROM, (1600, 48), MemoryStyle.AUTO, 6),
        (Kind.ROM, (1600, 48), MemoryStyle.LOGIC, 0),
        (Kind.RAM, (30, 96), MemoryStyle.AUTO, 0),
        (Kind.RAM, (400, 72), MemoryStyle.AUTO, 2),
        (Kind.RAM, (1000, 16), MemoryStyle.AUTO, 1),
        (Kind.SINGLE_PORT_RAM, (24, 24), MemoryStyle.AUTO, 0),
    ],
)
def test_memories_become_what_the_tool_makes_of_them(
    kind: Kind, sizes: tuple[int, int], style: MemoryStyle, blocks: int
) -> None:
    assert float(resources_of(Features().add(kind, 1, *sizes, style=style)).bram18) == blocks


@pytest.mark.parametrize(
    ("sizes", "blocks"), [((8, 8, 16), 1), ((4, 4, 8), 0), ((25, 18, 43), 1), ((27, 10, 37), 2), ((1, 20, 21), 0)]
)
def test_products_take_blocks_unless_they_are_small(sizes: tuple[int, int, int], blocks: int) -> None:
    assert float(resources_of(Features().add(Kind.PRODUCT, 1, *sizes)).dsp) == blocks


@pytest.mark.toolchain
@pytest.mark.parametrize(
    "component",
    [
        pytest.param(lambda: MasterSlaveStage(Beat(Format(True, 9), 5)), id="stage"),
        pytest.param(lambda: product(30, 8).create(Engine.FOLDED, pe=4, simd=5), id="folded"),
    ],
)
def test_synthesis_agrees(component: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    yosys = shutil.which("yosys")
    if yosys is None:  # the fit is for this one: other versions share and map otherwise
        pytest.skip("yosys is not installed: apt-get install yosys")
    monkeypatch.setenv("AMARANTH_USE_YOSYS", "builtin")
    made = component()
    (tmp_path / "top.v").write_text(verilog.convert(made, name="top", emit_src=False, strip_internal_attrs=True))
    command = "read_verilog -sv top.v; synth_xilinx -family xc7 -flatten -noiopad -noclkbuf -top top; write_json o.json"
    subprocess.run([yosys, "-q", "-p", command], cwd=tmp_path, check=True, capture_output=True)
    cells = Counter(
        cell["type"] for cell in json.loads((tmp_path / "o.json").read_text())["modules"]["top"]["cells"].values()
    )
    luts = sum(n for name, n in cells.items() if name.startswith(("LUT", "INV", "SRL")))
    luts += 4 * sum(n for name, n in cells.items() if name in ("RAM32M", "RAM64M"))
    registers = sum(n for name, n in cells.items() if name.startswith("FD"))
    expected = estimate(made)
    assert float(expected.lut) == pytest.approx(luts, rel=0.2)
    assert float(expected.ff) == pytest.approx(registers, rel=0.05)
    assert float(expected.dsp) == cells["DSP48E1"]
