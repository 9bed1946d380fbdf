"""What training makes small: the distance of the outputs from labels, or from those of the float model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dnn2fpga.data import Data
from dnn2fpga.graph import Graph
from dnn2fpga.keras_import import tf

Loss = Callable[[Any, Any], Any]  # outputs, targets → mean loss
NEARLY = 1e-4  # probabilities stay this far from 0 and 1


def loss_for(graph: Graph, labelled: Data | None, temperature: float) -> Loss:
    """The loss of a network with these outputs.

    :param labelled: None when a teacher's outputs are the targets (distillation, Hinton et al. 2015).
    """
    one_output = graph.output_shape[-1] == 1
    if labelled is None:
        return _squared_error if one_output or graph.decision != "argmax" else _distilled(temperature)
    if labelled.classes is None:
        return _squared_error
    return _of_one_probability if one_output else _of_classes


def _flat(x: Any) -> Any:
    return tf.reshape(x, (-1, x.shape[-1]))


def _squared_error(outputs: Any, targets: Any) -> Any:
    return tf.reduce_mean(tf.square(outputs - tf.reshape(tf.cast(targets, tf.float32), tf.shape(outputs))))


def _of_classes(outputs: Any, targets: Any) -> Any:
    labels = tf.cast(tf.reshape(targets, [-1]), tf.int32)
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, _flat(outputs)))


def _of_one_probability(outputs: Any, targets: Any) -> Any:
    p = tf.clip_by_value(tf.reshape(outputs, [-1]), NEARLY, 1 - NEARLY)
    y = tf.cast(tf.reshape(targets, [-1]) > 0, tf.float32)
    return -tf.reduce_mean(y * tf.math.log(p) + (1 - y) * tf.math.log(1 - p))


def _distilled(temperature: float) -> Loss:
    def loss(outputs: Any, targets: Any) -> Any:
        wanted = tf.nn.softmax(_flat(targets) / temperature)
        found = tf.nn.log_softmax(_flat(outputs) / temperature)
        return -tf.reduce_mean(tf.reduce_sum(wanted * found, axis=-1)) * temperature**2

    return loss
