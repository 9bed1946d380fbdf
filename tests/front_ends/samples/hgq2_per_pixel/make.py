"""HGQ2: one convolution whose input format is per pixel and channel (HGQ2's default), trained until the formats differ.

Streaming hardware has one format per channel: a reader refuses this file, and names `heterogeneous_axis=(-1,)`.
"""

import sys

sys.path.insert(0, "..")
import keras
from _common import finish, pictures
from _hgq2 import PACKAGES, record, train
from hgq.config import LayerConfigScope, QuantizerConfigScope
from hgq.layers import QConv2D, QDense

keras.utils.set_random_seed(24)
frames, labels = pictures(400, 6, 6, 1, seed=24)
with (
    QuantizerConfigScope(place="all", q_type="kbi", b0=5, i0=1),
    QuantizerConfigScope(place="datalane", q_type="kif", f0=5, i0=3),
    LayerConfigScope(enable_ebops=True, beta0=2e-5),
):
    source = keras.layers.Input((6, 6, 1), name="x")
    h = QConv2D(2, 3, activation="relu", name="c1")(source)
    h = keras.layers.Flatten(name="flat")(h)
    h = QDense(4, name="dense")(h)
model = keras.Model(source, h)
train(model, frames, labels)
finish(__doc__, PACKAGES, record(model, frames[:16]))
