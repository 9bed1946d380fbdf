"""TFLite int8: PAD and a convolution of stride 2 without padding, CONCATENATION, MAX_POOL, FULLY_CONNECTED.

Two branches and what they read are concatenated: three ranges, of which the converter makes one. Input and output are
float32, as the converter does unless told otherwise: the file begins with QUANTIZE and ends with DEQUANTIZE. `y_*`
are the outputs of the reference kernels, the optimized built-ins, XNNPACK (the default) and TFLite Micro; `t_<tensor
index>` is every activation under the reference kernels; `y_float` is the float model before conversion.
"""

import sys

sys.path.insert(0, "..")
import keras
import tensorflow as tf
from _common import FRAMES, finish, pictures
from _tflite import PACKAGES, convert, record, to_input, train

keras.utils.set_random_seed(12)
layers = keras.layers
x, labels = pictures(400, 12, 10, 1, seed=12)
source = layers.Input((12, 10, 1))
h = layers.ZeroPadding2D(((1, 0), (2, 1)))(source)
h = layers.Conv2D(4, 3, strides=2, activation="relu", bias_initializer="random_normal")(h)
left = layers.Conv2D(3, 1, bias_initializer="random_normal")(h)
right = layers.Conv2D(3, 3, padding="same", activation="relu", kernel_initializer="he_normal")(h)
h = layers.Concatenate()([left, h, right])
h = layers.MaxPooling2D((2, 2))(h)
h = layers.Flatten()(h)
h = layers.Dense(4)(h)
model = keras.Model(source, h)
train(model, x, labels, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
convert(model, x, ports=tf.float32)
arrays = record(to_input(x[:FRAMES]))
finish(__doc__, PACKAGES, {**arrays, "y_float": model.predict(x[:FRAMES], verbose=0)})
