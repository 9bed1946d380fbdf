"""Training: in floating point (while pruning) or on codes (quantization-aware), with labels or with a teacher.

Deterministic: the same data, settings and seed give the same numbers on the same machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dnn2fpga.data import Data
from dnn2fpga.errors import UserError
from dnn2fpga.graph.float import Graph
from dnn2fpga.keras_import import keras, tf
from dnn2fpga.optimize.losses import loss_for
from dnn2fpga.optimize.settings import TrainingSettings
from dnn2fpga.optimize.training_model import FloatModel

Progress = Callable[[int, int], None]  # batches done, of how many


@dataclass(frozen=True)
class Epoch:
    """Mean training loss and validation loss of one epoch."""

    loss: float
    validation: float


# Called before every step with (step, of): may change what the model's variables are masked with.
BeforeStep = Callable[[int, int], None]
Masks = Mapping[str, Any]  # by layer: 0 where a weight stays 0


def learns_from_labels(data: Data, settings: TrainingSettings) -> bool:
    if settings.teacher == "labels" and data.y is None:
        raise UserError("training.teacher is 'labels', but the training data has none (array y)")
    return settings.teacher != "float_model" and data.y is not None


def split(count: int, settings: TrainingSettings, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Which of ``count`` samples only choose the best epoch, and which are trained on."""
    order = rng.permutation(count)[: settings.samples]
    held_out = int(len(order) * settings.validation)
    return np.sort(order[:held_out]), order[held_out:]


def train(
    model: FloatModel,
    data: Data,
    settings: TrainingSettings,
    teacher: Graph,
    *,
    masks: Masks | None = None,
    before_step: BeforeStep | None = None,
    progress: Progress = lambda done, of: None,
) -> list[Epoch]:
    """Trains the variables of ``model`` in place and leaves those of the best epoch in them.

    :param data: streamed in batches; may be memory-mapped.
    :param teacher: the float model; asked when there are no labels.
    """
    keras.utils.set_random_seed(settings.seed)
    tf.config.experimental.enable_op_determinism()
    rng = np.random.default_rng(settings.seed)
    labelled = learns_from_labels(data, settings)
    if labelled and settings.mix_inputs:
        raise UserError("training.mix_inputs: inputs between two others have no label; use teacher float_model")
    validation, training = split(len(data), settings, rng)
    if not len(training):
        raise UserError("there is no training data left beside the validation part; give more samples")
    run = _Run(model, data, settings, teacher, labelled, masks or {})
    steps = math.ceil(len(training) / settings.batch)
    total = steps * settings.epochs
    rate = keras.optimizers.schedules.CosineDecay(settings.learning_rate, total, alpha=0.01)
    run.optimizer = keras.optimizers.Adam(rate)
    run.optimizer.build(model.trainable)
    best, kept, history = math.inf, run.snapshot(), []
    for epoch in range(settings.epochs):
        model.ops.observing.assign(epoch < settings.freeze_normalization * settings.epochs)
        shuffled, losses = rng.permutation(training), []
        for step in range(steps):
            done = epoch * steps + step
            if before_step:
                before_step(done, total)
            chosen = np.sort(shuffled[step * settings.batch : (step + 1) * settings.batch])
            losses.append(run.step(chosen, rng))
            progress(done + 1, total)
        model.ops.observing.assign(False)
        loss = float(np.mean(losses))
        history.append(Epoch(loss, run.loss_on(validation) if len(validation) else loss))
        if not (math.isfinite(loss) and math.isfinite(history[-1].validation)):
            raise UserError("training diverged: the loss is not finite; try a smaller training.learning_rate")
        if before_step or history[-1].validation <= best:  # masks that still change: the last epoch counts
            best, kept = history[-1].validation, run.snapshot()
    run.restore(kept)
    return history


class _Run:
    """One model, one optimizer, one compiled step."""

    optimizer: Any

    def __init__(
        self, model: FloatModel, data: Data, settings: TrainingSettings, teacher: Graph, labelled: bool, masks: Masks
    ) -> None:
        self.model, self.data, self.settings = model, data, settings
        self.masks = masks
        self.teacher = None if labelled else FloatModel(teacher)
        self.task, self.channels = teacher.task, teacher.output_shape[-1]
        self.loss = loss_for(self.task, labelled, settings.temperature)
        some = np.asarray(data.sample(1000).x, np.float32)
        self.deviation = some.std(axis=0) * settings.input_noise
        # One trace each, for batches of any size.
        inputs = tf.TensorSpec((None, *teacher.input_shape), tf.float32)
        targets = tf.TensorSpec((None, *teacher.output_shape), tf.float32)
        if labelled:
            one = self._of_labels(np.arange(1))
            targets = tf.TensorSpec((None, *one.shape[1:]), one.dtype)
        self.compiled = _compiled(self._step, inputs, targets)
        self.compiled_loss = _compiled(lambda x, y: self.loss(self.model(x), y), inputs, targets)
        self.compiled_teacher = _compiled(self.teacher, inputs) if self.teacher else None

    def step(self, chosen: np.ndarray, rng: np.random.Generator) -> float:
        x = np.asarray(self.data.x[chosen], np.float32)
        if self.settings.mix_inputs and len(x) > 1:
            half = len(x) // 2
            share = rng.random((half, *[1] * (x.ndim - 1)), np.float32)
            x[:half] = share * x[:half] + (1 - share) * x[rng.permutation(len(x))[:half]]
        if self.settings.input_noise:
            x += rng.normal(size=x.shape).astype(np.float32) * self.deviation
        return float(self.compiled(x, self._targets(x, chosen)))

    def _targets(self, x: np.ndarray, chosen: np.ndarray) -> Any:
        if self.compiled_teacher is not None:
            return self.compiled_teacher(x)
        return self._of_labels(chosen)

    def _of_labels(self, chosen: np.ndarray) -> np.ndarray:
        return self.task.targets(np.asarray(self.data.y[chosen]), self.channels)  # type: ignore[index]

    def _step(self, x: Any, y: Any) -> Any:
        variables = self.model.trainable
        with tf.GradientTape() as tape:
            loss = self.loss(self.model(x), y)
        gradients = tape.gradient(loss, [v.value for v in variables])
        found = [(g, v) for g, v in zip(gradients, variables, strict=True)]
        self.optimizer.apply([tf.zeros_like(v.value) if g is None else g for g, v in found], variables)
        for layer, mask in self.masks.items():
            weights = self.model.variables[layer]["weights"]
            weights.assign(weights.value * mask)
        return loss

    def loss_on(self, chosen: np.ndarray) -> float:
        """The mean loss on some samples of the data, as they are."""
        total = 0.0
        for start in range(0, len(chosen), 256):
            part = chosen[start : start + 256]
            x = np.asarray(self.data.x[part], np.float32)
            total += float(self.compiled_loss(x, self._targets(x, part))) * len(part)
        return total / len(chosen)

    def _all(self) -> list[Any]:
        own = self.model.all_variables
        return own + [v for v in self.model.trainable if all(v is not other for other in own)]

    def snapshot(self) -> list[np.ndarray]:
        return [v.numpy().copy() for v in self._all()]

    def restore(self, values: list[np.ndarray]) -> None:
        for variable, value in zip(self._all(), values, strict=True):
            variable.assign(value)


def _compiled(function: Callable[..., Any], *signature: Any) -> Any:
    """Without AutoGraph, which writes a file for every function and leaves them among the temporary files when it is
    killed: nothing here branches on a tensor but by ``tf.cond``.
    """
    return tf.function(function, signature, autograph=False)
