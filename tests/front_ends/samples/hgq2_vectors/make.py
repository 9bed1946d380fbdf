"""HGQ2: layers on vectors with random widths: QUnaryFunctionLUT, joins of all kinds, QEinsumDenseBatchnorm, relu6.

A stand-alone Quantizer; output quantizers; rounding half to even and saturation throughout; QDense without EBOPs
counters. Not trained. The members of model.keras are deflated (Keras stores them).
"""

import sys

sys.path.insert(0, "..")
import keras
from _common import finish
from _hgq2 import PACKAGES, record
from _hgq2_random import numbers, randomize
from hgq.config import QuantizerConfig, QuantizerConfigScope
from hgq.layers import (
    QAveragePow2,
    QDense,
    QEinsumDense,
    QEinsumDenseBatchnorm,
    QMinimum,
    QMultiply,
    QSubtract,
    Quantizer,
    QUnaryFunctionLUT,
)

keras.utils.set_random_seed(32)
with (
    QuantizerConfigScope(place="all", default_q_type="kif", overflow_mode="SAT", round_mode="RND_CONV"),
    QuantizerConfigScope(place="datalane", heterogeneous_axis=(-1,), homogeneous_axis=None),
):
    source = keras.layers.Input((12,), name="x")
    h = Quantizer(QuantizerConfig("kbi", "datalane", overflow_mode="SAT_SYM"), name="quantizer")(source)
    h = QDense(10, activation="relu", enable_oq=True, enable_ebops=False, name="d1")(h)
    a = QUnaryFunctionLUT("tanh", name="tanh")(h)
    b = QUnaryFunctionLUT("sigmoid", name="sigmoid")(h)
    c = QUnaryFunctionLUT("relu", allow_heterogeneous_table=False, name="relu")(h)
    product = QMultiply(name="product")([a, b])
    difference = QSubtract(name="difference")([product, c])
    average = QAveragePow2(name="average")([difference, product, c])
    h = QMinimum(enable_oq=True, name="smaller")([average, difference])
    h = QEinsumDenseBatchnorm("bc,cd->bd", 7, bias_axes="d", activation="relu6", name="d2")(h)
    h = QEinsumDense("...c,cd->...d", 4, name="d3")(h)
model = keras.Model(source, h)
randomize(model, 27)
finish(__doc__, PACKAGES, record(model, numbers(24, 12, seed=32)))
