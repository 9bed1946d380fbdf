"""Training: in floating point (while pruning) or on codes (quantization-aware), with labels or with a teacher.

Deterministic: the same data, settings and seed give the same numbers on the same machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
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
from dnn2fpga.progress import Progress, silent


@dataclass(frozen=True)
class Epoch:
    """Mean training loss and validation loss of one epoch."""

    loss: float
    validation: float


# Called before every step with (step, of): may change what the model's variables are masked with.
BeforeStep = Callable[[int, int], None]
Masks = Mapping[str, Any]  # by layer: 0 where a weight stays 0


def learns_from_labels(data: Data, settings: TrainingSettings, outputs: Collection[str]) -> list[str]:
    """The outputs that learn from labels; the others learn from the float model.

    :raises UserError: when labels are asked for that are not there.
    """
    labelled = list(data.labels(outputs))
    if settings.teacher == "labels" and (missing := [name for name in outputs if name not in labelled]):
        of = f" for {', '.join(missing)} (arrays y_<output>)" if len(outputs) > 1 else " (array y)"
        raise UserError(f"training.teacher is 'labels', but the training data has none{of}")
    return [] if settings.teacher == "float_model" else labelled


def split(count: int, settings: TrainingSettings, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Split ``count`` samples into those that only choose the best epoch, and those that are trained on."""
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
    what: str = "training",
    progress: Progress = silent,
) -> list[Epoch]:
    """Train the variables of ``model`` in place and leave those of the best epoch in them. The loss is the sum of the
    losses of all outputs.

    :param data: streamed in batches; may be memory-mapped.
    :param teacher: the float model; asked about outputs that have no labels.
    :param what: the activity, for ``progress``.
    """
    keras.utils.set_random_seed(settings.seed)
    tf.config.experimental.enable_op_determinism()
    rng = np.random.default_rng(settings.seed)
    labelled = learns_from_labels(data, settings, teacher.outputs)
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
            progress(what, done + 1, total)
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
    """One model, one optimizer, one compiled step. Inputs, outputs and targets are arrays by name."""

    optimizer: Any

    def __init__(
        self,
        model: FloatModel,
        data: Data,
        settings: TrainingSettings,
        teacher: Graph,
        labelled: Collection[str],
        masks: Masks,
    ) -> None:
        self.model, self.data, self.settings = model, data, settings
        self.masks = masks
        self.graph, self.labelled = teacher, labelled
        self.teacher = FloatModel(teacher) if len(labelled) < len(teacher.outputs) else None
        self.losses = {
            name: loss_for(task, name in labelled, settings.temperature) for name, task in teacher.tasks.items()
        }
        some = self._inputs(data.sample(1000))
        self.deviation = {name: x.std(axis=0) * settings.input_noise for name, x in some.items()}
        # One trace each, for batches of any size.
        inputs = {name: tf.TensorSpec((None, *shape), tf.float32) for name, shape in teacher.inputs.items()}
        targets = {
            name: tf.TensorSpec((None, *teacher.shapes[tensor]), tf.float32) for name, tensor in teacher.outputs.items()
        }
        for name, one in self._of_labels(data.at(slice(0, 1))).items():
            targets[name] = tf.TensorSpec((None, *one.shape[1:]), one.dtype)
        self.compiled = _compiled(self._step, inputs, targets)
        self.compiled_loss = _compiled(self._loss, inputs, targets)
        self.compiled_teacher = _compiled(self.teacher.outputs, inputs) if self.teacher else None

    def _inputs(self, part: Data) -> dict[str, np.ndarray]:
        return {name: np.asarray(x, np.float32) for name, x in part.inputs(self.graph.inputs).items()}

    def step(self, chosen: np.ndarray, rng: np.random.Generator) -> float:
        part = self.data.at(chosen)
        x = self._inputs(part)
        if self.settings.mix_inputs and len(part) > 1:
            half = len(part) // 2
            share, other = rng.random(half, np.float32), rng.permutation(len(part))[:half]
            for values in x.values():
                own = share.reshape(half, *[1] * (values.ndim - 1))
                values[:half] = own * values[:half] + (1 - own) * values[other]
        if self.settings.input_noise:
            for name, values in x.items():
                values += rng.normal(size=values.shape).astype(np.float32) * self.deviation[name]
        return float(self.compiled(x, self._targets(x, part)))

    def _targets(self, x: dict[str, np.ndarray], part: Data) -> dict[str, Any]:
        """Return the targets: labels where there are some, else the teacher's outputs."""
        taught = self.compiled_teacher(x) if self.compiled_teacher is not None else {}
        return {**taught, **self._of_labels(part)}

    def _of_labels(self, part: Data) -> dict[str, np.ndarray]:
        labels, tasks = part.labels(self.graph.outputs), self.graph.tasks
        return {
            name: tasks[name].targets(np.asarray(labels[name]), self.graph.shapes[self.graph.outputs[name]][-1])
            for name in self.labelled
        }

    def _loss(self, x: Any, targets: Any) -> Any:
        outputs = self.model.outputs(x)
        return sum(loss(outputs[name], targets[name]) for name, loss in self.losses.items())

    def _step(self, x: Any, y: Any) -> Any:
        variables = self.model.trainable
        with tf.GradientTape() as tape:
            loss = self._loss(x, y)
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
            part = self.data.at(chosen[start : start + 256])
            x = self._inputs(part)
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
