"""What nodes of an ``.onnx`` file mean, where a sample does not show it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx_models import (
    QONNX,
    ZERO,
    Model,
    W,
    convolution,
    integer,
    one,
    port,
    quant,
    sized,
    tensor,
    varint,
)

from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.layers.linear import Linear
from dnn2fpga.layers.quantizer import Quantizer
from dnn2fpga.passes.to_integers import to_integers
from dnn2fpga.read.builder import GraphBuilder
from dnn2fpga.read.onnx import read_onnx


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


def test_inputs_are_quantized_in_float32(tmp_path: Path) -> None:
    """The sum with a zero point, too: what lies a little beside a tie comes to lie on it."""
    x = np.array([[0.500001, 0.5, 1.500001, -0.499999]], np.float32)
    expected = np.rint(x / np.float32(1) + np.float32(100)) - 100
    assert (expected != np.rint(x)).any()
    model = one("Quant", 1.0, 100.0, 8.0, domain=QONNX, shape=(1, 4), signed=0)
    graph = read_onnx(model.write(tmp_path))
    assert graph.run(x).tolist() == expected.tolist()
    [quantizer] = graph.layers
    assert isinstance(quantizer, Quantizer)
    assert quantizer.rule.conversion is not None
    assert (quantizer.rule.conversion.levels(x, 1.0, 100) - 100).tolist() == expected.tolist()  # as the host does


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
