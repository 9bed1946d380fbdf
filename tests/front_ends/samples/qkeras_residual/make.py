"""QKeras v3: a residual network with QActivation on both branches, ternary, binary and quantized_po2 weights.

Also a float BatchNormalization, Concatenate, average and maximum pooling.

`y` and `t_<layer>` are what model.keras gives after loading, each operation by itself; `y_predict` is by Keras'
`predict`, compiled with XLA, which may lose ties behind a sum; `y_h5` is what model.h5 gives. `qk_<layer>` and
`qb_<layer>` are the quantized weights, `scale_<layer>` the scale that the kernel's quantizer computed. The members of
model.keras are deflated (Keras stores them).
"""

import sys

sys.path.insert(0, "..")
import keras
import numpy as np
from _common import finish, pictures
from _keras import train
from _qkeras import record, save
from qkeras import QActivation, QConv2D, QDense, binary, quantized_bits, quantized_po2, quantized_relu, ternary

keras.utils.set_random_seed(38)
layers = keras.layers
frames, labels = pictures(400, 8, 7, 1, seed=33)
bias = quantized_bits(8, 2, alpha=1.0)
source = layers.Input((8, 7, 1), name="x")
h = QActivation("quantized_relu(6,0)", name="a0")(source)
h = QConv2D(3, 3, padding="same", kernel_quantizer=quantized_po2(4, 1), bias_quantizer=bias, name="po2")(h)
h = QActivation(quantized_relu(4, 2), name="a1")(h)
g = QConv2D(3, 3, padding="same", kernel_quantizer=ternary(alpha=1.0, threshold=0.2), bias_quantizer=bias, name="tern")(
    h
)
g = layers.BatchNormalization(momentum=0.9, name="bn")(g)
g = QActivation(quantized_bits(5, 2, alpha=1.0), name="a2")(g)
s = QConv2D(3, 1, kernel_quantizer=binary(alpha=1.0), use_bias=False, name="bin")(h)
s = QActivation(quantized_bits(4, 1, alpha=1.0), name="a3")(s)
h = layers.Add(name="add")([g, s])
h = QActivation(quantized_relu(4, 3), name="a4")(h)
left = layers.MaxPooling2D(2, name="mp")(h)
right = layers.AveragePooling2D(2, name="ap")(h)
h = layers.Concatenate(name="cat")([left, right])
h = QConv2D(5, 2, kernel_quantizer=ternary(alpha="auto"), bias_quantizer=bias, name="auto")(h)
h = QActivation(quantized_relu(5, 3), name="a5")(h)
h = layers.Flatten(name="flat")(h)
h = QDense(4, kernel_quantizer=quantized_po2(5), bias_quantizer=quantized_po2(6, 2), name="d")(h)
model = keras.Model(source, h)
train(keras, model, frames, labels)
x = frames[:16]
save(keras, model)
arrays = record(keras, keras.models.load_model("model.keras"), x)
arrays["y_h5"] = np.array(keras.models.load_model("model.h5")(x))
finish(__doc__, ("qkeras-v3", "keras", "tensorflow"), arrays)
