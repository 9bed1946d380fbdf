"""Measurement of time and memory of the tool for a large network: VGG-like, ten million weights, from configuration
files to Verilog.

    .venv/bin/python benchmarks/large_network.py

Random weights of 8 bits on images of 32 × 32 × 3; and fifty layers, planned. Writes
``docs/measurements/large_network.md``: seconds and memory.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "examples")]
from reporting import markdown_table  # noqa: E402

from dnn2fpga import flow, work_folder  # noqa: E402
from dnn2fpga.graph import files as config_files  # noqa: E402
from dnn2fpga.graph.quantized import QuantizedGraph  # noqa: E402
from dnn2fpga.layers.conv2d import QuantizedConv2D  # noqa: E402
from dnn2fpga.layers.dense import QuantizedDense  # noqa: E402
from dnn2fpga.layers.integer_pooling import QuantizedMaxPooling  # noqa: E402
from dnn2fpga.layers.quantized import QuantizedLayer  # noqa: E402
from dnn2fpga.layers.reshape import QuantizedReshape  # noqa: E402
from dnn2fpga.plan.goals import PlanGoal  # noqa: E402
from dnn2fpga.plan.hardware_plan import plan  # noqa: E402
from dnn2fpga.plan.planner import Planner, completed  # noqa: E402
from dnn2fpga.plan.settings import PlanSettings  # noqa: E402
from dnn2fpga.tensors.tensor import Tensor  # noqa: E402

REPORT = ROOT / "docs" / "measurements" / "large_network.md"
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512))  # filters; max-pooling after each block
DENSE = (1024, 10)
INTERVAL = 1 << 17


class Builder:
    """A chain of layers whose sums are brought back to 8 bits."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.input = self.tensor = image(32, 3)
        self.layers: list[QuantizedLayer] = []

    def add(self, layer: QuantizedLayer) -> None:
        self.layers.append(layer)
        self.tensor = layer.output

    def linear(self, kind: type, name: str, shape: tuple[int, ...], output: Tensor, **geometry: str) -> None:
        outputs, terms = shape[-1], int(np.prod(shape[:-1]))
        same = np.ones(outputs, np.int64)
        shift = int(np.log2(127 * 255 * terms**0.5)) - 6
        weights = self.rng.integers(-127, 128, shape)
        common = {"low": output.format.minimum, "high": output.format.maximum, "weight_width": 8, "bias": 0 * same}
        scaling = {"multiplier": same, "shift": shift * same, "offset": 0 * same}
        self.add(kind(name=name, output=output, weights=weights, **common, **scaling, **geometry))

    def graph(self) -> QuantizedGraph:
        size = 32
        for number, block in enumerate(BLOCKS):
            for place, filters in enumerate(block):
                shape = (3, 3, self.tensor.shape[2], filters)
                name = f"conv_{number}_{place}"
                self.linear(QuantizedConv2D, name, shape, image(size, filters), padding="same")
            size //= 2
            pooled = image(size, block[-1])
            self.add(QuantizedMaxPooling(name=f"pool_{number}", output=pooled, pool_size=(2, 2), strides=(2, 2)))
        flat = self.tensor.model_copy(update={"shape": (self.tensor.size,)})
        self.add(QuantizedReshape(name="flat", output=flat))
        for number, outputs in enumerate(DENSE):
            shape = (self.tensor.shape[0], outputs)
            self.linear(QuantizedDense, f"dense_{number}", shape, vector(outputs))
        return QuantizedGraph.chain("vgg_like", "input", self.input, self.layers)


def image(size: int, channels: int) -> Tensor:
    return Tensor(shape=(size, size, channels), lanes=channels, signed=False, width=8, scale=1.0)


def vector(size: int) -> Tensor:
    return Tensor(shape=(size,), lanes=size, signed=False, width=8, scale=1.0)


def deep() -> list[tuple[str, ...]]:
    """Fifty convolutions of 16 filters, which measure the planner's time."""
    builder = Builder()
    for number in range(50):
        shape = (3, 3, builder.tensor.shape[2], 16)
        builder.linear(QuantizedConv2D, f"conv_{number}", shape, image(32, 16), padding="same")
    graph = QuantizedGraph.chain("deep", "input", builder.input, builder.layers)
    rows = []
    for interval in (4096, 16384):
        settings = PlanSettings.model_validate({"goal": {"interval_cycles": interval}})
        start = time.monotonic()
        planner = Planner(graph, settings, PlanGoal(interval_cycles=interval))
        planner.solve(interval)
        chosen = time.monotonic() - start
        reached = plan(graph, completed(graph, settings)).interval_cycles
        rows.append((f"{interval:,}", f"{chosen:.1f}", f"{time.monotonic() - start - chosen:.1f}", f"{reached:,}"))
    return rows


def main() -> None:
    graph = Builder().graph()
    weights = sum(layer.weights.size for layer in graph.layers if hasattr(layer, "weights"))
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        config_files.save(graph, folder)
        start = time.monotonic()
        settings = PlanSettings.model_validate({"goal": {"interval_cycles": INTERVAL}})
        manifest = flow.generate(folder, settings)
        seconds = time.monotonic() - start
        megabytes = (folder / work_folder.BUNDLE / "rtl" / "accelerator.v").stat().st_size / 1e6
    memory = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1e6
    rows = [
        ("weights", f"{weights:,}"),
        ("layers", len(graph.layers)),
        ("interval, cycles", f"{manifest.interval_cycles:,}"),
        ("latency, cycles", f"{manifest.latency_cycles:,}"),
        ("configuration files to bundle, s", f"{seconds:.0f}"),
        ("largest process, GB", f"{memory:.2f}"),
        ("Verilog, MB", f"{megabytes:.0f}"),
    ]
    lines = ["# A large network", "", "`python benchmarks/large_network.py`: VGG-like, 8 bits, random weights.", ""]
    lines += [
        *markdown_table(("", ""), rows),
        "",
        "Fifty convolutions of 16 filters on images of 32 × 32: planning.",
        "",
    ]
    heads = (
        "interval asked for",
        "candidates and integer program, s",
        "adder graphs, exact cycles, FIFOs, s",
        "interval reached",
    )
    text = "\n".join([*lines, *markdown_table(heads, deep()), ""])
    REPORT.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
