"""PyTorch modules in memory: with PyTorch where it is installed; else with a package that behaves like it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from torch_files import FOLDER

import dnn2fpga
from dnn2fpga.errors import UserError

CONV = FOLDER / "torch_conv" / "model.pt2"
RECORDED = np.load(CONV.parent / "io.npz")


class Module:
    """As ``torch.nn.Module``, with the parts that exporting uses."""

    def __init__(self, *inside: Module) -> None:
        self.training, self._inside = True, inside

    def modules(self) -> Iterator[Module]:
        yield self
        for one in self._inside:
            yield from one.modules()

    def eval(self) -> None:
        for one in self.modules():
            one.training = False


class ExportedProgram:
    """As ``torch.export.ExportedProgram``."""


class Network(Module):
    """A module of a user."""


for _class in (Module, ExportedProgram):
    _class.__module__ = "torch.of.ours"


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was exported, by a package in the place of PyTorch that writes the file of a sample."""
    seen: list[Any] = []

    def export(module: Module, inputs: tuple[Any, ...]) -> ExportedProgram:
        if any(one.training for one in module.modules()):
            raise RuntimeError("is training")
        seen.append(inputs)
        return ExportedProgram()

    torch, nn, package = ModuleType("torch"), ModuleType("torch.nn"), ModuleType("torch.export")
    parts: list[tuple[ModuleType, dict[str, Any]]] = [
        (torch, {"nn": nn, "export": package, "as_tensor": np.asarray, "no_grad": nullcontext}),
        (nn, {"Module": Module}),
        (package, {"export": export, "ExportedProgram": ExportedProgram}),
        (package, {"save": lambda program, path: shutil.copy(CONV, path)}),
    ]
    for owner, members in parts:
        for name, member in members.items():
            setattr(owner, name, member)
        monkeypatch.setitem(sys.modules, owner.__name__, owner)
    return seen


def test_a_module_is_exported_with_an_example(exported: list[Any]) -> None:
    module = Network(Network())
    graph = dnn2fpga.read_model(module, example=RECORDED["x"][:1])
    assert (graph.name, graph.origin and graph.origin.file) == ("Network", "Network.pt2")
    assert [one.shape for (one,) in exported] == [RECORDED["x"][:1].shape]
    found = graph.run(np.moveaxis(RECORDED["x"], 1, -1))
    np.testing.assert_allclose(found, RECORDED["y"], atol=1e-5)


def test_a_module_stays_in_training(exported: list[Any]) -> None:
    training, evaluating = Network(), Network()
    evaluating.training = False
    dnn2fpga.read_model(Network(training, evaluating), example=(RECORDED["x"],))
    assert exported
    assert (training.training, evaluating.training) == (True, False)


def test_a_program_needs_no_example(exported: list[Any]) -> None:
    assert dnn2fpga.read_model(ExportedProgram()).nodes
    assert exported == []


@pytest.mark.usefixtures("exported")
@pytest.mark.parametrize(
    ("model", "example", "expected"),
    [
        (Network(), None, "module 'Network': cannot be exported without an example; give an input, with its batch"),
        (type("Other", (), {"__module__": "torch.x"})(), None, "an object of the class Other is no whole model"),
        (Network(type("Q", (Module,), {"__module__": "brevitas.nn"})()), 0, "write it with export_qonnx"),
    ],
)
def test_what_is_refused(model: Any, example: Any, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        dnn2fpga.read_model(model, example=example)


def test_an_error_of_pytorch(exported: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Network, "eval", lambda self: None)
    with pytest.raises(UserError, match=r"module 'Network': torch.export.export fails \(RuntimeError: is training\)"):
        dnn2fpga.read_model(Network(), example=0)
    assert exported == []


def test_a_module_of_pytorch_itself() -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3, padding=1), torch.nn.ReLU(), torch.nn.Flatten())
    module.append(torch.nn.Linear(3 * 20, 4))
    x = torch.randn(2, 2, 4, 5)
    graph = dnn2fpga.read_model(module, example=x)
    np.testing.assert_allclose(graph.run(np.moveaxis(x.numpy(), 1, -1)), module(x).detach().numpy(), atol=1e-5)
