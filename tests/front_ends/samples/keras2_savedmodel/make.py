"""Keras 2 of TensorFlow 2.11: a network with Add as a SavedModel folder.

Convolution, batch normalization, a residual sum, dense. `saved_model/` is as `save` writes it with
`save_traces=False`, which keeps it small. `y` and `t_<layer>` (of the first 8 frames) are what it gives after
loading, each operation by itself.
"""

import sys

sys.path.insert(0, "..")
from _common import FRAMES, finish, pictures
from _keras import record, train
from tensorflow import keras

keras.utils.set_random_seed(94)
layers = keras.layers
frames, labels = pictures(400, 6, 6, 1, seed=93)
source = layers.Input((6, 6, 1), name="x")
h = layers.Conv2D(3, 3, padding="same", activation="relu", name="c")(source)
g = layers.BatchNormalization(momentum=0.9, name="n")(h)
h = layers.Add(name="add")([h, g])
h = layers.Flatten(name="flat")(h)
h = layers.Dense(4, name="d")(h)
model = keras.Model(source, h)
train(keras, model, frames, labels)
keras.Model(source, h).save("saved_model", save_traces=False)
finish(__doc__, ("tensorflow",), record(keras, keras.models.load_model("saved_model"), frames[:FRAMES], traced=8))
