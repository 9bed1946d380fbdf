"""hls4ml's BinaryDense: binary weights (H = 1 and Glorot), batch normalization, binary_tanh; JSON and weights, and .h5.

The classes are written anew after their published definition (`_binary_layers.py`), as the original needs Keras 1;
the file formats are those of Keras 2. `y` and `t_<layer>` are what model.h5 gives after loading, each operation by
itself; `qk_<layer>` are the binary kernels.
"""

import sys
from pathlib import Path

sys.path.insert(0, "..")
from _binary_layers import OBJECTS, BinaryDense, binary_tanh, keras
from _common import FRAMES, finish, vectors
from _keras import record, train

keras.utils.set_random_seed(84)
frames, labels = vectors(400, 16, seed=84)
layers = keras.layers
model = keras.Sequential(
    [
        BinaryDense(16, use_bias=False, input_shape=(16,), name="fc1"),
        layers.BatchNormalization(epsilon=1e-6, momentum=0.9, name="bn1"),
        layers.Activation(binary_tanh, name="act1"),
        BinaryDense(12, use_bias=False, H="Glorot", name="fc2"),
        layers.BatchNormalization(epsilon=1e-6, momentum=0.9, name="bn2"),
        layers.Activation(binary_tanh, name="act2"),
        BinaryDense(4, use_bias=True, activation="linear", name="output"),
        layers.BatchNormalization(epsilon=1e-6, momentum=0.9, name="bn3"),
    ]
)
train(keras, model, frames, labels)
Path("model.json").write_text(model.to_json())
model.save_weights("weights.h5")
model.save("model.h5", include_optimizer=False)
loaded = keras.models.load_model("model.h5", OBJECTS, compile=False)
arrays = record(keras, loaded, frames[:FRAMES])
for layer in loaded.layers:
    if isinstance(layer, BinaryDense):
        arrays[f"qk_{layer.name}"] = layer.quantized_kernel().numpy()
finish(__doc__, ("tensorflow",), arrays)
