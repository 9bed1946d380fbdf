"""Requantizers with free scales, of three networks with random weights: how wide their multipliers are, what they cost,
and how many codes differ from the exact rule.

    python benchmarks/free_scales.py       # docs/measurements/free_scales.md

Synthesis is that of the yosys of PyPI, before placement; its results are kept, so a second run is quick.
"""

from __future__ import annotations

import itertools
import math
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples"))
from family_synthesis import release, synthesized_cells  # noqa: E402 - needs the path above
from reporting import markdown_table  # noqa: E402
from resource_fitting import component_verilog  # noqa: E402

from dnn2fpga.exact.accumulator import Requantizer  # noqa: E402
from dnn2fpga.exact.requantizing import smallest  # noqa: E402
from dnn2fpga.graph.float import Graph  # noqa: E402
from dnn2fpga.layers.activation import Clamp  # noqa: E402
from dnn2fpga.layers.base import Layer  # noqa: E402
from dnn2fpga.layers.conv2d import Conv2D  # noqa: E402
from dnn2fpga.layers.dense import Dense  # noqa: E402
from dnn2fpga.layers.depthwise_conv2d import DepthwiseConv2D  # noqa: E402
from dnn2fpga.layers.pooling import MaxPooling  # noqa: E402
from dnn2fpga.layers.reshape import Reshape  # noqa: E402
from dnn2fpga.optimize.calibration import calibrate  # noqa: E402
from dnn2fpga.optimize.post_training import Quantization, choose_all, quantize  # noqa: E402
from dnn2fpga.passes.simplify import simplify  # noqa: E402
from dnn2fpga.plan.estimate.cell_counts import counted  # noqa: E402
from dnn2fpga.quantize.scaling import MULTIPLIER_BITS, RATIO_BITS, WIDEST_SEARCHED, multiplier_and_shift, short  # noqa: E402
from dnn2fpga.quantize.settings import Scales  # noqa: E402
from rtl_lib.core import arithmetic  # noqa: E402
from rtl_lib.core.formats import Format  # noqa: E402
from rtl_lib.elementwise.requantize import Requantize  # noqa: E402

REPORT = ROOT / "docs" / "measurements" / "free_scales.md"
RNG = np.random.default_rng(0)
YOSYS = "synth_xilinx -family xc7 -flatten -noiopad -noclkbuf{} -top top"
MOST_LANES = 16  # of a layer that are synthesized
CHUNK = 1 << 18  # accumulators at once


def conv(name: str, *shape: int) -> list[Layer]:
    weights = RNG.normal(size=shape) / math.sqrt(math.prod(shape[:-1]))
    return [Conv2D(name, weights, 0.1 * RNG.normal(size=shape[-1])), Clamp(f"{name}_relu", 0.0, math.inf)]


def dense(name: str, inputs: int, outputs: int, *, last: bool = False) -> list[Layer]:
    layer = Dense(name, RNG.normal(size=(inputs, outputs)) / math.sqrt(inputs), 0.1 * RNG.normal(size=outputs))
    return [layer] if last else [layer, Clamp(f"{name}_relu", 0.0, math.inf)]


def mnist() -> Graph:
    layers = [*conv("conv", 3, 3, 1, 12), *conv("conv_1", 3, 3, 12, 12), MaxPooling("pool", (2, 2), (2, 2), "valid")]
    layers += [Reshape("flat", None), *dense("dense", 12 * 12 * 12, 10, last=True)]
    return Graph.chain("MNIST CNN, 8 bits", "input", (28, 28, 1), layers)


def jets() -> Graph:
    sizes = [16, 64, 32, 32, 5]
    pairs = list(itertools.pairwise(sizes))
    layers = [layer for k, (n, m) in enumerate(pairs) for layer in dense(f"dense_{k}", n, m, last=m == 5)]
    return Graph.chain("jet tagger, 6 bits", "input", (16,), layers)


def mobile() -> Graph:
    depthwise = DepthwiseConv2D("depthwise", RNG.normal(size=(3, 3, 32)) / 3, 0.1 * RNG.normal(size=32), padding="same")
    layers = [depthwise, Clamp("relu6", 0.0, 6.0), *conv("pointwise", 1, 1, 32, 64)]
    return Graph.chain("MobileNet block, 8 bits", "input", (14, 14, 32), layers)


@dataclass(frozen=True, eq=False)
class Case:
    """The requantizers of a layer.

    :param ratio: of the scales as they were chosen, per lane.
    :param format: of the accumulators, between ``low`` and ``high`` (one per lane).
    :param clamp: ``low`` and ``high`` of the codes.
    """

    ratio: np.ndarray
    format: Format
    low: np.ndarray
    high: np.ndarray
    zero_point: np.ndarray
    codes: Format
    clamp: tuple[np.ndarray, np.ndarray]

    def line(self, ratio: np.ndarray, bits: int) -> Requantizer:
        """The line of a ratio of so many bits."""
        multiplier, shift = multiplier_and_shift(ratio, bits)
        half_up = arithmetic.Rounding.HALF_UP
        return Requantizer(multiplier, shift, self.zero_point << shift, *self.clamp, half_up)

    def near(self) -> tuple[Requantizer, np.ndarray]:
        return self.line(self.ratio, MULTIPLIER_BITS), self.ratio

    def exact(self) -> tuple[Requantizer, np.ndarray]:
        bits = RATIO_BITS if self.codes.width <= WIDEST_SEARCHED else MULTIPLIER_BITS
        return smallest(self.line(self.ratio, bits), self.low, self.high), self.ratio

    def short(self) -> tuple[Requantizer, np.ndarray]:
        ratio = short(self.ratio)
        return smallest(self.line(ratio, RATIO_BITS), self.low, self.high), ratio

    def differing(self, last: Requantizer, ratio: np.ndarray) -> tuple[int, int]:
        """Count the accumulators whose codes are not those of the ratio (in float32), and all that do not saturate."""
        wrong = total = 0
        for k, of_lane in enumerate(np.float32(ratio).astype(np.float64)):
            reach = [int((end - self.zero_point[k]) / of_lane) for end in (self.clamp[0][k] - 1, self.clamp[1][k] + 1)]
            start, stop = max(int(self.low[k]), reach[0]), min(int(self.high[k]), reach[1]) + 1
            total += max(stop - start, 0)
            for first in range(start, stop, CHUNK):
                a = np.arange(first, min(first + CHUNK, stop))
                # Exact in float64: 24 bits times fewer than 29.
                wanted = np.floor(a * of_lane + 0.5) + self.zero_point[k]
                wanted = np.clip(wanted, self.clamp[0][k], self.clamp[1][k])
                own = (values[k] for values in (last.multiplier, last.shift, last.offset, last.low, last.high))
                wrong += int((arithmetic.requantize(a, *own, last.rounding, last.overflow) != wanted).sum())
        return wrong, total

    def cells(self, last: Requantizer, option: str) -> dict[str, float]:
        fields = vars(last) | {"negative_multiplier": None}
        names = ("multiplier", "shift", "offset", "low", "high", "rounding")
        lanes = {name: fields[name] if name == "rounding" else fields[name][:MOST_LANES] for name in names}
        component = Requantize(self.format, self.codes, **lanes).create()
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "top.v"
            file.write_text(component_verilog(component, "top"), encoding="utf-8")
            return counted("xc7", synthesized_cells("xc7", [file], "top", YOSYS.format(option)))


WAYS: dict[str, Callable[[Case], tuple[Requantizer, np.ndarray]]] = {
    "near the ratio, 16 bits (until now)": Case.near,
    "exact for any ratio": Case.exact,
    "exact, short ratios of weights (now)": Case.short,
}


def cases(graph: Graph, bits: int) -> Iterator[Case]:
    graph = simplify(graph)
    settings = Quantization(scales=Scales.FREE, weight_bits=bits, activation_bits=bits, input_bits=bits)
    statistics = calibrate(graph, RNG.normal(size=(64, *next(iter(graph.inputs.values())))).astype(np.float32))
    choices, model = choose_all(graph, statistics, settings), quantize(graph, statistics, settings)
    layers = {layer.name: layer for layer in model.layers}
    for node in graph.nodes:
        weights = choices[node.name].weights
        if weights is None:
            continue
        layer, input, output = layers[node.name], choices[node.inputs[0]].output, choices[node.name].output
        low, high = node.layer._interval(input, layer.weights, layer.bias, *input.extremes)
        clamp = tuple(np.broadcast_to(end, low.shape) for end in (layer.low, layer.high))
        yield Case(
            input.scales.max() * weights.scale / output.scales,
            Format.containing(int(low.min()), int(high.max())),
            low,
            high,
            output.zero_points,
            output.format,
            clamp,
        )


def main() -> None:
    rows = []
    for create, bits in ((mnist, 8), (jets, 6), (mobile, 8)):
        graph = create()
        found = list(cases(graph, bits))
        for way, requantizer in WAYS.items():
            lasts = [(case, *requantizer(case)) for case in found]
            multipliers = np.concatenate([last.multiplier for _, last, _ in lasts])
            widths = [int(m).bit_length() for m in multipliers]
            counts = np.array([case.differing(last, ratio) for case, last, ratio in lasts])
            wide = np.array([case.codes.width > WIDEST_SEARCHED for case in found])
            parts = [
                (f"{wrong:,} of {total:,}") for wrong, total in (counts[~wide].sum(axis=0), counts[wide].sum(axis=0))
            ]
            blocks = [case.cells(last, "") for case, last, _ in lasts]
            logic = sum(case.cells(last, " -nodsp")["lut"] for case, last, _ in lasts)
            rows.append(
                (
                    graph.name if way == next(iter(WAYS)) else "",
                    way,
                    f"{np.mean(widths):.1f}, {max(widths)}",
                    *parts,
                    f"{sum(one['lut'] for one in blocks):,.0f} + {sum(one['dsp'] for one in blocks):,.0f} DSP",
                    f"{logic:,.0f}",
                )
            )
            print(*rows[-1], sep=" | ", flush=True)
    REPORT.write_text("\n".join(report(rows)), encoding="utf-8")


HEADINGS = (
    "network",
    "multipliers",
    "bits (mean, most)",
    "codes that differ",
    "in 16 bits",
    "LUT6",
    "LUT6, without DSP",
)


def report(rows: list[tuple[str, ...]]) -> list[str]:
    return [
        "# Requantizers with free scales",
        "",
        "`python benchmarks/free_scales.py`: all requantizers after weights of three networks with random weights;",
        f"{release('xc7')}, `{YOSYS.format('')}`, before placement.",
        f"LUTs are those of {MOST_LANES} lanes per layer at most. Codes that differ from the rule",
        "`fit(round(accumulator · ratio) + zero_point)`, with `ratio` in float32, are counted over all accumulators",
        "that can occur and whose code does not saturate. No search is made for outputs of 16 bits (the last layer of",
        "each network): their codes are counted apart.",
        "",
        *markdown_table(HEADINGS, rows),
        "",
    ]


if __name__ == "__main__":
    main()
