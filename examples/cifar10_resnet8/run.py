"""ResNet-8 of MLPerf Tiny, from training to hardware for a PYNQ-Z2, by one command.

    .venv/bin/python examples/cifar10_resnet8/run.py   # an hour or two on two cores; the trained model is kept

Trains (``train.py``), quantizes to 8 bits after training, plans at least 1,310 frames/s at 100 MHz within the Zynq 7020
of the board (ten times the 131 frames/s that are published for hls4ml on it), simulates 1,000 test pictures with all
layer boundaries compared, and synthesizes with yosys for Xilinx 7-series. Writes ``results.md``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from train import BATCH, EPOCHS, HERE, MODEL, WORK, photographs, train

sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent / "benchmarks")]
from designs import RESOURCES, Measured, measured  # noqa: E402
from reporting import markdown_table, show_progress  # noqa: E402

from dnn2fpga import flow  # noqa: E402
from dnn2fpga.data import Data  # noqa: E402
from dnn2fpga.optimize.post_training import Quantization  # noqa: E402
from dnn2fpga.optimize.result import QuantizationResult  # noqa: E402
from dnn2fpga.optimize.settings import Optimization, Stage, TrainingSettings  # noqa: E402

IMAGES = 1_000
BITS, MOST_POINTS_LOST = 8, 0.5
MHZ, LEAST_FRAMES_PER_SECOND, PUBLISHED = 100, 1_310, 131
ZYNQ_7020 = {"lut": 53_200, "ff": 106_400, "dsp": 220, "bram18": 280}
PLAN: dict[str, Any] = {
    "goal": {
        "interval_cycles": MHZ * 10**6 // LEAST_FRAMES_PER_SECOND,
        "budget": ZYNQ_7020 | {"lut": 40_000},  # a full chip is hard to route
    }
}


def quantized(data: Data, test: Data, folder: Path) -> QuantizationResult:
    """Rounding alone where that is enough; else trained again."""
    return flow.quantize(
        MODEL,
        data,
        work=folder,
        test=test,
        quantization=Quantization(weight_bits=BITS, activation_bits=BITS, input_bits=BITS),
        optimization=Optimization(
            max_drop=MOST_POINTS_LOST,
            stages=(Stage.POST_TRAINING, Stage.TRAINING_AWARE),
            training=TrainingSettings(epochs=3, learning_rate=5e-4),
        ),
        progress=show_progress,
    )


def report(numbers: QuantizationResult, design: Measured) -> list[str]:
    stages = ", ".join(f"{one.stage} {one.score:.2%}" for one in numbers.tries)
    drop = (numbers.float_score or 0) - (numbers.integer_score or 0)
    accuracy = [
        ("float", "", f"{numbers.float_score:.2%}", ""),
        (f"{BITS} bits", stages, f"{numbers.integer_score:.2%}", f"{100 * drop:+.2f}"),
    ]
    share = [
        (
            key,
            f"{design.predicted[key]:,.0f}",
            f"{design.found[key]:,}",
            f"{ZYNQ_7020[key]:,}",
            f"{design.found[key] / ZYNQ_7020[key]:.0%}",
        )
        for key in RESOURCES
    ]
    frames, milliseconds = MHZ * 1e6 / design.interval, design.latency / MHZ / 1e3
    boundaries = [
        (
            b.tensor,
            ", ".join(f"{one.tensor} (FIFO {one.fifo})" if one.fifo else one.tensor for one in b.inputs),
            b.engine,
            b.folding,
            f"{b.busy_cycles:,}",
            *(f"{b.resources[key]:,.0f}" for key in RESOURCES),
        )
        for b in design.manifest.boundaries
    ]
    return [
        "# ResNet-8 of MLPerf Tiny on a PYNQ-Z2",
        "",
        f"`python examples/cifar10_resnet8/run.py`; trained for {EPOCHS} epochs in batches of {BATCH}, chosen so that",
        "it takes less than an hour on two busy cores; the benchmark's own model was trained for 500.",
        "CIFAR-10 is the public set of JPEG files, which have lost detail: accuracy is some points below that on the",
        "original pictures, and not to be compared with it.",
        "",
        *markdown_table(("model", "stages", "accuracy", "points lost"), accuracy),
        "",
        "## Hardware",
        "",
        f"Planned for at least {LEAST_FRAMES_PER_SECOND:,} frames/s at {MHZ} MHz on a Zynq 7020:"
        f" **{frames:,.0f} frames/s**,",
        f"{frames / PUBLISHED:.1f} times the {PUBLISHED} that are published for hls4ml on this board.",
        f"Interval {design.interval:,} cycles, latency {design.latency:,} cycles ({milliseconds:.2f} ms):",
        "simulated, and equal to the prediction. The clock is an assumption: nothing was placed and routed.",
        f"RTL equal to the integer model at every boundary on {design.frames:,} test pictures"
        f" (accuracy on these {design.accuracy:.1%}).",
        f"Configuration files to Verilog in {design.seconds:.0f} s.",
        "",
        *markdown_table(("resource", "predicted", "yosys", "Zynq 7020", "share"), share),
        "",
        "Cells of yosys: `synth_xilinx -family xc7`, before placement; LUTs with inverters and LUT memories.",
        "",
        *markdown_table(("layer", "reads", "engine", "PE × SIMD", "busy cycles", *RESOURCES), boundaries),
        "",
    ]


def main() -> None:
    data, test = photographs()
    if not MODEL.is_file():
        train(data)
    numbers = quantized(data, test, WORK / "8_bits")
    design = measured("PYNQ-Z2", WORK / "8_bits", WORK / "hardware", PLAN, test, IMAGES)
    lines = report(numbers, design)
    (HERE / "results.md").write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
