"""HGQ2: QEinsumDense on the rows of a table ('bnc,cd->bnd'), HardTanhConfig, a QDense without bias; random widths.

Not trained. The members of model.keras are deflated (Keras stores them).
"""

import sys

sys.path.insert(0, "..")
import keras
from _common import finish
from _hgq2 import PACKAGES, record
from _hgq2_random import numbers, randomize
from hgq.config import QuantizerConfigScope
from hgq.layers import QDense, QEinsumDense, Quantizer
from hgq.quantizer.config import HardTanhConfig

keras.utils.set_random_seed(33)
with QuantizerConfigScope(place="datalane", heterogeneous_axis=(-1,), homogeneous_axis=None):
    source = keras.layers.Input((6, 4), name="x")
    h = QEinsumDense("bnc,cd->bnd", (6, 5), bias_axes="d", activation="relu", name="rows")(source)
    h = Quantizer(HardTanhConfig(round_mode="RND_CONV"), name="hard_tanh")(h)
    h = QEinsumDense("bnc,cd->bnd", (6, 3), enable_oq=True, name="columns")(h)
    h = keras.layers.Flatten(name="flat")(h)
    h = QDense(4, use_bias=False, name="dense")(h)
model = keras.Model(source, h)
randomize(model, 5)
finish(__doc__, PACKAGES, record(model, numbers(24, 6, 4, seed=33)))
