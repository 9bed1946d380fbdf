"""The bundle: complete, described by its manifest, and with vectors that are the integer model's."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import tiny

from dnn2fpga.generate.bundle import VECTOR_FRAMES, write_bundle
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.dense import Dense
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.post_training import Quantization, quantize
from dnn2fpga.plan.hardware_plan import plan

GRAPH = tiny.quantized_graph()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work") / "bundle"
    write_bundle(GRAPH, plan(GRAPH), folder, tiny.samples())
    return folder


def test_the_manifest_describes_the_files(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["top"] == "accelerator"
    assert set(manifest["files"]) == {"rtl/accelerator.v", "model.yaml", "weights.npz"}
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((bundle / name).read_bytes()).hexdigest() == digest
    hardware = plan(GRAPH)
    assert (manifest["latency_cycles"], manifest["interval_cycles"]) == (
        hardware.latency_cycles,
        hardware.interval_cycles,
    )
    assert [b["tensor"] for b in manifest["boundaries"]] == [b.name for b in hardware.boundaries]
    (entry,), (exit,) = manifest["inputs"], manifest["outputs"]
    assert (entry["name"], entry["tensor"], entry["axis"], entry["tdata_bits"]) == ("input", "input", "s_axis", 8)
    assert (exit["tensor"], exit["axis"], exit["tdata_bits"]) == (hardware.boundaries[-1].name, "m_axis", 3 * 16)
    assert exit["latency_cycles"] == manifest["latency_cycles"]
    assert exit["task"] == {
        "kind": "classes",
        "ending": "softmax",
        "threshold": None,
        "labels": None,
        "class_1_above": None,
    }


def test_the_verilog_names_what_the_testbench_needs(bundle: Path) -> None:
    text = (bundle / "rtl" / "accelerator.v").read_text()
    assert re.search(r"^module accelerator\(", text, re.M)
    for boundary in plan(GRAPH).boundaries:
        for signal in ("payload", "valid", "ready"):
            assert f"boundary_{boundary.name}_{signal}" in text
    assert "/work/" not in text
    assert "(* src" not in text


def test_the_vectors_are_the_integer_model(bundle: Path) -> None:
    folder = bundle / "sim" / "vectors"
    assert json.loads((folder / "vectors.json").read_text()) == {"frames": VECTOR_FRAMES, "source": "calibration data"}
    tensors = dict(GRAPH.boundaries(GRAPH.input.quantize(tiny.samples(VECTOR_FRAMES))))
    for boundary in plan(GRAPH).boundaries:
        dtype = boundary.tensor.format.dtype.newbyteorder("<")
        numbers = np.fromfile(folder / f"boundary_{boundary.name}.bin", dtype)
        np.testing.assert_array_equal(numbers, tensors[boundary.name].reshape(-1))


def test_the_bundle_needs_no_python_caches_and_explains_itself(bundle: Path) -> None:
    assert not list(bundle.rglob("__pycache__"))
    assert "tiny" in (bundle / "README.md").read_text()


@pytest.mark.parametrize("name", ["output", "module", "reg", "sync", "network", "accelerator", "i", "stage"])
def test_layers_may_be_called_anything(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    layers = [
        Dense(name, rng.normal(size=(2, 2)), np.zeros(2)),
        Dense(f"{name}_stage", rng.normal(size=(2, 2)), np.zeros(2)),
    ]
    graph = Graph.chain("net", "input", (2,), layers)
    quantized = quantize(graph, calibrate(graph, np.ones((1, 2))), Quantization())
    write_bundle(quantized, plan(quantized), tmp_path / "bundle")
    text = (tmp_path / "bundle" / "rtl" / "accelerator.v").read_text()
    modules = re.findall(r"^module (\S+?)\(", text, re.M)
    assert len(modules) == len(set(modules))
