"""TFLite int8: files of one operator each, with random scales, and what three implementations make of random codes.

`models` holds the files one after the other, and `ends` where each ends; file k reads `x_k_0` (and `x_k_1`), and gives
`reference_k`, `tflm_k` and `xnnpack_k` (`reference_k` alone, where they are equal). Operators of one input of int8 read
all 256 codes. `operators` and `seeds` say which file is which.
"""

import sys

sys.path.insert(0, "..")
sys.path.insert(0, "../../..")
from pathlib import Path

import numpy as np
from _common import versions
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tflite_micro import runtime
from tflite_models import NONE, RELU, RELU6, RELU_N1_TO_1, SAME, VALID, Model, Number, fused, whole, window

EACH = 2  # files of every operator
ACTIVATIONS = (NONE, NONE, RELU, RELU6, RELU_N1_TO_1)


class Random:
    """Random quantization."""

    def __init__(self, seed: list[int]) -> None:
        self.rng = np.random.default_rng(seed)

    def scale(self, low=1e-3, high=0.1, count=None):
        return np.exp(self.rng.uniform(np.log(low), np.log(high), count)).astype(np.float32)

    def grid(self):
        return {"scale": self.scale(), "zero": int(self.rng.integers(-128, 128))}

    def codes(self, shape, low=-128):
        return self.rng.integers(low, 128, shape)

    def choice(self, *values):
        return values[int(self.rng.integers(len(values)))]

    def output(self, *scales, least=-0.5, most=1.5):
        factor = np.exp(self.rng.uniform(least, most))
        return {"scale": np.float32(max(scales) * factor), "zero": int(self.rng.integers(-128, 128))}


def pooled(size, kernel, stride, padding):
    return -(-size // stride) if padding == SAME else -(-(size - kernel + 1) // stride)


def convolution(depthwise=False, per_channel=True):
    def make(r):
        m, (height, width, channels) = Model(), (4, 5, 2)
        kernel, stride, padding = r.choice(1, 2, 3), r.choice(1, 2), r.choice(SAME, VALID)
        outputs = channels * 2 if depthwise else 3
        source = r.grid()
        x = m.tensor([1, height, width, channels], **source)
        scales = r.scale(1e-3, 2e-2, outputs if per_channel else 1)
        shape = [1, kernel, kernel, outputs] if depthwise else [outputs, kernel, kernel, channels]
        w = m.tensor(shape, scale=scales, data=r.codes(shape, -127), axis=3 if depthwise else 0)
        b = m.tensor([outputs], "int32", source["scale"] * scales, data=r.rng.integers(-4000, 4000, outputs))
        size = [pooled(extent, kernel, stride, padding) for extent in (height, width)]
        y = m.tensor([1, *size, outputs], scale=r.scale(1e-2, 0.3), zero=int(r.codes(())))
        if depthwise:
            options = window(padding, stride, 2, activation=r.choice(*ACTIVATIONS))
        else:
            options = window(padding, stride, activation=r.choice(*ACTIVATIONS))
            options |= {4: Number("i", 1), 5: Number("i", 1)}
        m.operator("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", [x, w, b], [y], options, 3)
        return m.file([x], [y]), 6

    return make


def coarse_convolution(r):
    """One accumulator is several codes, and RELU6 lies between two accumulators."""
    m = Model()
    source = {"scale": np.float32(0.10462), "zero": int(r.codes(()))}
    x = m.tensor([1, 4, 4, 2], **source)
    scales = np.array([1, 0.5, 2], np.float32)
    w = m.tensor([3, 1, 1, 2], scale=scales, data=r.rng.integers(-1, 2, (3, 1, 1, 2)))
    b = m.tensor([3], "int32", source["scale"] * scales, data=r.rng.integers(-9, 10, 3))
    y = m.tensor([1, 4, 4, 3], scale=0.025, zero=-128)
    m.operator("CONV_2D", [x, w, b], [y], window(SAME, 1, activation=RELU6) | {4: Number("i", 1), 5: Number("i", 1)}, 3)
    return m.file([x], [y]), 6


def dense(per_channel):
    def make(r):
        m, (inputs, outputs) = Model(), (12, 5)
        source = r.grid()
        x = m.tensor([1, inputs], **source)
        scales = r.scale(1e-3, 2e-2, outputs if per_channel else 1)
        w = m.tensor([outputs, inputs], scale=scales, data=r.codes([outputs, inputs], -127))
        b = m.tensor([outputs], "int32", source["scale"] * scales, data=r.rng.integers(-4000, 4000, outputs))
        y = m.tensor([1, outputs], scale=r.scale(1e-2, 0.3), zero=int(r.codes(())))
        m.operator("FULLY_CONNECTED", [x, w, b], [y], fused(r.choice(*ACTIVATIONS)), 4)
        return m.file([x], [y]), 64

    return make


def two(operator, shape=(1, 4, 8, 4), other=None, constant=False):
    def make(r):
        m, left, right = Model(), r.grid(), r.grid()
        a = m.tensor(shape, **left)
        beside = shape if other is None else other
        b = m.tensor(beside, **right, data=r.codes(beside) if constant else None)
        scales = left["scale"], right["scale"]
        output = r.output(*scales)
        if operator == "MUL":
            output = r.output(127 * scales[0] * scales[1], least=-2, most=0)
        y = m.tensor(shape, **output)
        inputs = [b, a] if constant and r.choice(0, 1) else [a, b]
        m.operator(operator, inputs, [y], fused(r.choice(*ACTIVATIONS)), 3 if operator == "SUB" else 2)
        return m.file([a] if constant else [a, b], [y]), 2

    return make


def alike(operator, options):
    """Two inputs and an output of one grid."""

    def make(r):
        m, grid, shape = Model(), r.grid(), [1, 3, 4, 2]
        a, b = (m.tensor(shape, **grid) for _ in range(2))
        axis = r.choice(1, 2, 3)
        joined = [2 * extent if k == axis else extent for k, extent in enumerate(shape)]
        y = m.tensor(joined if operator == "CONCATENATION" else shape, **grid)
        m.operator(operator, [a, b], [y], options(axis))
        return m.file([a, b], [y]), 2

    return make


def pool(operator):
    def make(r):
        m, grid, (height, width, channels) = Model(), r.grid(), (6, 5, 3)
        rows, columns, stride, padding = r.choice(1, 2, 3), r.choice(2, 3), r.choice(1, 2, 3), r.choice(SAME, VALID)
        x = m.tensor([1, height, width, channels], **grid)
        y = m.tensor(
            [1, pooled(height, rows, stride, padding), pooled(width, columns, stride, padding), channels], **grid
        )
        options = window(padding, stride, columns, rows, activation=r.choice(*ACTIVATIONS))
        m.operator(operator, [x], [y], options)
        return m.file([x], [y]), 2

    return make


def mean(same):
    def make(r):
        m, grid = Model(), r.grid()
        height, width, keeps = r.choice(1, 3, 4), r.choice(2, 5, 6), r.choice(False, True)
        x = m.tensor([1, height, width, 4], **grid)
        axes = m.tensor([2], "int32", data=[1, 2])
        y = m.tensor(
            [1, 1, 1, 4] if keeps else [1, 4], **(grid if same else r.output(grid["scale"], least=-1.5, most=1))
        )
        m.operator("MEAN", [x, axes], [y], {0: Number("B", keeps)})
        return m.file([x], [y]), 24

    return make


def one(operator, output=None, options=None, same=False, source=None):
    def make(r):
        m, grid = Model(), r.grid() | (source or {})
        x = m.tensor([1, 16, 16, 1], **grid)
        y = m.tensor([1, 16, 16, 1], **(output or (grid if same else r.output(grid["scale"], least=-1, most=1))))
        m.operator(operator, [x], [y], options(r) if options else None)
        return m.file([x], [y]), 1

    return make


def padding(r):
    m, grid = Model(), r.grid()
    (top, bottom), (left, right) = r.rng.integers(0, 3, (2, 2)).tolist()
    x = m.tensor([1, 3, 4, 2], **grid)
    pads = m.tensor([4, 2], "int32", data=[[0, 0], [top, bottom], [left, right], [0, 0]])
    y = m.tensor([1, 3 + top + bottom, 4 + left + right, 2], **grid)
    m.operator("PAD", [x, pads], [y])
    return m.file([x], [y]), 2


def entering(kind):
    def make(r):
        m, grid = Model(), r.grid()
        described = {} if kind == "float32" else {"scale": grid["scale"], "zero": grid["zero"] + 128}
        x = m.tensor([1, 16, 16, 1], kind, **described)
        y = m.tensor([1, 16, 16, 1], **grid)
        m.operator("QUANTIZE", [x], [y])
        return m.file([x], [y]), 1

    return make


OPERATORS = {
    "CONV_2D": convolution(),
    "CONV_2D, one scale": convolution(per_channel=False),
    "DEPTHWISE_CONV_2D": convolution(depthwise=True),
    "FULLY_CONNECTED": dense(per_channel=True),
    "FULLY_CONNECTED, one scale": dense(per_channel=False),
    "ADD": two("ADD"),
    "SUB": two("SUB"),
    "MUL": two("MUL"),
    "MUL by a gate": two("MUL", other=(1, 1, 1, 4)),
    "ADD of a vector": two("ADD", other=(4,), constant=True),
    "SUB of a vector": two("SUB", other=(4,), constant=True),
    "MUL by a vector": two("MUL", other=(4,), constant=True),
    "MUL by a number": two("MUL", other=(), constant=True),
    "MAXIMUM": alike("MAXIMUM", lambda axis: None),
    "MINIMUM": alike("MINIMUM", lambda axis: None),
    "CONCATENATION": alike("CONCATENATION", lambda axis: whole(axis)),
    "AVERAGE_POOL_2D": pool("AVERAGE_POOL_2D"),
    "MAX_POOL_2D": pool("MAX_POOL_2D"),
    "MEAN": mean(same=False),
    "MEAN, one grid": mean(same=True),
    "LOGISTIC": one("LOGISTIC", {"scale": 1 / 256, "zero": -128}),
    "TANH": one("TANH", {"scale": 1 / 128, "zero": 0}),
    "RELU": one("RELU"),
    "RELU6": one("RELU6", same=True, source={"scale": np.float32(0.0731)}),
    "LEAKY_RELU": one("LEAKY_RELU", options=lambda r: {0: Number("f", r.rng.uniform(0.01, 0.9))}),
    "QUANTIZE": one("QUANTIZE"),
    "QUANTIZE of float32": entering("float32"),
    "QUANTIZE of uint8": entering("uint8"),
    "PAD": padding,
    "CONV_2D, coarse": coarse_convolution,
}


def inputs(model: bytes, frames: int, rng: np.random.Generator) -> list[np.ndarray]:
    """All codes, where one frame holds 256; else random ones."""
    found = []
    for detail in Interpreter(model_content=model).get_input_details():
        shape, kind = detail["shape"][1:], detail["dtype"]
        if kind == np.float32:
            found.append((4 * rng.normal(size=(frames, *shape))).astype(np.float32))
        elif np.prod(shape) == 256:
            found.append(np.arange(-128, 128).astype(np.int8).view(kind).reshape(1, *shape))
        else:
            limits = np.iinfo(kind)
            found.append(rng.integers(limits.min, limits.max + 1, (frames, *shape)).astype(kind))
    return found


def run(model: bytes, x: list[np.ndarray], resolver: OpResolverType) -> np.ndarray:
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=resolver, num_threads=1)
    interpreter.allocate_tensors()
    y = []
    for frame in zip(*x, strict=True):
        for detail, values in zip(interpreter.get_input_details(), frame, strict=True):
            interpreter.set_tensor(detail["index"], values[None])
        interpreter.invoke()
        y.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    return np.array(y)


def run_micro(model: bytes, x: list[np.ndarray]) -> np.ndarray:
    interpreter = runtime.Interpreter.from_bytes(model)
    y = []
    for frame in zip(*x, strict=True):
        for k, values in enumerate(frame):
            interpreter.set_input(values[None], k)
        interpreter.invoke()
        y.append(interpreter.get_output(0)[0].copy())
    return np.array(y)


models, ends, operators, seeds, arrays = b"", [], [], [], {}
for number, (name, make) in enumerate(OPERATORS.items()):
    for seed in range(EACH):
        r, k = Random([number, seed]), len(ends)
        model, frames = make(r)
        x = inputs(model, frames, r.rng)
        y = run(model, x, OpResolverType.BUILTIN_REF)
        results = {"reference": y, "tflm": run_micro(model, x), "xnnpack": run(model, x, OpResolverType.AUTO)}
        models += model
        ends.append(len(models))
        operators.append(name)
        seeds.append(seed)
        arrays |= {f"x_{k}_{place}": values for place, values in enumerate(x)}
        arrays |= {f"{rule}_{k}": z for rule, z in results.items() if rule == "reference" or (z != y).any()}
        print(name, seed, {rule: int((z != y).sum()) for rule, z in results.items()}, y.size, y.min(), y.max())
np.savez_compressed(
    "io.npz",
    models=np.frombuffer(models, np.uint8),
    ends=np.array(ends),
    operators=np.array(operators),
    seeds=np.array(seeds),
    **arrays,
)
made = f"Made by make.py with {versions('ai-edge-litert', 'tflite-micro')}."
Path("README").write_text(f"{__doc__.strip()}\n\n{made}\n")
