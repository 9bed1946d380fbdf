"""PyTorch modules in memory: exported by PyTorch itself, from whoever has the object, to a ``.pt2`` file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from dnn2fpga.errors import UserError, damage_reported
from dnn2fpga.read.builder import identifier

EXAMPLE = "give an input, with its batch, such as example=torch.zeros(1, 3, 32, 32); a tuple of several"
QONNX = "has layers of Brevitas, whose integers torch.export loses: write it with export_qonnx (docs/front_ends.md)"


def write_torch(module: Any, folder: Path, example: Any) -> Path:
    """Write a module, in evaluation mode, or a program that has been exported.

    :param example: an input with its batch, as a tensor or an array, or a tuple of them; of a module.
    :returns: the file.
    :raises UserError: when it is neither, an example is missing, or PyTorch cannot export it.
    """
    torch, export = sys.modules["torch"], import_module("torch.export")
    name = type(module).__name__
    path = folder / f"{identifier(name)}.pt2"
    program = module
    if isinstance(module, torch.nn.Module):
        if any(type(one).__module__.partition(".")[0] == "brevitas" for one in module.modules()):
            raise UserError(f"module '{name}': {QONNX}")
        if example is None:
            raise UserError(f"module '{name}': cannot be exported without an example; {EXAMPLE}")
        inputs = example if isinstance(example, tuple) else (example,)
        with damage_reported(f"module '{name}': torch.export.export fails"), _evaluating(module), torch.no_grad():
            program = export.export(module, tuple(map(torch.as_tensor, inputs)))
    elif not isinstance(module, export.ExportedProgram):
        raise UserError(f"an object of the class {name} is no whole model; give a torch.nn.Module")
    with damage_reported(f"module '{name}': torch.export.save fails"):
        export.save(program, str(path))
    return path


@contextmanager
def _evaluating(module: Any) -> Iterator[None]:
    """Put a module and those inside into evaluation mode for a while."""
    training = [one for one in module.modules() if one.training]
    module.eval()
    try:
        yield
    finally:
        for one in training:
            one.training = True
