"""A handful of random networks as simulated Verilog; ``benchmarks/random_networks.py`` runs hundreds like them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from simulated import Mismatch, Outcome, simulate
from specimens import Specimen, on_a_random_network

from dnn2fpga.errors import UserError
from dnn2fpga.generate.manifest import Manifest
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.plan.hardware_plan import plan

NETWORKS = 9
BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "random_networks.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all: the simulator's own runtime is compiled once."""
    return tmp_path_factory.mktemp("random")


@pytest.mark.simulation
@pytest.mark.xdist_group("random_networks")
@pytest.mark.usefixtures("simulator")
@pytest.mark.parametrize("seed", range(NETWORKS))
def test_every_beat_and_every_cycle_is_right(seed: int, folder: Path) -> None:
    compared = []

    def check(specimen: Specimen) -> None:
        compared.append(simulate(specimen, specimen.quantize(), folder / "network", folder / "build").beats)

    on_a_random_network(seed, check)
    assert len(compared) == 1
    assert compared[0] > 0


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The script, which leaves the bundle of a failure in a temporary folder."""
    spec = importlib.util.spec_from_file_location("random_networks_benchmark", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # as dataclasses expect
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "FAILED", tmp_path / "failed")
    return module


def outcome(quantized: QuantizedGraph, **counted: int) -> Outcome:
    hardware = plan(quantized)
    return Outcome(quantized, hardware, Manifest.of(quantized, hardware, {}), **counted)


def small_outcome(specimen: Specimen, quantized: QuantizedGraph, *_: object) -> Outcome:
    """Return an outcome as if it had been simulated; networks with a convolution fail."""
    if any(layer.kind == "conv2d" for layer in quantized.layers):
        raise Mismatch("there is a convolution")
    return outcome(quantized, frames=1, beats=1, cycles=1)


def test_a_failure_is_shrunk_and_told(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "simulate", small_outcome)
    assert script.main(["--count", "50", "--report", str(tmp_path / "report.md")]) == 1
    told = capfd.readouterr().err
    assert "there is a convolution" in told
    assert told.count("layer_0: conv2d") == 1
    assert "layer_1" not in told  # the smallest network that fails has one layer
    assert "again: python benchmarks/random_networks.py --count 50 --seed 0 --jobs 1" in told
    assert not (tmp_path / "report.md").exists()


def test_nothing_compared_fails(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise UserError("no")

    monkeypatch.setattr(script, "simulate", small_outcome)
    monkeypatch.setattr(Specimen, "quantize", refuse)
    assert script.main(["--count", "3", "--report", str(tmp_path / "report.md")]) == 1
    assert "only 0 of 3 networks were compared" in capfd.readouterr().err


def test_the_report_tells_what_was_covered(script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(script, "simulate", lambda s, q, *_: outcome(q, frames=2, beats=500, cycles=1000))
    report = tmp_path / "report.md"
    assert script.main(["--count", "20", "--jobs", "2", "--report", str(report)]) == 0
    text = report.read_text()
    assert "| networks, each with and without stalls | 20 |" in text
    assert "| beats compared | 10,000, all equal to the bit |" in text
