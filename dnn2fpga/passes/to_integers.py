"""Graph → QuantizedGraph, exactly: for a model that brings its own integers. Every code of its source is reproduced,
and nothing is chosen but the smallest requantizers with the same steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce

from dnn2fpga.errors import UserError
from dnn2fpga.exact.accumulator import Accumulator, Codes, tensor_of
from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.exact.lowered import tiled
from dnn2fpga.exact.requantizing import Way
from dnn2fpga.graph.dag import Dag, Node
from dnn2fpga.graph.float import Graph
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.layers.activation import sums_of
from dnn2fpga.layers.base import Layer, OnSums
from dnn2fpga.layers.quantizer import Quantizer
from dnn2fpga.layers.reshape import QuantizedReshape
from dnn2fpga.passes import simplify
from dnn2fpga.passes.integer_layers import IntegerLayers
from dnn2fpga.passes.round_early import round_early
from dnn2fpga.progress import Progress, silent
from dnn2fpga.tensors.basics import Shape, Unsupported
from dnn2fpga.tensors.conversion import Conversion
from dnn2fpga.tensors.tensor import Tensor

# What prepares a graph without changing any number.
PASSES: tuple[Callable[[Graph], Graph], ...] = (
    simplify.drop_identities,
    simplify.drop_final_softmax,
    simplify.require_own_outputs,
    simplify.order_inputs,
    simplify.fold_padding,
    round_early,
    simplify.name_layers,
)


@dataclass(frozen=True, eq=False)
class Integers:
    """A model's own integers.

    :param source: what the source computes, with its quantizers.
    :param graph: what the hardware computes.
    :param tensors: the tensor of ``graph`` that holds the numbers of each tensor of the source.
    :param ways: how many lanes each kind of requantizer has.
    :param margin: the smallest distance of any accumulator from a border between two codes, in codes; None where the
        source rounds in integers or in powers of two.
    """

    source: Graph
    graph: QuantizedGraph
    tensors: dict[str, str]
    ways: Counter[Way]
    margin: float | None


def has_integers(graph: Graph) -> bool:
    """Whether a model brings its own integers."""
    return any(node.layer.kind == Quantizer.kind for node in graph.nodes)


def prepared(graph: Graph) -> Graph:
    """Return a graph that computes the same, with the tensors of the integer model."""
    return reduce(lambda changed, apply: apply(changed), PASSES, graph)


def to_integers(graph: Graph, input_format: Encoding, progress: Progress = silent) -> Integers:
    """Lower a graph with quantizers.

    :param input_format: of inputs that the source does not quantize.
    :raises UserError: with every layer that cannot be computed in integers exactly.
    """
    lowering = _Lowering(prepared(graph), input_format)
    lowering.run(progress)
    if lowering.problems:
        raise UserError(lowering.problems)
    return lowering.result()


class _Lowering:
    """Walks through a graph, and lowers one layer after the other."""

    def __init__(self, graph: Graph, input_format: Encoding) -> None:
        self.graph, self.input_format = graph, input_format
        self.problems: list[str] = []
        self.inputs: dict[str, Tensor] = {}
        self.conversions: dict[str, Conversion] = {}
        self.layers = IntegerLayers(graph.dag)
        self.codes: dict[str, Codes] = {}
        self.waiting: dict[str, Accumulator] = {}

    def run(self, progress: Progress) -> None:
        """Lower every node whose inputs could be; what follows a problem is left out."""
        for name, shape in self.graph.inputs.items():
            self._guarded(f"the input '{name}'", lambda n=name, s=shape: self._enter(n, s))  # type: ignore[misc]
        count = len(self.graph.nodes)
        for number, node in enumerate(self.graph.nodes):
            progress("finding the steps of the source", number + 1, count)
            if node.name not in self.codes and all(n in self.codes or n in self.waiting for n in node.inputs):
                self._guarded(f"layer '{node.name}' ({node.layer.kind})", lambda n=node: self._lower(n))  # type: ignore[misc]

    def _guarded(self, where: str, step: Callable[[], None]) -> None:
        try:
            step()
        except (Unsupported, ValueError, OverflowError) as reason:
            self.problems.append(f"{where}: {reason}")

    def _enter(self, name: str, shape: Shape) -> None:
        """An input has the format of the quantizer that reads it."""
        readers = self.graph.dag.readers(name)
        quantizers = [reader.layer for reader in readers if reader.layer.kind == Quantizer.kind]
        first = quantizers[0] if quantizers else None
        if first is not None and len(readers) == 1 and (conversion := first.rule.conversion) is not None:
            encoding, merged = first.encoding, [readers[0].name]
        else:
            encoding, conversion, merged = self.input_format, Conversion(), []
            self.layers.notes.append(f"the source does not quantize the input '{name}'; it gets {_described(encoding)}")
        lanes = shape[-1]
        own = encoding.for_lanes(lanes)
        tensor = tensor_of(shape, lanes, own)
        self.inputs[name], self.conversions[name] = tensor, _within(conversion, own, tensor)
        for each in (name, *merged):
            self.codes[each] = Codes(name, tensor, own)

    def _lower(self, node: Node[Layer]) -> None:
        layer = node.layer
        if (on_sums := layer.on_sums) is not None:
            (source,) = node.inputs
            sums = self.waiting.get(source) or sums_of(self._for_channels(node))
            if (in_lanes := on_sums.in_lanes(sums.lanes)) is None:
                raise Unsupported(
                    f"has numbers of their own for channels that travel in the same of {sums.lanes} lanes"
                )
            lowered = in_lanes.after_sums(sums)
        else:
            inputs = [self.codes[name] for name in node.inputs]
            lanes = layer.input_lanes(*(one.tensor for one in inputs))
            lowered = layer.lowered(*(self._in_lanes(one, n) for one, n in zip(inputs, lanes, strict=True)))
            lowered = lowered.of_layer(node.name)
        readers, leaves = self.graph.dag.readers(node.name), node.name in self.graph.dag.outputs
        left, is_tensor = lowered.unrounded, leaves or not all(reader.layer.on_sums for reader in readers)
        waits = left and (lowered.loses_bits or (not is_tensor and (left.may_be_shared or len(readers) == 1)))
        if is_tensor or not waits:
            self.codes[node.name] = lowered.codes(self.layers, node.name)
        if left and waits:
            self.waiting[node.name] = left

    def _for_channels(self, node: Node[Layer]) -> Codes:
        """What a layer reads; all channels in one beat, where it, or what follows, tells channels of one lane apart."""
        codes = self.codes[node.inputs[0]]
        suits = all(layer.in_lanes(codes.tensor.lanes) for layer in self._on_the_sums_of(node))
        return codes if suits else self._in_lanes(codes, codes.tensor.shape[-1])

    def _on_the_sums_of(self, node: Node[Layer]) -> Iterator[OnSums]:
        """A layer that is done to sums, and all that may be done to the same sums after it."""
        if (layer := node.layer.on_sums) is not None:
            yield layer
            if node.layer.kind != Quantizer.kind:
                for reader in self.graph.dag.readers(node.name):
                    yield from self._on_the_sums_of(reader)

    def _in_lanes(self, codes: Codes, lanes: int) -> Codes:
        """The same codes in beats of another size."""
        if codes.tensor.lanes == lanes:
            return codes
        name = f"{codes.name}_{lanes}_lanes"
        if name in self.codes:
            return self.codes[name]
        encoding = tiled(codes.encoding, codes.tensor, lanes)
        self.codes[name] = self.layers.add(
            QuantizedReshape(name=name, output=codes.tensor.in_lanes(lanes)), (codes,), encoding
        )
        return self.codes[name]

    def result(self) -> Integers:
        """Return the integer model; every node that nothing reads is left out."""
        for name in self.graph.dag.outputs:
            self.layers.make(self.codes[name])
        leaving = tuple(self.codes[name].name for name in self.graph.dag.outputs)
        graph = QuantizedGraph(
            name=self.graph.name,
            inputs=self.inputs,
            dag=Dag(tuple(self.inputs), self.layers.finished(), leaving),
            output_names=tuple(self.graph.outputs),
            conversions=self.conversions,
            decided=self.graph.tasks,
            notes=(*self.graph.notes, *self.layers.notes),
            float_parameters=self.graph.float_parameters,
            origin=self.graph.origin,
        )
        tensors = {name: codes.name for name, codes in self.codes.items()}
        return Integers(self.graph, graph, tensors, self.layers.ways, min(self.layers.margins, default=None))


def _within(conversion: Conversion, encoding: Encoding, tensor: Tensor) -> Conversion:
    """The host's conversion into an input."""
    return conversion.within(encoding.low, encoding.high, tensor.format.minimum, tensor.format.maximum)


def _described(encoding: Encoding) -> str:
    scale = ", ".join(str(scale) for scale in sorted(set(encoding.scale)))
    return f"{encoding.format} with steps of {scale}"
