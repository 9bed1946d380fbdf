"""HGQ2: a dense network on vectors, QUnaryFunctionLUT tanh and sigmoid, one format per element of every activation.

The tables' input formats are per element (HGQ2's default), their output formats one per layer. Half of the frames set
the integer bits; the last quarter of `x` is larger, so that activations wrap. The members of model.keras are deflated
(Keras stores them).
"""

import sys

sys.path.insert(0, "..")
import keras
import numpy as np
from _common import finish, vectors
from _hgq2 import PACKAGES, record, train
from hgq.config import LayerConfigScope, QuantizerConfigScope
from hgq.layers import QDense, QUnaryFunctionLUT

keras.utils.set_random_seed(23)
frames, labels = vectors(400, 12, seed=23)
with (
    QuantizerConfigScope(place="all", q_type="kbi", b0=6, i0=1),
    QuantizerConfigScope(place="datalane", q_type="kif", f0=4, i0=3),
    QuantizerConfigScope(place="table", q_type="kif", f0=6, i0=0, overflow_mode="SAT"),
    LayerConfigScope(enable_ebops=True, beta0=1e-5),
):
    source = keras.layers.Input((12,), name="x")
    h = QDense(8, name="d1")(source)
    h = QUnaryFunctionLUT("tanh", name="tanh")(h)
    h = QDense(6, name="d2")(h)
    h = QUnaryFunctionLUT("sigmoid", name="sigmoid")(h)
    h = QDense(4, name="d3")(h)
model = keras.Model(source, h)
train(model, frames, labels)
x = np.concatenate([frames[:24], 2 * frames[200:208]])
finish(__doc__, PACKAGES, record(model, x))
