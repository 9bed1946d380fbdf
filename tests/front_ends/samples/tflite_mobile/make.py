"""TFLite int8: two blocks as in MobileNetV2: RELU6, depthwise convolution, linear 1x1, ADD; the second has stride 2.

Input and output are int8. `y_*` are the outputs of the reference kernels, the optimized built-ins, XNNPACK (the
default) and TFLite Micro; `t_<tensor index>` is every activation under the reference kernels; `y_float` is the float
model before conversion. Inputs are scaled so that RELU6 saturates.
"""

import sys

sys.path.insert(0, "..")
import keras
from _common import FRAMES, finish, pictures
from _tflite import PACKAGES, convert, record, to_input, train

keras.utils.set_random_seed(14)
layers = keras.layers


def block(h, expanded: int, channels: int, strides: int):
    """Expansion, depthwise convolution, projection; the sum with the input where the shapes allow it."""
    g = layers.Conv2D(expanded, 1, use_bias=False)(h)
    g = layers.ReLU(6)(layers.BatchNormalization()(g))
    g = layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False)(g)
    g = layers.ReLU(6)(layers.BatchNormalization(gamma_initializer=keras.initializers.Constant(2.5))(g))
    g = layers.Conv2D(channels, 1, use_bias=False)(g)
    g = layers.BatchNormalization()(g)
    return layers.Add()([h, g]) if strides == 1 and h.shape[-1] == channels else g


x, labels = pictures(400, 10, 10, 1, seed=14)
x *= 8
source = layers.Input((10, 10, 1))
h = layers.Conv2D(4, 3, strides=1, padding="same", use_bias=False)(source)
h = layers.ReLU(6)(layers.BatchNormalization(gamma_initializer=keras.initializers.Constant(3.0))(h))
h = block(h, 6, 4, 1)
h = block(h, 6, 5, 2)
h = layers.GlobalAveragePooling2D()(h)
h = layers.Dense(4)(h)
model = keras.Model(source, h)
train(model, x, labels, keras.losses.SparseCategoricalCrossentropy(from_logits=True), epochs=12)
convert(model, x)
arrays = record(to_input(x[:FRAMES]))
finish(__doc__, PACKAGES, {**arrays, "y_float": model.predict(x[:FRAMES], verbose=0)})
