"""What is read of an ``.onnx`` file, however it is written, and every refusal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_codes import FOLDER
from onnx_models import MICROSOFT, QONNX, Model, integer, port, single, sized, tensor, varint

from dnn2fpga.errors import UserError
from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.layers.linear import Linear
from dnn2fpga.layers.quantizer import Quantizer
from dnn2fpga.passes.to_integers import to_integers
from dnn2fpga.read.builder import GraphBuilder
from dnn2fpga.read.front_ends import read_model
from dnn2fpga.read.onnx import read_onnx
from dnn2fpga.read.protobuf import DamagedMessage, Message

W = np.linspace(-1, 1, 3 * 2 * 3 * 3).reshape(3, 2, 3, 3)


def refused(model: Model, folder: Path) -> str:
    with pytest.raises(UserError) as error:
        read_onnx(model.write(folder))
    return str(error.value)


def convolution(model: Model | None = None, weights: Any = W, **attributes: Any) -> Model:
    model = model or Model()
    model.node("Conv", "y", "x", model.constant("w", weights), **attributes)
    return model


# Files


def test_origin(tmp_path: Path) -> None:
    graph = read_model(convolution().write(tmp_path))
    assert graph.origin is not None
    assert (graph.origin.reader, graph.origin.file) == ("ONNX", "model.onnx")


def test_numbers_are_read_however_they_are_written(tmp_path: Path) -> None:
    values = np.array([1.5, -2.0, 0.25, 8.0], np.float32)
    head = integer(1, 2) + integer(1, 2) + integer(2, 1) + sized(8, "w")
    packed = sized(4, values.tobytes())
    unpacked = b"".join(single(4, float(value)) for value in values)
    for content in (packed, unpacked):
        model = Model((1, 2))
        model.constants.append(head + content)
        model.node("MatMul", "y", "x", "w")
        [dense] = read_onnx(model.write(tmp_path)).layers
        np.testing.assert_array_equal(dense.parameters["weights"], values.reshape(2, 2))


@pytest.mark.parametrize("values", [[0, 1, -1, 127, 128, 300, -(2**63), 2**63 - 1], []])
def test_packed_integers(values: list[int]) -> None:
    packed = Message.of(memoryview(sized(7, b"".join(varint(value) for value in values))))
    single = Message.of(memoryview(b"".join(integer(7, value) for value in values)))
    assert packed.integers(7).tolist() == single.integers(7).tolist() == values


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\x0a", "does not end"),
        (b"\x0a\x05ab", "outside of the file"),
        (b"\x0b", "in a way (number 3)"),
        (b"\x02\x00", "outside of the file"),
        (b"\xff" * 11, "does not end"),
        (b"\x39\x00", "outside of the file"),
    ],
)
def test_damaged_messages(content: bytes, expected: str) -> None:
    with pytest.raises(DamagedMessage, match=expected.replace("(", r"\(").replace(")", r"\)")):
        Message.of(memoryview(content))


def test_a_field_of_another_kind() -> None:
    message = Message.of(memoryview(integer(1, 5) + sized(2, "text")))
    for read in (message.text, message.message, message.bytes_of):
        with pytest.raises(DamagedMessage, match="is an integer"):
            read(1)
    with pytest.raises(DamagedMessage, match="no integer"):
        message.integer(2)


def test_too_many_fields() -> None:
    with pytest.raises(DamagedMessage, match="more than 524,288 fields"):
        Message.of(memoryview(integer(1, 0) * 600_000))


def circle() -> Model:
    model = Model()
    model.node("Cast", "a", "x", to=1)
    model.node("Cast", "x", "a", to=1)
    return model


def in_graph(content: bytes) -> Callable[[], Model]:
    def make() -> Model:
        model = convolution()
        model.more = content
        return model

    return make


def of_constant(content: bytes, kind: int = 1, shape: tuple[int, ...] = (3, 2, 3, 3)) -> Callable[[], Model]:
    def make() -> Model:
        model = Model()
        head = b"".join(integer(1, extent) for extent in shape) + integer(2, kind) + sized(8, "w")
        model.constants.append(head + content)
        model.node("Conv", "y", "x", "w")
        return model

    return make


def twice() -> Model:
    model = convolution()
    model.node("Relu", "y", "x")
    return model


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (in_graph(sized(15, b"")), "sparse weights"),
        (of_constant(sized(13, sized(1, "location") + sized(2, "/etc/passwd"))), "lie in another file"),
        (of_constant(integer(14, 1)), "lie in another file"),
        (of_constant(sized(9, bytes(10))), "it has 10 bytes, not 216"),
        (of_constant(b""), "it has 0 numbers, not 54"),
        (of_constant(b"", kind=8), "numbers of type 8 are not supported"),
        (of_constant(b"", shape=(1 << 30, 1 << 30)), "numbers; at most 67,108,864"),
        (of_constant(b"", shape=(-1, 2)), "it has the shape [-1, 2]"),
        (twice, "two of its tensors have one name"),
        (circle, "two of its tensors have one name"),
    ],
)
def test_refused_files(make: Callable[[], Model], expected: str, tmp_path: Path) -> None:
    assert expected in refused(make(), tmp_path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "has no graph"),
        (b"hello\n", "is not an ONNX model that can be read"),
        (sized(7, b"") + sized(25, b""), "functions"),
    ],
)
def test_what_is_no_model(content: bytes, expected: str, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(UserError, match=expected):
        read_onnx(tmp_path / "a.onnx")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_onnx(tmp_path / "a.onnx")


# Nodes


def test_all_problems_at_once(tmp_path: Path) -> None:
    model = Model()
    model.node("Erf", "a", "x")
    model.node("Conv", "b", "x", model.constant("w", W[:, :, :, 0]))
    model.node("Add", "c", "a", "b")
    model.node("LSTM", "d", "c")
    message = refused(model, tmp_path)
    assert "node 0 (Erf, 'a'): is not supported" in message
    assert "node 1 (Conv, 'b'): has weights of shape [3, 2, 3]" in message
    assert "node 3 (LSTM, 'd'): is not supported" in message
    assert "node 2" not in message  # it follows from the others
    assert "supported are Add, AveragePool, " in message


def one(
    kind: str, *constants: Any, domain: str = "", shape: tuple[int, ...] = (1, 2, 6, 5), **attributes: Any
) -> Model:
    """A node with `x`, or nothing, before its constants."""
    model = Model(shape)
    names = [model.constant(f"c{k}", value) for k, value in enumerate(constants)]
    model.node(kind, "y", "x", *names, domain=domain, **attributes)
    return model


def quant(scale: Any = 0.5, zero: Any = 0.0, bits: Any = 4.0, **attributes: Any) -> Model:
    return one("Quant", scale, zero, bits, domain=QONNX, **attributes)


def open_input(shape: tuple[int | None, ...] | None, kind: int = 1) -> Model:
    model = Model()
    model.inputs = [port("x", shape, kind)]
    model.node("Relu", "y", "x")
    return model


ZERO = np.uint8(3)
CEILING = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2], "ceil_mode": 1}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (open_input((1, None, 6, 5)), "only the batch may be open, or 1"),
        (open_input((8, 2, 6, 5)), "only the batch may be open, or 1"),
        (open_input((1, 2, 6)), "vectors and images are supported"),
        (open_input((1, 2, 3, 4, 5)), "the input must be a vector or an image"),
        (open_input(None), "must have a shape with the batch first"),
        (open_input((1, 4), 9), "must hold float32"),
        (convolution(group=2), "has weights [3, 2, 3, 3] in 2 groups for 2 channels"),
        (convolution(kernel_shape=[5, 5]), "that is not that of its weights, [3, 3]"),
        (convolution(pads=[1, 1]), "pads=[1, 1], auto_pad='NOTSET'"),
        (convolution(pads=[3, 0, 0, 0]), "padding"),
        (convolution(auto_pad="MIDDLE"), "auto_pad='MIDDLE'"),
        (convolution(dilations=[1 << 15, 1 << 15]), "parameters; at most"),
        (convolution(strides=[0, 1]), "strides=[0, 1]: must be two extents"),
        (convolution(strides="two"), "has an attribute 'strides' of another type than list"),
        (convolution(strides=sized(6, b"")), "is a graph, a reference or sparse"),
        (one("Gemm", np.ones((2, 3))), "has weights for [1, 2], and reads [1, 2, 6, 5]; use Flatten"),
        (one("Gemm", np.ones((4, 3)), shape=(1, 4), transA=1), "transA=1"),
        (one("Gemm", np.ones((4, 3)), shape=(1, 4), alpha=-1.0), "alpha=-1.0: must be above 0"),
        (one("Gemm", np.ones((4, 3)), np.ones(2), shape=(1, 4)), "has biases of shape [2] for 3 outputs"),
        (one("MatMul", np.ones((4, 3, 2)), shape=(1, 4)), "not a matrix"),
        (one("MaxPool"), "has no kernel_shape"),
        (one("MaxPool", kernel_shape=[2, 2], dilations=[2, 2]), "dilated windows are not supported"),
        (one("AveragePool", **CEILING, count_include_pad=1), "count_include_pad with ceil_mode"),
        (one("ReduceMean", axes=[1]), "only the mean over pixels is supported"),
        (one("BatchNormalization", *[np.ones(2)] * 3, -np.ones(2)), "its variances must be positive"),
        (one("BatchNormalization", *[np.ones(2)] * 4, training_mode=1), "is in training mode"),
        (one("BatchNormalization", *[np.ones(3)] * 4), "for 2 channels"),
        (one("Add", np.arange(30.0).reshape(6, 5)), "with numbers that are not those of channels"),
        (one("Add", np.ones((7, 1, 1))), "has a constant of shape [7, 1, 1] beside [1, 2, 6, 5]"),
        (one("Add", np.array(np.inf)), "has a constant that is not finite"),
        (one("Div", np.array(0.0)), "divides by 0"),
        (one("LeakyRelu", alpha=-0.5), "has the slope -0.5, which is below 0"),
        (one("Clip", np.array(2.0), np.array(1.0)), "has the bounds 2.0 and 1.0"),
        (one("Softmax", axis=2), "only the channels (axis 1) are supported"),
        (one("Cast", to=7), "makes other numbers than float32"),
        (one("Flatten", axis=9), "axis=9: has 4 axes"),
        (one("Reshape", np.array([1, 7, -1])), "makes [1, 7, 8] of 60 numbers"),
        (one("Reshape", np.array([2, 30])), "the first axis must stay the batch of 1"),
        (one("Transpose", perm=[1, 0, 2, 3]), "the first axis must stay the batch"),
        (one("Transpose", perm=[0, 1, 2, 2]), "has no axes [0, 1, 2, 2]: there are 4"),
        (one("Identity"), "the model has no layers"),
        (one("Pad", np.array([0, 1, 0, 0, 0, 0, 0, 0])), "only rows and columns of zeros are supported"),
        (one("Pad", np.array([0, 0, 1, 1, 0, 0, 1, 1]), np.array(1.0)), "only rows and columns of zeros"),
        (one("Pad", np.array([0, 0, 1, 1, 0, 0, 1, 1]), mode="edge"), "mode=edge: only zeros are supported"),
        (quant(scale=0.0), "has a scale that is not a positive number"),
        (quant(scale=[0.5, np.nan]), "has a scale that is not a positive number"),
        (quant(zero=0.5), "that is no integer"),
        (quant(bits=2.5), "that is no integer"),
        (quant(bits=1.0, zero=1.0, signed=1), "has one signed bit and a zero point"),
        (quant(bits=33.0), "must have one number of bits, 1 to 32"),
        (quant(bits=[3.0, 4.0]), "must have one number of bits"),
        (quant(rounding_mode="STOCHASTIC"), "has the rounding mode 'STOCHASTIC'"),
        (one("FloatQuant", 1.0, 5.0, domain=QONNX), "makes floating-point numbers of few bits"),
        (one("MultiThreshold", np.array([[2.0, 1.0]]), domain=QONNX), "has thresholds that do not rise"),
        (one("MultiThreshold", np.ones((2, 3)), domain=QONNX, out_bias=0.5), "which is no multiple of an out_scale"),
        (one("MultiThreshold", np.ones(3), domain=QONNX), "not [channels, thresholds]"),
        (one("Quant", 1.0, 0.0, 4.0, domain="some.one"), "is not supported: an operator of 'some.one'"),
        (one("QuantizeLinear", np.ones(2), np.zeros(2, np.uint8)), "which only weights may have"),
        (one("QuantizeLinear", np.array(-1.0), ZERO), "has a scale that is not a positive number"),
        (one("QuantizeLinear", np.array(1.0), np.int32(0)), "has codes of type int32"),
        (one("DequantizeLinear", np.array(1.0), ZERO), "needs codes (QuantizeLinear)"),
        (one("QLinearSigmoid", np.array(1.0), ZERO, np.array(1.0), ZERO, domain=MICROSOFT), "needs codes"),
    ],
)  # fmt: skip
def test_refused_nodes(model: Model, expected: str, tmp_path: Path) -> None:
    assert expected in refused(model, tmp_path)


def test_a_scale_that_is_computed(tmp_path: Path) -> None:
    model = Model()
    scale = model.node("GlobalAveragePool", "scale", "x")
    model.node("Quant", "y", "x", scale, model.constant("z", 0.0), model.constant("b", 4.0), domain=QONNX)
    assert "reads 'scale', which must be a constant" in refused(model, tmp_path)


def test_codes_are_not_numbers(tmp_path: Path) -> None:
    model = Model()
    q = model.node("QuantizeLinear", "q", "x", model.constant("s", 0.5), model.constant("z", ZERO))
    model.node("Relu", "y", q)
    assert "computes with codes; use DequantizeLinear" in refused(model, tmp_path)


def test_codes_of_another_scale(tmp_path: Path) -> None:
    model = Model()
    q = model.node("QuantizeLinear", "q", "x", model.constant("s", 0.5), model.constant("z", ZERO))
    model.node("DequantizeLinear", "y", q, model.constant("t", 0.25), "z")
    assert "with another scale or zero point than they were made with" in refused(model, tmp_path)


def test_an_output_in_another_order(tmp_path: Path) -> None:
    model = convolution()
    model.node("Flatten", "flat", "y")
    assert "leaves in another order than that of its stream" in refused(model, tmp_path)


def test_what_nothing_depends_on_is_left_out(tmp_path: Path) -> None:
    model = Model()
    model.node("Erf", "unused", "x")
    convolution(model)
    assert [layer.kind for layer in read_onnx(model.write(tmp_path)).layers] == ["conv2d"]


# Meanings


def test_weights_in_floating_point_are_integers_where_they_are(tmp_path: Path) -> None:
    """In a model with quantizers; each output has a power of two as its scale."""
    weights = np.array([[3.0, -1.0, 0.0], [0.5, 0.25, 0.0]])
    model = Model((1, 3))
    q = model.node(
        "Quant", "q", "x", model.constant("s", 0.5), model.constant("z", 0.0), model.constant("b", 4.0), domain=QONNX
    )
    model.node("Gemm", "y", q, model.constant("w", weights), transB=1)
    _, dense = read_onnx(model.write(tmp_path)).layers
    assert isinstance(dense, Linear)
    assert dense.exact is not None
    assert dense.exact.codes.tolist() == [[3, 2], [-1, 1], [0, 0]]
    assert [float(scale) for scale in dense.exact.scale] == [1.0, 0.25]


def test_weights_that_are_no_integers_stay_floats(tmp_path: Path) -> None:
    model = Model((1, 2))
    q = model.node("BipolarQuant", "q", "x", model.constant("s", 0.5), domain=QONNX)
    model.node("MatMul", "y", q, model.constant("w", np.array([[0.1], [1.0]])))
    _, dense = read_onnx(model.write(tmp_path)).layers
    assert isinstance(dense, Linear)
    assert dense.exact is None


@pytest.mark.parametrize("domain", [QONNX, "onnx.brevitas"])
@pytest.mark.parametrize(
    ("mode", "codes"),
    [
        ("ROUND", [-2, -2, 0, 0, 2, 2]),
        ("half_even", [-2, -2, 0, 0, 2, 2]),
        ("CEIL", [-2, -1, 0, 1, 2, 3]),
        ("FLOOR", [-3, -2, -1, 0, 1, 2]),
        ("UP", [-3, -2, -1, 1, 2, 3]),
        ("DOWN", [-2, -1, 0, 0, 1, 2]),
        ("ROUND_TO_ZERO", [-2, -1, 0, 0, 1, 2]),
        ("HALF_UP", [-3, -2, -1, 1, 2, 3]),
        ("HALF_DOWN", [-2, -1, 0, 0, 1, 2]),
    ],
)
def test_rounding_modes(mode: str, codes: list[int], domain: str, tmp_path: Path) -> None:
    ties = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    model = one("Quant", 1.0, 0.0, 4.0, domain=domain, shape=(1, 6), rounding_mode=mode)
    assert read_onnx(model.write(tmp_path)).run(ties[None])[0].tolist() == codes
    weights = Model((1, 1))  # as constants
    names = [weights.constant(name, value) for name, value in (("s", 1.0), ("z", 0.0), ("b", 4.0))]
    w = weights.node("Quant", "w", weights.constant("f", ties[None]), *names, domain=domain, rounding_mode=mode)
    weights.node("MatMul", "y", "x", w)
    [dense] = read_onnx(weights.write(tmp_path)).layers
    assert dense.exact.codes[0].tolist() == codes  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("signed", "narrow", "limits"), [(1, 0, (-8, 7)), (1, 1, (-7, 7)), (0, 0, (0, 15)), (0, 1, (0, 14))]
)
def test_ranges(signed: int, narrow: int, limits: tuple[int, int], tmp_path: Path) -> None:
    [quantizer] = read_onnx(quant(signed=signed, narrow=narrow).write(tmp_path)).layers
    assert isinstance(quantizer, Quantizer)
    assert (int(quantizer.encoding.low[0]), int(quantizer.encoding.high[0])) == limits


def test_trunc_of_version_2(tmp_path: Path) -> None:
    model = Model((1, 5))
    constants = [model.constant(f"c{k}", value) for k, value in enumerate((0.25, 0.0, 8.0, 1.0, 3.0))]
    model.node("Trunc", "y", "x", *constants, domain=QONNX, rounding_mode="FLOOR", signed=1, narrow=0)
    x = np.array([[-1.0, -0.25, 0.75, 0.9, 9.0]])
    assert read_onnx(model.write(tmp_path)).run(x)[0].tolist() == [-1.0, -1.0, 0.0, 1.0, 3.0]


def test_a_constant_of_int32_numbers(tmp_path: Path) -> None:
    """Codes may be written as varints."""
    model = Model((1, 2))
    head = integer(1, 2) + integer(1, 1) + integer(2, 3) + sized(8, "w")
    model.constants.append(head + sized(5, varint(-5) + varint(100)))
    w = model.node("DequantizeLinear", "d", "w", model.constant("s", 0.5), model.constant("z", np.int8(-1)))
    model.node("MatMul", "y", "x", w)
    [dense] = read_onnx(model.write(tmp_path)).layers
    assert dense.exact.codes[:, 0].tolist() == [-4, 101]  # type: ignore[attr-defined]


def qcdq(model: Model, name: str, source: str, low: int, high: int) -> str:
    """QuantizeLinear, Clip, DequantizeLinear of int8 by Brevitas."""
    scale, zero = model.constant(f"{name}_s", 0.25), model.constant(f"{name}_z", np.int8(0))
    q = model.node("QuantizeLinear", f"{name}_q", source, scale, zero)
    bounds = [model.constant(f"{name}_{end}", np.int8(bound)) for end, bound in (("low", low), ("high", high))]
    return model.node("DequantizeLinear", name, model.node("Clip", f"{name}_c", q, *bounds), scale, zero)


def test_quantizers_of_fewer_bits_than_their_type(tmp_path: Path) -> None:
    model = Model((1, 3))
    x = qcdq(model, "a", "x", -8, 7)
    w = qcdq(model, "w", model.constant("f", np.array([[-9.0], [0.25], [9.0]])), -2, 1)
    model.node("MatMul", "y", x, w)
    graph = read_onnx(model.write(tmp_path))
    quantizer, dense = graph.layers
    assert isinstance(quantizer, Quantizer)
    assert (quantizer.encoding.low, quantizer.encoding.high) == (-8, 7)
    assert isinstance(dense, Linear)
    assert dense.exact is not None
    assert dense.exact.codes[:, 0].tolist() == [-2, 1, 1]
    x = np.array([[-9.0, 0.5, 9.0], [0.25, -0.25, 1.75]])
    expected = (np.clip(x, -2, 1.75) @ [[-0.5], [0.25], [0.25]])[:, 0]
    assert graph.run(x)[:, 0].tolist() == expected.tolist()
    integers = to_integers(graph, Encoding.of(1, -8, 7)).graph
    codes, tensor = integers.run(integers.quantized(x)), integers.tensors[integers.dag.outputs[0]]
    assert ((codes - tensor.zero_points) * tensor.scales)[:, 0].tolist() == expected.tolist()


def test_means_of_codes_are_noted(tmp_path: Path) -> None:
    for scale, noted in ((0.25, False), (0.1, True)):
        model = Model()
        names = [model.constant("s", scale), model.constant("z", ZERO)]
        d = model.node("DequantizeLinear", "d", model.node("QuantizeLinear", "q", "x", *names), *names)
        model.node("QuantizeLinear", "y", model.node("GlobalAveragePool", "a", d), *names)
        notes = read_onnx(model.write(tmp_path)).notes
        assert any("'a': where a mean of codes lies half-way" in note for note in notes) == noted


@pytest.mark.parametrize(("group", "expected"), [(1, 4 * 4 * 9), (2, 4 * 4 * 9), (4, 4 * 9)])
def test_parameters_are_counted_once(group: int, expected: int, tmp_path: Path) -> None:
    """As many as hardware has: with zeros between groups, where they are not of single channels."""
    claimed: list[int] = []
    model = convolution(Model((1, 4, 6, 5)), np.ones((4, 4 // group, 3, 3)), group=group)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GraphBuilder, "claim", lambda self, parameters, where: claimed.append(parameters))
        read_onnx(model.write(tmp_path))
    assert sum(claimed) == expected


def test_tensors_keep_their_names(tmp_path: Path) -> None:
    model = Model()
    c = model.node("Conv", "/c1/Conv_output_0", "x", model.constant("w", W))
    model.node("Relu", "z", c)
    assert [node.name for node in read_onnx(model.write(tmp_path)).nodes] == ["_c1_Conv_output_0", "z"]


def test_older_files_list_constants_as_inputs(tmp_path: Path) -> None:
    model = convolution()
    model.inputs = [port("x", (1, 2, 6, 5)), port("w", W.shape)]
    assert list(read_onnx(model.write(tmp_path)).inputs) == ["x"]


def test_attributes_of_a_constant(tmp_path: Path) -> None:
    model = Model((1, 3))
    model.node("Add", "y", "x", model.node("Constant", "c", value=np.array([1.0, 2.0, 3.0], np.float32)))
    np.testing.assert_array_equal(read_onnx(model.write(tmp_path)).run(np.zeros((1, 3)))[0], [1, 2, 3])
    assert tensor("a", 1.0)


# The command


def test_the_command(dnn2fpga: Any, tmp_path: Path) -> None:
    """A model that brings its integers needs no data; one in floating point does, channels last."""
    (tmp_path / "own.onnx").write_bytes((FOLDER / "brevitas_residual" / "model.onnx").read_bytes())
    outcome = dnn2fpga("quantize", "own.onnx", "-o", "own")
    assert outcome.code == 0
    text = (tmp_path / "own" / "model.yaml").read_text()
    assert "reader: ONNX" in text
    assert "conv2d" in text
    (tmp_path / "float.onnx").write_bytes((FOLDER / "onnx_float_torch" / "model.onnx").read_bytes())
    x = np.load(FOLDER / "onnx_float_torch" / "io.npz")["x"]
    np.save(tmp_path / "first.npy", x)
    np.save(tmp_path / "last.npy", x.transpose(0, 2, 3, 1))
    assert dnn2fpga("quantize", "float.onnx", "--data", "first.npy", "-o", "float").code == 2
    assert dnn2fpga("quantize", "float.onnx", "--data", "last.npy", "-o", "float").code == 0
