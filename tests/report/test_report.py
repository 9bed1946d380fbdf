"""The summary shows only what stands for the files as they are now."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from dnn2fpga import flow
from dnn2fpga.files.records import write_record
from dnn2fpga.graph import files as config_files
from dnn2fpga.report.summary import show_summary
from dnn2fpga.work_folder import SYNTHESIS, VERIFICATION, WorkFolder


def summary(folder: Path) -> str:
    text = io.StringIO()
    show_summary(folder, Console(file=text, width=120))
    return text.getvalue()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Generated, and verified as the pretended verdict says."""
    import tiny

    config_files.save(tiny.quantized_graph(), tmp_path)
    flow.generate(tmp_path)
    report = {"passed": True, "tests": ["no_stalls"], "frames": 0, "beats_compared": 7}
    report |= {"latency_cycles": {"measured": 5}, "interval_cycles": {"measured": 5}, "scores": {}}
    WorkFolder(tmp_path).current_bundle().write_verdict(tmp_path, VERIFICATION, {"reports": [report]})
    return tmp_path


def test_a_verdict_is_shown_for_the_bundle_it_was_reached_on(work: Path) -> None:
    assert "every boundary equal" in summary(work)


def test_no_verdict_stands_for_another_bundle(work: Path) -> None:
    manifest = work / "bundle/manifest.json"
    manifest.write_text(manifest.read_text() + "\n")
    assert "every boundary equal" not in summary(work)


def test_no_bundle_stands_for_other_configuration_files(work: Path) -> None:
    assert "predicted" in summary(work)
    model = work / "model.yaml"
    model.write_text(model.read_text() + "# edited\n")
    assert "predicted" not in summary(work)
    assert "every boundary equal" not in summary(work)
    flow.generate(work)
    assert "predicted" in summary(work)


def test_resources_are_shown_beside_the_estimates_of_the_same_bundle(work: Path) -> None:
    manifest = json.loads((work / "bundle/manifest.json").read_text())
    assert "resources, estimated" in summary(work)
    layers = {b["tensor"]: {"lut": 1234, "ff": 5, "dsp": 0, "bram18": 0} for b in manifest["boundaries"]}
    kept = {"tool": "Yosys 9.9", "layers": layers}
    WorkFolder(work).current_bundle().write_verdict(work, SYNTHESIS, kept)
    shown = summary(work)
    assert "Yosys 9.9 (estimated)" in shown
    assert f"1,234 ({manifest['boundaries'][1]['resources']['lut']:,.0f})" in shown
    assert f"{1234 * len(layers):,} (" in shown
    write_record(work, SYNTHESIS, kept, {"generation.json": "another"})
    assert "1,234" not in summary(work)


def test_who_waits_for_whom_is_shown(work: Path) -> None:
    manifest = json.loads((work / "bundle/manifest.json").read_text())
    busy = max(b["busy_cycles"] for b in manifest["boundaries"])
    assert busy == manifest["interval_cycles"]
    assert "100%" in summary(work)
