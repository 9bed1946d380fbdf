"""One case through da4ml: ``python da4ml_case.py CASE.npz OUTPUT`` with the Python that da4ml is installed in."""

from __future__ import annotations

import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from case_network import LATENCY_CUTOFF, hand_back, is_exact, traced
from da4ml.codegen import RTLModel
from da4ml.trace import FixedVariableArray, comb_trace
from da4ml.trace.pipeline import to_pipeline


def main(case: Path, output: Path) -> None:
    with tempfile.TemporaryDirectory() as project:
        start = time.monotonic()
        logic = comb_trace(*traced(FixedVariableArray, case))
        pipeline = to_pipeline(logic, LATENCY_CUTOFF, verbose=False)
        RTLModel(pipeline, "model", project, flavor="verilog").write()
        seconds = time.monotonic() - start
        # A register before every stage and one after the last; the cases README counts them all for da4ml.
        register_layers = len(pipeline.solutions) + 1
        result = {
            "peer": "da4ml",
            "version": version("da4ml"),
            "case": case.stem,
            "cycles": register_layers,
            "register_layers": register_layers,
            "seconds_solve_write": round(seconds, 2),
            "exact": is_exact(logic.predict, case),
        }
        hand_back(Path(project), output, result)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
