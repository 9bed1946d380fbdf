"""Vaziri and Mohtasebi, Table III: the sparse jet taggers on the parallel engine: cells, latency and interval beside
accuracy.

    .venv/bin/python examples/jet_tagging/hardware.py        # half an hour on two cores; finished training is kept

The third-party float tagger, pruned to 75 % and trained without labels as in ``run.py``, here with power-of-two scales,
which cost nothing in hardware. The optimizer keeps the better of post-training and trained model. Every design is
verified on the 1,024 real jets and synthesized with yosys for Xilinx 7-series. Writes ``hardware.md``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import run as tagging
from run import HERE, WORK, auc, percent
from run import jets as real_jets

sys.path.insert(0, str(HERE.parent.parent / "benchmarks"))
from reporting import markdown_table, show_progress
from tools import XilinxCells, synthesize_xc7

from dnn2fpga import flow
from dnn2fpga.data import Data
from dnn2fpga.graph import files as config_files
from dnn2fpga.graph.float import Graph
from dnn2fpga.optimize.post_training import Quantization
from dnn2fpga.optimize.settings import Optimization
from dnn2fpga.plan.settings import PlanSettings

XC7A200T_LUTS = 134_600
# Table III: percent of the part's LUTs, FFs and DSPs, latency in cycles, accuracy.
PAPER = {"INT16": (12, 6, 91, 35, 76.23), "INT8": (11, 6, 0, 33, 75.66), "INT6": (9, 4, 0, 32, 75.13)}
PAPER["INT4"] = (7, 3, 0, 31, 73.82)
HARDWARE = PlanSettings(stages="runs", levels_per_register=3)


@dataclass(frozen=True)
class Case:
    name: str
    folder: str
    bits: int
    input_bits: int
    weight_bits: int | None = None
    weight_set: str = "integer"


CASES = (
    Case("INT16", "hardware_int16", 16, 16),
    Case("INT8", "hardware_int8", 8, 16),
    Case("INT8, inputs of 10 bits", "hardware_int8_inputs10", 8, 10),
    Case(
        "INT8, inputs of 10 bits, weights sums of two powers of two",
        "hardware_int8_inputs10_sums",
        8,
        10,
        weight_bits=7,
        weight_set="additive_power_of_two",
    ),
    Case("INT6", "hardware_int6", 6, 16),
    Case("INT4", "hardware_int4", 4, 16),
)


@dataclass(frozen=True)
class Built:
    case: Case
    stage: str
    accuracy: float
    auc: float
    cells: XilinxCells
    latency: int
    interval: int
    frames: int


def build(case: Case, graph: Graph, data: Data, test: Data) -> Built:
    folder = WORK / case.folder
    quantization = Quantization(
        weight_bits=case.weight_bits or case.bits,
        activation_bits=case.bits,
        input_bits=case.input_bits,
        weight_set=case.weight_set,
        scales="power_of_two",
        calibration="mse",
    )
    training: dict[str, Any] = tagging.LABEL_FREE
    optimization = Optimization(
        stages=("ptq", "qat"),
        target_accuracy=1.0,  # never reached: every stage is tried, the best is kept
        training=training,
        pruning={"sparsity": tagging.SPARSITY, "epochs": training["epochs"]},
    )
    result = flow.quantize(
        graph,
        data,
        work=folder,
        test=test,
        quantization=quantization,
        optimization=optimization,
        progress=show_progress,
    )
    logits = config_files.load(folder).predict(test.x)
    manifest = flow.generate(folder, HARDWARE)
    protocol, bulk = flow.verify(folder, test)
    if not (protocol.passed and bulk.passed):
        sys.exit(f"{case.name}: RTL and integer model differ")
    return Built(
        case=case,
        stage=result.stage,
        accuracy=percent(logits, test.y),
        auc=auc(logits, test.y),
        cells=synthesize_xc7([folder / "bundle" / "rtl" / "accelerator.v"], "accelerator"),
        latency=protocol.latency_cycles["measured"],
        interval=manifest.interval_cycles,
        frames=bulk.frames,
    )


def table(found: list[Built], of_float: float) -> list[str]:
    heads = ("", "kept from", "accuracy, %", "AUC, %", "points lost", "LUT cells", "est. LCs", "of xc7a200t's LUTs")
    heads = (*heads, "FF", "DSP", "latency", "interval", "jets equal in RTL", "paper: LUT", "paper: cycles")
    rows = []
    for one in found:
        cells, paper = one.cells, PAPER.get(one.case.name.split(",")[0])
        rows.append(
            (
                one.case.name,
                one.stage,
                f"{one.accuracy:.2f}",
                f"{one.auc:.2f}",
                f"{of_float - one.accuracy:.2f}",
                f"{cells.luts:,}",
                f"{cells.estimated_lcs:,}",
                f"{cells.luts / XC7A200T_LUTS:.1%} / {cells.estimated_lcs / XC7A200T_LUTS:.1%}",
                f"{cells.ffs:,}",
                cells.dsps,
                one.latency,
                one.interval,
                f"{one.frames:,}",
                f"{paper[0] * XC7A200T_LUTS // 100:,} ({paper[0]} %), DSP {paper[2]} %" if paper else "",
                paper[3] if paper else "",
            )
        )
    return markdown_table(heads, rows)


def main() -> None:
    models = tagging.DATA.parent / "models" / "jets"
    file = models / "jets_16_64_32_32_5_float.h5"
    if not file.is_file():
        sys.exit(f"error: {file} not found: a Keras model of github.com/Hector-Plata/hls4ml-tutorial")
    test = real_jets()
    unlabelled = Data(test.x[: tagging.CALIBRATION], None)
    graph = flow.read_model(file)
    found = [build(case, graph, unlabelled, test) for case in CASES]
    of_float = percent(graph.run(test.x), test.y)
    lines = [
        "# Jet tagging on the parallel engine, beside Vaziri and Mohtasebi, Table III",
        "",
        "`python examples/jet_tagging/hardware.py`; yosys `synth_xilinx -family xc7`, before placement.",
        "",
        f"Third-party float tagger: {of_float:.2f} % of the 1,024 real jets. 75 % sparse, trained without labels,",
        "scales powers of two; inputs of 16 bits unless said otherwise. The paper's cells are Vivado's, which puts two",
        "small LUT cells into one LUT: yosys' estimate of logic cells (est. LCs) does the same. Its network is another",
        "training of the same architecture (16-64-32-32-5) on the public jet set.",
        "",
        *table(found, of_float),
        "",
    ]
    text = "\n".join(lines)
    (HERE / "hardware.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
