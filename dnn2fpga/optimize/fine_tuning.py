"""Training in floating point while a graph is pruned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dnn2fpga.data import Data
from dnn2fpga.graph.float import Graph
from dnn2fpga.keras_import import tf
from dnn2fpga.optimize.pruning import Pruned, magnitude_mask, masked
from dnn2fpga.optimize.settings import TrainingSettings
from dnn2fpga.optimize.training import train
from dnn2fpga.optimize.training_model import FloatModel
from dnn2fpga.progress import Progress

RAMP = 0.75  # of the steps: by then a polynomial schedule has reached its sparsity; the others are to recover


@dataclass(frozen=True, eq=False)
class FineTuning:
    """:param teacher: the graph as it was before pruning."""

    data: Data
    settings: TrainingSettings
    teacher: Graph
    progress: Progress

    def __call__(self, graph: Graph, what: str, masks: Mapping[str, np.ndarray] | None = None) -> Graph:
        """The graph after training, its masked weights still zero."""
        model = FloatModel(graph)
        train(model, self.data, self.settings, self.teacher, masks=masks, what=what, progress=self.progress)
        return model.trained()

    def gradually(self, graph: Graph, what: str, sparsity_of: Mapping[str, float], every: int) -> Pruned:
        """Return the graph after a training during which more and more weights become zero. They are chosen anew every
        ``every`` steps among the weights of that time.
        """
        model = FloatModel(graph)
        weights = {name: model.variables[name]["weights"] for name in sparsity_of}
        masks = {name: tf.Variable(np.ones(variable.shape, np.float32)) for name, variable in weights.items()}

        def choose_zeros(step: int, of: int) -> None:
            ramp = int(RAMP * of)
            if step == ramp or (step < ramp and step % every == 0):
                time = step / ramp if ramp else 1.0
                for name, final in sparsity_of.items():
                    now = polynomial_sparsity(final, time)
                    masks[name].assign(magnitude_mask(np.asarray(weights[name]), now))

        train(
            model,
            self.data,
            self.settings,
            self.teacher,
            masks=masks,
            before_step=choose_zeros,
            what=what,
            progress=self.progress,
        )
        final_masks = {name: mask.numpy() for name, mask in masks.items()}
        return Pruned(masked(model.trained(), final_masks), final_masks)


def polynomial_sparsity(final: float, time: float) -> float:
    """Zhu and Gupta 2017 (used in Aarrestad et al., section 6), from 0 on: steep first, while there is much that can
    go.

    :param time: 0 at the beginning, 1 at the end.
    """
    return final * (1 - (1 - time) ** 3)
