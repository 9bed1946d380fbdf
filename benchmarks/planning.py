"""Measurement of planning time: choice and exact replay of three well-known networks.

    .venv/bin/python benchmarks/planning.py [name ...]

Random weights of 8 bits in networks of integers: ResNet-8 of MLPerf Tiny on 32 × 32, MobileNet of 28 layers and a
quarter of the filters on 96 × 96, ResNet-50 on 224 × 224. Without names it plans all of them, and writes
``docs/measurements/planning.md``.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "examples")]
from reporting import markdown_table  # noqa: E402

from dnn2fpga.errors import UserError  # noqa: E402
from dnn2fpga.graph.dag import Dag, Node  # noqa: E402
from dnn2fpga.graph.quantized import QuantizedGraph  # noqa: E402
from dnn2fpga.layers.conv2d import QuantizedConv2D  # noqa: E402
from dnn2fpga.layers.dense import QuantizedDense  # noqa: E402
from dnn2fpga.layers.depthwise_conv2d import QuantizedDepthwiseConv2D  # noqa: E402
from dnn2fpga.layers.integer_pooling import QuantizedGlobalAverage, QuantizedMaxPooling  # noqa: E402
from dnn2fpga.layers.quantized import QuantizedLayer  # noqa: E402
from dnn2fpga.layers.weighted_sum import QuantizedWeightedSum  # noqa: E402
from dnn2fpga.plan.hardware_plan import plan  # noqa: E402
from dnn2fpga.plan.planner import completed  # noqa: E402
from dnn2fpga.plan.settings import PlanSettings  # noqa: E402
from dnn2fpga.tensors.tensor import Tensor  # noqa: E402

REPORT = ROOT / "docs" / "measurements" / "planning.md"


class Builder:
    """Layers whose sums are brought back to 8 bits. Its methods return the name of a tensor."""

    def __init__(self, size: int) -> None:
        self.rng = np.random.default_rng(0)
        self.tensors = {"input": image(size, 3)}
        self.nodes: list[Node[QuantizedLayer]] = []

    def add(self, layer: QuantizedLayer, *inputs: str) -> str:
        self.nodes.append(Node(layer.name, layer, inputs))
        self.tensors[layer.name] = layer.output
        return layer.name

    def scaled(self, lanes: int, terms: int, inputs: int = 0) -> dict[str, object]:
        """The fields of a requantization after sums of ``terms`` products."""
        same = np.ones(lanes, np.int64)
        shift = max(int(np.log2(127 * 255 * terms**0.5)) - 6, 1)
        multiplier = np.ones((inputs, lanes), np.int64) if inputs else same
        return {"low": 0, "high": 255, "multiplier": multiplier, "shift": shift * same, "offset": 0 * same}

    def conv(self, name: str, x: str, kernel: int, filters: int, stride: int = 1) -> str:
        size, _, channels = self.tensors[x].shape
        weights = self.rng.integers(-127, 128, (kernel, kernel, channels, filters))
        fields = {**self.scaled(filters, kernel**2 * channels), "bias": np.zeros(filters, np.int64)}
        output = image(-(-size // stride), filters)
        geometry = {"strides": (stride, stride), "padding": "same"}
        return self.add(
            QuantizedConv2D(name=name, output=output, weights=weights, weight_width=8, **fields, **geometry), x
        )

    def depthwise(self, name: str, x: str, stride: int = 1) -> str:
        size, _, channels = self.tensors[x].shape
        weights = self.rng.integers(-127, 128, (3, 3, channels))
        fields = {**self.scaled(channels, 9), "bias": np.zeros(channels, np.int64), "weight_width": 8}
        output = image(-(-size // stride), channels)
        geometry = {"strides": (stride, stride), "padding": "same"}
        return self.add(QuantizedDepthwiseConv2D(name=name, output=output, weights=weights, **fields, **geometry), x)

    def sum(self, name: str, *inputs: str) -> str:
        output = self.tensors[inputs[0]]
        fields = self.scaled(output.lanes, 1, len(inputs)) | {"shift": np.ones(output.lanes, np.int64)}
        return self.add(QuantizedWeightedSum(name=name, output=output, **fields), *inputs)

    def classified(self, x: str, classes: int) -> QuantizedGraph:
        """The network that ends with the mean of all pixels and a dense layer."""
        size, _, channels = self.tensors[x].shape
        pooled = self.add(
            QuantizedGlobalAverage(name="mean", output=vector(channels), **self.scaled(channels, size**2)), x
        )
        weights = self.rng.integers(-127, 128, (channels, classes))
        fields = {**self.scaled(classes, channels), "bias": np.zeros(classes, np.int64), "weight_width": 8}
        end = self.add(QuantizedDense(name="dense", output=vector(classes), weights=weights, **fields), pooled)
        return QuantizedGraph("network", {"input": self.tensors["input"]}, Dag(("input",), tuple(self.nodes), (end,)))


def image(size: int, channels: int) -> Tensor:
    return Tensor(shape=(size, size, channels), lanes=channels, signed=False, width=8, scale=1.0)


def vector(size: int) -> Tensor:
    return Tensor(shape=(size,), lanes=size, signed=False, width=8, scale=1.0)


def resnet8() -> QuantizedGraph:
    b = Builder(32)
    x = b.conv("stem", "input", 3, 16)
    for number, (filters, stride) in enumerate([(16, 1), (32, 2), (64, 2)]):
        y = b.conv(f"conv_{number}_0", x, 3, filters, stride)
        y = b.conv(f"conv_{number}_1", y, 3, filters)
        shortcut = b.conv(f"shortcut_{number}", x, 1, filters, stride) if stride > 1 else x
        x = b.sum(f"sum_{number}", y, shortcut)
    return b.classified(x, 10)


def mobilenet() -> QuantizedGraph:
    b = Builder(96)
    x = b.conv("stem", "input", 3, 8, 2)
    blocks = [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)]
    for number, (filters, stride) in enumerate(blocks):
        x = b.depthwise(f"depthwise_{number}", x, stride)
        x = b.conv(f"pointwise_{number}", x, 1, filters)
    return b.classified(x, 2)


def resnet50() -> QuantizedGraph:
    b = Builder(224)
    x = b.conv("stem", "input", 7, 64, 2)
    pooled = image(56, 64)
    x = b.add(QuantizedMaxPooling(name="pool", output=pooled, pool_size=(3, 3), strides=(2, 2), padding="same"), x)
    for stage, (filters, blocks) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)]):
        for block in range(blocks):
            name, stride = f"{stage}_{block}", 2 if block == 0 and stage > 0 else 1
            y = b.conv(f"reduce_{name}", x, 1, filters)
            y = b.conv(f"conv_{name}", y, 3, filters, stride)
            y = b.conv(f"expand_{name}", y, 1, 4 * filters)
            shortcut = b.conv(f"shortcut_{name}", x, 1, 4 * filters, stride) if block == 0 else x
            x = b.sum(f"sum_{name}", y, shortcut)
    return b.classified(x, 1000)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network, and what is wanted of its hardware.

    :param most_seconds: that planning may take.
    """

    graph: Callable[[], QuantizedGraph]
    interval: int
    budget: dict[str, int]
    most_seconds: int


SMALL = {"lut": 40_000, "dsp": 200, "bram18": 250}  # a Zynq 7020, not quite full
LARGE = {"lut": 270_000, "dsp": 2_500, "bram18": 1_800}  # a Zynq UltraScale+ ZU9
CASES = {
    "ResNet-8": Case(graph=resnet8, interval=76_000, budget=SMALL, most_seconds=5),
    "MobileNet": Case(graph=mobilenet, interval=150_000, budget=LARGE, most_seconds=20),
    "MobileNet, on a device too small": Case(graph=mobilenet, interval=150_000, budget=SMALL, most_seconds=20),
    "ResNet-50, fast": Case(graph=resnet50, interval=500_000, budget={}, most_seconds=120),
    "ResNet-50": Case(graph=resnet50, interval=1_000_000, budget={}, most_seconds=120),
    "ResNet-50, slow": Case(graph=resnet50, interval=8_000_000, budget={}, most_seconds=120),
}


def planned(name: str) -> tuple[object, ...]:
    """One row of the report."""
    case = CASES[name]
    graph = case.graph()
    goal = {"interval_cycles": case.interval, "budget": case.budget}
    asked = (name, len(graph.nodes), f"{case.interval:,}")
    start = time.process_time()
    try:
        settings = completed(graph, PlanSettings.model_validate({"goal": goal}))
    except UserError:
        seconds = f"{time.process_time() - start:.1f}"
        return (*asked, seconds, "-", f"{case.most_seconds}", "refused", "-", "-", "-")
    chosen = time.process_time()
    found = plan(graph, settings)
    end = time.process_time()
    fifos = len(settings.fifos) + sum(bool(one.fifo) for one in settings.layers.values())
    resources = ", ".join(f"{found.resources[kind]:,.0f} {kind}" for kind in ("lut", "dsp", "bram18"))
    return (
        *asked,
        f"{chosen - start:.1f}",
        f"{end - chosen:.1f}",
        f"{case.most_seconds}",
        f"{found.interval_cycles:,}",
        f"{found.latency_cycles:,}",
        fifos,
        resources,
    )


HEADS = (
    "network",
    "layers",
    "interval asked for",
    "choice and FIFOs, s",
    "exact replay, s",
    "target, s",
    "interval",
    "latency",
    "FIFOs",
    "resources, estimated",
)


def main(names: list[str]) -> None:
    rows = [planned(name) for name in names or CASES]
    machine = f"{platform.machine()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}"
    lines = ["# Planning", "", "`python benchmarks/planning.py`: 8 bits, random weights; seconds of processor time"]
    lines += [f"({machine}).", "", *markdown_table(HEADS, rows), ""]
    print("\n".join(lines))
    if not names:
        REPORT.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
