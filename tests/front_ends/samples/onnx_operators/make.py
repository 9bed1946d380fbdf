"""ONNX: files of one operator each (or a few that belong together), and what onnxruntime makes of random numbers.

`models` holds the files one after the other, `x` what they read (every frame of each input), `y` what they give,
computed frame by frame without graph optimizations; `*_ends` say where the part of each file ends. `operators` says
which file is which, and `codes` whether it gives codes.
"""

import sys

sys.path.insert(0, "..")
from pathlib import Path

import numpy as np
import onnxruntime
from _common import versions
from _onnx import Graph
from onnx import TensorProto, helper

EACH = 2  # files of every operator
FRAMES = 4  # of one that gives codes; else 1
IMAGE = (4, 5, 4)  # channels, rows, columns
MICROSOFT = "com.microsoft"


class Random(Graph):
    """A graph with random constants."""

    def __init__(self, seed: list[int]) -> None:
        super().__init__()
        self.rng = np.random.default_rng(seed)

    def choice(self, *values):
        return values[int(self.rng.integers(len(values)))]

    def normal(self, name, *shape, spread=1.0):
        return self.constant(name, np.round(self.rng.normal(0, spread, shape) * 32) / 32)

    def integers(self, name, *values):
        return self.constant(name, np.array(values, np.int64))

    def pads(self, most):
        """Rows and columns around an image, fewer than those of the window."""
        return [int(self.rng.integers(0, extent)) for extent in (*most, *most)]

    def window(self, kernel, **more):
        """Strides, and padding in one of its ways."""
        how = self.choice("pads", "pads", "SAME_UPPER", "SAME_LOWER", "VALID")
        padding = {"pads": self.pads(kernel)} if how == "pads" else {"auto_pad": how}
        return {"strides": [self.choice(1, 2), self.choice(1, 2)], **padding, **more}

    def codes(self, name, shape, kind):
        limits = np.iinfo(kind)
        return self.constant(name, self.rng.integers(limits.min, limits.max + 1, shape).astype(kind))

    def grid(self, name, kind, low=1e-2, high=5e-2):
        """A scale and a zero point."""
        scale = np.float32(np.exp(self.rng.uniform(np.log(low), np.log(high))))
        limits = np.iinfo(kind)
        zero = np.array(self.rng.integers(limits.min // 2, limits.max // 2), kind)
        return self.constant(f"{name}_scale", scale), self.constant(f"{name}_zero", zero)

    def quantized(self, name, source, kind):
        """Codes of an input."""
        grid = self.grid(name, kind)
        return self.node("QuantizeLinear", name, source, *grid), *grid


def conv(r):
    group = r.choice(1, 1, 2, 4)
    outputs, kernel = 4 * r.choice(1, 2), (r.choice(1, 2, 3), r.choice(1, 3))
    weights = r.normal("w", outputs, IMAGE[0] // group, *kernel)
    bias = [r.normal("b", outputs)] * r.choice(0, 1)
    dilated = r.choice(1, 1, 2)
    more = {"dilations": [dilated, dilated], "pads": r.pads(kernel)} if dilated > 1 else r.window(kernel)
    r.node("Conv", "y", "x", weights, *bias, group=group, **more)


def pool(kind):
    def make(r):
        kernel = (r.choice(2, 3), r.choice(2, 3))
        ceil = r.choice(0, 1)
        options = {"pads": r.pads(kernel) if r.choice(0, 1) and not ceil else [0, 0, 0, 0]} if ceil else {}
        more = r.window(kernel) if not ceil else {"strides": [2, r.choice(2, 3)], "ceil_mode": 1, **options}
        counts = {"count_include_pad": r.choice(0, 1)} if kind == "AveragePool" else {}
        r.node(kind, "y", "x", kernel_shape=kernel, **more, **counts)

    return make


def one(kind, **attributes):
    return lambda r: r.node(kind, "y", "x", **attributes)


def with_constant(kind, shape, places=(0, 1)):
    def make(r):
        first = r.constant("c", np.float32(r.rng.uniform(0.5, 2, shape)))
        inputs = ["x", first] if places == (0, 1) or r.choice(0, 1) else [first, "x"]
        r.node(kind, "y", *inputs)

    return make


def two(kind, **attributes):
    return lambda r: r.node(kind, "y", "x", "z", **attributes)


def gemm(r):
    transposed = r.choice(0, 1)
    weights = r.normal("w", *((5, 8) if transposed else (8, 5)))
    bias = [r.normal("b", *r.choice((5,), (1, 5), (1,), ()))] * r.choice(0, 1, 1)
    r.node("Gemm", "y", "x", weights, *bias, transB=transposed, alpha=r.choice(1.0, 0.75), beta=r.choice(1.0, 2.5))


def matmul(r):
    h = r.node("MatMul", "h", "x", r.normal("w", 8, 5))
    r.node("Add", "y", *r.choice((h, r.normal("b", 5)), (r.normal("c", 5), h)))


def normalization(r):
    positive = r.constant("v", np.float32(r.rng.uniform(0.1, 2, 4)))
    constants = [r.normal(name, 4) for name in "sbm"]
    r.node("BatchNormalization", "y", "x", *constants, positive, epsilon=r.choice(1e-5, 1e-3))


def normalized_vector(r):
    h = r.node("Flatten", "h", "x", axis=1)
    positive = r.constant("v", np.float32(r.rng.uniform(0.1, 2, 80)))
    constants = [r.normal(name, 80) for name in "sbm"]
    h = r.node("BatchNormalization", "n", h, *constants, positive)
    r.node("Gemm", "y", h, r.normal("w", 80, 3))


def clip(r):
    low, high = r.constant("low", np.float32(-0.5)), r.constant("high", np.float32(1.25))
    r.node("Clip", "y", "x", *r.choice((low, high), (low,), ("", high)))


def prelu(r):
    r.node("PRelu", "y", "x", r.constant("slope", np.full((1,), 0.3, np.float32)))


def mean(axes, opset):
    def make(r):
        keeps = r.choice(0, 1)
        h = "x" if axes[0] == 2 else r.node("Transpose", "h", "x", perm=[0, 2, 3, 1])
        if opset < 18:
            h = r.node("ReduceMean", "mean", h, axes=axes, keepdims=keeps)
        else:
            h = r.node("ReduceMean", "mean", h, r.integers("axes", *axes), keepdims=keeps)
        r.node("Reshape", "y", h, r.integers("to", 1, -1))

    return make


def pad(r):
    top, left, bottom, right = r.pads((3, 3))
    h = r.node("Pad", "h", "x", r.integers("pads", 0, 0, top, left, 0, 0, bottom, right))
    r.node("Conv", "y", h, r.normal("w", 3, 4, 3, 3))


def flattened(r):
    how = r.choice("Flatten", "Reshape", "view", "torch", "squeeze")
    if how == "Flatten":
        h = r.node("Flatten", "h", "x", axis=1)
    elif how == "Reshape":
        h = r.node("Reshape", "h", "x", r.integers("to", 0, -1))
    elif how == "view":
        h = r.node("Reshape", "h", "x", r.integers("to", -1, 80))
    elif how == "squeeze":
        h = r.node("Reshape", "h0", "x", r.integers("to", 0, 1, 80, 1))
        h = r.node("Squeeze", "h", h, r.integers("axes", 1, 3))
    else:  # x.view(x.shape[0], -1)
        batch = r.node("Gather", "batch", r.node("Shape", "shape", "x"), r.constant("first", np.int64(0)), axis=0)
        batch = r.node("Unsqueeze", "batch_1", batch, r.integers("axes", 0))
        h = r.node("Reshape", "h", "x", r.node("Concat", "to", batch, r.integers("rest", -1), axis=0))
    r.node("Gemm", "y", r.node("Relu", "positive", h), r.normal("w", 80, 3))


def channels_last(r):
    """As tf2onnx writes Keras' Flatten."""
    h = r.node("Conv", "h", "x", r.normal("w", 3, 4, 3, 3))
    h = r.node("Transpose", "last", h, perm=[0, 2, 3, 1])
    h = r.node("Add", "biased", h, r.normal("b", 3))
    h = r.node("Reshape", "flat", h, r.integers("to", -1, 18))
    r.node("MatMul", "y", h, r.normal("d", 18, 3))


def channels_last_input(r):
    h = r.node("Transpose", "first", "x", perm=[0, 3, 1, 2])
    h = r.node("Conv", "h", h, r.normal("w", 3, IMAGE[2], 3, 3))
    r.node("Transpose", "y", h, perm=[0, 2, 3, 1])


def joined_vectors(r):
    h = r.node("MaxPool", "h", "x", kernel_shape=[2, 2])
    h = r.node("Concat", "all", r.node("Flatten", "f", "x"), r.node("Flatten", "g", h), axis=r.choice(1, -1))
    r.node("Gemm", "y", h, r.normal("w", 80 + 48, 3))


def gate(r):
    h = r.node("GlobalAveragePool", "h", "x")
    h = r.node("Sigmoid", "gate", r.node("Conv", "c", h, r.normal("w", 4, 4, 1, 1)))
    r.node("Mul", "y", *r.choice(("x", h), (h, "x")))


def vectors_of_images(r):
    """A sum of what was averaged and of what was flattened."""
    h = r.node("Squeeze", "h", r.node("GlobalAveragePool", "a", "x"), r.integers("axes", 2, 3))
    g = r.node("Flatten", "g", r.node("GlobalMaxPool", "m", "x"))
    r.node("Sub", "y", h, g)


def qlinear_conv(kind):
    def make(r):
        group, outputs, kernel = r.choice(1, 1, 4), 4, (r.choice(1, 3), r.choice(2, 3))
        q = r.quantized("q", "x", kind)
        scale = r.constant("w_scale", np.float32(r.rng.uniform(5e-3, 2e-2, r.choice(outputs, 1))))
        w = r.codes("w", (outputs, IMAGE[0] // group, *kernel), "int8")
        zero = r.constant("w_zero", np.zeros(r.constants[-2].dims, np.int8))
        b = r.constant("b", r.rng.integers(-4000, 4000, outputs).astype(np.int32))
        r.node(
            "QLinearConv", "y", *q, w, scale, zero, *r.grid("y", kind, 5e-2, 0.3), b, group=group, **r.window(kernel)
        )

    return make


def qlinear_matmul(kind):
    def make(r):
        q = r.quantized("q", "x", kind)
        w = r.codes("w", (8, 5), "int8")
        scale = r.constant("w_scale", np.float32(r.rng.uniform(5e-3, 2e-2, 5)))
        zero = r.constant("w_zero", np.zeros(5, np.int8))
        r.node("QLinearMatMul", "y", *q, w, scale, zero, *r.grid("y", kind, 5e-2, 0.2))

    return make


def qgemm(kind):
    def make(r):
        q = r.quantized("q", "x", kind)
        flipped = r.choice(0, 1)
        w = r.codes("w", (5, 8) if flipped else (8, 5), "int8")
        scale = r.constant("w_scale", np.float32(r.rng.uniform(5e-3, 2e-2, 5)))
        zero = r.constant("w_zero", np.zeros(5, np.int8))
        b = r.constant("b", r.rng.integers(-4000, 4000, 5).astype(np.int32))
        r.node("QGemm", "y", *q, w, scale, zero, b, *r.grid("y", kind, 5e-2, 0.2), domain=MICROSOFT, transB=flipped)

    return make


def qlinear_one(operator, kind="uint8", output=(1e-2, 5e-2), **attributes):
    def make(r):
        options = {name: value(r) if callable(value) else value for name, value in attributes.items()}
        r.node(operator, "y", *r.quantized("q", "x", kind), *r.grid("y", kind, *output), domain=MICROSOFT, **options)

    return make


def qlinear_two(operator, kind, output):
    def make(r):
        one, other = r.quantized("q", "x", kind), r.quantized("p", "z", kind)
        r.node(operator, "y", *one, *other, *r.grid("y", kind, *output), domain=MICROSOFT)

    return make


def qlinear_concat(r):
    one, other = r.quantized("q", "x", "int8"), r.quantized("p", "z", "int8")
    r.node("QLinearConcat", "y", *r.grid("y", "int8"), *one, *other, axis=1, domain=MICROSOFT)


def quantize(kind):
    return lambda r: r.quantized("y", "x", kind)


VECTOR = (8,)
OPERATORS = {  # a graph, the shape of its inputs, how many, and the opset
    "Conv": (conv, IMAGE, 1, 17),
    "Conv, again": (conv, IMAGE, 1, 17),
    "Conv, once more": (conv, IMAGE, 1, 11),
    "MaxPool": (pool("MaxPool"), IMAGE, 1, 17),
    "MaxPool, again": (pool("MaxPool"), IMAGE, 1, 12),
    "AveragePool": (pool("AveragePool"), IMAGE, 1, 19),
    "AveragePool, again": (pool("AveragePool"), IMAGE, 1, 19),
    "GlobalAveragePool": (one("GlobalAveragePool"), IMAGE, 1, 17),
    "GlobalMaxPool": (one("GlobalMaxPool"), IMAGE, 1, 17),
    "ReduceMean": (mean([2, 3], 17), IMAGE, 1, 17),
    "ReduceMean, channels last": (mean([1, 2], 18), IMAGE, 1, 18),
    "Gemm": (gemm, VECTOR, 1, 17),
    "Gemm, again": (gemm, VECTOR, 1, 13),
    "MatMul, Add": (matmul, VECTOR, 1, 17),
    "BatchNormalization": (normalization, IMAGE, 1, 17),
    "BatchNormalization of a vector": (normalized_vector, IMAGE, 1, 17),
    "Relu": (one("Relu"), IMAGE, 1, 17),
    "LeakyRelu": (one("LeakyRelu"), IMAGE, 1, 17),
    "PRelu": (prelu, IMAGE, 1, 17),
    "Clip": (clip, IMAGE, 1, 17),
    "Clip, with attributes": (one("Clip", min=-0.25, max=0.75), IMAGE, 1, 6),
    "Sigmoid": (one("Sigmoid"), VECTOR, 1, 17),
    "Tanh": (one("Tanh"), IMAGE, 1, 17),
    "HardSigmoid": (one("HardSigmoid", alpha=0.25), IMAGE, 1, 17),
    "HardSwish": (one("HardSwish"), IMAGE, 1, 17),
    "Softmax": (one("Softmax", axis=-1), VECTOR, 1, 17),
    "Softmax, older": (one("Softmax"), VECTOR, 1, 11),
    "Neg": (one("Neg"), IMAGE, 1, 17),
    "Add of channels": (with_constant("Add", (4, 1, 1), (1, 0)), IMAGE, 1, 17),
    "Sub of channels": (with_constant("Sub", (1, 4, 1, 1), (1, 0)), IMAGE, 1, 17),
    "Mul of channels": (with_constant("Mul", (4, 1, 1), (1, 0)), IMAGE, 1, 17),
    "Div by a number": (with_constant("Div", ()), IMAGE, 1, 17),
    "Max with a number": (with_constant("Max", (), (1, 0)), IMAGE, 1, 17),
    "Add": (two("Add"), IMAGE, 2, 17),
    "Sub": (two("Sub"), VECTOR, 2, 17),
    "Mul": (two("Mul"), IMAGE, 2, 17),
    "Max": (two("Max"), IMAGE, 2, 17),
    "Min": (two("Min"), VECTOR, 2, 17),
    "Mean": (two("Mean"), IMAGE, 2, 17),
    "Sum": (two("Sum"), IMAGE, 2, 17),
    "Concat of channels": (two("Concat", axis=1), IMAGE, 2, 17),
    "Concat of rows": (two("Concat", axis=2), IMAGE, 2, 17),
    "Concat of columns": (two("Concat", axis=-1), IMAGE, 2, 17),
    "Concat of vectors": (joined_vectors, IMAGE, 1, 17),
    "Pad": (pad, IMAGE, 1, 17),
    "flattened": (flattened, IMAGE, 1, 17),
    "flattened, again": (flattened, IMAGE, 1, 17),
    "flattened, once more": (flattened, IMAGE, 1, 17),
    "flattened channels last": (channels_last, IMAGE, 1, 17),
    "an input with channels last": (channels_last_input, IMAGE, 1, 17),
    "gate": (gate, IMAGE, 1, 17),
    "vectors of images": (vectors_of_images, IMAGE, 1, 17),
    "QuantizeLinear": (quantize("uint8"), IMAGE, 1, 17),
    "QuantizeLinear, int8": (quantize("int8"), VECTOR, 1, 17),
    "QLinearConv": (qlinear_conv("uint8"), IMAGE, 1, 17),
    "QLinearConv, int8": (qlinear_conv("int8"), IMAGE, 1, 17),
    "QLinearMatMul": (qlinear_matmul("uint8"), VECTOR, 1, 17),
    "QLinearMatMul, int8": (qlinear_matmul("int8"), VECTOR, 1, 17),
    "QGemm": (qgemm("uint8"), VECTOR, 1, 17),
    "QGemm, int8": (qgemm("int8"), VECTOR, 1, 17),
    "QLinearAdd": (qlinear_two("QLinearAdd", "uint8", (1e-2, 5e-2)), IMAGE, 2, 17),
    "QLinearAdd, int8": (qlinear_two("QLinearAdd", "int8", (1e-2, 5e-2)), VECTOR, 2, 17),
    "QLinearMul": (qlinear_two("QLinearMul", "uint8", (2e-2, 8e-2)), IMAGE, 2, 17),
    "QLinearConcat": (qlinear_concat, IMAGE, 2, 17),
    "QLinearLeakyRelu": (qlinear_one("QLinearLeakyRelu", "int8", alpha=lambda r: r.choice(0.1, 0.25)), IMAGE, 1, 17),
    "QLinearSigmoid": (qlinear_one("QLinearSigmoid", output=(3e-3, 4e-3)), IMAGE, 1, 17),
    "QLinearAveragePool": (qlinear_one("QLinearAveragePool", kernel_shape=[2, 3], strides=[2, 1]), IMAGE, 1, 17),
    "QLinearGlobalAveragePool": (qlinear_one("QLinearGlobalAveragePool", output=(3e-3, 1e-2)), IMAGE, 1, 17),
}


def model_of(r, shape, inputs, opset):
    codes = r.nodes[-1].op_type.startswith(("QLinear", "QGemm", "QuantizeLinear"))
    last = TensorProto.FLOAT
    if codes:
        zeros = {constant.name: constant.data_type for constant in r.constants}
        last = zeros["y_zero"]
    graph = helper.make_graph(
        r.nodes,
        "sample",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ("batch", *shape)) for name in ("x", "z")[:inputs]],
        [helper.make_tensor_value_info("y", last, None)],
        r.constants,
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8, producer_name="dnn2fpga").SerializeToString()


def session(model):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


parts = {"models": [], "x": [], "y": []}
names, gives_codes = [], []
for number, (operator, (build, shape, inputs, opset)) in enumerate(OPERATORS.items()):
    made, attempt = 0, 0
    while made < EACH:
        r = Random([number, attempt])
        attempt += 1
        build(r)
        model = model_of(r, shape, inputs, opset)
        codes = "Linear" in operator or "QGemm" in operator
        count = FRAMES if codes else 1
        x = r.rng.normal(0, 1 + codes, (inputs, count, *shape)).astype(np.float16)
        try:
            runs = session(model)
            frames = [
                runs.run(["y"], dict(zip("xz", x[:, k : k + 1].astype(np.float32), strict=False)))[0]
                for k in range(count)
            ]
        except Exception as error:  # a window that does not fit
            print(f"{operator}: {error}"[:150])
            continue
        y = np.concatenate(frames)
        for name, value in (("models", np.frombuffer(model, np.uint8)), ("x", x), ("y", y.astype(np.float32))):
            parts[name].append(value.reshape(-1))
        names.append(operator)
        gives_codes.append(y.dtype.kind in "iu")
        made += 1
ends = {f"{name}_ends": np.cumsum([len(part) for part in values]) for name, values in parts.items()}
whole = {name: np.concatenate(values) for name, values in parts.items()}
np.savez_compressed("io.npz", **whole, **ends, operators=np.array(names), codes=np.array(gives_codes))
packages = versions("onnx", "onnxruntime")
Path("README").write_text(f"{__doc__.strip()}\n\nMade by make.py with {packages}.\n")
print(len(names), "files,", Path("io.npz").stat().st_size, "bytes")
