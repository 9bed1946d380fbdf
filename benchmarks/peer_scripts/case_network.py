"""The part that the two peer scripts share: the case as the peers trace it, and the result that they return.

Runs under a peer's Python, so it imports NumPy alone. Alkaid is da4ml's successor; their arrays accept the same calls.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

LATENCY_CUTOFF = 5  # the peers' own default, in their units of delay
HARDWARE = (1, -1, -1)  # cost model; with Alkaid's default (1, 1, -1) the cases README's numbers do not come out


def traced(fixed_point_array: Any, case: Path) -> tuple[Any, Any]:
    """Input and output of the network; the rounding follows the ReLU, as in the formula of the cases README."""
    arrays = np.load(case)
    width = arrays["x"].shape[1]
    bits, activation_bits = int(arrays["in_bits"]), int(arrays["abits"])
    ones = np.ones(width, dtype=int)
    inputs = fixed_point_array.from_kif(ones, ones * (bits - 1), ones * 0, hwconf=HARDWARE)
    y = inputs
    for layer, shift in enumerate(arrays["shifts"]):
        acc = y @ arrays[f"W{layer}"].astype(float) + arrays[f"b{layer}"].astype(float)
        y = (acc.relu() * 2.0 ** -int(shift)).quantize(0, activation_bits, 0, "SAT", "RND")
    last = len(arrays["shifts"])
    return inputs, y @ arrays[f"W{last}"].astype(float) + arrays[f"b{last}"].astype(float)


def is_exact(predict: Callable[[Any], Any], case: Path) -> bool:
    """All vectors of the case, through the peer's own emulation."""
    arrays = np.load(case)
    return bool(np.array_equal(predict(arrays["x"].astype(float)), arrays["y"]))


def hand_back(project: Path, output: Path, result: dict[str, Any]) -> None:
    """Write the Verilog, without the wrapper of the peer's simulation (same logic, padded ports)."""
    folder = output / "verilog"
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(project.glob("src/**/*.v")):
        if file.name != "model_wrapper.v":
            shutil.copy(file, folder)
    (output / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
