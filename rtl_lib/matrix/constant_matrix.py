"""Constant integer matrix × vector: ``y = x @ weights + bias``, as a spec; ``ParallelEngine`` builds it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rtl_lib.core.exact_product import exact_product
from rtl_lib.core.formats import Format
from rtl_lib.core.stream import Beat
from rtl_lib.matrix.parallel.adder_values import Interval


@dataclass(frozen=True, eq=False)
class ConstantMatrix:
    """The spec: ``y[j] = sum_k x[k] * weights[k, j] + bias[j]``, exact.

    :param weights: integers ``[inputs, outputs]``.
    :param bias: integers ``[outputs]``.
    :param input_format: of every ``x[k]``.
    :param input_low, input_high: integers ``[inputs]``, tighter bounds of each ``x[k]`` where they are known.
    """

    weights: np.ndarray
    bias: np.ndarray
    input_format: Format
    input_low: np.ndarray | None = None
    input_high: np.ndarray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", _integers("weights", self.weights, 2))
        object.__setattr__(self, "bias", _integers("bias", self.bias, 1))
        inputs, outputs = self.weights.shape
        if inputs < 1 or outputs < 1:
            raise ValueError(f"weights must have at least one input and one output, not shape {self.weights.shape}")
        if self.bias.shape != (outputs,):
            raise ValueError(f"bias must have shape {(outputs,)}, not {self.bias.shape}")
        for name, default in (("input_low", self.input_format.minimum), ("input_high", self.input_format.maximum)):
            bound = getattr(self, name)
            bound = np.full(inputs, default) if bound is None else _integers(name, bound, 1)
            if bound.shape != (inputs,):
                raise ValueError(f"{name} must have shape {(inputs,)}, not {bound.shape}")
            object.__setattr__(self, name, bound)
        for low, high in self.input_intervals:
            if not (low <= high and self.input_format.contains(low, high)):
                raise ValueError(f"input bounds must be an interval inside {self.input_format}, not [{low}, {high}]")

    @property
    def n_inputs(self) -> int:
        return self.weights.shape[0]

    @property
    def n_outputs(self) -> int:
        return self.weights.shape[1]

    @cached_property
    def input_intervals(self) -> list[Interval]:
        return list(zip(self.input_low.tolist(), self.input_high.tolist(), strict=True))  # type: ignore[union-attr]

    @cached_property
    def output_intervals(self) -> list[Interval]:
        """The exact interval of every output, from the weights themselves."""
        # Python integers where the bounds themselves might wrap.
        largest = max(-self.input_format.minimum, self.input_format.maximum)
        terms = float((np.abs(self.weights).sum(axis=0, dtype=float) * largest + np.abs(self.bias)).max())
        kind = np.int64 if terms < 2.0**62 else object
        low, high, bias = (np.asarray(a).astype(kind) for a in (self.input_low, self.input_high, self.bias))
        positive, negative = np.maximum(self.weights, 0).astype(kind), np.minimum(self.weights, 0).astype(kind)
        lows, highs = low @ positive + high @ negative + bias, high @ positive + low @ negative + bias
        return list(zip(lows.tolist(), highs.tolist(), strict=True))

    @cached_property
    def output_format(self) -> Format:
        """The narrowest format that holds every output."""
        return Format.containing(min(low for low, _ in self.output_intervals), max(h for _, h in self.output_intervals))

    @property
    def input_beat(self) -> Beat:
        return Beat(self.input_format, self.n_inputs)

    @property
    def output_beat(self) -> Beat:
        return Beat(self.output_format, self.n_outputs)

    def compute(self, x: np.ndarray) -> np.ndarray:
        """The outputs for integer inputs, exact: floating-point BLAS is used where all sums are exact in it.

        :param x: integers ``[..., inputs]`` within the input bounds.
        :returns: int64 ``[..., outputs]``.
        """
        if x.dtype.kind not in "iu":
            raise TypeError(f"x must be an array of integers, not {x.dtype}")
        if x.shape[-1:] != (self.n_inputs,):
            raise ValueError(f"x must have shape [..., {self.n_inputs}], not {x.shape}")
        self._check_range(x)
        y = exact_product(x.reshape(-1, self.n_inputs), self.weights, self.bias, self.input_format)
        return y.reshape(*x.shape[:-1], self.n_outputs)

    def _check_range(self, x: np.ndarray) -> None:
        """Refuses numbers that the hardware has no bits for; a type that cannot exceed the format is not searched."""
        limits, form = np.iinfo(x.dtype), self.input_format
        if x.size and not form.contains(int(limits.min), int(limits.max)):
            low, high = int(x.min()), int(x.max())
            if not form.contains(low, high):
                raise ValueError(f"x must be within {form}, not reach [{low}, {high}]")
        if {*self.input_intervals} != {(form.minimum, form.maximum)} and (
            (x < self.input_low).any() or (x > self.input_high).any()
        ):
            raise ValueError("x must be within the bounds of every input")


def _integers(name: str, array: np.ndarray, dimensions: int) -> np.ndarray:
    array = np.asarray(array)
    if array.dtype.kind not in "iu" or array.ndim != dimensions:
        raise ValueError(f"{name} must be integers in {dimensions} dimension(s), not {array.dtype} {array.shape}")
    return array.astype(np.int64)
