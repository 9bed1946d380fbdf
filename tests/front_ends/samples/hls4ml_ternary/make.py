"""hls4ml's TernaryDense: ternary weights, batch normalization, ternary_tanh and ReLU; JSON and weights, and .h5.

The classes are written anew after their published definition (`_binary_layers.py`), as the original needs Keras 1;
the file formats are those of Keras 2. `y` and `t_<layer>` are what model.h5 gives after loading, each operation by
itself; `qk_<layer>` are the ternary kernels.
"""

import sys
from pathlib import Path

sys.path.insert(0, "..")
from _binary_layers import OBJECTS, TernaryDense, keras, ternary_tanh
from _common import FRAMES, finish, vectors
from _keras import record, train

keras.utils.set_random_seed(85)
frames, labels = vectors(400, 16, seed=85)
layers = keras.layers
model = keras.Sequential(
    [
        TernaryDense(16, use_bias=False, input_shape=(16,), name="fc1"),
        layers.BatchNormalization(epsilon=1e-6, momentum=0.9, name="bn1"),
        layers.Activation(ternary_tanh, name="act1"),
        TernaryDense(12, use_bias=True, name="fc2"),
        layers.BatchNormalization(epsilon=1e-6, momentum=0.9, name="bn2"),
        layers.Activation("relu", name="act2"),
        TernaryDense(4, use_bias=False, activation="softmax", name="output"),
    ]
)
train(keras, model, frames, labels, from_logits=False)
Path("model.json").write_text(model.to_json())
model.save_weights("weights.h5")
model.save("model.h5", include_optimizer=False)
loaded = keras.models.load_model("model.h5", OBJECTS, compile=False)
arrays = record(keras, loaded, frames[:FRAMES])
for layer in loaded.layers:
    if isinstance(layer, TernaryDense):
        arrays[f"qk_{layer.name}"] = layer.quantized_kernel().numpy()
finish(__doc__, ("tensorflow",), arrays)
