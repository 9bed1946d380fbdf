"""The cells of every layer, as yosys has them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import tiny

from dnn2fpga import flow, work_folder
from dnn2fpga.build.open import yosys
from dnn2fpga.errors import UserError
from dnn2fpga.graph import files as config_files
from dnn2fpga.plan.estimate.cell_counts import counted
from dnn2fpga.plan.settings import PlanSettings


@pytest.fixture
def work(tmp_path: Path) -> Path:
    config_files.save(tiny.quantized_graph(), tmp_path)
    flow.generate(tmp_path, PlanSettings.model_validate({"layers": {"conv": {"engine": "folded", "simd": 3}}}))
    return tmp_path


def test_cells_are_counted_as_the_estimates_count_them() -> None:
    cells = {"LUT1": 1, "LUT6": 10, "INV": 3, "SRL16E": 2, "RAM32M": 5, "RAM64X1D": 1, "MUXF7": 4, "CARRY4": 9}
    cells |= {"FDRE": 7, "FDSE": 1, "DSP48E1": 3, "RAMB18E1": 3, "RAMB36E1": 2}
    assert counted("xc7", cells) == {"lut": 1 + 10 + 3 + 2 + 4 * 5 + 2, "ff": 8, "dsp": 3, "bram": 4, "bram18": 7}
    assert set(counted("xc7", {}).values()) == {0}


@pytest.mark.toolchain
def test_every_layer_has_its_cells(work: Path) -> None:
    if shutil.which("yosys") is None:  # the one of PyPI needs minutes
        pytest.skip("yosys is not installed: apt-get install yosys")
    found = flow.synthesize(work)
    manifest = json.loads((work / "bundle" / "manifest.json").read_text())
    estimated = {b["tensor"]: b["resources"] for b in manifest["boundaries"]}
    assert list(found["layers"]) == list(estimated)
    assert found["layers"]["conv"]["dsp"] == estimated["conv"]["dsp"] > 0
    for layer in ("conv", "pool", "dense"):
        assert found["layers"][layer]["ff"] == pytest.approx(estimated[layer]["ff"], rel=0.1, abs=5)
    kept = json.loads((work / work_folder.SYNTHESIS).read_text())
    assert kept["layers"] == found["layers"]
    assert kept["tool"].startswith("Yosys")
    assert (work / work_folder.PLAN_PLOT).stat().st_size > 10_000


def test_a_missing_tool_is_said(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yosys.shutil, "which", lambda _: None)
    monkeypatch.setattr(yosys.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match="yosys is not installed; apt-get install yosys"):
        flow.synthesize(work)
    assert not (work / work_folder.SYNTHESIS).exists()


def test_a_failure_is_said(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yosys, "tool", lambda: ["false"])
    with pytest.raises(UserError, match="yosys ended with exit code 1"):
        flow.synthesize(work)


def test_without_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no bundle yet"):
        flow.synthesize(tmp_path)
