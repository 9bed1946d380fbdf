"""larq: QuantDepthwiseConv2D, QuantSeparableConv2D, ste_tern with both kinds of threshold, a shortcut around a layer.

`y` and `t_<layer>` (of the first 12 frames) are what the loaded file gives, each operation by itself; `qk_<layer>`
are the quantized kernels, `qk_<layer>_depthwise` (also of the depthwise one) and `_pointwise` those of the separable
convolution.
"""

import sys

sys.path.insert(0, "..")
import larq as lq
from _common import FRAMES, finish, pictures
from _keras import train
from _larq import PACKAGES, record
from tensorflow import keras

keras.utils.set_random_seed(82)
layers = keras.layers
frames, labels = pictures(400, 8, 8, 1, seed=82)
by_weights = lq.quantizers.SteTern(ternary_weight_networks=True)
source = layers.Input((8, 8, 1), name="x")
h = lq.layers.QuantConv2D(4, 3, kernel_quantizer=by_weights, name="c1")(source)
h = layers.BatchNormalization(momentum=0.9, name="n1")(h)
g = lq.layers.QuantDepthwiseConv2D(
    3,
    padding="same",
    pad_values=-1.0,
    input_quantizer="ste_sign",
    depthwise_quantizer="ste_tern",
    use_bias=False,
    name="dw",
)(h)
g = layers.BatchNormalization(momentum=0.9, scale=False, name="n2")(g)
h = layers.Add(name="add")([h, g])
h = layers.AveragePooling2D(2, name="pool")(h)
h = lq.layers.QuantSeparableConv2D(
    5,
    2,
    input_quantizer="approx_sign",
    depthwise_quantizer="ste_sign",
    pointwise_quantizer=lq.quantizers.SteTern(threshold_value=0.2),
    use_bias=False,
    name="sep",
)(h)
h = layers.BatchNormalization(momentum=0.9, name="n3")(h)
h = layers.ReLU(name="r3")(h)
h = layers.Flatten(name="flat")(h)
h = lq.layers.QuantDense(4, kernel_quantizer="ste_tern", name="d")(h)
model = keras.Model(source, h)
train(keras, model, frames, labels)
keras.Model(source, h).save("model.h5")
finish(__doc__, PACKAGES, record(keras, frames[:FRAMES], traced=12))
