"""QKeras v3: dense layers with alpha auto and auto_po2, leaky quantized_relu, quantized_tanh, quantized_sigmoid.

Activations stand in QActivation, in `activation=` of a layer, and as strings; the last sigmoid is the real one
(`use_real_sigmoid`).

`y` and `t_<layer>` are what model.keras gives after loading, each operation by itself; `y_predict` is by Keras'
`predict`, compiled with XLA, which may lose ties behind a sum; `y_h5` is what model.h5 gives. `qk_<layer>` and
`qb_<layer>` are the quantized weights, `scale_<layer>` the scale that the kernel's quantizer computed. The members of
model.keras are deflated (Keras stores them).
"""

import sys

sys.path.insert(0, "..")
import keras
import numpy as np
from _common import finish, vectors
from _keras import train
from _qkeras import record, save
from qkeras import QActivation, QDense, quantized_bits, quantized_relu, quantized_sigmoid, quantized_tanh

keras.utils.set_random_seed(32)
frames, labels = vectors(400, 12, seed=32)
source = keras.layers.Input((12,), name="x")
h = QActivation(quantized_bits(8, 2, alpha=1.0), name="a0")(source)
h = QDense(
    10,
    kernel_quantizer=quantized_bits(4, 0, alpha="auto"),
    bias_quantizer=quantized_bits(8, 2, alpha=1.0),
    bias_initializer="random_normal",
    name="d1",
)(h)
h = QActivation(quantized_relu(6, 2, negative_slope=0.25), name="leaky")(h)
h = QDense(
    9,
    kernel_quantizer=quantized_bits(5, 1, alpha="auto_po2"),
    bias_quantizer=quantized_bits(6, 1, alpha=1.0),
    activation=quantized_tanh(6, symmetric=True),
    name="d2",
)(h)
h = QDense(
    8,
    kernel_quantizer="quantized_bits(4,1,1,alpha=1.0)",
    bias_quantizer=None,
    activation="quantized_sigmoid(5)",
    name="d3",
)(h)
h = QDense(
    8,
    use_bias=False,
    kernel_quantizer=quantized_bits(3, 1, keep_negative=True, alpha=0.5),
    activation=quantized_tanh(5),
    name="d4",
)(h)
h = QDense(
    6,
    kernel_quantizer=quantized_bits(2, 0, alpha="auto"),
    bias_quantizer=quantized_bits(6, 2, alpha=1.0),
    name="d5",
)(h)
h = QActivation(quantized_sigmoid(6, use_real_sigmoid=True), name="real")(h)
h = QDense(
    4,
    kernel_quantizer=quantized_bits(6, 2, alpha="auto_po2"),
    bias_quantizer=quantized_bits(8, 3, alpha=1.0),
    name="d6",
)(h)
model = keras.Model(source, h)
train(keras, model, frames, labels)
x = frames[:48]
save(keras, model)
arrays = record(keras, keras.models.load_model("model.keras"), x)
arrays["y_h5"] = np.array(keras.models.load_model("model.h5")(x))
finish(__doc__, ("qkeras-v3", "keras", "tensorflow"), arrays)
