"""The driver for PYNQ with several inputs and outputs, against a fake `pynq` that answers from an integer model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import fake_pynq
import numpy as np
import pytest
import two_ports

from dnn2fpga.drive.port import AcceleratorError
from dnn2fpga.drive.pynq import Accelerator
from dnn2fpga.generate.manifest import read_manifest


@pytest.fixture
def two(tmp_path: Path) -> Path:
    return two_ports.write_bundle(tmp_path / "bundle") / "manifest.json"


def two_ports_loaded(
    monkeypatch: pytest.MonkeyPatch, file: Path, faults: dict[str, Any] | None = None, **options: Any
) -> tuple[Accelerator, Any]:
    fake: Any = fake_pynq.module(two_ports.integer_model, read_manifest(file), **(faults or {}))
    monkeypatch.setitem(sys.modules, "pynq", fake)
    return Accelerator("accelerator.bit", file, **options), fake


def test_several_inputs_and_outputs_by_name(monkeypatch: pytest.MonkeyPatch, two: Path) -> None:
    accelerator, fake = two_ports_loaded(monkeypatch, two, frames_per_transfer=3)
    q = two_ports.random_inputs(8)
    expected = two_ports.integer_model(q)
    results = accelerator.run_integers(q)
    assert list(results) == ["sum", "total"]
    for name, values in expected.items():
        np.testing.assert_array_equal(results[name], values)
        assert results[name].dtype == values.dtype
    assert fake.overlay.accelerator.transfers == [3, 3, 2]
    real = accelerator.predict({name: values * 0.5 for name, values in q.items()})
    for name, values in expected.items():
        np.testing.assert_array_equal(real[name], values * 0.5)


def test_several_outputs_decide_each_by_its_task(monkeypatch: pytest.MonkeyPatch, two: Path) -> None:
    """`sum` is numbers, `total` classes."""
    accelerator, _ = two_ports_loaded(monkeypatch, two)
    q = two_ports.random_inputs(5)
    decided = accelerator.decide({name: values * 0.5 for name, values in q.items()})
    np.testing.assert_array_equal(decided, two_ports.integer_model(q)["total"].argmax(-1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bias": None}, "arrays are needed for image, bias, not for image"),
        ({"bias": np.zeros((2, 4), np.int8)}, r"input 'bias' must have the shape \(frames, 3\), not \(2, 4\)"),
        ({"bias": np.zeros((3, 3), np.int8)}, "all inputs must have as many frames, not 2 of 'image', 3 of 'bias'"),
        ({"bias": np.full((2, 3), 128)}, "input 'bias' must be -128 to 127"),
    ],
)
def test_wrong_arrays_for_several_inputs(
    monkeypatch: pytest.MonkeyPatch, two: Path, change: dict[str, Any], message: str
) -> None:
    accelerator, _ = two_ports_loaded(monkeypatch, two)
    given = {name: values for name, values in (two_ports.random_inputs(2) | change).items() if values is not None}
    with pytest.raises(AcceleratorError, match=message):
        accelerator.run_integers(given)


def test_a_missing_dma_is_noticed(monkeypatch: pytest.MonkeyPatch, two: Path) -> None:
    with pytest.raises(AcceleratorError, match=r"does not belong to .*manifest\.json: it has no dma_1"):
        two_ports_loaded(monkeypatch, two, {"without": ["dma_1"]})


def test_swapped_dmas_are_noticed(monkeypatch: pytest.MonkeyPatch, two: Path) -> None:
    accelerator, _ = two_ports_loaded(monkeypatch, two, {"swapped": True})
    with pytest.raises(AcceleratorError, match="the transfer and the frames did not end together"):
        accelerator.run_integers(two_ports.random_inputs(2))


def test_ports_of_another_order_are_noticed(monkeypatch: pytest.MonkeyPatch, two: Path) -> None:
    manifest = two_ports.manifest()
    fake: Any = fake_pynq.module(two_ports.integer_model, read_manifest(two))
    monkeypatch.setitem(sys.modules, "pynq", fake)
    manifest["inputs"].reverse()
    two.write_text(json.dumps(manifest))
    with pytest.raises(AcceleratorError, match=r"register frame_bytes of 'bias' must be 4, not 48"):
        Accelerator("accelerator.bit", two)


def test_what_waits_is_named(monkeypatch: pytest.MonkeyPatch, two: Path) -> None:
    accelerator, fake = two_ports_loaded(monkeypatch, two, timeout_s=0.05)
    device = fake.overlay.accelerator
    device.broken = "silent"
    device.registers |= {"frames_in": 1, "waits": 1 << 1 | 1 << 16}
    q = two_ports.random_inputs(2)
    with pytest.raises(AcceleratorError, match="status 0x00, input 'bias' waits, output 'sum' waits; was reset"):
        accelerator.run_integers(q)
    assert [channel.started for channel in (*device.senders, *device.receivers)] == [2, 2, 2, 2]
    device.broken = ""
    np.testing.assert_array_equal(accelerator.run_integers(q)["sum"], two_ports.integer_model(q)["sum"])
