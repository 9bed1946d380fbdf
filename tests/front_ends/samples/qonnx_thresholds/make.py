"""QONNX by hand: MultiThreshold per channel and global, BipolarQuant, Trunc of version 1, maximum pooling.

Version 1 of the operators. Some sums equal a threshold. `y` and `t_<tensor>` are those of the package qonnx.
"""

import sys

sys.path.insert(0, "..")
import numpy as np
from _brevitas import run_qonnx
from _common import finish
from _onnx import Graph

rng = np.random.default_rng(46)
domain = "qonnx.custom_op.general"
graph = Graph()


def number(name: str, value: float) -> str:
    return graph.constant(name, np.float32(value))


def thresholds(name: str, channels: int, count: int, step: float) -> str:
    """Thresholds in ascending order, multiples of 1/8."""
    values = np.sort(rng.integers(-count, count, (channels, count)), axis=1) * step
    return graph.constant(name, np.round(values * 8) / 8)


h = graph.node(
    "MultiThreshold", "m0", "x", thresholds("m0_t", 1, 15, 0.25), domain=domain, out_dtype="INT4", out_bias=-8.0
)
w = graph.constant("w1", rng.integers(-2, 3, (5, 2, 3, 3)).astype(np.float32))
h = graph.node("Conv", "c1", h, w, kernel_shape=[3, 3])
h = graph.node(
    "MultiThreshold", "m1", h, thresholds("m1_t", 5, 7, 6.0), domain=domain, out_dtype="UINT3", out_scale=0.5
)
w = graph.constant("w2_float", rng.normal(0, 1, (4, 5, 2, 2)))
w = graph.node("BipolarQuant", "w2", w, number("w2_scale", 0.25), domain=domain)
h = graph.node("Conv", "c2", h, w, kernel_shape=[2, 2])
scale, zero = number("q2_scale", 0.125), number("q2_zero", 0)
bits = number("q2_bits", 7)
h = graph.node("Quant", "q2", h, scale, zero, bits, domain=domain, signed=1, narrow=0, rounding_mode="ROUND")
h = graph.node("Trunc", "t2", h, scale, zero, bits, number("t2_bits", 5), domain=domain, rounding_mode="FLOOR")
h = graph.node("MaxPool", "p2", h, kernel_shape=[3, 3])
h = graph.node("Reshape", "flat", h, graph.constant("shape", np.array([1, -1])))
w = graph.constant("w3", np.round(rng.normal(0, 4, (3, 4))) / 8)
h = graph.node("Gemm", "y", h, w, graph.constant("b3", np.array([0.25, -0.5, 0.0])), transB=1)
graph.save((1, 2, 6, 6), h, (1, 3), {"": 13, domain: 1})
x = (np.round(rng.normal(0, 1.5, (32, 2, 6, 6)) * 8) / 8).astype(np.float32)
y, tensors = run_qonnx(x)
arrays = {"x": x, "y": y, **{f"t_{name}": values for name, values in tensors.items()}}
finish(__doc__, ("qonnx", "onnx"), arrays)
