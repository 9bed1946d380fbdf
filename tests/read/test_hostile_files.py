"""Hostile files end with one clear message, in little time and memory, and nothing of them is run or followed."""

from __future__ import annotations

from pathlib import Path

import hostile_files
import measured
import numpy as np
import pytest
from measured import refused_cheaply

from dnn2fpga.files.arrays import read_arrays
from dnn2fpga.read.keras import read_keras_model


def test_harmless_ones_are_read(tmp_path: Path) -> None:
    hostile_files.keras_file(tmp_path / "a.keras")
    hostile_files.h5_file(tmp_path / "a.h5")
    for path in (tmp_path / "a.keras", tmp_path / "a.h5"):
        [dense] = read_keras_model(path).layers
        np.testing.assert_array_equal(dense.parameters["weights"], np.ones((4, 3)))


@pytest.mark.parametrize("name", hostile_files.MODELS)
def test_model(name: str, tmp_path: Path) -> None:
    make, expected = hostile_files.MODELS[name]
    make(tmp_path / name)
    assert (tmp_path / name).stat().st_size < 2**23
    np.save(tmp_path / "x.npy", np.ones((5, 4)))
    assert expected in refused_cheaply(tmp_path, "quantize", name, "--data", "x.npy")


@pytest.mark.parametrize("name", hostile_files.DATA)
def test_data(name: str, tmp_path: Path) -> None:
    make, expected = hostile_files.DATA[name]
    make(tmp_path / name)
    hostile_files.keras_file(tmp_path / "model.keras")
    assert expected in refused_cheaply(tmp_path, "quantize", "model.keras", "--data", name)


@pytest.mark.parametrize(
    ("waste", "what"),
    [("bytearray(2**30)", "memory"), ("import time\nwhile time.process_time() < 6: pass", "processor time")],
)
def test_waste_would_be_noticed(waste: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "MEASURED", f"{measured.MEASURED}\n{waste}")
    with pytest.raises(AssertionError, match=what):
        refused_cheaply(tmp_path, "quantize", "missing.keras", "--data", "x.npy")


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("hardware.fifo=1.0e22", "hardware.fifo"),
        ("hardware.fifo=10000000000000000000000", "less than or equal to 1048576"),
        ("hardware.pe=1" + "0" * 30, "hardware.pe"),
        ("hardware.goal.interval_cycles=1" + "0" * 30, "less than or equal to"),
        ("optimization.training.epochs=1" + "0" * 30, "less than or equal to"),
        ("optimization.training.learning_rate=.inf", "learning_rate"),
        ("optimization.training.seed=-1", "greater than or equal to 0"),
        ("search.trials=1" + "0" * 30, "less than or equal to"),
        ("quantization.calibration_samples=1" + "0" * 30, "less than or equal to"),
        ("quantization.input_lanes=1" + "0" * 30, "less than or equal to"),
        ("verification.frames=1" + "0" * 30, "less than or equal to"),
        ("clock_mhz=.nan", "clock_mhz"),
        ("board=" + "[" * 100 + "]" * 100, "nested deeper than 40 levels"),
        ("board=" + "[" * 3000, "not valid YAML"),
        ("board=2024-99-99", "month must be in 1..12"),
    ],
)
def test_settings(setting: str, expected: str, dnn2fpga, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    outcome = dnn2fpga("quantize", "model.keras", "--data", "x.npy", "--set", setting)
    assert outcome.code == 2
    assert expected in " ".join(outcome.err.split())


def test_large_data_are_read(tmp_path: Path) -> None:
    """Data are not refused by their size alone: zeros compress a thousand times, and labels often are."""
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros((1000, 32, 32, 3), np.float32), y=np.zeros(10**6, np.int64))
    assert read_arrays(tmp_path / "a.npz")["x"].shape == (1000, 32, 32, 3)
