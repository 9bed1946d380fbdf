"""A TensorFlow Lite file as a bitstream, with its own integers: handwritten digits on a ULX3S-85F, with open tools.

    .venv/bin/python examples/tflite_bitstream/run.py            # some minutes on two cores
    .venv/bin/python examples/tflite_bitstream/run.py --data     # only work/train.npz and work/test.npz, for train.py

``digits.tflite`` is what ``train.py`` wrote in an environment of TensorFlow; this script needs none. It reads the file,
lowers it to integers without any data, compares every output with that of TensorFlow Lite Micro (``source.npz``), plans
for the board, streams the test images through the simulated design, builds the bitstream with yosys and nextpnr, sends
images through the pins of the simulated board, and writes ``results.md``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from datasets import digits, write_for_others  # noqa: E402
from reporting import markdown_table, show_progress  # noqa: E402

from dnn2fpga import flow  # noqa: E402
from dnn2fpga.data import load_data  # noqa: E402
from dnn2fpga.drive.run import SIMULATED, run_on_board  # noqa: E402
from dnn2fpga.flow.sources import SourceResult  # noqa: E402
from dnn2fpga.graph import files as config_files  # noqa: E402
from dnn2fpga.plan.settings import PlanSettings  # noqa: E402

WORK = HERE / "work"
BOARD = "ulx3s_85f"
HARDWARE = PlanSettings.model_validate({"goal": {"aim": "smallest", "interval_cycles": 1024}})
IMAGES = 100  # through the pins of the simulated board
RESOURCES = {"lut": "LUTs", "ff": "registers", "dsp": "DSP blocks", "bram": "block RAMs"}


def main() -> None:
    _, test_file = write_for_others(digits(), WORK)
    if "--data" in sys.argv[1:]:
        return
    taken = flow.quantize(HERE / "digits.tflite", work=WORK, test=test_file, progress=show_progress)
    assert isinstance(taken, SourceResult)
    model = config_files.load(WORK)
    test = load_data(test_file, model)
    codes = model.run(model.quantized(test.x))
    with np.load(HERE / "source.npz") as source:
        of_source, of_float = source["outputs"], float(source["float_accuracy"])
    manifest = flow.generate(WORK, HARDWARE, board=BOARD, progress=show_progress)
    protocol, bulk = flow.verify(WORK, test, progress=show_progress)
    built = flow.build(WORK, BOARD, hardware=HARDWARE, progress=show_progress).result
    assert built is not None
    board = run_on_board(WORK, test.sample(IMAGES), BOARD, SIMULATED, progress=show_progress)
    differ = np.count_nonzero(codes != of_source)
    right = (of_source.argmax(axis=1) == test.y).mean()
    used, planned = built.used, built.planned
    rows = [
        ("accuracy of the model in floating point", f"{of_float:.2%} of {len(test)} test images"),
        ("accuracy of the file, by TensorFlow Lite Micro", f"{right:.2%}"),
        ("accuracy of the integers", f"{taken.integer_score:.2%}"),
        ("output codes that differ from TensorFlow Lite Micro's", f"{differ:,} of {codes.size:,}"),
        ("requantizers", ", ".join(f"{lanes} lanes: {kind}" for kind, lanes in taken.requantizers.items())),
        ("images through the Verilog", f"{bulk.frames:,}, {'all equal' if bulk.passed else 'DIFFERENT'}"),
        ("patterns of stalls", f"{len(protocol.tests)} tests, {'all equal' if protocol.passed else 'DIFFERENT'}"),
        ("images through the simulated board", f"{board.equal} of {board.frames} equal"),
        *((f"{name} used (planned)", f"{used[r]:,} ({planned[r]:,.0f})") for r, name in RESOURCES.items()),
        ("clock after routing (target)", f"{built.reached_mhz:.1f} MHz ({built.target_mhz:g})"),
        ("interval, latency", f"{manifest.interval_cycles:,}, {manifest.latency_cycles:,} cycles"),
        ("at the target clock", f"{built.frames_per_second:,.0f} frames/s"),
        ("the bitstream took", f"{sum(built.seconds.values()):,.0f} s"),
    ]
    lines = "\n".join(markdown_table(("what", "measured"), rows))
    (HERE / "results.md").write_text(
        f"""# From a TensorFlow Lite file to a bitstream

Written by `python examples/tflite_bitstream/run.py`, from `digits.tflite`, which `train.py` made with TensorFlow
2.21.0, for the {built.title}. {", ".join(sorted(set(built.tools)))}. *Planned* is the network alone, used is the whole
design with its host link (about 1,100 LUTs). *Equal*: every number of the integer model, whose codes are those of the
source. Not run on a real board.

{lines}
""",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
