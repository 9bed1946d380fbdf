"""Damaged ``.pt2`` files: a few of those of ``benchmarks/campaigns/torch_files.py``, each read or refused; and files
that ask for much work.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest
from torch_files import FOLDER, rewritten

from dnn2fpga.errors import UserError
from dnn2fpga.read.torch import read_torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from campaigns.torch_files import CAMPAIGN, trap

COUNT = 20 * len(CAMPAIGN.changes)
MLP = FOLDER / "torch_mlp" / "model.pt2"


def problems(content: bytes, path: Path) -> tuple[str, ...]:
    """Why a file is refused; nothing where it is read."""
    path.write_bytes(content)
    try:
        read_torch(path)
    except UserError as reason:
        return reason.problems
    return ()


@pytest.mark.parametrize("kind", CAMPAIGN.changes)
def test_damaged_files_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    found = [problems(content, path) for name, content in CAMPAIGN.files(COUNT, 1) if name.startswith(kind)]
    assert len(found) == COUNT // len(CAMPAIGN.changes)
    assert any(found)
    assert all(one.startswith(str(path)) and len(one) < 2_000 for each in found for one in each)


def test_undamaged_files_are_read(tmp_path: Path) -> None:
    assert not any(problems(content, tmp_path / "model.pt2") for content in CAMPAIGN.seeds())


@pytest.mark.parametrize("seed", range(3))
def test_a_member_that_grows_is_refused(seed: int, tmp_path: Path) -> None:
    start = time.process_time()
    (problem,) = problems(trap(MLP.read_bytes(), Random(seed)), tmp_path / "model.pt2")
    assert "a trap" in problem or "would take" in problem
    assert time.process_time() - start < 5


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    path = rewritten(MLP, tmp_path / "model.pt2", sample_inputs_model_pt=b"cos\nsystem\n(S'touch opened'\ntR.")
    assert read_torch(path).nodes


# Small files that ask for much work


def node(target: str, result: str, *arguments: tuple[str, Any]) -> dict[str, Any]:
    return {
        "target": f"torch.ops.aten.{target}",
        "inputs": [{"name": name, "arg": argument} for name, argument in arguments],
        "outputs": [{"as_tensor": {"name": result}}],
        "metadata": {},
    }


def tensor(name: str) -> dict[str, Any]:
    return {"as_tensor": {"name": name}}


def chain(program: dict[str, Any], shape: list[int], nodes: list[dict[str, Any]]) -> None:
    """Make a program of other nodes, which reads ``input`` and returns what the last of them makes."""
    sizes = [{"as_int": extent} for extent in shape]
    program["graph_module"]["graph"]["nodes"] = nodes
    program["graph_module"]["graph"]["tensor_values"]["input"]["sizes"] = sizes
    last = nodes[-1]["outputs"][0]
    program["graph_module"]["signature"]["output_specs"] = [{"user_output": {"arg": last}}]


def moved(program: dict[str, Any]) -> None:
    """A million numbers, moved to and fro."""
    orders = [[0, 2, 1, 3], [0, 3, 1, 2]]
    nodes = [
        node("permute.default", f"t{k}", ("self", tensor(f"t{k - 1}" if k else "input")), ("dims", {"as_ints": dims}))
        for k, dims in enumerate(orders * 1_900)
    ]
    chain(program, [1, 4, 512, 512], nodes)


def written(program: dict[str, Any]) -> None:
    """Thousands of operators in place, on the same numbers."""
    nodes = [node("relu_.default", f"t{k}", ("self", tensor(f"t{k - 1}" if k else "input"))) for k in range(3_900)]
    chain(program, [1, 4, 512, 512], nodes)


def spread(program: dict[str, Any]) -> None:
    """A kernel of a few numbers that spans billions."""
    dilation = ("dilation", {"as_ints": [2**16, 2**16]})
    reads = (("input", tensor("v")), ("weight", tensor("w")), dilation, ("groups", {"as_int": 14}))
    views = [
        node("view.default", name, ("self", tensor(source)), ("size", {"as_ints": size}))
        for name, source, size in (("w", "p_1_weight", [14, 1, 6, 10]), ("v", "input", [1, 14, 4, 4]))
    ]
    chain(program, [1, 14, 4, 4], [*views, node("conv2d.default", "y", *reads)])


@pytest.mark.parametrize(
    ("change", "expected"), [(moved, "in tensors that are moved"), (written, ""), (spread, "parameters; at most")]
)
def test_an_attacker_gains_no_time(change: Any, expected: str, tmp_path: Path) -> None:
    path, start = rewritten(MLP, tmp_path / "model.pt2", {"models/model.json": change}), time.process_time()
    found = problems(path.read_bytes(), path)
    assert time.process_time() - start < 5
    assert [expected in one for one in found] == ([True] if expected else [])
