"""PyTorch programs beside what PyTorch computed, to the last digits of float32, and through the quantizer to RTL."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch_files import FOLDER, OWN, SHARED, Computed, argument_of, channels_last, node_of, rewritten

from dnn2fpga.errors import UserError
from dnn2fpga.read.torch import node_names, read_torch
from dnn2fpga.read.torch_archive import open_program
from dnn2fpga.task import Ending

SAMPLES = pytest.mark.parametrize("path", [*OWN, *SHARED], ids=lambda path: path.parent.name)
CONV, BRANCHES = FOLDER / "torch_conv" / "model.pt2", FOLDER / "torch_branches" / "model.pt2"


def computed(path: Path, name: str = "x") -> tuple[Computed, dict[str, np.ndarray]]:
    recorded = dict(np.load(path.parent / "io.npz"))
    return Computed(path, recorded[name]), recorded


def test_samples_are_there() -> None:
    assert len(OWN) >= 3


@SAMPLES
def test_output(path: Path) -> None:
    found, recorded = computed(path)
    np.testing.assert_allclose(found.output, recorded["y"], atol=1e-5, rtol=0)


@SAMPLES
def test_every_tensor(path: Path) -> None:
    found, recorded = computed(path)
    for name, expected in recorded.items():
        if name.startswith("t_") and (values := found.of(name[2:])) is not None:
            scale = max(1.0, float(np.abs(expected).max()))
            np.testing.assert_allclose(values[: len(expected)], expected, atol=1e-6 * scale, rtol=0, err_msg=name)


@SAMPLES
def test_names_are_those_of_modules_where_a_module_computes_one_thing(path: Path) -> None:
    with open_program(path) as (program, _):
        names = node_names(program)
    assert len(set(names.values())) == len(names)
    by_module = {node.module for node in program.nodes}
    for node in program.nodes:
        alone = [one for one in program.nodes if one.module == node.module]
        if len(alone) == 1 and node.operator.startswith(("aten.conv2d", "aten.linear", "aten.batch_norm")):
            assert names[node.makes[0]] == node.module
    assert by_module


def test_names_of_the_samples() -> None:
    names = [node.name for node in read_torch(CONV).nodes]
    assert names[:6] == ["c1", "n1", "relu", "c2", "n2", "hardtanh"]
    assert names[-1] == "d"
    assert {"_0_c1", "_0_left", "tanh", "_0_d", "_1"} <= {node.name for node in read_torch(BRANCHES).nodes}


def test_the_padding_is_on_both_sides() -> None:
    conv = {node.name: node.layer for node in read_torch(CONV).nodes}["c1"]
    assert (conv.strides, tuple(conv.padding)) == ((2, 2), (1, 1, 1, 1))  # type: ignore[attr-defined]


def test_a_softmax_in_last_place_ends_the_model() -> None:
    assert [node.layer.ending for node in read_torch(BRANCHES).nodes][-1] is Ending.SOFTMAX


@pytest.mark.parametrize("weight", ["weight_0", "weight_11", "weight_15"])
def test_a_changed_weight_is_noticed(weight: str, tmp_path: Path) -> None:
    before, recorded = computed(CONV)
    numbers = np.frombuffer(content_of(CONV, f"weights/{weight}"), "<f4").copy()
    numbers[-1] += 1
    changed = rewritten(CONV, tmp_path / "model.pt2", **{f"weights_{weight}": numbers.tobytes()})
    assert (Computed(changed, recorded["x"]).output != before.output).any()


def content_of(path: Path, end: str) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return next(archive.read(name) for name in archive.namelist() if name.endswith(end))


def test_other_padding_is_noticed(tmp_path: Path) -> None:
    def change(program: dict[str, Any]) -> None:
        argument_of(node_of(program, "conv2d"), "padding")["arg"] = {"as_ints": [1, 1]}
        argument_of(node_of(program, "conv2d"), "stride")["arg"] = {"as_ints": [1, 1]}

    with pytest.raises(UserError, match=r"makes .* of each sample; the file says"):
        read_torch(rewritten(CONV, tmp_path / "model.pt2", {"models/model.json": change}))


def test_channels_last_is_how_the_graph_has_images() -> None:
    _, recorded = computed(CONV)
    assert read_torch(CONV).inputs == {"x": channels_last(recorded["x"]).shape[1:]}
