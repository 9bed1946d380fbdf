"""A QKeras model as hardware, with its own integers: dry beans through 16-64-32-32-7, a vector every cycle.

    .venv/bin/python examples/qkeras_beans/run.py            # some minutes on two cores
    .venv/bin/python examples/qkeras_beans/run.py --data     # only work/train.npz and work/test.npz, for train.py

``beans.keras`` is what ``train.py`` wrote in an environment of QKeras; this script needs none. It reads the file,
lowers it to integers without any data, compares every output with those that QKeras computed (``source.npz``),
generates the Verilog, streams all test beans through the simulated design, counts cells with yosys, and writes
``results.md``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent / "benchmarks")]
from datasets import dry_bean, write_for_others  # noqa: E402 - needs the paths above
from reporting import markdown_table, show_progress  # noqa: E402
from tools import synthesize_xc7  # noqa: E402

from dnn2fpga import flow  # noqa: E402
from dnn2fpga.flow.sources import SourceResult  # noqa: E402
from dnn2fpga.graph import files as config_files  # noqa: E402
from dnn2fpga.plan.settings import PlanSettings  # noqa: E402

WORK = HERE / "work"
HARDWARE = PlanSettings(stages="runs", levels_per_register=3)  # as examples/jet_tagging/hardware.py


def main() -> None:
    _, test_file = write_for_others(dry_bean(), WORK)
    if "--data" in sys.argv[1:]:
        return
    taken = flow.quantize(HERE / "beans.keras", work=WORK, test=test_file, progress=show_progress)
    assert isinstance(taken, SourceResult)
    with np.load(test_file) as test, np.load(HERE / "source.npz") as source:
        outputs, of_source, labels = config_files.load(WORK).predict(test["x"]), source["outputs"], test["y"]
    manifest = flow.generate(WORK, HARDWARE, progress=show_progress)
    protocol, bulk = flow.verify(WORK, test_file, progress=show_progress)
    cells = synthesize_xc7([WORK / "bundle" / "rtl" / "accelerator.v"], "accelerator")
    differ, beans = np.count_nonzero(outputs != of_source), len(labels)
    rows = [
        ("accuracy of QKeras", f"{(of_source.argmax(axis=1) == labels).mean():.2%} of {beans:,} test beans"),
        ("accuracy of the integers", f"{taken.integer_score:.2%}"),
        ("outputs that differ from QKeras'", f"{differ:,} of {outputs.size:,}"),
        ("requantizers", ", ".join(f"{lanes} lanes: {kind}" for kind, lanes in taken.requantizers.items())),
        ("beans through the Verilog", f"{bulk.frames:,}, {'all equal' if bulk.passed else 'DIFFERENT'}"),
        ("patterns of stalls", f"{len(protocol.tests)} tests, {'all equal' if protocol.passed else 'DIFFERENT'}"),
        ("latency, measured", f"{protocol.latency_cycles['measured']} cycles"),
        ("interval, measured", f"{protocol.interval_cycles['measured']} cycle"),
        ("LUT cells", f"{cells.luts:,}; as planned: {manifest.estimates['xc7']['lut']:,.0f}"),
        ("logic cells (two small LUTs in one), estimated by yosys", f"{cells.estimated_lcs:,}"),
        ("registers", f"{cells.ffs:,}"),
        ("DSP blocks, block RAMs", f"{cells.dsps}, {cells.bram36}"),
    ]
    lines = "\n".join(markdown_table(("what", "measured"), rows))
    (HERE / "results.md").write_text(
        f"""# Dry beans with QKeras

Written by `python examples/qkeras_beans/run.py`, from `beans.keras`, which `train.py` made with qkeras-v3 1.2.1, Keras
3.15.1 and TensorFlow 2.21.0. Inputs have 9 bits, weights 6, activations 5; `dnn2fpga quantize beans.keras` needs no
data. Cells are those of yosys' `synth_xilinx -family xc7`, before placement; the design was not placed and routed.

{lines}
""",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
