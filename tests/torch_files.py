"""What a ``.pt2`` file's graph computes, by the program's own names of tensors."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from data_folders import beside_the_data

from dnn2fpga.read.builder import identifier
from dnn2fpga.read.torch import node_names, read_torch
from dnn2fpga.read.torch_archive import open_program

FOLDER = Path(__file__).parent / "front_ends" / "samples"
OWN = sorted(FOLDER.glob("torch_*/model.pt2"))
SHARED = sorted(beside_the_data("models").glob("front_ends/torch_*/model.pt2"))


def channels_last(x: np.ndarray) -> np.ndarray:
    return np.moveaxis(x, 1, -1) if x.ndim == 4 else x


def channels_first(x: np.ndarray) -> np.ndarray:
    return np.moveaxis(x, -1, 1) if x.ndim == 4 else x


class Computed:
    """What a file's graph makes of inputs in the program's order, in float64.

    :param in_order: whether the program reads images channels last.
    """

    def __init__(self, path: Path, x: np.ndarray, in_order: bool = False) -> None:
        self.graph = read_torch(path)
        self.x = (x if in_order else channels_last(x)).astype(np.float64)
        self.tensors = dict(self.graph.tensors(dict.fromkeys(self.graph.inputs, self.x)))
        with open_program(path) as (program, _):
            self._names = node_names(program)

    @property
    def output(self) -> np.ndarray:
        """In the program's order."""
        return channels_first(self.tensors[self.graph.dag.outputs[0]])

    def of(self, name: str) -> np.ndarray | None:
        """The tensor that the program calls so, in its order; None where there is none of its own."""
        found = self.tensors.get(identifier(self._names[name]))
        return None if found is None else channels_first(found)


Change = Callable[[dict[str, Any]], None]


def rewritten(path: Path, target: Path, members: Mapping[str, Change] | None = None, **raw: bytes | None) -> Path:
    """A copy of a file, in which some members are something else.

    :param members: what changes JSON, by the end of the member's name.
    :param raw: the bytes of members, by the end of their names, with ``_`` for what is no letter; None: left out.
    """
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            content: bytes | None = source.read(name)
            for end, change in (members or {}).items():
                if name.endswith(end):
                    parsed = json.loads(content or b"")
                    change(parsed)
                    content = json.dumps(parsed).encode()
            for end, other in raw.items():
                content = other if re.sub(r"\W", "_", name).endswith(end) else content
            if content is not None:
                archive.writestr(name, content)
    return target


def node_of(program: dict[str, Any], name: str) -> dict[str, Any]:
    """A node of it, which may be changed."""
    return next(node for node in program["graph_module"]["graph"]["nodes"] if node["name"] == name)


def argument_of(node: dict[str, Any], name: str) -> dict[str, Any]:
    """An argument of a node, which may be changed."""
    return next(one for one in node["inputs"] if one["name"] == name)
