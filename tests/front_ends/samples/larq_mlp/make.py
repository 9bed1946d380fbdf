"""larq: dense layers with DoReFa activations and weights, magnitude_aware_sign, ste_heaviside, swish_sign, and biases.

`y` and `t_<layer>` are what the loaded file gives, each operation by itself; `qk_<layer>` are the quantized kernels.
"""

import sys

sys.path.insert(0, "..")
import larq as lq
from _common import FRAMES, finish, vectors
from _keras import train
from _larq import PACKAGES, record
from tensorflow import keras

keras.utils.set_random_seed(83)
layers, quantizers = keras.layers, lq.quantizers
frames, labels = vectors(400, 12, seed=83)
source = layers.Input((12,), name="x")
h = lq.layers.QuantDense(14, kernel_quantizer=quantizers.DoReFa(3, mode="weights"), name="d1")(source)
h = layers.BatchNormalization(momentum=0.9, name="n1")(h)
h = lq.layers.QuantDense(12, input_quantizer=quantizers.DoReFa(2), kernel_quantizer="magnitude_aware_sign", name="d2")(
    h
)
h = layers.BatchNormalization(momentum=0.9, name="n2")(h)
h = lq.layers.QuantDense(10, input_quantizer="ste_heaviside", kernel_quantizer="ste_sign", name="d3")(h)
h = layers.BatchNormalization(momentum=0.9, scale=False, name="n3")(h)
h = lq.layers.QuantDense(4, input_quantizer="swish_sign", kernel_quantizer="ste_sign", name="d4")(h)
h = layers.BatchNormalization(momentum=0.9, name="n4")(h)
model = keras.Model(source, h)
train(keras, model, frames, labels)
keras.Model(source, h).save("model.h5")
finish(__doc__, PACKAGES, record(keras, frames[:FRAMES]))
