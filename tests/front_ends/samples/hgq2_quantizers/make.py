"""What HGQ2's fixed-point quantizers make of numbers: both parametrizations, all rounding and overflow modes.

One quantizer for each of ten columns, with its own ``k``, ``i`` and ``f`` (which for kbi become ``b = i + f``): widths
of 8 bits to 0 bits and less, negative integer and fraction bits, ties, numbers far outside. ``<type>_<rounding>_
<overflow>`` is what the quantizer makes of ``x``; ``.._weight`` of a trainable quantizer of weights (WRAP only).
"""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
from importlib.metadata import version

import hgq  # noqa: F401 - registers its classes
import numpy as np
from hgq.config import QuantizerConfig
from hgq.layers import Quantizer

ROUNDINGS = ("TRN", "RND", "RND_CONV", "TRN_ZERO", "RND_ZERO", "RND_MIN_INF", "RND_INF", "S_RND")
FORMATS = [
    *((1, 2, 5), (1, 0, 3), (0, 1, 3), (1, -2, 4), (1, 4, -2)),
    *((0, 0, 1), (1, 1, -1), (0, -1, 1), (1, -3, 2), (1, 0, 0)),
]  # k, i, f

rng = np.random.default_rng(0)
ties = np.arange(-48, 49) / 16
far = [-1000.5, 999.25, 2.0**-20, -(2.0**-20), 40.0, -40.0]
x = np.concatenate([ties, rng.normal(0, 4, 40), far]).astype("float32")
k, i, f = (np.array(values, "float32")[None] for values in zip(*FORMATS, strict=True))


def outputs(kind, rounding, overflow, weight=False):
    start = {"kbi": {"b0": 3}, "kif": {"f0": 3}}[kind]
    config = QuantizerConfig(
        kind, "datalane", k0=1, i0=1, round_mode=rounding, overflow_mode=overflow, is_weight=weight,
        heterogeneous_axis=(-1,), homogeneous_axis=None, **start,
    )  # fmt: skip
    quantizer = Quantizer(config)
    quantizer.build((None, len(FORMATS)))
    inner = quantizer.quantizer
    inner._k.assign(k)
    inner._i.assign(i)
    (inner._b if kind == "kbi" else inner._f).assign(i + f if kind == "kbi" else f)
    return np.array(quantizer(np.repeat(x[:, None], len(FORMATS), 1), training=False))


arrays = {"x": x, "k": k[0], "i": i[0], "f": f[0]}
for kind in ("kbi", "kif"):
    for rounding in ROUNDINGS:
        for overflow in ("WRAP", "SAT", "SAT_SYM"):
            arrays[f"{kind}_{rounding}_{overflow}"] = outputs(kind, rounding, overflow)
        arrays[f"{kind}_{rounding}_WRAP_weight"] = outputs(kind, rounding, "WRAP", True)
np.savez_compressed("io.npz", **arrays)
print({name: version(name) for name in ("hgq2", "quantizers", "keras", "tensorflow")}, len(arrays))
