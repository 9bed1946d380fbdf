"""Graph → QuantizedGraph, exactly: for a model that brings its own integers. Every code of its source is reproduced,
and nothing is chosen but the smallest requantizers with the same steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from dnn2fpga.errors import UserError
from dnn2fpga.exact.accumulator import Accumulator, Codes, Mapped, Requantizer, tensor_of
from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.exact.lowered import tiled
from dnn2fpga.exact.pieces import Curve
from dnn2fpga.exact.requantizing import MOST_TABLE_BITS, Way, requantize
from dnn2fpga.exact.rules import Rule
from dnn2fpga.exact.steps import Steps
from dnn2fpga.graph.dag import Dag, Node
from dnn2fpga.graph.float import Graph
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.layers.activation import QuantizedTable, sums_of
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.quantized import QuantizedLayer
from dnn2fpga.layers.quantizer import Quantizer
from dnn2fpga.layers.reshape import QuantizedReshape
from dnn2fpga.layers.thresholds import QuantizedThresholds
from dnn2fpga.passes import simplify
from dnn2fpga.passes.round_early import round_early
from dnn2fpga.progress import Progress, silent
from dnn2fpga.tensors.basics import Shape, Unsupported
from dnn2fpga.tensors.conversion import Conversion
from dnn2fpga.tensors.tensor import Tensor, one_or_each

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
    """Walks through a graph, and collects the integer layers."""

    def __init__(self, graph: Graph, input_format: Encoding) -> None:
        self.graph, self.input_format = graph, input_format
        self.problems: list[str] = []
        self.inputs: dict[str, Tensor] = {}
        self.conversions: dict[str, Conversion] = {}
        self.nodes: list[Node[QuantizedLayer]] = []
        self.codes: dict[str, Codes] = {}
        self.waiting: dict[str, Accumulator] = {}
        self.ways: Counter[Way] = Counter()
        self.margins: list[float] = []
        self.notes: list[str] = []

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
            self.notes.append(f"the source does not quantize the input '{name}'; it gets {_described(encoding)}")
        lanes = shape[-1]
        own = encoding.for_lanes(lanes)
        tensor = tensor_of(shape, lanes, own)
        self.inputs[name], self.conversions[name] = tensor, _within(conversion, own, tensor)
        for each in (name, *merged):
            self.codes[each] = Codes(name, tensor, own)

    def _lower(self, node: Node[Layer]) -> None:
        layer = node.layer
        if layer.follows_sums:
            (source,) = node.inputs
            waiting = self.waiting.get(source)
            lowered = layer.after_sums(waiting if waiting else sums_of(self._for_channels(layer, source)))
        else:
            inputs = [self.codes[name] for name in node.inputs]
            lanes = layer.input_lanes(*(one.tensor for one in inputs))
            lowered = layer.lowered(*(self._in_lanes(one, n) for one, n in zip(inputs, lanes, strict=True)))
        reader = self.graph.dag.only_reader(node.name)
        if lowered.unrounded and reader is not None and reader.layer.follows_sums:
            self.waiting[node.name] = lowered.unrounded
        else:
            self.codes[node.name] = lowered.codes(self, node.name)

    def _for_channels(self, layer: Layer, source: str) -> Codes:
        codes = self.codes[source]
        return self._in_lanes(codes, codes.tensor.shape[-1]) if layer.has_channels else codes

    def _in_lanes(self, codes: Codes, lanes: int) -> Codes:
        """The same codes in beats of another size."""
        if codes.tensor.lanes == lanes:
            return codes
        name = f"{codes.name}_{lanes}_lanes"
        if name in self.codes:
            return self.codes[name]
        encoding = tiled(codes.encoding, codes.tensor, lanes)
        self.codes[name] = self.add(
            QuantizedReshape(name=name, output=codes.tensor.in_lanes(lanes)), (codes,), encoding
        )
        return self.codes[name]

    # What layers use

    def is_read(self, name: str) -> bool:
        """Whether another layer reads a tensor; see `Emitter`."""
        return bool(self.graph.dag.readers(name))

    def note(self, text: str) -> None:
        """Keep a note for people; see `Emitter`."""
        self.notes.append(text)

    def add(self, layer: QuantizedLayer, inputs: Sequence[Codes], encoding: Encoding) -> Codes:
        """Add a layer; see `Emitter`."""
        for one in inputs:
            self._real(one)
        layer.operators(*(one.tensor for one in inputs))  # raises, where it is no layer
        self.nodes.append(Node(layer.name, layer, tuple(one.name for one in inputs)))
        return Codes(layer.name, layer.output, encoding.for_lanes(layer.output.lanes))

    def _real(self, codes: Codes) -> None:
        """Give codes their layer, if they have none yet."""
        if codes.mapped and all(node.name != codes.name for node in self.nodes):
            self._tabulate(codes.name, codes.mapped, codes.tensor)

    def requantized(self, name: str, sums: Accumulator, encoding: Encoding, rule: Rule) -> Codes:
        """Add the layer, or layers, of a quantizer; see `Emitter`."""
        own = encoding.for_lanes(sums.lanes)
        tensor = tensor_of(sums.shape, sums.lanes, own)
        if sums.pairs is not None and rule.never_decreases:
            steps = tuple(rule.steps(sums, own))
            layer = sums.pairs.layer(name, tensor, steps)
            if layer is not None:
                self.ways += Counter({Way.LINE: sums.lanes})
                low, high = (np.array([end(one) for one in steps]) for end in (lambda s: s.first, lambda s: s.last))
                return self.add(layer, sums.pairs.inputs, replace(own, low=low, high=high))
        if sums.is_code and sums.inputs[0].tensor.width <= MOST_TABLE_BITS:
            is_real = not all(piece.is_exact for lane in sums.pieces for piece in lane)
            if is_real or rule.has_many_steps(sums, own):
                return self._mapped(name, sums, own, rule, tensor)
        if (unwrapped := rule.unwrapped(sums, own)) is not None:
            return self._wrapped(name, sums, own, rule, *unwrapped)
        found = requantize(sums, own, rule)
        self.ways += found.ways
        self.margins += [] if found.margin is None else [found.margin]
        reached = replace(own, low=found.low, high=found.high)
        if found.last is not None and (found.last.negative is None or sums.has_two_lines):
            return self.add(sums.build(name, tensor, found.last), sums.inputs, reached)
        if found.last is not None:
            raw = self._unrounded(f"{name}_sum", sums, np.ones_like(sums.low))
            return self.add(raw.build(name, tensor, found.last), raw.inputs, reached)
        if sums.is_code and sums.inputs[0].tensor.width <= MOST_TABLE_BITS:
            return self._mapped(name, sums, own, rule, tensor)
        sign = np.array([-1 if one.mirrored else 1 for one in found.steps])
        raw = self._unrounded(f"{name}_sum", sums, sign)
        return self.add(_thresholds(name, tensor, found.steps), raw.inputs, reached)

    def _wrapped(
        self, name: str, sums: Accumulator, encoding: Encoding, rule: Rule, reached: Encoding, saturating: Rule
    ) -> Codes:
        """Codes that wrap, once they are codes; in a layer of its own, unless nothing ever wraps."""
        if (reached.low >= encoding.low).all() and (reached.high <= encoding.high).all():
            return self.requantized(name, sums, encoding, saturating)
        codes = self.requantized(f"{name}_unwrapped", sums, reached, saturating)
        return self.requantized(name, sums_of(codes), encoding, rule)

    def _unrounded(self, name: str, sums: Accumulator, sign: np.ndarray) -> Accumulator:
        """The sums, or their negatives, as a tensor of their own, for what reads them next."""
        ends = np.sort(np.stack([sums.low * sign, sums.high * sign]), axis=0)
        encoding = Encoding.of(1, *ends)
        low, high = (np.full_like(sign, end) for end in (ends.min(), ends.max()))
        last = Requantizer(sign, 0 * sign, 0 * sign, low, high)
        layer = sums.build(name, tensor_of(sums.shape, sums.lanes, encoding), last)
        codes = self.add(layer, sums.inputs, encoding.for_lanes(sums.lanes))
        return replace(sums_of(codes), pieces=sums.pieces)

    def _mapped(self, name: str, sums: Accumulator, encoding: Encoding, rule: Rule, tensor: Tensor) -> Codes:
        """Codes that are any function of few others: a table, once somebody reads it."""
        (source,) = sums.inputs
        first = source.tensor.format.minimum
        table = rule.codes_of(sums, encoding, np.arange(first, source.tensor.format.maximum + 1))
        reached = replace(encoding, low=table.min(axis=0), high=table.max(axis=0))
        names = [piece.name for piece in sums.pieces[0] if isinstance(piece, Curve)]
        return Codes(name, tensor, reached, Mapped(source, first, table, names[0] if names else "linear"))

    def _tabulate(self, name: str, mapped: Mapped, output: Tensor) -> None:
        is_one = (mapped.table == mapped.table[:, :1]).all()
        self.ways += Counter({Way.TABLE: mapped.table.shape[1]})
        table = mapped.table[:, 0] if is_one else mapped.table.T
        layer = QuantizedTable(name=name, output=output, function=mapped.function, table=table)
        self.add(layer, (mapped.source,), Encoding.of(1, 0, 0))

    def result(self) -> Integers:
        """Return the integer model; every node that nothing reads is left out."""
        for name in self.graph.dag.outputs:
            self._real(self.codes[name])
        leaving = tuple(self.codes[name].name for name in self.graph.dag.outputs)
        graph = QuantizedGraph(
            name=self.graph.name,
            inputs=self.inputs,
            dag=Dag(tuple(self.inputs), tuple(self.nodes), leaving),
            output_names=tuple(self.graph.outputs),
            conversions=self.conversions,
            decided=self.graph.tasks,
            notes=(*self.graph.notes, *self.notes),
            float_parameters=self.graph.float_parameters,
            origin=self.graph.origin,
        )
        tensors = {name: codes.name for name, codes in self.codes.items()}
        return Integers(self.graph, graph, tensors, self.ways, min(self.margins, default=None))


def _within(conversion: Conversion, encoding: Encoding, tensor: Tensor) -> Conversion:
    """The host's conversion into an input."""
    return conversion.within(encoding.low, encoding.high, tensor.format.minimum, tensor.format.maximum)


def _thresholds(name: str, output: Tensor, steps: Sequence[Steps]) -> QuantizedThresholds:
    """The layer that counts the steps. A lane that has fewer than others counts some that are always reached, where its
    codes would leave the format otherwise, and some that never are.
    """
    never, most = max(one.high for one in steps) + 1, max(len(one.at) for one in steps)
    rows, lows = np.full((len(steps), most), never, np.int64), []
    for row, one in zip(rows, steps, strict=True):
        always = max(one.first + most - output.format.maximum, 0)
        row[:always], row[always : always + len(one.at)] = one.low, one.at
        lows.append(one.first - always)
    return QuantizedThresholds(name=name, output=output, low=one_or_each(lows), thresholds=rows)


def _described(encoding: Encoding) -> str:
    scale = ", ".join(str(scale) for scale in sorted(set(encoding.scale)))
    return f"{encoding.format} with steps of {scale}"
