"""A graph with trainable numbers, on TensorFlow: in floating point, or on the codes of its integer model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np

from dnn2fpga.graph.float import Graph
from dnn2fpga.keras_import import keras, tf
from dnn2fpga.layers.linear import Linear
from dnn2fpga.optimize.operations import TensorFlowOperations
from dnn2fpga.optimize.post_training import Quantization
from dnn2fpga.quantize.operations import Wire, Wires
from dnn2fpga.quantize.scaling import Choice, WeightScaling, weight_levels
from dnn2fpga.quantize.settings import LayerSettings, Scales

OBSERVED = ("mean", "variance", "epsilon")  # parameters that no gradient moves
EXACT_IN_FLOAT32 = 2**24
SCALE_RATE = 3.0  # logarithms of scales move so much faster than weights: an octave is far for them
FARTHEST_OCTAVES = 2.0  # where a scale hardly matters, noise alone would carry it away

Variables = dict[str, dict[str, Any]]


class FloatModel:
    """The graph in floating point."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.ops = TensorFlowOperations()
        self.variables: Variables = {
            node.name: {
                name: keras.Variable(value, dtype="float32", trainable=name not in OBSERVED, name=f"{node.name}_{name}")
                for name, value in node.layer.parameters.items()
            }
            for node in graph.nodes
        }

    @property
    def trainable(self) -> list[Any]:
        return [v for own in self.variables.values() for v in own.values() if v.trainable]

    def values(self, layer: str) -> dict[str, Any]:
        return {name: variable.value for name, variable in self.variables[layer].items()}

    def __call__(self, x: Any) -> Any:
        """Real inputs ``[batch, *shape]`` → real outputs."""
        for node in self.graph.nodes:
            x = node.layer.forward(self.ops, x, self.values(node.name))
        return x

    def trained(self) -> Graph:
        """The graph with the numbers that training has reached."""
        layers = []
        for node in self.graph.nodes:
            layer = node.layer
            if layer.parameters:
                values = {name: np.asarray(v) for name, v in self.variables[node.name].items()}
                # Folded here, so that the integer model starts from the very same float32 numbers.
                linear = cast(Linear, layer)  # no others have parameters
                weights, bias = linear.folded(self.ops, None, self.values(node.name))
                layer = linear.with_parameters(values, (np.asarray(weights), np.asarray(bias)))
            layers.append(layer)
        return self.graph.with_layers(layers)


class CodeModel(FloatModel):
    """The graph on the codes of its integer model.

    :param choices: the formats and scales of the input and of every layer; scales are learned from there if
        ``learn_ranges`` (learned step size, Esser et al. 2020), else kept.
    """

    def __init__(
        self, graph: Graph, settings: Quantization, choices: Mapping[str, Choice], learn_ranges: bool = False
    ) -> None:
        super().__init__(graph)
        self.choices = dict(choices)
        self.settings: dict[str, LayerSettings] = {
            node.name: settings.of_layer(graph, index) for index, node in enumerate(graph.nodes)
        }
        # Of a layer's output, and of its weights: by how many octaves a scale was moved from where it started.
        # (Not its logarithm: what was not moved must be the same to the last bit.)
        self.learned: dict[str, Any] = {}
        for index, node in enumerate(graph.nodes):
            choice = self.choices[node.name]
            fixed = node.layer.keeps_numbers or node.layer.fixed_range or graph.one_scale_behind(index)
            if learn_ranges and not fixed:
                self._learn(node.name, np.size(choice.output.scale))
            if learn_ranges and choice.weights is not None:
                self._learn(f"{node.name}/weights", choice.weights.scale.size)
        self.wide = {node.name: self._is_wide(index) for index, node in enumerate(graph.nodes)}

    def _learn(self, name: str, count: int) -> None:
        self.learned[name] = keras.Variable(np.zeros(count), dtype="float64", name=name.replace("/", "_"))

    def _scales(self, name: str, start: Any, settings: LayerSettings) -> Any:
        """The scales as they are now: powers of two stay powers of two."""
        start = tf.constant(start, tf.float64)
        if name not in self.learned:
            return start
        octaves = tf.clip_by_value(SCALE_RATE * self.learned[name].value, -FARTHEST_OCTAVES, FARTHEST_OCTAVES)
        return start * 2.0 ** (self.ops.round(octaves) if settings.scales is Scales.POWER_OF_TWO else octaves)

    def _is_wide(self, index: int) -> bool:
        """Whether sums of the layer can pass what float32 holds exactly, with twice its present weights."""
        node, choice = self.graph.nodes[index], self.choices[self.graph.nodes[index].name]
        if choice.weights is None:
            return node.layer.has_weights  # binary32 layers: the float64 sum is nearest to any order of summing
        source = self.choices[node.input].output
        largest = max(abs(source.format.minimum), source.format.maximum) * weight_levels(self.settings[node.name]).high
        relative = np.abs(node.layer.parameters["weights"]).reshape(-1, len(choice.weights.scale))
        terms = float((relative.sum(axis=0) / np.maximum(relative.max(axis=0), 1e-30)).max())
        return 2 * terms * largest > EXACT_IN_FLOAT32

    @property
    def trainable(self) -> list[Any]:
        return [*super().trainable, *self.learned.values()]

    def codes(self, x: Any) -> Any:
        """Real inputs → the codes of the output, and the wire that gives them their meaning."""
        source = self.choices[self.graph.input_name].output
        wire = Wire(source, tf.constant(source.scales, tf.float64))
        format = source.format
        beats = tf.reshape(tf.cast(x, tf.float64), (-1, source.beats, source.lanes))
        q = tf.clip_by_value(
            tf.floor(beats / wire.scales + 0.5) + wire.zero_points, float(format.minimum), float(format.maximum)
        )
        q = tf.cast(tf.reshape(q, (-1, *source.shape)), tf.float32)
        for node in self.graph.nodes:
            choice, settings = self.choices[node.name], self.settings[node.name]
            if node.layer.keeps_numbers:
                scales = wire.scales if isinstance(choice.output.scale, tuple) else wire.scales[:1]
            else:
                scales = self._scales(node.name, choice.output.scale, settings)
            after = Wire(choice.output, tf.broadcast_to(scales, (choice.output.lanes,)))
            weights = choice.weights
            wires = Wires(
                input=wire,
                output=after,
                settings=settings,
                weight_scale=self._scales(f"{node.name}/weights", weights.scale, settings) if weights else None,
                weight_zero_point=weights.zero_point.astype(np.float64) if weights else None,
                wide=self.wide[node.name],
            )
            q = node.layer.forward_codes(self.ops, q, wires, self.values(node.name))
            wire = after
        return q, wire

    def __call__(self, x: Any) -> Any:
        q, wire = self.codes(x)
        flat = tf.reshape(tf.cast(q, tf.float64), (-1, wire.tensor.beats, wire.tensor.lanes))
        return tf.reshape(tf.cast((flat - wire.zero_points) * wire.scales, tf.float32), tf.shape(q))

    def trained_choices(self) -> dict[str, Choice]:
        """The choices with the scales that training has reached."""
        result = {self.graph.input_name: self.choices[self.graph.input_name]}
        for node in self.graph.nodes:
            choice, settings = self.choices[node.name], self.settings[node.name]
            output, weights = choice.output, choice.weights
            if node.layer.keeps_numbers:
                before = result[node.input].output
                output = output.model_copy(update={"scale": before.scale})
            elif node.name in self.learned:
                scale = np.asarray(self._scales(node.name, np.atleast_1d(output.scale), settings)).tolist()
                output = output.model_copy(update={"scale": scale[0] if len(scale) == 1 else tuple(scale)})
            if weights is not None and f"{node.name}/weights" in self.learned:
                scale = np.asarray(self._scales(f"{node.name}/weights", weights.scale, settings))
                weights = WeightScaling(scale, weights.zero_point)
            result[node.name] = replace(choice, output=output, weights=weights)
        return result
