"""TensorFlow Lite files that are refused: for each reason the operator, what is wrong, and what to do."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flatbuffer_writer import Number
from tflite_codes import FOLDER
from tflite_models import FUSED_TANH, NONE, SAME, VALID, Model, fused, whole, window

from dnn2fpga.errors import UserError
from dnn2fpga.read.front_ends import read_model
from dnn2fpga.read.tflite import read_tflite_model
from dnn2fpga.read.tflite_rules import TfliteRule

GRID = {"scale": 0.1, "zero": 3}
CONVERT = "convert it with full integer quantization"


def refused(content: bytes, folder: Path, rule: TfliteRule = TfliteRule.TFLM) -> tuple[str, ...]:
    path = folder / "model.tflite"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_tflite_model(path, rule)
    assert all(problem.startswith(str(path)) for problem in caught.value.problems)
    return tuple(problem.removeprefix(f"{path}: ") for problem in caught.value.problems)


def of(
    name: str, options: dict[int, Any] | None = None, grid: Any = GRID, output: Any = None, shape: Any = None
) -> bytes:
    """A file of one operator that reads the input ``[1, 4, 4, 2]``."""
    m = Model()
    x = m.tensor([1, 4, 4, 2], **grid)
    y = m.tensor(shape or [1, 4, 4, 2], **(output or grid))
    m.operator(name, [x], [y], options)
    return m.file([x], [y])


def convolution(
    *,
    input: Any = GRID,
    shape: Any = (1, 4, 4, 2),
    weights: Any = None,
    weights_shape: Any = (2, 3, 3, 2),
    bias: Any = None,
    bias_shape: Any = (2,),
    options: Any = None,
    output: Any = GRID,
) -> bytes:
    """A convolution of ``[1, 4, 4, 2]`` with 3 × 3 weights for 2 outputs, changed."""
    m = Model()
    x = m.tensor(shape, **input)
    given = {"scale": [0.01, 0.02], "data": np.ones(weights_shape, np.int8)} | (weights or {})
    w = m.tensor(weights_shape, **given)
    b = m.tensor(bias_shape, **{"kind": "int32", "data": [1, 2]} | (bias or {}))
    y = m.tensor([1, 4, 4, 2], **output)
    dilation = {4: Number("i", 1), 5: Number("i", 1)}
    m.operator("CONV_2D", [x, w, b], [y], window(SAME, 1) | dilation | (options or {}))
    return m.file([x], [y])


def dense(**weights: Any) -> bytes:
    m = Model()
    x = m.tensor([1, 4], **GRID)
    w = m.tensor([3, 4], **({"scale": 0.01, "data": np.ones((3, 4), np.int8)} | weights))
    y = m.tensor([1, 3], **GRID)
    m.operator("FULLY_CONNECTED", [x, w], [y], fused(NONE))
    return m.file([x], [y])


def two(
    name: str, left: Any, right: Any, output: Any = GRID, options: dict[int, Any] | None = None, **more: Any
) -> bytes:
    m = Model()
    a, b = m.tensor([1, 4, 4, 2], **left), m.tensor(more.get("other", [1, 4, 4, 2]), **right)
    y = m.tensor([1, 4, 4, 2], **output)
    m.operator(name, [a, b], [y], options)
    return m.file([a] if "data" in right else [a, b], [y])


def reshaped(target: list[int], stated: list[int], before: Callable[[Model, int], int] | None = None) -> bytes:
    m = Model()
    x = m.tensor([1, 4, 4, 2], **GRID)
    shape = m.tensor([len(target)], "int32", data=target) if before is None else before(m, x)
    y = m.tensor(stated, **GRID)
    m.operator("RESHAPE", [x, shape], [y])
    return m.file([x], [y])


def computed_shape(m: Model, x: int) -> int:
    shape = m.tensor([2], "int32")
    m.operator("CUSTOM", [x], [shape])
    return shape


REFUSED: dict[str, tuple[bytes, str]] = {
    "an unknown operator": (of("HARD_SWISH"), "operator 0 (HARD_SWISH): is not supported"),
    "an operator of its author": (of("CUSTOM"), "operator 0 (CUSTOM 'own'): is not supported"),
    "float": (
        of("RELU", grid={"kind": "float32"}),
        "(the first: operator 0 (RELU)), which is not read from .tflite files yet; " + CONVERT,
    ),
    "int16": (
        of("RELU", grid={"kind": "int16", "scale": 0.1}),
        "compute in int16 (the first: operator 0 (RELU)), which is not supported; " + CONVERT,
    ),
    "uint8": (
        of("RELU", grid={"kind": "uint8", "scale": 0.1}),
        "compute in uint8 (the first: operator 0 (RELU)), the format of TensorFlow 1",
    ),
    "hybrid": (
        convolution(input={"kind": "float32"}, output={"kind": "float32"}),
        "(CONV_2D)), with weights in int8 (hybrid); " + CONVERT,
    ),
    "float weights": (convolution(weights={"kind": "float32"}), "holds float32, not int8; " + CONVERT),
    "no scale": (of("RELU", grid={}), "holds int8, not quantized int8"),
    "weights with zero points": (
        convolution(weights={"zero": 1}),
        "has weights with zero points; convert the model again",
    ),
    "scales along another axis": (convolution(weights={"axis": 3}), "has scales along axis 3, not along its outputs"),
    "a scale for each channel": (of("RELU", grid={"scale": [0.1, 0.2], "axis": 3}), "which only weights may have"),
    "zero point": (of("RELU", grid={"scale": 0.1, "zero": 200}), "has the zero point 200, outside of -128 to 127"),
    "dilation": (
        convolution(options={4: Number("i", 2)}),
        "is dilated, which is not supported; train with dilation_rate=1",
    ),
    "groups": (
        convolution(weights_shape=(2, 3, 3, 1)),
        "has 1 channels of weights for 2: groups are not supported",
    ),
    "stride 0": (convolution(options={1: Number("i", 0)}), "has a window or a stride of 0"),
    "padding": (convolution(options={0: Number("b", 7)}), "has padding 7, which is neither SAME nor VALID"),
    "fused activation": (
        convolution(options={3: Number("b", FUSED_TANH)}),
        "has the fused activation TANH; supported: RELU",
    ),
    "bias of another size": (convolution(bias_shape=(1, 2)), "must hold 2 biases, not [1, 2]"),
    "bias of another type": (convolution(bias={"kind": "int64"}), "holds int64, not int32"),
    "batch": (convolution(shape=[2, 4, 4, 2]), "the first extent must be a batch of 1"),
    "weights of another size": (dense(data=np.ones((3, 5), np.int8)), "has 15 bytes, not 12"),
    "a scale of 0": (dense(scale=0.0), "tensor 1 has a scale that is not a positive number"),
    "a scale that is no number": (dense(scale=np.nan), "tensor 1 has a scale that is not a positive number"),
    "scales that are far apart": (dense(scale=1e30), "differ by more than a factor of 2^30"),
    "a maximum of two grids": (two("MAXIMUM", GRID, {"scale": 0.2}), "must have one scale and zero point"),
    "concatenation along the batch": (two("CONCATENATION", GRID, GRID, options=whole(0)), "joins along axis 0 of 4"),
    "constant image": (
        two("ADD", GRID, {"scale": 0.1, "data": np.zeros((1, 4, 4, 2))}),
        "one number, or one per channel is supported",
    ),
    "constant maximum": (
        two("MAXIMUM", GRID, GRID | {"data": np.zeros((1, 4, 4, 2))}),
        "which no operator before it computes",
    ),
    "falling function": (of("LEAKY_RELU", {0: Number("f", -0.5)}), "has the slope -0.5, which is not above 0"),
    "scale of a sigmoid": (of("LOGISTIC"), "must have a result of scale 0.00390625 and zero point -128"),
    "scale that uint8 changes": (
        of("QUANTIZE", grid={"kind": "uint8", "scale": 0.1, "zero": 131}, output={"scale": 0.2, "zero": 3}),
        "changes the scale between uint8 and int8",
    ),
    "softmax": (of("SOFTMAX", {0: Number("f", -1.0)}), "has a beta that is not above 0"),
    "pooling that changes the scale": (
        of("MAX_POOL_2D", window(VALID, 1, 1, 1), output={"scale": 0.2}),
        "must have one scale",
    ),
    "shape that is stated otherwise": (
        of("RELU", shape=[1, 4, 2, 4]),
        "makes [4, 4, 2], where the file states [1, 4, 2, 4]",
    ),
    "reshape": (reshaped([1, 32], [1, 16, 2]), "makes [1, 32], where the file states [1, 16, 2]"),
    "reshape to two axes": (reshaped([-1, 16, 2], [1, 16, 2]), "only vectors and images are supported"),
    "shape that is computed": (
        reshaped([0, 0], [1, 32], computed_shape),
        "is computed while the network runs; give the model a fixed input shape",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    content, message = REFUSED[name]
    assert message in "\n".join(refused(content, tmp_path))


def test_all_problems_at_once(tmp_path: Path) -> None:
    m = Model()
    x = m.tensor([1, 4, 4, 2], **GRID)
    tensors = [m.tensor([1, 4, 4, 2], **GRID) for _ in range(3)]
    m.operator("HARD_SWISH", [x], tensors[:1])
    m.operator("LEAKY_RELU", [x], tensors[1:2], {0: Number("f", -1.0)})
    m.operator("ADD", tensors[:2], tensors[2:], fused(NONE))  # nothing is known of what it reads
    first, second, supported = refused(m.file([x], tensors[2:]), tmp_path)
    assert "operator 0 (HARD_SWISH)" in first
    assert "operator 1 (LEAKY_RELU)" in second
    assert supported.startswith("supported are ADD, ")


def test_what_no_output_needs_is_left_out(tmp_path: Path) -> None:
    m = Model()
    x = m.tensor([1, 4, 4, 2], **GRID)
    used, dead = (m.tensor([1, 4, 4, 2], **GRID) for _ in range(2))
    m.operator("HARD_SWISH", [x], [dead])
    m.operator("RELU", [x], [used])
    path = tmp_path / "model.tflite"
    path.write_bytes(m.file([x], [used]))
    assert read_model(path).dag.outputs == (f"t{used}_relu",)


def test_inputs_and_outputs(tmp_path: Path) -> None:
    m = Model()
    x, unused, y = (m.tensor([1, 4, 4, 2], **GRID) for _ in range(3))
    m.operator("RELU", [x], [y])
    assert "no output depends on it" in refused(m.file([x, unused], [y]), tmp_path)[0]
    assert "has no outputs" in "\n".join(refused(m.file([x], []), tmp_path))
    assert "is computed by no operator" in "\n".join(refused(m.file([x], [unused]), tmp_path))
    assert "the input tensor 0 ('tensor_0'): no output depends on it" in refused(m.file([x], [unused]), tmp_path)[0]


def test_scales_that_xnnpack_does_not_compute(tmp_path: Path) -> None:
    content = of("QUANTIZE", output={"scale": 0.0001})
    assert "which XNNPACK does not compute; use the rule 'tflm'" in refused(content, tmp_path, TfliteRule.XNNPACK)[0]


def test_relu6_that_rescales(tmp_path: Path) -> None:
    content = of("RELU6", output={"scale": 0.2, "zero": 3})
    assert "must have one scale" in refused(content, tmp_path)[0]
    path = tmp_path / "model.tflite"
    assert read_tflite_model(path, TfliteRule.REFERENCE).nodes


NOT_INT8 = {
    "float16": "compute in float32",
    "float32": "7 of its 10 operators compute in float32 (the first: operator 0 (CONV_2D)), which is not read",
    "hybrid": "with weights in int8 (hybrid); convert it",
    "int16x8": "compute in int16",
    "mixed": "(the first: operator 5 (ELU))",
}


@pytest.mark.parametrize("name", NOT_INT8)
def test_files_that_the_converter_wrote(name: str, tmp_path: Path) -> None:
    (problem,) = refused((FOLDER / "tflite_refused" / f"{name}.tflite").read_bytes(), tmp_path)
    assert NOT_INT8[name] in problem
    assert CONVERT in problem


class TestWholeFiles:
    def test_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="cannot be read: No such file"):
            read_model(tmp_path / "model.tflite")

    def test_something_else(self, tmp_path: Path) -> None:
        assert "is not a TensorFlow Lite model" in refused(b"something else", tmp_path)[0]
        assert "is not a TensorFlow Lite model" in refused(b"", tmp_path)[0]

    def test_another_suffix(self, tmp_path: Path) -> None:
        path = tmp_path / "model.keras"
        path.write_bytes(of("RELU"))
        with pytest.raises(UserError, match=r"is a TensorFlow Lite model; give it the suffix .tflite"):
            read_model(path)

    def test_another_version_of_the_schema(self, tmp_path: Path) -> None:
        m = Model()
        x = m.tensor([1, 2], **GRID)
        assert "its schema has version 2; version 3 is read" in refused(m.file([x], [x], version=2), tmp_path)[0]

    def test_control_flow(self, tmp_path: Path) -> None:
        content = bytearray(of("RELU"))
        root = struct.unpack_from("<I", content)[0]
        vtable = root - struct.unpack_from("<i", content, root)[0]
        struct.pack_into("<H", content, vtable + 4 + 2 * 2, 0)
        assert "it has 0 subgraphs; exactly 1 is supported" in refused(bytes(content), tmp_path)[0]

    def test_no_operator(self, tmp_path: Path) -> None:
        m = Model()
        x = m.tensor([1, 2], **GRID)
        assert "is an input of the model, unchanged" in refused(m.file([x], [x]), tmp_path)[0]

    def test_index_of_a_tensor(self, tmp_path: Path) -> None:
        m = Model()
        x = m.tensor([1, 2], **GRID)
        m.operator("RELU", [x], [5])
        assert "there is no tensor 5" in refused(m.file([x], [x]), tmp_path)[0]

    def test_sizes_that_no_machine_has(self, tmp_path: Path) -> None:
        m = Model()
        x = m.tensor([1, 2**31 - 1], **GRID)
        assert "numbers; at most" in refused(m.file([x], [x]), tmp_path)[0]

    def test_a_constant_that_is_counted_often(self, tmp_path: Path) -> None:
        """A hundred layers that share one constant of a megabyte are refused before they are built."""
        m = Model()
        x = last = m.tensor([1, 1024], **GRID)
        w = m.tensor([1024, 1024], scale=0.01, data=np.zeros((1024, 1024)))
        for _ in range(100):
            y = m.tensor([1, 1024], **GRID)
            m.operator("FULLY_CONNECTED", [last, w], [y], fused(NONE))
            last = y
        assert "with it the model has 68,157,440 parameters" in refused(m.file([x], [last]), tmp_path)[0]


def test_many_windows_over_the_border(tmp_path: Path) -> None:
    m = Model()
    x = m.tensor([1, 4096, 4096, 1], **GRID)
    y = m.tensor([1, 4096, 4096, 1], **GRID)
    m.operator("AVERAGE_POOL_2D", [x], [y], window(SAME, 1, 2000, 2000))
    assert "reach over the border by too many" in refused(m.file([x], [y]), tmp_path)[0]
