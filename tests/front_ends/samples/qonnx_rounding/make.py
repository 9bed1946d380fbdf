"""QONNX by hand: Quant and IntQuant in all seven rounding modes, zero points, scales per channel, a 1-bit signed Quant.

Version 2 of the operators. Inputs are multiples of 1/16, so that most modes meet ties. `y` and `t_<tensor>` are those
of the package qonnx.
"""

import sys

sys.path.insert(0, "..")
import numpy as np
from _brevitas import run_qonnx
from _common import finish
from _onnx import Graph

rng = np.random.default_rng(45)
graph = Graph()


def quant(name: str, source: str, scale, zero_point, bits: int, mode: str, kind: str = "Quant", **attributes) -> str:
    """A quantizer with constants of its own; signed and not narrow unless told."""
    return graph.node(
        kind,
        name,
        source,
        graph.constant(f"{name}_scale", np.float32(scale)),
        graph.constant(f"{name}_zero", np.float32(zero_point)),
        graph.constant(f"{name}_bits", np.float32(bits)),
        domain="qonnx.custom_op.general",
        rounding_mode=mode,
        **({"signed": 1, "narrow": 0} | attributes),
    )


def weights(name: str, shape: tuple[int, ...], spread: float) -> str:
    return graph.constant(name, np.round(rng.normal(0, spread, shape) * 64) / 64)


h = quant("q0", "x", np.reshape([0.25, 0.125, 0.5], (1, 3, 1, 1)), 0, 6, "HALF_UP")
w = quant(
    "w1", weights("w1_float", (4, 3, 3, 3), 0.3), np.reshape([0.125, 0.1, 0.25, 0.3], (4, 1, 1, 1)), 0, 3, "FLOOR"
)
h = graph.node("Conv", "c1", h, w, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
h = quant("q1", h, 0.25, 7, 4, "HALF_DOWN", signed=0)
w = quant("w2", weights("w2_float", (4, 4, 2, 2), 0.3), 0.125, 0, 4, "ROUND", narrow=1)
b = quant("b2", weights("b2_float", (4,), 0.6), 0.03125, 0, 8, "HALF_EVEN")
h = graph.node("Conv", "c2", h, w, b, kernel_shape=[2, 2], strides=[2, 2])
h = quant("q2", h, 0.5, -3, 5, "UP", kind="IntQuant")
w = quant("w3", weights("w3_float", (4, 4, 1, 1), 0.5), 0.75, 0, 1, "ROUND")
h = graph.node("Conv", "c3", h, w, kernel_shape=[1, 1])
h = quant("q3", h, 0.5, 0, 5, "CEIL", narrow=1)
h = graph.node("Flatten", "flat", h, axis=1)
w = quant("w4", weights("w4_float", (36, 5), 0.3), 0.25, 0, 3, "DOWN")
h = graph.node("MatMul", "product", h, w)
h = graph.node("Add", "sum", h, weights("b4", (5,), 1.0))
h = quant("y", h, 0.75, 0, 6, "DOWN")
graph.save((1, 3, 6, 6), h, (1, 5), {"": 17, "qonnx.custom_op.general": 2})
x = (np.round(rng.normal(0, 2.5, (32, 3, 6, 6)) * 16) / 16).astype(np.float32)
y, tensors = run_qonnx(x)
arrays = {"x": x, "y": y, **{f"t_{name}": values for name, values in tensors.items()}}
finish(__doc__, ("qonnx", "onnx"), arrays)
