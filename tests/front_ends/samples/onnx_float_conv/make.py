"""ONNX float: asymmetric pads, auto_pad, BatchNormalization, LeakyRelu, AveragePool of both kinds, Concat, Softmax.

Written node by node, random weights. Also dilation, groups, Clip, a residual Add, Pad, Reshape with -1, Gemm with
alpha and beta. `y` and `t_<tensor>` are those of onnxruntime without graph optimizations, frame by frame, every
tensor made an output (the tensors of the first 6); `y_optimized` with all optimizations and the file as it is.
"""

import sys

sys.path.insert(0, "..")
import numpy as np
from _common import finish, pictures
from _onnx import Graph
from _onnxruntime import PACKAGES, record

rng = np.random.default_rng(53)
graph = Graph()


def random(name: str, *shape: int) -> str:
    """Weights of a layer with `shape[1:]` inputs per output."""
    return graph.constant(name, rng.normal(0, 1.4 / np.sqrt(np.prod(shape[1:]) or 1), shape))


def normalize(name: str, source: str, channels: int, epsilon: float) -> str:
    scale, offset = rng.uniform(0.6, 1.8, channels), rng.normal(0, 0.3, channels)
    mean, variance = rng.normal(0, 0.3, channels), rng.uniform(0.2, 1.5, channels)
    parts = {"scale": scale, "offset": offset, "mean": mean, "variance": variance}
    constants = [graph.constant(f"{name}_{part}", values) for part, values in parts.items()]
    return graph.node("BatchNormalization", name, source, *constants, epsilon=epsilon)


h = graph.node("Conv", "c1", "x", random("w1", 4, 2, 3, 3), random("b1", 4), pads=[0, 1, 2, 1])
h = normalize("n1", h, 4, 1e-3)
h = graph.node("LeakyRelu", "l1", h, alpha=0.125)
g = graph.node("Conv", "c2", h, random("w2", 4, 2, 3, 3), auto_pad="SAME_LOWER", group=2)
low, high = graph.constant("low", np.float32(0)), graph.constant("high", np.float32(1.5))
g = graph.node("Clip", "k2", g, low, high)
h = graph.node("Add", "a2", h, g)
left = graph.node("Conv", "c3", h, random("w3", 4, 4, 4, 4), auto_pad="SAME_UPPER", strides=[2, 2])
left = normalize("n3", left, 4, 1e-5)
left = graph.node("Relu", "r3", left)
right = graph.node("AveragePool", "p3", h, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1)
h = graph.node("Concat", "cat", left, right, axis=1)
h = graph.node("Pad", "pad", h, graph.constant("amounts", np.array([0, 0, 1, 0, 0, 0, 0, 1])))
h = graph.node("Conv", "c4", h, random("w4", 5, 8, 3, 3), random("b4", 5), dilations=[2, 2])
h = graph.node("Relu", "r4", h)
h = graph.node("AveragePool", "p4", h, kernel_shape=[2, 2], pads=[0, 0, 1, 1])
h = graph.node("Reshape", "flat", h, graph.constant("shape", np.array([0, -1])))
h = graph.node("Gemm", "d5", h, random("w5", 4, 10), random("b5", 4), transB=1, alpha=0.375, beta=0.5)
h = graph.node("Softmax", "y", h, axis=-1)
graph.save(("batch", 2, 9, 8), h, ("batch", 4), {"": 17})
frames, _ = pictures(16, 9, 8, 2, seed=53)
finish(__doc__, PACKAGES, record(np.ascontiguousarray(frames.transpose(0, 3, 1, 2) * 4 - 1), traced=6))
