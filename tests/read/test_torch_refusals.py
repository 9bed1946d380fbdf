"""What is refused of PyTorch's files, and what the messages say."""

from __future__ import annotations

import pickle
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch_files import FOLDER, argument_of, node_of, rewritten

from dnn2fpga.errors import UserError
from dnn2fpga.read.front_ends import read_model

CONV, MLP, BRANCHES = (FOLDER / f"torch_{name}" / "model.pt2" for name in ("conv", "mlp", "branches"))
PROGRAM, WEIGHTS = "models/model.json", "weights_config.json"
Change = Callable[[dict[str, Any]], None]


def problems(path: Path) -> tuple[str, ...]:
    with pytest.raises(UserError) as caught:
        read_model(path)
    assert all(one.startswith(f"{path}: ") for one in caught.value.problems)
    return tuple(one.removeprefix(f"{path}: ") for one in caught.value.problems)


def argument(node: str, name: str, **value: Any) -> Change:
    """Give a node an argument, whether it has it or not."""

    def change(program: dict[str, Any]) -> None:
        inputs = node_of(program, node)["inputs"]
        inputs[:] = [one for one in inputs if one["name"] != name]
        inputs.append({"name": name, "arg": value})

    return change


def target(node: str, operator: str) -> Change:
    return lambda program: node_of(program, node).update(target=f"torch.ops.{operator}")


def sizes(tensor: str, *extents: int) -> Change:
    def change(program: dict[str, Any]) -> None:
        values = program["graph_module"]["graph"]["tensor_values"]
        values[tensor]["sizes"] = [{"as_int": extent} for extent in extents]

    return change


def of_weight(name: str, **changes: Any) -> Change:
    """Say something else of an array."""

    def change(config: dict[str, Any]) -> None:
        for key, value in changes.items():
            payload = config["config"][name]
            (payload if key in payload else payload["tensor_meta"])[key] = value

    return change


# Operators

OPERATORS: list[tuple[Path, Change, str]] = [
    (CONV, target("relu", "aten.gelu.default"), r"'relu' \(aten.gelu.default\): is not supported"),
    (CONV, target("relu", "mine.relu.default"), r"'relu' \(mine.relu.default\): is not supported"),
    (CONV, argument("batch_norm", "training", as_bool=True), "'n1' .*: is in training mode; call model.eval"),
    (MLP, argument("dropout", "train", as_bool=True), "is in training mode; call model.eval"),
    (CONV, argument("conv2d", "transposed", as_bool=True), "'c1' .*: is transposed"),
    (CONV, argument("conv2d", "groups", as_int=3), r"'c1' .*: has weights \[4, 1, 3, 3\] in 3 groups for 1 channels"),
    (CONV, argument("conv2d", "stride", as_ints=[0, 1]), r"stride=\[0, 1\]: must be two extents"),
    (CONV, argument("conv2d", "stride", as_string="x"), "stride: must be integers"),
    (CONV, argument("conv2d", "padding", as_ints=[-1, 1]), r"padding=\[-1, 1\]: must be two extents"),
    (CONV, argument("max_pool2d", "dilation", as_ints=[2, 2]), "dilated windows are not supported"),
    (CONV, argument("max_pool2d", "padding", as_ints=[2, 2]), r"padding=\(2, 2\): must be at most half of"),
    (CONV, argument("adaptive_avg_pool2d", "output_size", as_ints=[2, 3]), r"output_size=\(2, 3\): must divide the"),
    (BRANCHES, argument("avg_pool2d", "divisor_override", as_int=3), "divisor_override is not supported"),
    (BRANCHES, argument("leaky_relu", "negative_slope", as_float=-0.5), "has the slope -0.5, which is below 0"),
    (BRANCHES, argument("pad", "value", as_float=1.0), "only rows and columns of zeros are supported"),
    (BRANCHES, argument("pad", "pad", as_ints=[1, 1, 1, 1, 1, 1]), "only rows and columns of zeros are supported"),
    (BRANCHES, argument("cat", "dim", as_int=0), "axis=0: joins along the batch"),
    (BRANCHES, argument("softmax", "dim", as_int=0), "is over axis 0"),
    (BRANCHES, argument("sub", "alpha", as_float="Infinity"), "alpha=inf: must be finite"),
    (BRANCHES, argument("mul", "other", as_tensor={"name": "p_0_c1_weight"}), "has a constant of shape"),
    (CONV, argument("hardtanh", "min_val", as_float=3.0), "has the bounds 3.0 and 2.0"),
    (CONV, argument("flatten", "start_dim", as_int=0), "the first axis must stay the batch"),
    (CONV, argument("flatten", "start_dim", as_int=9), "has no axis 9: there are 4"),
    (CONV, argument("relu", "self", as_tensor={"name": "nothing"}), "reads 'nothing', which no node before it"),
    (CONV, argument("relu", "self", as_tensor={"name": "p_d_bias"}), "self: is a constant where a tensor is expected"),
    (CONV, argument("relu", "self", as_complex=1), "self: must be a number"),
    (CONV, sizes("relu", 2, 4, 5, 6), r"makes \[4, 5, 5\] of each sample; the file says \[4, 5, 6\]"),
    (CONV, sizes("x", 2, 10, 9), "; vectors and images are supported"),
    (CONV, sizes("x", 2, 1, 10, 2**17), "the input must be a vector or an image"),
]


@pytest.mark.parametrize(("path", "change", "expected"), OPERATORS, ids=[expected for *_, expected in OPERATORS])
def test_operators(path: Path, change: Change, expected: str, tmp_path: Path) -> None:
    found = problems(rewritten(path, tmp_path / "model.pt2", {PROGRAM: change}))
    assert any(re.search(expected, one) for one in found), found


def test_all_operators_that_are_not_supported_are_named_at_once(tmp_path: Path) -> None:
    def change(program: dict[str, Any]) -> None:
        for name in ("relu", "c3", "relu_1"):
            nodes = program["graph_module"]["graph"]["nodes"]
            next(node for node in nodes if name in (node["name"], node["metadata"]["nn_module_stack"].split(",")[-2]))[
                "target"
            ] = "torch.ops.aten.gelu.default"

    *found, last = problems(rewritten(CONV, tmp_path / "model.pt2", {PROGRAM: change}))
    assert found == [f"'{name}' (aten.gelu.default): is not supported" for name in ("relu", "c3", "relu_1")]
    assert "conv2d" in last


def test_what_changed_in_place_is_not_read_as_it_was(tmp_path: Path) -> None:
    def change(program: dict[str, Any]) -> None:
        node_of(program, "relu")["target"] = "torch.ops.aten.dropout.default"  # the same numbers in memory
        node_of(program, "conv2d_1")["target"] = "torch.ops.aten.relu_.default"
        node_of(program, "conv2d_1")["inputs"] = [{"name": "self", "arg": {"as_tensor": {"name": "relu"}}}]
        argument_of(node_of(program, "hardtanh"), "self")["arg"] = {"as_tensor": {"name": "batch_norm"}}
        sizes("conv2d_1", 2, 4, 5, 5)(program)

    (found,) = problems(rewritten(CONV, tmp_path / "model.pt2", {PROGRAM: change}))
    assert "'hardtanh' (aten.hardtanh.default): reads 'batch_norm' after another operator has changed it" in found


@pytest.mark.parametrize("outputs", [[], [{"as_tensor": {"name": "unused"}}]])
@pytest.mark.parametrize("operator", ["aten.fill_.Scalar", "mine.change.default", "aten.relu_.default"])
def test_what_may_change_a_tensor_is_not_passed_over(outputs: list[Any], operator: str, tmp_path: Path) -> None:
    def change(program: dict[str, Any]) -> None:
        nodes = program["graph_module"]["graph"]["nodes"]
        node = {"inputs": [{"name": "self", "arg": {"as_tensor": {"name": "conv2d"}}}], "outputs": outputs}
        nodes.insert(1, {"target": f"torch.ops.{operator}", "metadata": {}, **node})

    path = rewritten(CONV, tmp_path / "model.pt2", {PROGRAM: change})
    if operator == "aten.relu_.default" and outputs:
        assert "unused" in [node.name for node in read_model(path).nodes]
    else:
        assert f"({operator}): is not supported" in problems(path)[0]


def test_checks_of_shapes_are_passed_over(tmp_path: Path) -> None:
    def change(program: dict[str, Any]) -> None:
        node = {"target": "torch.ops.aten._assert_tensor_metadata.default", "inputs": [], "outputs": []}
        program["graph_module"]["graph"]["nodes"].insert(1, node)

    assert read_model(rewritten(CONV, tmp_path / "model.pt2", {PROGRAM: change})).nodes


def test_a_model_that_changes_its_buffers(tmp_path: Path) -> None:
    def change(program: dict[str, Any]) -> None:
        mutation = {"buffer_mutation": {"arg": {"name": "relu"}, "buffer_name": "n1.running_mean"}}
        program["graph_module"]["signature"]["output_specs"].insert(0, mutation)

    assert "changes its own buffers or inputs; call model.eval() before the export" in problems(
        rewritten(CONV, tmp_path / "model.pt2", {PROGRAM: change})
    )


def test_an_order_that_no_stream_has(tmp_path: Path) -> None:
    def change(program: dict[str, Any]) -> None:
        flat = {"as_tensor": {"name": "flatten"}}
        program["graph_module"]["signature"]["output_specs"] = [{"user_output": {"arg": flat}}]
        argument_of(node_of(program, "flatten"), "self")["arg"] = {"as_tensor": {"name": "relu"}}
        sizes("flatten", 2, 100)(program)

    (found,) = problems(rewritten(CONV, tmp_path / "model.pt2", {PROGRAM: change}))
    assert "leaves in another order than that of its stream" in found


# Arrays

ARRAYS: list[tuple[Change, str]] = [
    (of_weight("c1.weight", use_pickle=True), "which is a pickle: loading one runs code"),
    (of_weight("c1.weight", tensor_meta=None), "which is a pickle"),
    (of_weight("c1.weight", dtype=6), "which is of an unusual type; convert the model with model.float()"),
    (of_weight("c1.weight", layout=1), "which is of an unusual type"),
    (of_weight("c1.weight", strides=[{"as_int": k} for k in (1, 1, 1, 4)]), "whose numbers are not in order"),
    (of_weight("c1.weight", strides=[{"as_int": 0}] * 4), "whose numbers are not in order"),
    (of_weight("c1.weight", strides=[{"as_int": -1}] * 4), "whose numbers are not in order"),
    (of_weight("c1.weight", storage_offset={"as_int": 1}), "whose numbers are not all in the file"),
    (of_weight("c1.weight", storage_offset={"as_int": -1}), "whose numbers are not all in the file"),
    (of_weight("c3.bias", sizes=[{"as_int": 7}]), "whose numbers are not all in the file"),
    (of_weight("c3.bias", sizes=[{"as_int": -6}]), r"which has the shape \[-6\]"),
    (of_weight("c3.bias", sizes=[{"as_int": 2**40}]), r"which has the shape \[1099511627776\]"),
    (of_weight("c3.bias", sizes=[{"as_expr": {}}]), "of the open shape"),
    (of_weight("c1.weight", path_name="../x"), "'model/data/weights/../x' is missing"),
]


@pytest.mark.parametrize(("change", "expected"), ARRAYS, ids=[expected for _, expected in ARRAYS])
def test_arrays(change: Change, expected: str, tmp_path: Path) -> None:
    found = problems(rewritten(CONV, tmp_path / "model.pt2", {WEIGHTS: change}))
    assert any(re.search(expected, one) for one in found), found


def test_an_array_that_is_not_listed(tmp_path: Path) -> None:
    found = problems(
        rewritten(CONV, tmp_path / "model.pt2", {WEIGHTS: lambda config: config["config"].pop("c1.weight")})
    )
    assert "'c1' (aten.conv2d.default): reads 'c1.weight', of which the file has no numbers" in found


def test_several_arrays_may_be_parts_of_one_member(tmp_path: Path) -> None:
    """As torch keeps tensors that share their storage: both here are the six weights of a batch normalization."""
    change = of_weight("c3.bias", path_name="weight_3", storage_offset={"as_int": 2})
    assert read_model(rewritten(CONV, tmp_path / "model.pt2", {WEIGHTS: change})).nodes


# Files


def test_parts_that_are_pickles(tmp_path: Path) -> None:
    """As torch 2.8 keeps weights."""
    old = rewritten(CONV, tmp_path / "model.pt2", weights_model_weights_config_json=None)
    (found,) = problems(old)
    assert found.startswith("keeps its weights as a pickle, as older torch does")
    assert found.endswith("export the model again with torch 2.9 or later")


def test_programs_of_torch_2_7(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.pt2", "w") as archive:
        archive.writestr("serialized_exported_program.json", "{}")
        archive.writestr("serialized_state_dict.pt", pickle.dumps({}))
    (found,) = problems(tmp_path / "model.pt2")
    assert found.startswith("is a program of torch 2.7 or earlier, whose weights are a pickle")


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pt2"])
def test_a_pickle_is_never_opened(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"model{suffix}"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps({}))
    (found,) = problems(path)
    assert "pickle" in found
    assert "torch.export.save(torch.export.export(model.eval(), (example,)), 'model.pt2')" in found


FILES: list[tuple[dict[str, bytes | None], dict[str, Change], str]] = [
    ({"archive_format": b"pt3"}, {}, "is a zip archive, but no PyTorch program"),
    ({"archive_version": b"1"}, {}, "is of version '1', in the byte order 'little'"),
    ({"byteorder": b"big"}, {}, "in the byte order 'big'"),
    ({"models_model_json": None}, {}, "holds 0 programs"),
    ({"models_model_json": b"["}, {}, "its configuration is not valid JSON"),
    ({"models_model_json": b"[" * 100_000}, {}, "its configuration is not valid JSON"),
    ({"models_model_json": b"{}"}, {}, "is not a PyTorch program that can be read"),
    ({}, {PROGRAM: lambda program: program["schema_version"].update(major=9)}, "its program is of version 9."),
    ({}, {PROGRAM: lambda program: program.update(graph_module=[])}, "is not a PyTorch program that can be read"),
    (
        {},
        {PROGRAM: lambda program: node_of(program, "relu")["outputs"].append({"as_tensor": {"name": "x"}})},
        "one name",
    ),
]


@pytest.mark.parametrize(("raw", "members", "expected"), FILES, ids=[expected for *_, expected in FILES])
def test_files(raw: dict[str, bytes | None], members: dict[str, Change], expected: str, tmp_path: Path) -> None:
    (found,) = problems(rewritten(CONV, tmp_path / "model.pt2", members, **raw))
    assert expected in found


def test_other_files(tmp_path: Path) -> None:
    assert problems(tmp_path / "none.pt2")[0].startswith("there is no such file")
    (tmp_path / "folder.pt2").mkdir()
    assert problems(tmp_path / "folder.pt2")[0].startswith("is a folder")
    (tmp_path / "text.pt2").write_text("hello")
    assert "is not" in problems(tmp_path / "text.pt2")[0]
    shutil.copy(CONV, tmp_path / "model.keras")
    assert "no Keras model" in problems(tmp_path / "model.keras")[0]
