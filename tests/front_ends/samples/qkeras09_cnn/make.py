"""QKeras 0.9: a convolutional network in one .h5 as `save` writes it, optimizer included, softmax at the end.

Quantizers stand as objects and as strings; the pooling and the batch normalization are Keras'. `y` and `t_<layer>`
are what the loaded file gives, each operation by itself; `qk_<layer>`, `qb_<layer>` are the quantized weights,
`scale_<layer>` the scale that the kernel's quantizer computed.
"""

import sys

sys.path.insert(0, "..")
from _common import finish, pictures
from _keras import train
from _qkeras import record
from qkeras import QActivation, QConv2D, QDense, QDepthwiseConv2D, quantized_bits, quantized_relu, ternary
from qkeras.utils import load_qmodel
from tensorflow import keras

keras.utils.set_random_seed(71)
layers = keras.layers
frames, labels = pictures(400, 8, 8, 1, seed=71)
bias = quantized_bits(8, 2, alpha=1)
source = layers.Input((8, 8, 1), name="x")
h = QActivation("quantized_relu(6)", name="a0")(source)
h = QConv2D(4, 3, kernel_quantizer="quantized_bits(4,0,1,alpha=1.0)", bias_quantizer=bias, name="c1")(h)
h = layers.BatchNormalization(momentum=0.9, name="n1")(h)
h = QActivation(quantized_relu(5, 2), name="a1")(h)
h = QDepthwiseConv2D(3, depthwise_quantizer=quantized_bits(4, 1, alpha=1), bias_quantizer=bias, name="dw")(h)
h = QActivation("quantized_relu(4,2)", name="a2")(h)
h = QConv2D(6, 1, kernel_quantizer=ternary(alpha="auto_po2"), use_bias=False, name="pw")(h)
h = QActivation(quantized_relu(4, 2), name="a3")(h)
h = layers.MaxPooling2D(2, name="mp")(h)
h = layers.Flatten(name="flat")(h)
h = QDense(4, kernel_quantizer=quantized_bits(5, 1, alpha="auto_po2"), bias_quantizer=bias, name="d")(h)
h = layers.Activation("softmax", name="softmax")(h)
model = keras.Model(source, h)
train(keras, model, frames, labels, from_logits=False)
model.save("model.h5")
x = frames[:16]
finish(__doc__, ("QKeras", "tensorflow"), record(keras, load_qmodel("model.h5", compile=False), x))
