"""Hostile files (`cases/hostile`): one clear message each, in seconds and little memory, and nothing runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from measured import refused_cheaply

# model → what must be said
MODELS = {
    "01-polyglot-h5-code/hostile.h5": "15,179 bytes follow the end of its HDF5 data; a file of two formats",
    "02-polyglot-other-crash/h_polyglot_other.h5": "a file of two formats is never read",
    "03-keras-history/json_base_021.keras": "layer 'bn' (BatchNormalization): a tensor that it reads must be named as",
    "03-keras-history/json_base_105.keras": "layer 'conv' (Conv2D): a tensor that it reads must be named as",
    "03-keras-history/json_base_126.keras": "layer 'bn' (BatchNormalization): a tensor that it reads must be named as",
    "04-layer-name-missing/json_base_171.keras": "layer number 2 (BatchNormalization) has no name",
}
SETTINGS = {
    "05-yaml-constructor/dnn2fpga.yaml": "month must be in 1..12",
    "06-yaml-laughs/dnn2fpga.yaml": "it holds more than 200,000 values, with what its aliases repeat",
}
CONFIGURATIONS = {
    "05-yaml-constructor/date.yaml": "month must be in 1..12",
    "05-yaml-constructor/int_tag.yaml": "not valid YAML",
    "06-yaml-laughs/model.yaml": "it holds more than 200,000 values, with what its aliases repeat",
    "07-yaml-deep/model.yaml": "nested deeper than 40 levels",
}


@pytest.mark.parametrize("name", MODELS)
def test_model(cases: Path, name: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((5, 5)))
    assert MODELS[name] in refused_cheaply(tmp_path, "quantize", cases / "hostile" / name, "--data", "x.npy")
    assert [path.name for path in tmp_path.rglob("*CANARY*")] == []


@pytest.mark.parametrize("name", SETTINGS)
def test_settings(cases: Path, name: str, tmp_path: Path) -> None:
    assert SETTINGS[name] in refused_cheaply(tmp_path, "quantize", "--config", cases / "hostile" / name)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_configuration_of_an_accelerator(cases: Path, name: str, tmp_path: Path) -> None:
    (tmp_path / "configured").mkdir()
    shutil.copy(cases / "hostile" / name, tmp_path / "configured" / "model.yaml")
    assert CONFIGURATIONS[name] in refused_cheaply(tmp_path, "generate", "configured")
