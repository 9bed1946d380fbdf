"""A graph with trainable numbers, on TensorFlow: in floating point, or on the codes of its integer model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar, cast

import numpy as np

from dnn2fpga.graph.dag import Node
from dnn2fpga.graph.float import Graph
from dnn2fpga.graph.ports import by_name, or_named
from dnn2fpga.keras_import import keras, tf
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.linear import Linear
from dnn2fpga.optimize.operations import TensorFlowOperations
from dnn2fpga.optimize.post_training import Quantization, in_needed_lanes
from dnn2fpga.quantize.operations import Wire, Wires
from dnn2fpga.quantize.scaling import QuantizationChoice, WeightScaling, weight_levels
from dnn2fpga.quantize.settings import LayerSettings, Scales

OBSERVED = ("mean", "variance", "epsilon")  # parameters that no gradient moves
EXACT_IN_FLOAT32 = 2**24
SCALE_RATE = 3.0  # logarithms of scales move so much faster than weights: an octave is far for them
FARTHEST_OCTAVES = 2.0  # where a scale hardly matters, noise alone would carry it away

V = TypeVar("V")
Variables = dict[str, dict[str, Any]]  # by node
Coded = tuple[Any, Wire]  # quantized values, and what they mean


class FloatModel:
    """The graph in floating point."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.ops = TensorFlowOperations()
        of_layers = {id(node.layer): self._variables(node) for node in reversed(graph.nodes)}
        # A layer in several nodes has its variables once.
        self.variables: Variables = {node.name: of_layers[id(node.layer)] for node in graph.nodes}

    @staticmethod
    def _variables(node: Node[Any]) -> dict[str, Any]:
        return {
            name: keras.Variable(value, dtype="float32", trainable=name not in OBSERVED, name=f"{node.name}_{name}")
            for name, value in node.layer.parameters.items()
        }

    @property
    def trainable(self) -> list[Any]:
        return [v for v in self.all_variables if v.trainable]

    @property
    def all_variables(self) -> list[Any]:
        """Every variable of the layers, once."""
        return list({id(v): v for own in self.variables.values() for v in own.values()}.values())

    def values(self, layer: str) -> dict[str, Any]:
        return {name: variable.value for name, variable in self.variables[layer].items()}

    def __call__(self, x: Any) -> Any:
        """Real inputs ``[batch, *shape]`` → real outputs; by name where there are several."""
        return or_named(self.outputs(x))

    def outputs(self, x: Any) -> dict[str, Any]:
        """Real inputs → real outputs, by name."""
        tensors = self.graph.dag.evaluate(
            by_name(x, self.graph.inputs),
            lambda node, *values: node.layer.forward(self.ops, self.values(node.name), *values),
        )
        return self._leaving(tensors)

    def _leaving(self, tensors: Iterable[tuple[str, V]]) -> dict[str, V]:
        """The outputs, by name."""
        found = {name: value for name, value in tensors if name in self.graph.dag.outputs}
        return {name: found[tensor] for name, tensor in self.graph.outputs.items()}

    def trained(self) -> Graph:
        """The graph with the numbers that training has reached."""
        of_layers = {id(node.layer): self._trained(node) for node in self.graph.nodes}
        return self.graph.mapped(lambda node: of_layers[id(node.layer)])

    def _trained(self, node: Node[Any]) -> Layer:
        if not node.layer.parameters:
            return cast(Layer, node.layer)
        values = {name: np.asarray(v) for name, v in self.variables[node.name].items()}
        # Folded here, so that the integer model starts from the very same float32 numbers.
        linear = cast(Linear, node.layer)  # no others have parameters
        weights, bias = linear.folded(self.ops, None, self.values(node.name))
        return linear.with_parameters(values, (np.asarray(weights), np.asarray(bias)))


class CodeModel(FloatModel):
    """The graph on the codes of its integer model.

    :param choices: the formats and scales of the input and of every layer; scales are learned from there if
        ``learn_ranges`` (learned step size, Esser et al. 2020), else kept.
    """

    def __init__(
        self,
        graph: Graph,
        settings: Quantization,
        choices: Mapping[str, QuantizationChoice],
        learn_ranges: bool = False,
    ) -> None:
        super().__init__(graph)
        self.choices = dict(choices)
        self.settings: dict[str, LayerSettings] = {
            node.name: settings.of_layer(graph, node.name) for node in graph.nodes
        }
        # Scale factors of a layer's output, and of its weights: the number of octaves by which a scale was moved from
        # its start. (Not its logarithm: a scale that was not moved must stay bit-exact.)
        self.learned: dict[str, Any] = {}
        for node in graph.nodes:
            choice = self.choices[node.name]
            if learn_ranges and not node.layer.preserves_encoding and not graph.encodings.fixed(node.name):
                # Tensors that share an encoding share the variable.
                first, *_ = graph.encodings.owners(node.name)
                if first != node.name:
                    self.learned[node.name] = self.learned[first]
                else:
                    self._learn(node.name, np.size(choice.output.scale))
            if learn_ranges and choice.weights is not None:
                self._learn(f"{node.name}/weights", choice.weights.scale.size)
        self.wide = {node.name: self._is_wide(node) for node in graph.nodes}

    def _learn(self, name: str, count: int) -> None:
        self.learned[name] = keras.Variable(np.zeros(count), dtype="float64", name=name.replace("/", "_"))

    def _scales(self, name: str, start: Any, settings: LayerSettings) -> Any:
        """The scales as they are now: powers of two stay powers of two."""
        start = tf.constant(start, tf.float64)
        if name not in self.learned:
            return start
        octaves = tf.clip_by_value(SCALE_RATE * self.learned[name].value, -FARTHEST_OCTAVES, FARTHEST_OCTAVES)
        return start * 2.0 ** (self.ops.round(octaves) if settings.scales is Scales.POWER_OF_TWO else octaves)

    def _is_wide(self, node: Node[Any]) -> bool:
        """Return whether sums of the layer can pass what float32 represents exactly, with twice its present weights."""
        choice = self.choices[node.name]
        if choice.weights is None:
            return node.layer.has_weights  # binary32 layers: the float64 sum is nearest to any order of summing
        source = self.choices[node.inputs[0]].output
        largest = max(abs(source.format.minimum), source.format.maximum) * weight_levels(self.settings[node.name]).high
        relative = np.abs(node.layer.parameters["weights"]).reshape(-1, len(choice.weights.scale))
        terms = float((relative.sum(axis=0) / np.maximum(relative.max(axis=0), 1e-30)).max())
        return 2 * terms * largest > EXACT_IN_FLOAT32

    @property
    def trainable(self) -> list[Any]:
        return [*super().trainable, *{id(variable): variable for variable in self.learned.values()}.values()]

    def codes(self, x: Any) -> dict[str, Coded]:
        """Real inputs → the quantized values of the outputs, by name, and the wires that say what they mean."""
        given = {name: self._entering(name, values) for name, values in by_name(x, self.graph.inputs).items()}
        return self._leaving(self.graph.dag.evaluate(given, self._step))

    def _entering(self, name: str, x: Any) -> Coded:
        source = self.choices[name].output
        wire = Wire(source, tf.constant(source.scales, tf.float64))
        format = source.format
        beats = tf.reshape(tf.cast(x, tf.float64), (-1, source.beats, source.lanes))
        q = tf.clip_by_value(
            tf.floor(beats / wire.scales + 0.5) + wire.zero_points, float(format.minimum), float(format.maximum)
        )
        return tf.cast(tf.reshape(q, (-1, *source.shape)), tf.float32), wire

    def _step(self, node: Node[Any], *before: Coded) -> Coded:
        choice, settings = self.choices[node.name], self.settings[node.name]
        if node.layer.preserves_encoding:
            scales = node.layer.carried_scales(self.ops, choice.output, *(wire for _, wire in before))
        else:
            scales = self._scales(node.name, choice.output.scale, settings)
        after = Wire(choice.output, tf.broadcast_to(scales, (choice.output.lanes,)))
        weights = choice.weights
        wires = Wires(
            inputs=tuple(wire for _, wire in before),
            output=after,
            settings=settings,
            weight_scale=self._scales(f"{node.name}/weights", weights.scale, settings) if weights else None,
            weight_zero_point=weights.zero_point.astype(np.float64) if weights else None,
            wide=self.wide[node.name],
        )
        codes = [q for q, _ in before]
        return node.layer.forward_codes(self.ops, wires, self.values(node.name), *codes), after

    def outputs(self, x: Any) -> dict[str, Any]:
        return {name: _real(q, wire) for name, (q, wire) in self.codes(x).items()}

    def trained_choices(self) -> dict[str, QuantizationChoice]:
        """The choices with the scales that training has reached."""
        result = {name: self.choices[name] for name in self.graph.inputs}
        for node in self.graph.nodes:
            choice, settings = self.choices[node.name], self.settings[node.name]
            output, weights = choice.output, choice.weights
            if node.layer.preserves_encoding:
                before = in_needed_lanes(node.layer, [result[name].output for name in node.inputs])
                output = node.layer.choose(None, settings, *before).output  # what was seen does not matter
            elif node.name in self.learned:
                scale = np.asarray(self._scales(node.name, np.atleast_1d(output.scale), settings)).tolist()
                output = output.model_copy(update={"scale": scale[0] if len(scale) == 1 else tuple(scale)})
            if weights is not None and f"{node.name}/weights" in self.learned:
                scale = np.asarray(self._scales(f"{node.name}/weights", weights.scale, settings))
                weights = WeightScaling(scale, weights.zero_point)
            result[node.name] = replace(choice, output=output, weights=weights)
        return result


def _real(q: Any, wire: Wire) -> Any:
    """Quantized values → real numbers."""
    flat = tf.reshape(tf.cast(q, tf.float64), (-1, wire.tensor.beats, wire.tensor.lanes))
    return tf.reshape(tf.cast((flat - wire.zero_points) * wire.scales, tf.float32), tf.shape(q))
