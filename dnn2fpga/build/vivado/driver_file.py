"""The driver for PYNQ as the one file that a board gets: with what it imports from us in place of the imports."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import Final

DRIVER: Final = "dnn2fpga.drive.pynq"
OURS: Final = "dnn2fpga."


def driver_text() -> str:
    """The file: docstring of the driver, imports of all its modules, and the modules, those that others need first."""
    bodies, imports = dict[str, str](), set[str]()
    docstring = _collect(DRIVER, bodies, imports)
    head = ["from __future__ import annotations\n", *sorted(imports)]
    return "\n".join([f'"""{docstring}"""\n', *head]) + "\n\n\n" + "\n\n\n".join(bodies.values()) + "\n"


def _collect(module: str, bodies: dict[str, str], imports: set[str]) -> str:
    """Add a module, and before it those of ours that it imports; returns its docstring."""
    text = _source(module).read_text(encoding="utf-8")
    tree = ast.parse(text)
    last_line = 0
    for node in tree.body:
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        last_line = node.end_lineno or node.lineno
        name = node.module if isinstance(node, ast.ImportFrom) else None
        if name is None or not name.startswith(OURS):
            imports |= set() if name == "__future__" else {ast.unparse(node)}
        elif name not in bodies:
            _collect(name, bodies, imports)
    bodies[module] = "\n".join(text.splitlines()[last_line:]).strip("\n")
    return ast.get_docstring(tree, clean=False) or ""


def _source(module: str) -> Path:
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(module)
    return Path(found.origin)
