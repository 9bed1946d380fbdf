"""TFLite int8: squeeze and excite with MUL, SUB of two branches, TANH, LEAKY_RELU, FULLY_CONNECTED per tensor.

Input and output are uint8: the file begins and ends with QUANTIZE. `y_*` are the outputs of the reference kernels,
the optimized built-ins, XNNPACK (the default) and TFLite Micro; `t_<tensor index>` is every activation under the
reference kernels; `y_float` is the float model before conversion.
"""

import sys

sys.path.insert(0, "..")
import keras
import tensorflow as tf
from _common import FRAMES, finish, pictures
from _tflite import PACKAGES, convert, record, to_input, train

keras.utils.set_random_seed(13)
layers = keras.layers
x, labels = pictures(400, 8, 8, 2, seed=13)
source = layers.Input((8, 8, 2))
h = layers.Conv2D(4, 3, padding="same", bias_initializer="random_normal")(source)
h = layers.LeakyReLU(negative_slope=0.2)(h)
weight = layers.GlobalAveragePooling2D(keepdims=True)(h)
weight = layers.Conv2D(2, 1, activation="relu", kernel_initializer="he_normal")(weight)
weight = layers.Conv2D(4, 1, activation="sigmoid", bias_initializer="random_normal")(weight)
h = layers.Multiply()([h, weight])
g = layers.Conv2D(4, 3, padding="same", kernel_initializer="he_normal")(h)
g = layers.Activation("tanh")(g)
h = layers.Subtract()([h, g])
h = layers.AveragePooling2D(2)(h)
h = layers.Flatten()(h)
h = layers.Dense(6)(h)
h = layers.LeakyReLU(negative_slope=0.1)(h)
h = layers.Dense(4)(h)
model = keras.Model(source, h)
train(model, x, labels, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
convert(model, x, ports=tf.uint8, dense_per_channel=False)
arrays = record(to_input(x[:FRAMES]))
finish(__doc__, PACKAGES, {**arrays, "y_float": model.predict(x[:FRAMES], verbose=0)})
