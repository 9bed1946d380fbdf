"""HGQ2: QEinsumDenseBatchnorm and QBatchNormDense, whose batch normalization is folded into the quantized kernel.

Version 0.2.0 computes both in ways of its own: QEinsumDenseBatchnorm uses Keras' global epsilon 1e-7 and not its own,
and QBatchNormDense scales its kernel by the variance of its inputs but not the mean. The members of model.keras are
deflated (Keras stores them).
"""

import sys

sys.path.insert(0, "..")
import keras
from _common import finish, vectors
from _hgq2 import PACKAGES, record, train
from hgq.config import LayerConfigScope, QuantizerConfigScope
from hgq.layers import QBatchNormDense, QDense, QEinsumDenseBatchnorm

keras.utils.set_random_seed(25)
frames, labels = vectors(400, 10, seed=25)
with (
    QuantizerConfigScope(place="all", q_type="kbi", b0=6, i0=1),
    QuantizerConfigScope(place="datalane", q_type="kif", f0=4, i0=3),
    LayerConfigScope(enable_ebops=True, beta0=1e-5),
):
    source = keras.layers.Input((10,), name="x")
    h = QEinsumDenseBatchnorm("bc,cd->bd", (8,), bias_axes="d", activation="relu", momentum=0.9, name="e1")(source)
    h = QBatchNormDense(8, activation="relu", momentum=0.9, name="b2")(h)
    h = QDense(4, name="d3")(h)
model = keras.Model(source, h)
train(model, frames, labels)
finish(__doc__, PACKAGES, record(model, frames[:24]))
