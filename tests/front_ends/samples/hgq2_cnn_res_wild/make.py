"""HGQ2: outputs of the larger sample `hgq2_cnn_res`, which is not kept here, for inputs that wrap everywhere.

Run with the sample's folder as the argument.
"""

import sys
from pathlib import Path

sys.path.insert(0, "..")
import hgq  # noqa: F401 - registers its classes
import keras
import numpy as np
from _common import finish
from _hgq2 import PACKAGES

model = keras.models.load_model(Path(sys.argv[1]) / "model.keras")
x = (np.random.default_rng(0).integers(-20480, 20480, (3, 14, 14, 1)) / 1024).astype("float32")
layers = model.layers[1:]
values = keras.Model(model.inputs, [layer.output for layer in layers]).predict(x, verbose=0)
finish(__doc__, PACKAGES, {"x": x} | {f"t_{layer.name}": value for layer, value in zip(layers, values, strict=True)})
