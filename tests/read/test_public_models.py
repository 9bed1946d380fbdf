"""Models that other people trained and saved with Keras 2 are read as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.post_training import Quantization, quantize
from dnn2fpga.passes.simplify import simplify
from dnn2fpga.read.keras import read_keras_model
from dnn2fpga.task import Ending, Interface

MODELS = {
    "jets/jets_16_64_32_32_5_float.h5": (["dense"] * 4, (16,), (5,), Ending.SOFTMAX),
    "jets/jets_16_64_32_32_5_pruned75.h5": (["dense"] * 4, (16,), (5,), Ending.SOFTMAX),
    "mlperf_tiny/ad01.h5": (["dense"] * 10, (640,), (640,), Ending.LINEAR),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", MODELS)
def test_public_model(public_models: Path, name: str) -> None:
    from dnn2fpga.keras_import import keras

    path = public_models / name
    if not path.is_file():
        pytest.skip(f"{path} is missing")
    kinds, input_shape, output_shape, ending = MODELS[name]

    graph = simplify(read_keras_model(path))

    assert [layer.kind for layer in graph.layers] == kinds
    assert graph.interface == Interface(inputs=(input_shape,), output=output_shape, ending=ending)
    x = np.random.default_rng(0).normal(size=(32, *input_shape)).astype(np.float32)
    model = keras.saving.load_model(path, compile=False)
    if ending is Ending.SOFTMAX:
        model.layers[-1].activation = keras.activations.linear
    expected = np.asarray(model(x))
    np.testing.assert_allclose(graph.run(x), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    quantized = quantize(graph, calibrate(graph, x), Quantization())
    error = np.abs(quantized.predict(x) - expected).max() / np.abs(expected).max()
    assert error < 0.2  # eight bits, on noise
