"""HGQ2: two convolutions with QBatchNormalization, QAdd of both, QAveragePooling2D, QDense.

One activation format per channel (per feature behind Flatten), one width per weight, trained. Integer bits come from
half of the training frames; the last quarter of `x` is louder, so that activations wrap. The members of model.keras
are deflated (Keras stores them).
"""

import sys

sys.path.insert(0, "..")
import keras
import numpy as np
from _common import finish, pictures
from _hgq2 import PACKAGES, record, train
from hgq.config import LayerConfigScope, QuantizerConfig, QuantizerConfigScope
from hgq.layers import QAdd, QAveragePooling2D, QBatchNormalization, QConv2D, QDense

keras.utils.set_random_seed(21)
frames, labels = pictures(400, 8, 8, 1, seed=21)
per_channel = {"q_type": "kif", "heterogeneous_axis": (-1,), "homogeneous_axis": None}
with (
    QuantizerConfigScope(place="all", q_type="kbi", b0=6, i0=1),
    QuantizerConfigScope(place="datalane", f0=4, i0=3, **per_channel),
    LayerConfigScope(enable_ebops=True, beta0=2e-5),
):
    source = keras.layers.Input((8, 8, 1), name="x")
    h = QConv2D(3, 3, padding="same", use_bias=False, name="c1")(source)
    gamma = keras.initializers.RandomUniform(0.4, 2.4, seed=2)
    scales = QuantizerConfig("kbi", "weight", b0=6, i0=3)
    h = QBatchNormalization(gamma_initializer=gamma, kq_conf=scales, name="n1")(h)
    h = keras.layers.ReLU(name="r1")(h)
    g = QConv2D(3, 3, padding="same", name="c2")(h)
    g = QBatchNormalization(momentum=0.9, epsilon=1e-2, name="n2")(g)
    h = QAdd(name="add")([h, g])
    h = QAveragePooling2D(2, name="pool")(h)
    h = keras.layers.Flatten(name="flat")(h)
    h = QDense(4, name="dense")(h)
model = keras.Model(source, h)
train(model, frames, labels)
x = np.concatenate([frames[:18], np.minimum(2.5 * frames[200:206], 255 / 256)]).astype(np.float32)
finish(__doc__, PACKAGES, record(model, x))
