"""The losses that training minimizes: the distance of the outputs from labels, or from those of the float model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dnn2fpga.keras_import import tf
from dnn2fpga.task import Ending, Task, Training

Loss = Callable[[Any, Any], Any]  # outputs, targets → mean loss
NEARLY = 1e-4  # probabilities stay this far from 0 and 1


def loss_for(task: Task, labelled: bool, temperature: float) -> Loss:
    """The loss of a network with this task.

    :param labelled: whether ``task.targets`` of labels are the targets; else they are a teacher's outputs
        (distillation, Hinton et al. 2015).
    """
    if not labelled:
        return _distilled(temperature) if task.ending is Ending.SOFTMAX else _squared_error
    match task.training:
        case Training.CROSS_ENTROPY:
            return _cross_entropy
        case Training.BINARY_CROSS_ENTROPY:
            return _of_single_outputs(task)
    return _of_values if task.ending is Ending.SOFTMAX else _squared_error


def _flat(x: Any) -> Any:
    return tf.reshape(x, (-1, x.shape[-1]))


def _squared_error(outputs: Any, targets: Any) -> Any:
    return tf.reduce_mean(tf.square(outputs - tf.reshape(tf.cast(targets, tf.float32), tf.shape(outputs))))


def _of_values(outputs: Any, targets: Any) -> Any:
    """The squared error of probabilities: targets are never compared with logits."""
    return _squared_error(tf.nn.softmax(outputs), targets)


def _cross_entropy(outputs: Any, targets: Any) -> Any:
    labels = tf.cast(tf.reshape(targets, [-1]), tf.int32)
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, _flat(outputs)))


def _of_single_outputs(task: Task) -> Loss:
    """Binary cross-entropy of every output; of class numbers, one output is right."""
    of_outputs = _BINARY_CROSS_ENTROPIES[task.ending]

    def loss(outputs: Any, targets: Any) -> Any:
        if task.threshold is None:
            targets = tf.one_hot(tf.cast(targets, tf.int32), outputs.shape[-1])
        return tf.reduce_mean(of_outputs(outputs, tf.reshape(tf.cast(targets, tf.float32), tf.shape(outputs))))

    return loss


def _of_probabilities(p: Any, y: Any) -> Any:
    p = tf.clip_by_value(p, NEARLY, 1 - NEARLY)
    return -(y * tf.math.log(p) + (1 - y) * tf.math.log(1 - p))


def _of_logits(outputs: Any, y: Any) -> Any:
    return tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=outputs)


_BINARY_CROSS_ENTROPIES: dict[Ending, Loss] = {
    Ending.SIGMOID: _of_probabilities,
    Ending.TANH: lambda outputs, y: _of_probabilities((1 + outputs) / 2, y),  # tanh(z) = 2 sigmoid(2z) - 1
    Ending.LINEAR: _of_logits,
    Ending.SOFTMAX: lambda outputs, y: _of_probabilities(tf.nn.softmax(outputs), y),  # over one number
}


def _distilled(temperature: float) -> Loss:
    def loss(outputs: Any, targets: Any) -> Any:
        wanted = tf.nn.softmax(_flat(targets) / temperature)
        found = tf.nn.log_softmax(_flat(outputs) / temperature)
        return -tf.reduce_mean(tf.reduce_sum(wanted * found, axis=-1)) * temperature**2

    return loss
