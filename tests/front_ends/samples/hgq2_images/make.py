"""HGQ2: layers on images with random widths: grouped convolution, strides, tanh, all pooling, QMaximum, QSoftmax.

QBatchNormalization without scale; a convolution whose kernel quantizer wraps (a trainable one only rounds). Not
trained. The members of model.keras are deflated (Keras stores them).
"""

import sys

sys.path.insert(0, "..")
import keras
from _common import finish
from _hgq2 import PACKAGES, record
from _hgq2_random import numbers, randomize
from hgq.config import QuantizerConfig, QuantizerConfigScope
from hgq.layers import (
    QAveragePooling2D,
    QBatchNormalization,
    QConv2D,
    QDense,
    QGlobalAveragePooling2D,
    QGlobalMaxPooling2D,
    QMaximum,
    QMaxPooling2D,
    QSoftmax,
)

keras.utils.set_random_seed(31)
wrapping = QuantizerConfig("kif", "weight", overflow_mode="WRAP", round_mode="TRN")
with QuantizerConfigScope(place="datalane", heterogeneous_axis=(-1,), homogeneous_axis=None):
    source = keras.layers.Input((9, 8, 2), name="x")
    h = QConv2D(4, (3, 2), strides=(2, 1), activation="tanh", name="c1")(source)
    h = QBatchNormalization(scale=False, epsilon=1e-2, name="bn")(h)
    h = keras.layers.ReLU(name="relu")(h)
    h = QConv2D(4, 3, padding="same", groups=4, name="depthwise")(h)
    a = QAveragePooling2D((2, 3), strides=(1, 2), name="average")(h)
    b = QMaxPooling2D((2, 3), strides=(1, 2), name="maximum")(h)
    h = QMaximum(name="larger")([a, b])
    h = QConv2D(5, 1, kq_conf=wrapping, activation="relu6", name="c2")(h)
    a = QGlobalAveragePooling2D(name="global_average")(h)
    b = QGlobalMaxPooling2D(name="global_maximum")(h)
    h = keras.layers.Concatenate(name="both")([a, b])
    h = QDense(4, name="logits")(h)
    h = QSoftmax(name="softmax")(h)
model = keras.Model(source, h)
randomize(model, 12)
finish(__doc__, PACKAGES, record(model, numbers(12, 9, 8, 2, seed=31)))
