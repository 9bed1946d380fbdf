"""Keras 2 of TensorFlow 2.11: a sequential network in model.h5, with its optimizer.

Convolution, separable convolution, batch normalization, tanh, poolings, dense layers. `y` and `t_<layer>` (of the
first 8 frames) are what model.h5 gives after loading, each operation by itself.
"""

import sys

sys.path.insert(0, "..")
from _common import FRAMES, finish, pictures
from _keras import record, train
from tensorflow import keras

keras.utils.set_random_seed(92)
layers = keras.layers
frames, labels = pictures(400, 8, 8, 1, seed=92)
model = keras.Sequential(
    [
        layers.Conv2D(4, (3, 2), activation="relu", input_shape=(8, 8, 1), bias_initializer="random_normal", name="c1"),
        layers.SeparableConv2D(5, 3, padding="same", depth_multiplier=1, name="sep"),
        layers.BatchNormalization(momentum=0.9, name="n1"),
        layers.Activation("tanh", name="t1"),
        layers.AveragePooling2D((2, 2), name="ap"),
        layers.GlobalAveragePooling2D(name="gap"),
        layers.Dense(8, name="d1"),
        layers.Activation("relu", name="r1"),
        layers.Dense(4, activation="softmax", name="d2"),
    ]
)
train(keras, model, frames, labels, from_logits=False)
model.save("model.h5")
finish(__doc__, ("tensorflow",), record(keras, keras.models.load_model("model.h5"), frames[:FRAMES], traced=8))
