"""QKeras v3: QConv2DBatchnorm, QDepthwiseConv2DBatchnorm and QDenseBatchnorm, with trained statistics.

Both folding modes, with and without bias, one kernel with a scale per channel (auto_po2); `qk_<layer>`, `qb_<layer>`
are the folded, quantized weights. Version 1.2.1 writes these files but cannot load them: QDenseBatchnorm is not
registered (its `registered_name` has no package) and refuses keys that its `get_config` writes, and the iteration
counter is saved twice (in .keras as `vars/iteration`, and also by number for layers that track it). So `y`,
`t_<layer>` are those of the model that was saved, each operation by itself, and `y_predict` by Keras' `predict`,
compiled with XLA. The members of model.keras are deflated (Keras stores them).
"""

import sys

sys.path.insert(0, "..")
import keras
from _common import finish, pictures
from _keras import train
from _qkeras import record, save
from qkeras import (
    QActivation,
    QConv2DBatchnorm,
    QDenseBatchnorm,
    QDepthwiseConv2DBatchnorm,
    quantized_bits,
    quantized_relu,
)

keras.utils.set_random_seed(31)
frames, labels = pictures(400, 9, 8, 1, seed=31)
source = keras.layers.Input((9, 8, 1), name="x")
h = QActivation(quantized_relu(8, 0), name="a0")(source)
h = QConv2DBatchnorm(
    4,
    3,
    kernel_quantizer=quantized_bits(5, 1, alpha=1.0),
    bias_quantizer=quantized_bits(8, 3, alpha=1.0),
    momentum=0.9,
    name="c1",
)(h)
h = QActivation(quantized_relu(4, 1), name="a1")(h)
h = QDepthwiseConv2DBatchnorm(
    3,
    padding="same",
    depthwise_quantizer=quantized_bits(4, 1, alpha=1.0),
    bias_quantizer=quantized_bits(8, 3, alpha=1.0),
    use_bias=False,
    momentum=0.9,
    name="dw",
)(h)
h = QActivation(quantized_relu(5, 2), name="a2")(h)
h = QConv2DBatchnorm(
    5,
    2,
    strides=2,
    use_bias=False,
    kernel_quantizer=quantized_bits(4, 0, alpha="auto_po2"),
    bias_quantizer=quantized_bits(10, 4, alpha=1.0),
    folding_mode="batch_stats_folding",
    ema_freeze_delay=60,
    momentum=0.9,
    epsilon=0.01,
    name="c2",
)(h)
h = QActivation(quantized_relu(4, 2), name="a3")(h)
h = keras.layers.Flatten(name="flat")(h)
h = QDenseBatchnorm(
    4,
    kernel_quantizer=quantized_bits(6, 1, alpha=1.0),
    bias_quantizer=quantized_bits(8, 3, alpha=1.0),
    momentum=0.9,
    name="d",
)(h)
model = keras.Model(source, h)
train(keras, model, frames, labels)
x = frames[:24]
save(keras, model)
arrays = record(keras, model, x)
finish(__doc__, ("qkeras-v3", "keras", "tensorflow"), arrays)
