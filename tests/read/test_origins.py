"""What a model is said to come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dnn2fpga import flow
from dnn2fpga.config import SearchSettings
from dnn2fpga.data import Data
from dnn2fpga.errors import UserError
from dnn2fpga.read.front_ends import read_model
from dnn2fpga.read.settings import ReadSettings

SAMPLES = Path(__file__).parents[1] / "front_ends" / "samples"


@pytest.mark.parametrize(
    ("file", "reader"),
    [
        ("keras2_sequential/model.h5", "Keras 2"),
        ("keras2_savedmodel/saved_model", "Keras 2"),
        ("qkeras_batchnorm/model.h5", "QKeras"),
        ("qkeras_batchnorm/model.keras", "QKeras"),
        ("qkeras09_json/model.json", "QKeras"),
        ("hgq2_images/model.keras", "HGQ2"),
        ("larq_mlp/model.h5", "larq"),
        ("hls4ml_binary/model.h5", "hls4ml's binary layers"),
        ("onnx_qdq_mlp/model.onnx", "ONNX"),
        ("torch_mlp/model.pt2", "PyTorch"),
    ],
)
def test_the_library_is_named(file: str, reader: str) -> None:
    path = SAMPLES / file
    weights = path.with_name("weights.h5") if path.suffix == ".json" else None
    origin = read_model(path, ReadSettings(weights=weights)).origin
    assert origin is not None
    assert origin.reader == reader


def test_a_search_reads_as_quantize_does(tmp_path: Path) -> None:
    folder = SAMPLES / "qkeras09_json"
    data = Data({"input": np.load(folder / "io.npz")["x"][:16]})
    reading = ReadSettings(weights=folder / "weights.h5", requantize=True)
    given = {"work": tmp_path, "test": data, "search": SearchSettings(trials=2)}
    found = flow.search(folder / "model.json", data, reading=reading, **given)  # type: ignore[arg-type]
    assert found.points
    with pytest.raises(UserError, match="brings its own integers"):
        flow.search(folder / "model.json", data, reading=reading.model_copy(update={"requantize": False}), **given)  # type: ignore[arg-type]
