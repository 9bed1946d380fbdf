"""Damaged and hostile ``.pt2`` files: any damage to bytes, programs and lists of arrays that say something else, arrays
that are not there, archives that are traps.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from io import BytesIO
from random import Random
from typing import Any

from . import damage
from .one_file import Campaign, Change
from .seeds import bomb, packed
from .trees import positions, replaced, value_at

Members = dict[str, bytes]
VALUES: list[Any] = [
    None, True, False, 0, 1, 2, 3, -1, 7, 64, 65, 2**16, 2**31, 2**40, -(2**63), 10**30, 0.5, -1e300, float("nan"),
    float("inf"), "", "x", "Infinity", "same", "aten.conv2d.default", "x" * 100_000, [], [0], [1, 1], [-1], [2**31] * 2,
    ["x"], [[]] * 100, {}, {"as_int": 0}, {"as_none": True}, {"as_tensor": {"name": "x"}}, {"as_sym_int": {}},
]  # fmt: skip
OPERATORS = [
    "conv2d.default", "relu_.default", "add_.Tensor", "view.default", "permute.default", "cat.default", "mean.dim",
    "linear.default", "batch_norm.default", "max_pool2d.default", "squeeze.dim", "eval.default",
]  # fmt: skip


def _end(members: Members, end: str) -> str:
    return next(name for name in members if name.endswith(end))


def of_tree(end: str, within: tuple[str, ...]) -> Callable[[Members, Random], Members]:
    """Another value at some places of a member in JSON.

    :param within: the places, by one of the keys on the way.
    """

    def change(members: Members, random: Random) -> Members:
        name = _end(members, end)
        tree = json.loads(members[name])
        for _ in range(random.choice([1, 1, 2, 8])):
            places = [p for p in positions(tree) if p and set(p) & set(within)]
            tree = replaced(tree, random.choice(places), random.choice(VALUES))
        return {**members, name: json.dumps(tree).encode("utf-8", "surrogatepass")}

    return change


def operators_swapped(members: Members, random: Random) -> Members:
    name = _end(members, "models/model.json")
    tree = json.loads(members[name])
    for _ in range(random.choice([1, 2])):
        node = random.choice(tree["graph_module"]["graph"]["nodes"])
        node["target"] = f"torch.ops.aten.{random.choice(OPERATORS)}"
    return {**members, name: json.dumps(tree).encode()}


def tensors_swapped(members: Members, random: Random) -> Members:
    """Nodes that read others, themselves, or what comes after them."""
    name = _end(members, "models/model.json")
    tree = json.loads(members[name])
    places = [p for p in positions(tree["graph_module"]["graph"]["nodes"]) if p[-2:] == ("as_tensor", "name")]
    graph = tree["graph_module"]["graph"]
    other = value_at(graph["nodes"], random.choice(places))
    graph["nodes"] = replaced(graph["nodes"], random.choice(places), other)
    return {**members, name: json.dumps(tree).encode()}


def arrays_changed(members: Members, random: Random) -> Members:
    """Numbers, lengths, or which array is which."""
    names = [name for name in members if "/weight_" in name]
    one, other = random.choice(names), random.choice(names)
    content = members[one]
    changed = {
        "swapped": members[other],
        "shorter": content[: random.randrange(len(content) + 1)],
        "noise": random.randbytes(len(content)),
        "infinite": b"\x00\x00\x80\x7f" * (len(content) // 4),
    }
    return {**members, one: changed[random.choice(list(changed))]}


def members_lost(members: Members, random: Random) -> Members:
    lost = random.choice(list(members))
    return {name: content for name, content in members.items() if name != lost}


def members_renamed(members: Members, random: Random) -> Members:
    one, name = random.choice(list(members)), random.choice(["", "../x", "/x", "m", "m/archive_format", "x/" * 1000])
    return {(name if each == one else each): content for each, content in members.items()}


def trap(content: bytes, random: Random) -> bytes:
    """A member that grows to gigabytes."""
    members = members_of(content)
    name = random.choice([name for name in members if name.endswith(".json") or "weight" in name])
    del members[name]
    return bomb(members, name, b"[", b" ", 2**28)


def members_of(content: bytes) -> Members:
    with zipfile.ZipFile(BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _on_members(change: Callable[[Members, Random], Members]) -> Callable[[bytes, Random], bytes]:
    return lambda content, random: packed(change(members_of(content), random))


CHANGES: dict[str, Change] = {
    "arguments": _on_members(of_tree("models/model.json", ("inputs", "outputs"))),
    "programs": _on_members(of_tree("models/model.json", ("graph_module", "schema_version"))),
    "shapes": _on_members(of_tree("models/model.json", ("sizes",))),
    "operators swapped": _on_members(operators_swapped),
    "tensors swapped": _on_members(tensors_swapped),
    "lists of arrays": _on_members(of_tree("weights_config.json", ("config",))),
    "arrays changed": _on_members(arrays_changed),
    "members lost": _on_members(members_lost),
    "members renamed": _on_members(members_renamed),
    **damage.DAMAGE,
}


CAMPAIGN = Campaign("torch_*/model.pt2", CHANGES)


if __name__ == "__main__":
    from dnn2fpga.read.torch import read_torch

    CAMPAIGN.run(read_torch, (trap(CAMPAIGN.seeds()[0], Random(k)) for k in range(4)))
