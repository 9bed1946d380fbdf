"""Keras 2: a functional network with Add, as model.keras, and as model.json with weights.h5.

Convolutions, batch normalization, depthwise convolution, ReLU with a maximum, pooling, Concatenate, Dropout. By
tf_keras, which is Keras 2 beside Keras 3. `y` and `t_<layer>` (of the first 8 frames) are what model.keras gives
after loading, each operation by itself; `y_json` are those of the other pair. The members of model.keras are deflated
(Keras stores them).
"""

import sys
from pathlib import Path

sys.path.insert(0, "..")
import numpy as np
import tf_keras as keras
from _common import FRAMES, deflate, finish, pictures
from _keras import record, train

keras.utils.set_random_seed(91)
layers = keras.layers
frames, labels = pictures(400, 9, 8, 1, seed=91)
source = layers.Input((9, 8, 1), name="x")
h = layers.ZeroPadding2D(((0, 1), (1, 1)), name="pad")(source)
h = layers.Conv2D(4, 3, strides=2, use_bias=False, name="c1")(h)
h = layers.BatchNormalization(momentum=0.9, name="n1")(h)
h = layers.ReLU(max_value=6.0, name="r1")(h)
g = layers.DepthwiseConv2D(3, padding="same", bias_initializer="random_normal", name="dw")(h)
g = layers.LeakyReLU(alpha=0.125, name="l1")(g)
g = layers.Conv2D(4, 1, name="pw")(g)
g = layers.BatchNormalization(momentum=0.9, center=False, epsilon=1e-2, name="n2")(g)
h = layers.Add(name="add")([h, g])
h = layers.Activation("relu", name="r2")(h)
left = layers.MaxPooling2D(2, padding="same", name="mp")(h)
right = layers.AveragePooling2D(2, padding="same", name="ap")(h)
h = layers.Concatenate(name="cat")([left, right])
h = layers.Dropout(0.2, name="drop")(h)
h = layers.Flatten(name="flat")(h)
h = layers.Dense(6, activation="sigmoid", name="d1")(h)
h = layers.Dense(4, activation="softmax", name="d2")(h)
model = keras.Model(source, h)
train(keras, model, frames, labels, from_logits=False)
bare = keras.Model(model.inputs, model.outputs)
bare.save("model.keras")
deflate("model.keras")
Path("model.json").write_text(bare.to_json())
bare.save_weights("weights.h5")
x = frames[:FRAMES]
arrays = record(keras, keras.models.load_model("model.keras"), x, traced=8)
both = keras.models.model_from_json(Path("model.json").read_text())
both.load_weights("weights.h5")
arrays["y_json"] = np.array(both(x))
finish(__doc__, ("tf_keras", "tensorflow"), arrays)
