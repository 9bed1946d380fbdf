"""Random graphs, drawn by hypothesis without Keras: forks, joins of every kind, shortcuts across strides, branches in
branches, several inputs and outputs. The layers between them are those of ``specimens``.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from specimen_choices import plans, quantizations
from specimens import STALLS, Specimen, Stream, lanes_after, layers_of_kind, random_weights

from dnn2fpga.graph.dag import Dag, Node
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.concatenate import Concatenate
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.dense import Dense
from dnn2fpga.layers.extremum import Extremum
from dnn2fpga.layers.pooling import GlobalAverage, MaxPooling
from dnn2fpga.layers.product import Product
from dnn2fpga.layers.weighted_sum import WeightedSum
from dnn2fpga.passes.simplify import simplify

Pair = tuple[int, int]  # rows, columns
LARGEST_EXTENT, MOST_CHANNELS, MOST_LANES = 12, 4, 12
OF_IMAGES = ("conv2d",) * 4 + ("depthwise_conv2d",) * 2 + ("max_pooling", "average_pooling", "clamp", "table", "affine")
OF_VECTORS = ("dense", "dense", "clamp", "table", "affine")
FOR_THE_TRUNK = ("flatten", "reshape", "global_average")  # after which images are small, or none
JOINS = ("sum", "difference", "average", "maximum", "minimum", "product", "concatenate")


@st.composite
def graph_specimens(draw: st.DrawFn, least: int = 5, most: int = 20) -> Specimen:
    """Graphs of ``least`` to ``most`` nodes after all passes, and every choice about them."""
    seed = draw(st.integers(0, 2**32 - 1))
    graph = simplify(_Growing(draw, seed).graph(draw(st.integers(least, most))))
    assume(least <= len(graph.nodes) <= most)
    quantization = draw(quantizations(graph, None))
    plan = draw(plans(graph, quantization))
    lowest = draw(st.sampled_from([-1.0, 0.0]))
    return Specimen(graph, quantization, plan, draw(st.sampled_from(STALLS)), seed, lowest)


class _Growing:
    """A graph that grows at the ends of its trunks: the inputs, and branches that never come back."""

    def __init__(self, draw: st.DrawFn, seed: int) -> None:
        self.draw, self.rng = draw, np.random.default_rng(seed)
        self.streams: dict[str, Stream] = {}
        self.nodes: list[Node[Layer]] = []

    def graph(self, size: int) -> Graph:
        inputs = [self._input(f"input_{k}") for k in range(self._one_of(1, 1, 1, 2, 2, 3))]
        trunks = list(inputs)
        while len(self.nodes) < size:
            k = self._integer(0, len(trunks) - 1)
            trunks[k] = self._grown(trunks[k], size, depth=2)
            if len(trunks) > 1 and self._one_of(True, False):
                self._merge(trunks)
            if len(trunks) < 3 and self._one_of(True, False, False, False):
                trunks.append(self._one_of(*self.streams))
        for _ in range(self._integer(max(0, len(trunks) - 3), len(trunks) - 1)):
            self._merge(trunks)
        ends = [self._layer(end, OF_IMAGES) if end in inputs else end for end in trunks]
        leaving = [node.name for node in self.nodes if self._one_of(False, *[False] * 30, True)]
        shapes = {name: self.streams[name].shape for name in inputs}
        outputs = tuple(dict.fromkeys([*ends, *leaving]))
        return Graph("random", shapes, Dag(tuple(inputs), tuple(self.nodes), outputs))

    # Parts: each reads tensors and returns the name of the one that it has made

    def _grown(self, x: str, size: int, depth: int) -> str:
        """Append one to three layers and blocks in a row; blocks in blocks down to ``depth``."""
        for _ in range(self._integer(1, 3)):
            if len(self.nodes) >= size:
                break
            if depth and self._one_of(True, False):
                x = self._block(x, size, depth)
            else:
                x = self._layer(x, FOR_THE_TRUNK if depth == 2 and self._one_of(True, *[False] * 9) else OF_IMAGES)
        return x

    def _block(self, x: str, size: int, depth: int) -> str:
        blocks = [self._shortcut, self._shortcut, self._shortcut, self._branches, self._branches]
        shape = self.streams[x].shape
        if len(shape) == 3 and shape[:2] != (1, 1):
            blocks.append(self._gated)
        return self._one_of(*blocks)(x, size, depth - 1)  # type: ignore[no-any-return]

    def _shortcut(self, x: str, size: int, depth: int) -> str:
        """Append a shortcut as in a residual network; often across strides."""
        shape = self.streams[x].shape
        if len(shape) == 3 and min(shape[:2]) > 3 and self._one_of(True, True, False):
            kernel, stride, padding = self._integer(1, 3), self._integer(2, 3), self._one_of("valid", "same", "same")
            y = self._convolution(x, self._integer(1, MOST_CHANNELS), (kernel, kernel), (stride, stride), padding)
        else:
            y = self._grown(x, size, depth)
        return self._join(self._grown(y, size, depth) if self._one_of(True, False) else y, x)

    def _branches(self, x: str, size: int, depth: int) -> str:
        """Append branches as in an inception network."""
        ends = [self._grown(x, size, depth) for _ in range(self._integer(2, 4))]
        while len(ends) > 1:
            self._merge(ends)
        return ends[0]

    def _gated(self, x: str, size: int, depth: int) -> str:
        """Squeeze and excite."""
        gate = self._layer(x, ("global_average",))
        if self._one_of(True, False):
            gate = self._layer(gate, ("clamp", "table"))
        return self._join_as("product", x, self._dense(gate, self.streams[x].shape[-1]))

    def _merge(self, ends: list[str]) -> None:
        """Two or three of ``ends`` become one."""
        a = ends.pop(self._integer(0, len(ends) - 1))
        b = ends.pop(self._integer(0, len(ends) - 1))
        same = [name for name in ends if self.streams[name] == self.streams[a] == self.streams[b]]
        third = same[:1] if self._one_of(True, False) else []
        for name in third:
            ends.remove(name)
        ends.append(self._join(a, b, *third))

    def _join(self, a: str, b: str, *others: str) -> str:
        """Append a join of any kind; first the tensors are brought to one shape."""
        a, b = self._alike(a, b)
        kinds = [kind for kind in JOINS if kind != "product" or not others]
        return self._join_as(self._one_of(*kinds), *self._in_any_order(a, b, *others))

    def _join_as(self, kind: str, *x: str) -> str:
        name, n = self._name(), len(x)
        match kind:
            case "sum":
                return self._add(WeightedSum(name, (1.0,) * n), *x)
            case "difference":
                return self._add(WeightedSum(name, (1.0, *[-1.0] * (n - 1))), *x)
            case "average":
                return self._add(WeightedSum(name, (1 / n,) * n), *x)
            case "product":
                return self._add(Product(name), *x)
            case "concatenate":
                return self._add(Concatenate(name, self._integer(0, len(self.streams[x[0]].shape) - 1)), *x)
        return self._add(Extremum(name, kind == "maximum"), *x)

    def _alike(self, a: str, b: str) -> tuple[str, str]:
        if self.streams[a] == self.streams[b]:
            return a, b
        if fitted := self._fitted(b, self.streams[a]):
            return a, fitted
        if fitted := self._fitted(a, self.streams[b]):
            return fitted, b
        n = self._integer(1, MOST_CHANNELS)
        return self._dense(a, n), self._dense(b, n)

    def _fitted(self, x: str, wanted: Stream) -> str | None:
        """The tensor through one layer after which it is as wanted, if there is one."""
        shape = self.streams[x].shape
        if len(shape) != 3 or len(wanted.shape) != 3:
            return None
        axes = list(zip(shape[:2], wanted.shape[:2], strict=True))
        ways = [
            (padding, *way)
            for padding in ("valid", "same")
            for way in itertools.product(*(list(_ways(*axis, padding)) for axis in axes))
        ]
        if not ways:
            return None
        padding, (height, down), (width, right) = self._one_of(*ways)
        size, strides = (height, width), (down, right)
        if shape[-1] == wanted.shape[-1] and self._one_of(True, False):
            return self._add(MaxPooling(self._name(), size, strides, padding), x)
        return self._convolution(x, wanted.shape[-1], size, strides, padding)

    def _convolution(self, x: str, filters: int, size: Pair, strides: Pair, padding: str) -> str:
        weights = random_weights(self.rng, (*size, self.streams[x].shape[-1], filters))
        bias = random_weights(self.rng, (filters,))
        return self._add(Conv2D(self._name(), weights, bias, strides=strides, padding=padding), x)

    def _dense(self, x: str, n: int) -> str:
        """``n`` numbers, made of the averages of an image."""
        if len(self.streams[x].shape) > 1:
            x = self._add(GlobalAverage(self._name(), keep_dimensions=False), x)
        weights = random_weights(self.rng, (self.streams[x].shape[-1], n))
        return self._add(Dense(self._name(), weights, random_weights(self.rng, (n,))), x)

    def _layer(self, x: str, kinds: tuple[str, ...]) -> str:
        stream = self.streams[x]
        if len(stream.shape) == 1:
            kinds = OF_VECTORS if stream.lanes == stream.shape[-1] else ("dense",)
        kind = self._one_of(*kinds)
        return self._add(self.draw(layers_of_kind(self._name(), kind, stream, self.rng)), x)

    def _input(self, name: str) -> str:
        extent, channels = st.integers(3, LARGEST_EXTENT), self._integer(1, MOST_CHANNELS)
        image = (self.draw(extent), self.draw(extent), channels)
        shape = self._one_of(image, image, image, (channels,))
        self.streams[name] = Stream(shape, channels)
        return name

    def _add(self, layer: Layer, *x: str) -> str:
        before = [self.streams[name] for name in x]
        shape = layer.output_shape(*(stream.shape for stream in before))
        assume(shape[-1] <= MOST_LANES)
        self.streams[layer.name] = Stream(shape, lanes_after(layer, before[0], shape))
        self.nodes.append(Node(layer.name, layer, x))
        return layer.name

    def _name(self) -> str:
        return f"layer_{len(self.nodes)}"

    def _integer(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def _one_of(self, *values: Any) -> Any:
        return self.draw(st.sampled_from(values))

    def _in_any_order(self, *values: str) -> list[str]:
        return self.draw(st.permutations(values))


def _ways(extent: int, wanted: int, padding: str) -> Iterator[tuple[int, int]]:
    """Kernels and strides that turn one extent into another."""
    for kernel, stride in itertools.product(range(1, 6), range(1, 5)):
        reached = -(-extent // stride) if padding == "same" else (extent - kernel) // stride + 1
        if reached == wanted and (padding == "same" or kernel <= extent):
            yield kernel, stride


# Properties that make graphs hard


def forks(dag: Dag[Any]) -> Counter[int]:
    """Return how many tensors have how many readers, where they have several; leaving counts as one."""
    counts = {
        name: sum(node.inputs.count(name) for node in dag.readers(name)) + dag.outputs.count(name) for name in dag.names
    }
    return Counter(count for count in counts.values() if count > 1)


def skips_across_strides(graph: Graph) -> int:
    """Return how many joins of images read a tensor on two ways of which one passes a layer with strides."""
    found = 0
    before: dict[str, set[str]] = {name: {name} for name in graph.inputs}
    strided: set[str] = set()
    for node in graph.nodes:
        ways = [before[name] for name in node.inputs]
        before[node.name] = set().union({node.name}, *ways)
        if any(stride > 1 for stride in getattr(node.layer, "strides", ())):
            strided.add(node.name)
        found += len(graph.shapes[node.name]) == 3 and any(
            before[name] & one & other
            for one, other in itertools.combinations(ways, 2)
            for name in strided & (one ^ other)
        )
    return found
