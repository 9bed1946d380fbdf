"""The layers of an integer model, as they are found one after the other (`passes.to_integers`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dnn2fpga.exact.accumulator import Accumulator, Codes, Mapped, Requantizer, tensor_of
from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.exact.requantizing import MOST_TABLE_BITS, Way, requantize
from dnn2fpga.exact.rules import Rule
from dnn2fpga.exact.steps import Steps
from dnn2fpga.graph.dag import Dag, Node
from dnn2fpga.layers.activation import QuantizedTable, sums_of
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.quantized import QuantizedLayer
from dnn2fpga.layers.thresholds import QuantizedThresholds
from dnn2fpga.passes.shared_sums import Last, with_shared_sums
from dnn2fpga.tensors.tensor import Tensor, one_or_each


class IntegerLayers:
    """Collects integer layers; an `Emitter`.

    :param dag: the layers of the source.
    """

    def __init__(self, dag: Dag[Layer]) -> None:
        self.dag = dag
        self.nodes: list[Node[QuantizedLayer]] = []
        self.lasts: dict[str, Last] = {}
        self.ways: Counter[Way] = Counter()
        self.margins: list[float] = []
        self.notes: list[str] = []

    def is_read(self, name: str) -> bool:
        """Whether another layer reads a tensor; see `Emitter`."""
        return bool(self.dag.readers(name))

    def note(self, text: str) -> None:
        """Keep a note for people; see `Emitter`."""
        self.notes.append(text)

    def add(self, layer: QuantizedLayer, inputs: Sequence[Codes], encoding: Encoding) -> Codes:
        """Add a layer; see `Emitter`."""
        for one in inputs:
            self.make(one)
        layer.operators(*(one.tensor for one in inputs))  # raises, where it is no layer
        self.nodes.append(Node(layer.name, layer, tuple(one.name for one in inputs)))
        return Codes(layer.name, layer.output, encoding.for_lanes(layer.output.lanes))

    def add_rounded(
        self, name: str, sums: Accumulator, last: Requantizer, encoding: Encoding, reached: Encoding | None = None
    ) -> Codes:
        """Add the layer of sums; see `Emitter`."""
        own = encoding.for_lanes(sums.lanes)
        layer = sums.build(name, tensor_of(sums.shape, sums.lanes, own), last)
        codes = self.add(layer, sums.inputs, reached or own)
        self.lasts[name] = Last(codes, sums, last)
        return codes

    def finished(self) -> tuple[Node[QuantizedLayer], ...]:
        """Return all layers in order, each that adds up sums once."""
        return tuple(with_shared_sums(self.nodes, self.lasts))

    def make(self, codes: Codes) -> None:
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
        is_short = sums.is_code and sums.inputs[0].tensor.width <= MOST_TABLE_BITS
        if is_short and (sums.exact_pieces is None or rule.has_many_steps(sums, own)):
            return self._mapped(name, sums, own, rule, tensor)
        if (unwrapped := rule.unwrapped(sums, own)) is not None:
            return self._wrapped(name, sums, own, rule, *unwrapped)
        found = requantize(sums, own, rule)
        if found.last is None and is_short:
            return self._mapped(name, sums, own, rule, tensor)
        self.ways += found.ways
        self.margins += [] if found.margin is None else [found.margin]
        reached = replace(own, low=found.low, high=found.high)
        if found.last is not None and (found.last.negative is None or sums.has_two_lines):
            return self.add_rounded(name, sums, found.last, own, reached)
        if found.last is not None:
            raw = self._unrounded(f"{name}_sum", sums, np.ones_like(sums.low))
            return self.add_rounded(name, raw, found.last, own, reached)
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
        ways = self.ways.copy()
        wrapped = self.requantized(name, sums_of(codes), encoding, rule)
        self.ways = ways  # which bits are left out is no requantizer more
        return wrapped

    def _unrounded(self, name: str, sums: Accumulator, sign: np.ndarray) -> Accumulator:
        """The sums, or their negatives, as a tensor of their own, for what reads them next."""
        ends = np.sort(np.stack([sums.low * sign, sums.high * sign]), axis=0)
        encoding = Encoding.of(1, *ends)
        low, high = (np.full_like(sign, end) for end in (ends.min(), ends.max()))
        last = Requantizer(sign, 0 * sign, 0 * sign, low, high)
        codes = self.add_rounded(name, sums, last, encoding)
        return replace(sums_of(codes), pieces=sums.pieces)

    def _mapped(self, name: str, sums: Accumulator, encoding: Encoding, rule: Rule, tensor: Tensor) -> Codes:
        """Codes that are any function of few others: a table, once somebody reads it."""
        (source,) = sums.inputs
        first = source.tensor.format.minimum
        table = rule.codes_of(sums, encoding, np.arange(first, source.tensor.format.maximum + 1))
        reached = replace(encoding, low=table.min(axis=0), high=table.max(axis=0))
        names = [of for piece in sums.pieces[0] if (of := piece.function_name)]
        return Codes(name, tensor, reached, Mapped(source, first, table, names[0] if names else "linear"))

    def _tabulate(self, name: str, mapped: Mapped, output: Tensor) -> None:
        is_one = (mapped.table == mapped.table[:, :1]).all()
        self.ways += Counter({Way.TABLE: mapped.table.shape[1]})
        table = mapped.table[:, 0] if is_one else mapped.table.T
        layer = QuantizedTable(name=name, output=output, function=mapped.function, table=table)
        self.add(layer, (mapped.source,), Encoding.of(1, 0, 0))


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
