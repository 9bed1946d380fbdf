"""HGQ2: activations that saturate (SAT, SAT_SYM), rounding half to even (RND_CONV) and down (TRN), output quantizers.

Formats per channel. The pooling's input quantizer is not trainable, which may change the order of its variables in
the file. Widths of the first layer's weights are random at the start. Inputs of both signs go beyond the input
format. The members of model.keras are deflated (Keras stores them).
"""

import sys

sys.path.insert(0, "..")
import keras
import numpy as np
from _common import finish, pictures
from _hgq2 import PACKAGES, record, train
from hgq.config import LayerConfigScope, QuantizerConfig, QuantizerConfigScope
from hgq.layers import QConv2D, QDense, QMaxPooling2D, QSubtract

keras.utils.set_random_seed(22)
frames, labels = pictures(400, 8, 7, 2, seed=22)
frames = (frames * 4 - 1).astype(np.float32)
per_channel = {"heterogeneous_axis": (-1,), "homogeneous_axis": None}


def lane(q_type: str, round_mode: str, overflow_mode: str, **more) -> QuantizerConfig:
    return QuantizerConfig(
        q_type, "datalane", round_mode=round_mode, overflow_mode=overflow_mode, **per_channel, **more
    )


with (
    QuantizerConfigScope(place="all", q_type="kbi", b0=5, i0=1, overflow_mode="SAT_SYM", round_mode="RND_CONV"),
    LayerConfigScope(enable_ebops=True, beta0=1e-5),
):
    widths = QuantizerConfig("kbi", "weight", b0=keras.initializers.RandomUniform(1.6, 6.4, seed=1), i0=0)
    source = keras.layers.Input((8, 7, 2), name="x")
    h = QConv2D(
        4,
        3,
        activation="relu",
        iq_conf=lane("kif", "RND_CONV", "SAT", i0=1, f0=5),
        kq_conf=widths,
        bias_initializer="random_normal",
        name="c1",
    )(source)
    g = QConv2D(
        4,
        1,
        iq_conf=lane("kbi", "TRN", "SAT", k0=0, b0=4, i0=1),
        oq_conf=lane("kif", "RND", "SAT_SYM", i0=1, f0=4),
        enable_oq=True,
        name="c2",
    )(h)
    h = QSubtract(
        iq_confs=[lane("kif", "RND_CONV", "SAT", i0=1, f0=3), lane("kbi", "RND", "SAT_SYM", b0=5, i0=0)], name="sub"
    )([h, g])
    h = QMaxPooling2D(2, iq_conf=lane("kif", "RND", "SAT", i0=0, f0=4, trainable=False), name="pool")(h)
    h = keras.layers.Flatten(name="flat")(h)
    h = QDense(
        4,
        iq_conf=lane("kbi", "RND_CONV", "SAT", b0=4, i0=0),
        oq_conf=lane("kif", "RND_CONV", "SAT", i0=1, f0=2),
        enable_oq=True,
        name="dense",
    )(h)
model = keras.Model(source, h)
train(model, frames, labels)
finish(__doc__, PACKAGES, record(model, frames[:24]))
