"""QKeras 0.9: a dense network as model.json (`to_json`) and weights.h5 (`save_weights`).

`y` and `t_<layer>` are those of a model built from both files, each operation by itself; `qk_<layer>`, `qb_<layer>`
are the quantized weights, `scale_<layer>` the scale that the kernel's quantizer computed.
"""

import sys
from pathlib import Path

sys.path.insert(0, "..")
from _common import finish, vectors
from _keras import train
from _qkeras import record
from qkeras import QActivation, QDense, binary, quantized_bits, quantized_relu, quantized_tanh
from qkeras.utils import quantized_model_from_json
from tensorflow import keras

keras.utils.set_random_seed(72)
frames, labels = vectors(400, 12, seed=72)
bias = quantized_bits(6, 1, alpha=1)
model = keras.Sequential(
    [
        QDense(16, input_shape=(12,), kernel_quantizer=quantized_bits(6, 0, alpha=1), bias_quantizer=bias, name="d1"),
        QActivation(quantized_relu(6), name="a1"),
        QDense(10, kernel_quantizer=binary(alpha="auto_po2"), bias_quantizer="quantized_bits(6,1,alpha=1)", name="d2"),
        keras.layers.BatchNormalization(momentum=0.9, name="n2"),
        QActivation("quantized_relu(4,1)", name="a2"),
        keras.layers.Dropout(0.1, name="drop"),
        QDense(8, kernel_quantizer=quantized_bits(3, 1, alpha="auto"), use_bias=False, name="d3"),
        QActivation(quantized_tanh(6), name="a3"),
        QDense(4, kernel_quantizer="quantized_bits(6,0,alpha=1)", bias_quantizer=bias, name="d4"),
        keras.layers.Activation("linear", name="out"),
    ]
)
train(keras, model, frames, labels)
Path("model.json").write_text(model.to_json())
model.save_weights("weights.h5")
loaded = quantized_model_from_json(Path("model.json").read_text())
loaded.load_weights("weights.h5")
finish(__doc__, ("QKeras", "tensorflow"), record(keras, loaded, frames[:48]))
