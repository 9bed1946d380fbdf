"""Folding of a matrix product over time: ``PE`` outputs × ``SIMD`` inputs per cycle.

A vector needs ``turns × chunks`` slots (output folds × input folds): in every turn ``PE`` outputs go through all their
inputs, ``SIMD`` at a time. What does not divide evenly is padded: a lane without an input has the weight 0, an output
too many is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from rtl_lib.matrix.constant_matrix import ConstantMatrix


@dataclass(frozen=True, eq=False)
class Folding:
    """
    :param groups: 1: every output reads every input. Else input ``k`` belongs to group ``k % groups``, the outputs
        follow one another group by group, and all weights between groups are 0 (a depthwise convolution: the groups
        are its channels).
    """

    matrix: ConstantMatrix
    pe: int
    simd: int
    groups: int = 1

    def __post_init__(self) -> None:
        if self.matrix.n_inputs % self.groups or self.matrix.n_outputs % self.groups:
            raise ValueError(f"groups must divide {self.matrix.weights.shape}, not {self.groups}")
        if not 1 <= self.pe <= self.matrix.n_outputs:
            raise ValueError(f"pe must be 1 to {self.matrix.n_outputs}, the number of outputs, not {self.pe}")
        if not 1 <= self.simd <= self.inputs:
            raise ValueError(f"simd must be 1 to {self.inputs}, the inputs of an output, not {self.simd}")

    @property
    def inputs(self) -> int:
        """The number of inputs of one output."""
        return self.matrix.n_inputs // self.groups

    @property
    def chunks(self) -> int:
        return -(-self.inputs // self.simd)

    @property
    def turns(self) -> int:
        return -(-self.matrix.n_outputs // self.pe)

    @property
    def slots(self) -> int:
        """Cycles per vector."""
        return self.turns * self.chunks

    @cached_property
    def own_inputs(self) -> np.ndarray:
        """The inputs of every output, ``[outputs, inputs]``."""
        group = np.arange(self.matrix.n_outputs) * self.groups // self.matrix.n_outputs
        return np.arange(self.matrix.n_inputs).reshape(-1, self.groups).T[group]

    @cached_property
    def own_weights(self) -> np.ndarray:
        """Their weights, ``[outputs, inputs]``."""
        return self.matrix.weights[self.own_inputs, np.arange(self.matrix.n_outputs)[:, np.newaxis]]

    @cached_property
    def input_of(self) -> np.ndarray:
        """The input that is multiplied, ``[turns, chunks, PE, SIMD]``; any where there is none left."""
        return self._in_slots(self.own_inputs, mode="wrap")

    @cached_property
    def weights(self) -> np.ndarray:
        """The weights, ``[turns, chunks, PE, SIMD]``, 0 for what is only padding."""
        return self._in_slots(self.own_weights, mode="constant")

    def _in_slots(self, of_outputs: np.ndarray, **padding: Any) -> np.ndarray:
        missing = self.turns * self.pe - self.matrix.n_outputs, self.chunks * self.simd - self.inputs
        padded = np.pad(of_outputs, ((0, missing[0]), (0, missing[1])), **padding)
        return padded.reshape(self.turns, self.pe, self.chunks, self.simd).transpose(0, 2, 1, 3)
