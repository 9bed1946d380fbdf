"""The part that convolution and dense layers share: a weight matrix, a bias, and what may be folded into them."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from dnn2fpga.exact.accumulator import Accumulator, Codes, Requantizer
from dnn2fpga.exact.encoding import ExactWeights
from dnn2fpga.exact.lowered import Lowered, Sums, require_narrow
from dnn2fpga.exact.rationals import common_step, integers
from dnn2fpga.layers.base import AffineMap, BuildableLayer, Normalization
from dnn2fpga.layers.integer_linear import Binary32Linear, QuantizedLinear, weight_fields
from dnn2fpga.layers.quantized import QuantizedLayer
from dnn2fpga.layers.requantization import fitting, requantization, requantized_fields
from dnn2fpga.quantize.operations import Operations, RealOperations, Wire, Wires
from dnn2fpga.quantize.scaling import (
    Observed,
    QuantizationChoice,
    activation_tensor,
    choose_weight_scaling,
    quantize_weights,
    short,
    weight_levels,
    with_one_scale,
)
from dnn2fpga.quantize.settings import LayerSettings, Numbers, Scales
from dnn2fpga.tensors.basics import Shape, Unsupported
from dnn2fpga.tensors.tensor import Tensor

UNLIMITED = (-math.inf, math.inf)
GUARD_BITS = 12  # a sum of 2^12 negligible weights stays below one output step


@dataclass(frozen=True, eq=False)
class Unfolded:
    """Weights and bias as they were before a batch normalization was folded into them; training resumes from here."""

    weights: np.ndarray
    bias: np.ndarray
    normalization: Normalization


@dataclass(frozen=True, eq=False)
class Linear(BuildableLayer):
    """``clamp(x · weights + bias)``; the last axis of ``weights`` is the output channel, the one before it the input
    channel.
    """

    weights: np.ndarray
    bias: np.ndarray
    clamp: tuple[float, float] = UNLIMITED
    unfolded: Unfolded | None = None
    exact: ExactWeights | None = field(default=None, kw_only=True)  # of a source that has integers

    has_weights: ClassVar[bool] = True
    quantized: ClassVar[type[QuantizedLinear]]
    binary32: ClassVar[type[Binary32Linear]]

    @classmethod
    def of_codes(cls, name: str, exact: ExactWeights, **geometry: Any) -> Self:
        """Return a layer with the integer weights of its source.

        :param geometry: further fields, such as ``strides``.
        """
        return cls(name, weights=exact.float_weights, bias=exact.float_bias, exact=exact, **geometry)

    @property
    def parameter_count(self) -> int:
        return self.weights.size + self.bias.size

    def absorb_affine(self, affine: AffineMap) -> Self | None:
        if self.clamp != UNLIMITED:
            return None
        first = self.unfolded is None and affine.normalization is not None
        return replace(
            self,
            weights=self.weights * affine.scale,
            bias=self.bias * affine.scale + affine.offset,
            unfolded=Unfolded(self.weights, self.bias, affine.normalization) if first else None,  # type: ignore[arg-type]
        )

    def absorb_clamp(self, low: float, high: float) -> Self | None:
        return replace(self, clamp=(max(low, self.clamp[0]), min(high, self.clamp[1])))

    def geometry(self) -> dict[str, Any]:
        """The fields of the integer layer that are not numbers of the model."""
        return {}

    @property
    def outputs(self) -> int:
        return self.weights.shape[-1]

    def in_beats(self, shapes: Sequence[Shape], before: Sequence[bool]) -> bool:
        return False

    # Quantization

    def choose(self, seen: Observed, settings: LayerSettings, input: Tensor) -> QuantizationChoice:
        if settings.numbers is Numbers.BINARY32:
            settings = with_one_scale(settings)  # one clamp for all outputs
            return QuantizationChoice(activation_tensor(self.output_shape(input.shape), self.outputs, seen, settings))
        output = activation_tensor(self.output_shape(input.shape), self.outputs, seen, settings)
        # A channel that training or pruning has left without weights needs no fine scale: only its bias counts.
        reference = float(input.scales.max())
        negligible = output.scales / reference * 2.0 ** -(input.width + GUARD_BITS)
        weights = self.weights * self._of_rows(input, input.scales / reference)
        return QuantizationChoice(output, choose_weight_scaling(weights, settings, negligible))

    def _of_rows(self, input: Tensor, values: np.ndarray) -> np.ndarray:
        """One value a lane of the input as a column beside the weights' input channels."""
        return np.tile(values, self.weights.shape[-2] // input.lanes)[:, np.newaxis]

    def quantize(
        self, choice: QuantizationChoice, settings: LayerSettings, input: Tensor
    ) -> QuantizedLinear | Binary32Linear:
        if choice.weights is None:
            return self._in_binary32(input, choice.output, settings)
        # Channels with scales of their own share one accumulator: the weights take up the difference.
        reference = float(input.scales.max())
        relative = self.weights.astype(np.float64) * self._of_rows(input, input.scales / reference)
        scaling, output = choice.weights, choice.output
        accumulator_scale = reference * scaling.scale
        if settings.scales is Scales.FREE:  # weights are coarser by less than 1 %, and multipliers are short
            accumulator_scale = short(accumulator_scale / output.scales) * output.scales
            scaling = replace(scaling, scale=accumulator_scale / reference)
        weights = quantize_weights(relative, scaling, settings)
        bias = np.floor(self.bias / accumulator_scale + 0.5)
        if (np.abs(bias) >= 2.0**62).any():
            raise Unsupported("a bias is too large beside its channel's weights; train the model again")
        bias = bias.astype(np.int64) - self._over_inputs(weights * self._of_rows(input, input.zero_points))
        ratio, interval = accumulator_scale / output.scales, self._interval(input, weights, bias, *input.extremes)
        return self.quantized(
            name=self.name,
            weight_set=settings.weight_set,
            weight_symmetry=settings.weight_symmetry,
            weight_width=settings.weight_bits,
            weights=weights,
            bias=bias,
            **self.geometry(),
            **requantization(output, ratio, self.clamp, settings, interval),
        )

    def _in_binary32(self, input: Tensor, output: Tensor, settings: LayerSettings) -> Binary32Linear:
        """Both scales go into the weights, so that integers come in and go out."""
        weights = self.weights.astype(np.float64) * self._of_rows(input, input.scales) / output.scales
        return self.binary32(
            name=self.name,
            weights=_without_dust(weights),
            bias=_without_dust(self.bias.astype(np.float64) / output.scales),
            zero=np.atleast_1d(np.asarray(input.zero_point, np.int64)),
            **self.geometry(),
            **fitting(output, self.clamp, settings),
        )

    # Integers of a source

    def in_floating_point(self, low: float, high: float) -> Self:
        return replace(self, exact=None)

    def lowered(self, *inputs: Codes) -> Lowered:
        (input,) = inputs
        if self.exact is None:
            raise Unsupported("its weights are not integers: its source has no quantizer for them; use --requantize")
        own, tensor, exact = input.encoding, input.tensor, self.exact
        factors, scale = self._one_scale_per_output(own.scale)
        unit = scale * exact.scale
        whole = np.array([math.floor(bias) for bias in exact.bias / unit], object)
        largest = int(np.abs(exact.codes).max(initial=0)) * (len(exact.codes.reshape(-1, self.outputs)) + 1)
        require_narrow(largest * max(factors.tolist()) * own.reach + np.abs(whole).max())
        is_used = (own.low != own.zero_point) | (own.high != own.zero_point)  # else its numbers are all 0
        weights = exact.codes * self._of_rows(tensor, factors * is_used)
        zero = self._over_inputs(weights * self._of_rows(tensor, own.zero_point))
        bias = whole.astype(np.int64) - zero
        lowest, highest = np.minimum(own.low, own.zero_point), np.maximum(own.high, own.zero_point)  # of padding, too
        interval = self._interval(tensor, weights, bias, lowest, highest)

        def build(name: str, output: Tensor, last: Requantizer) -> QuantizedLayer:
            fields = {**weight_fields(weights), **self.geometry(), **requantized_fields(output, last)}
            return self.quantized(name=name, weights=weights, bias=bias, **fields)

        shape = self.output_shape(tensor.shape)
        sums = Accumulator.of_line(inputs, shape, interval, unit, exact.bias - whole * unit, build)
        return Sums(sums)

    def _one_scale_per_output(self, scales: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The factor of the weights of every lane of the input, and the exact scale of ``code * weight``
        then, ``[outputs]``.

        :param scales: of the lanes, exact.
        """
        step = common_step(scales)
        require_narrow(max(scales) / step)
        return integers(scales / step), np.full(self.outputs, step, object)

    def _interval(
        self, input: Tensor, weights: np.ndarray, bias: np.ndarray, lowest: np.ndarray, highest: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The sums that can occur, of every output.

        :param lowest, highest: the codes of every lane of the input.
        """
        ends = np.stack([weights * self._of_rows(input, codes) for codes in (lowest, highest)])
        return self._over_inputs(ends.min(axis=0)) + bias, self._over_inputs(ends.max(axis=0)) + bias

    def _over_inputs(self, values: np.ndarray) -> np.ndarray:
        """The sum for every output."""
        return np.asarray(values.reshape(-1, self.outputs).sum(axis=0))

    # Training

    @abstractmethod
    def product(self, ops: RealOperations, x: Any, weights: Any) -> Any:
        """``x · weights``, differentiable."""

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        source = self.unfolded or self
        normalization = vars(self.unfolded.normalization) if self.unfolded else {}
        return {"weights": source.weights, "bias": source.bias, **normalization}

    def with_parameters(self, values: dict[str, np.ndarray], folded: tuple[np.ndarray, np.ndarray]) -> Self:
        if self.unfolded is None:
            return replace(self, weights=folded[0], bias=folded[1])
        names = vars(self.unfolded.normalization)
        normalization = Normalization(**{name: values[name] for name in names})
        unfolded = Unfolded(values["weights"], values["bias"], normalization)
        return replace(self, weights=folded[0], bias=folded[1], unfolded=unfolded)

    def folded(self, ops: Operations, x: Any, p: dict[str, Any], real: Any = 1.0) -> tuple[Any, Any]:
        """Weights and bias with the batch normalization folded in; it keeps observing ``x`` times ``real``."""
        if self.unfolded is None:
            return p["weights"], p["bias"]
        ops.statistics(lambda: self.product(ops, x * ops.like(x, real), p["weights"]) + ops.like(x, p["bias"]), p)
        scale = p["gamma"] / ops.sqrt(p["variance"] + p["epsilon"])
        return p["weights"] * scale, (p["bias"] - p["mean"]) * scale + p["beta"]

    def rows_of(self, ops: Operations, source: Wire, values: Any) -> Any:
        """``_of_rows`` in training."""
        return ops.tile(values, self.weights.shape[-2] // source.tensor.lanes)[:, None]

    def forward(self, ops: Operations, parameters: dict[str, Any], x: Any) -> Any:
        return self._with(ops, x, *self.folded(ops, x, parameters))

    def apply(self, ops: RealOperations, x: Any) -> Any:
        return self._with(ops, x, self.weights, self.bias)

    def _with(self, ops: RealOperations, x: Any, weights: Any, bias: Any) -> Any:
        return ops.clip(self.product(ops, x, weights) + bias, *self.clamp)

    def forward_codes(self, ops: Operations, wires: Wires, parameters: dict[str, Any], q: Any) -> Any:
        source, output, settings = wires.input, wires.output, wires.settings
        last = q.shape[-1] // source.tensor.lanes  # beats in the tensor's last axis
        levels = ops.accumulating(q - np.tile(source.zero_points, last), wires.wide)
        weights, bias = self.folded(ops, levels, parameters, ops.tile(source.scales, last))
        weights, bias = ops.float64(weights), ops.float64(bias)
        if wires.weight_scale is None:
            scaled = weights * self.rows_of(ops, source, source.scales) / output.scales
            total = self.product(ops, levels, scaled) + ops.like(levels, bias / output.scales)
            return ops.fit(total, output, self.clamp, settings)
        reference = ops.largest(source.scales)
        relative = weights * self.rows_of(ops, source, source.scales / reference)
        weight_scale, zero, scale = wires.weight_scale, wires.weight_zero_point, reference * wires.weight_scale
        if settings.scales is Scales.FREE:
            scale = ops.short(scale / output.scales) * output.scales
            weight_scale = scale / reference
        codes = ops.nearest(relative / weight_scale + zero, weight_levels(settings)) - zero
        total = self.product(ops, levels, codes) + ops.like(levels, ops.round(bias / scale))
        return ops.requantize(total, scale / output.scales, output, self.clamp, settings)

    # Pruning

    def channel_origins(self, output: Shape, *inputs: Shape) -> list[np.ndarray]:
        return [np.full(output[-1], -1)]

    def keep_channels(self, inputs: Sequence[np.ndarray], output: np.ndarray) -> Self:
        (kept,) = inputs
        unfolded = self.unfolded and replace(self.unfolded, weights=self.unfolded.weights[..., kept, :])
        return replace(self, weights=self.weights[..., kept, :], unfolded=unfolded).keep_filters(output)

    def keep_filters(self, kept: np.ndarray) -> Self:
        """Return the layer with only these output channels."""
        unfolded = self.unfolded and Unfolded(
            self.unfolded.weights[..., kept], self.unfolded.bias[kept], self.unfolded.normalization.of_channels(kept)
        )
        return replace(self, weights=self.weights[..., kept], bias=self.bias[kept], unfolded=unfolded)


def _without_dust(values: np.ndarray) -> np.ndarray:
    """Return binary32 values with 0 for those that training has left so small that they never count (their sums could
    be subnormal).
    """
    return np.where(np.abs(values) < 2.0**-100, 0, values).astype(np.float32)
