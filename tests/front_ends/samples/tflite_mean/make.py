"""TFLite int8: convolutions, MEAN (global average pooling), FULLY_CONNECTED per channel, LOGISTIC at the output.

Input and output are int8. `y_*` are the outputs of the reference kernels, the optimized built-ins, XNNPACK (the
default) and TFLite Micro; `t_<tensor index>` is every activation under the reference kernels; `y_float` is the float
model before conversion.
"""

import sys

sys.path.insert(0, "..")
import keras
import numpy as np
from _common import FRAMES, finish, pictures
from _tflite import PACKAGES, convert, record, to_input, train

keras.utils.set_random_seed(11)
layers = keras.layers
x, labels = pictures(400, 10, 9, 2, seed=11)
source = layers.Input((10, 9, 2))
h = layers.Conv2D(5, 3, padding="same", activation="relu", bias_initializer="random_normal")(source)
h = layers.Conv2D(7, 3, strides=2, bias_initializer="random_normal")(h)
h = layers.BatchNormalization()(h)
h = layers.ReLU()(h)
h = layers.GlobalAveragePooling2D()(h)
h = layers.Dense(9, activation="relu")(h)
h = layers.Dense(4, activation="sigmoid")(h)
model = keras.Model(source, h)
train(model, x, np.eye(4)[labels], "binary_crossentropy", epochs=12)
convert(model, x)
arrays = record(to_input(x[:FRAMES]))
finish(__doc__, PACKAGES, {**arrays, "y_float": model.predict(x[:FRAMES], verbose=0)})
