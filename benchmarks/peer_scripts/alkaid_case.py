"""One case through Alkaid: ``python alkaid_case.py CASE.npz OUTPUT`` with the Python that Alkaid is installed in."""

from __future__ import annotations

import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from alkaid.codegen import RTLModel
from alkaid.trace import FVArray, trace
from case_network import LATENCY_CUTOFF, hand_back, is_exact, traced


def main(case: Path, output: Path) -> None:
    with tempfile.TemporaryDirectory() as project:
        start = time.monotonic()
        logic = trace(*traced(FVArray, case))
        # Fused ternary adders suit Vivado; yosys makes them larger.
        model = RTLModel(logic, project, "model", flavor="verilog", latency_cutoff=LATENCY_CUTOFF, ternary_fuse=False)
        model.write()
        seconds = time.monotonic() - start
        cycles = int(model.latency)  # between the input and the output register
        result = {
            "peer": "alkaid",
            "version": version("alkaid"),
            "case": case.stem,
            "cycles": cycles,
            "register_layers": cycles + 1,
            "seconds_solve_write": round(seconds, 2),
            "exact": is_exact(logic.predict, case),
        }
        hand_back(Path(project), output, result)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
