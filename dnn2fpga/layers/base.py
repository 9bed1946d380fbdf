"""The interface of a layer kind in floating point."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self, cast

import numpy as np

from dnn2fpga.exact.accumulator import Accumulator, Codes
from dnn2fpga.exact.lowered import Lowered, Moved, tiled
from dnn2fpga.layers.numpy_operations import NUMPY
from dnn2fpga.layers.quantized import QuantizedLayer
from dnn2fpga.quantize.operations import Operations, RealOperations, Wire, Wires
from dnn2fpga.quantize.scaling import Observed, QuantizationChoice
from dnn2fpga.quantize.settings import LayerSettings
from dnn2fpga.task import Ending
from dnn2fpga.tensors.basics import Shape, Unsupported
from dnn2fpga.tensors.tensor import Tensor
from rtl_lib.image.window_schedule import Padding


@dataclass(frozen=True, eq=False)
class Normalization:
    """A batch normalization, ``(x - mean) / sqrt(variance + epsilon) * gamma + beta``; vectors ``[channels]``."""

    gamma: np.ndarray
    beta: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    epsilon: np.ndarray

    def of_channels(self, kept: np.ndarray) -> Normalization:
        return Normalization(**{name: values[kept] for name, values in vars(self).items()})


@dataclass(frozen=True, eq=False)
class AffineMap:
    """``x * scale + offset`` per channel; ``normalization`` where that is one."""

    scale: np.ndarray
    offset: np.ndarray
    normalization: Normalization | None = None

    def before_maximum(self) -> AffineMap | None:
        """The map for each of the numbers of which the largest is picked, in place of the picked one. None where a
        negative scale would turn the largest into the smallest. No normalization any more: its statistics are those of
        picked numbers, and training must not replace them by those of all.
        """
        return AffineMap(self.scale, self.offset) if (self.scale >= 0).all() else None


class Absorbing(ABC):  # noqa: B024 - every question has a default answer
    """The questions that passes ask of a layer. The default answers are "no"."""

    @property
    def is_identity(self) -> bool:
        """Return whether the layer does nothing at inference."""
        return False

    def as_affine(self) -> AffineMap | None:
        """Return the map, when the layer is one."""
        return None

    def as_clamp(self) -> tuple[float, float] | None:
        """Return ``(low, high)``, when the layer is a clamp."""
        return None

    def as_padding(self) -> Padding | None:
        """Return the rows and columns of zeros that the layer adds, when it does just that."""
        return None

    def input_order(self, *shapes: Shape) -> tuple[int, ...]:
        """Return the order in which hardware reads inputs of these shapes: the index of the first, the second, …."""
        return tuple(range(len(shapes)))

    def absorb_affine(self, affine: AffineMap) -> Layer | None:
        """Return this layer followed by a per-channel affine map, as one layer."""
        return None

    def absorb_clamp(self, low: float, high: float) -> Layer | None:
        """Return this layer followed by a clamp, as one layer."""
        return None

    def absorb_padding(self, padding: Padding, shape: Shape) -> Layer | None:
        """Return this layer after zeros are added to an image of ``shape``, as one layer."""
        return None


class Quantizable(ABC):
    """The rules by which a layer becomes an integer layer. Methods receive what the layer reads as their last
    arguments, one tensor per input.
    """

    fixed_range: ClassVar[bool] = False  # of its output: that of a function, for training not to move

    @property
    def needs_uniform_scale(self) -> bool:
        """Return whether all channels of the inputs must share one scale, which training must not move."""
        return False

    @abstractmethod
    def choose(self, seen: Observed, settings: LayerSettings, *inputs: Any) -> QuantizationChoice:
        """Choose the format and scale of the output, and the scales of the weights.

        :param seen: what calibration observed at the output.
        :param inputs: the quantized tensors that the layer reads.
        :raises Unsupported, ValueError: when there are none.
        """

    @abstractmethod
    def quantize(self, choice: QuantizationChoice, settings: LayerSettings, *inputs: Any) -> QuantizedLayer:
        """Return the integer layer, given all scales."""


class Trainable(ABC):
    """The layer's part in training (``quantize.operations``)."""

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        """The arrays that training may change."""
        return {}

    @abstractmethod
    def apply(self, ops: RealOperations, *x: Any) -> Any:
        """Compute the layer on real numbers ``[frames, *input_shape]``: of NumPy, or differentiable ones."""

    def forward(self, ops: Operations, parameters: dict[str, Any], *x: Any) -> Any:
        """Do what ``apply`` does with the ``parameters`` that training has reached."""
        return self.apply(ops, *x)

    def carried_scales(self, ops: Operations, output: Tensor, *inputs: Wire) -> Any:
        """The scales of the output of a layer that preserves the encoding: of every lane, or one for all."""
        (source,) = inputs
        return source.scales if source.tensor.lanes == output.lanes else source.scales[:1]

    @abstractmethod
    def forward_codes(self, ops: Operations, wires: Wires, parameters: dict[str, Any], *q: Any) -> Any:
        """The integer layer on quantized values, differentiable."""


class Prunable(ABC):  # noqa: B024 - every question has a default answer
    """The effect on a layer of removing channels (Faraone et al., section IV); a channel is an index of the last axis.
    By default a layer works on each channel by itself, and has no number of channels of its own.
    """

    ties_channels: ClassVar[bool] = False  # it has filters that come and go with the channels of its input

    def channel_origins(self, output: Shape, *inputs: Shape) -> list[np.ndarray]:
        """Return for each input the channel that every output channel is removed with: ``[output channels]`` per input;
        -1 where it does not depend on one.

        :param output: its shape, as of every input.
        :raises Unsupported: where no channel can be removed.
        """
        return [np.arange(output[-1])] * len(inputs)

    def keep_channels(self, inputs: Sequence[np.ndarray], output: np.ndarray) -> Self:
        """Return the layer with only these channels of its inputs and of its output."""
        return self


class Exact(ABC):  # noqa: B024 - every question has a default answer
    """The role by which layers of a model that brings its integers are lowered exactly (`passes.to_integers`)."""

    @property
    def on_sums(self) -> OnSums | None:
        """The layer, where it is done to sums before they are rounded; None where it reads codes."""
        return None

    @property
    def never_decreases(self) -> bool:
        """Whether it computes a function of each number that never decreases."""
        return False

    def in_floating_point(self, low: float, high: float) -> Layer | None:
        """Return the layer as one of a model in floating point; None where nothing is left of it.

        :param low, high: the bounds of its inputs.
        :raises Unsupported: when there is none.
        """
        return self  # type: ignore[return-value]

    def may_follow(self, quantizer: OnSums) -> bool:
        """Return whether a quantizer after this layer may as well be before it."""
        return False

    def lowered(self, *inputs: Codes) -> Lowered:
        """Return what becomes of codes; layers `on_sums` are not asked. By default a layer reads no codes.

        :raises Unsupported: when that is not exact.
        """
        raise Unsupported("is not supported between the integers of a source; use --requantize")


class OnSums(Exact):
    """The role of a layer that is done to sums before they are rounded."""

    @property
    def on_sums(self) -> OnSums:
        return self

    def in_lanes(self, lanes: int) -> OnSums | None:
        """Return the layer of channels in so many lanes; None where those of one lane have different numbers."""
        return self

    @abstractmethod
    def after_sums(self, sums: Accumulator) -> Lowered:
        """Return what becomes of the sums of the layer before it; raise ``Unsupported`` when that is not exact."""


@dataclass(frozen=True, eq=False)
class Layer(Absorbing, Exact):
    """A layer kind in floating point. Subclasses are frozen dataclasses in ``dnn2fpga/layers``."""

    name: str

    kind: ClassVar[str]
    has_weights: ClassVar[bool] = False  # products with constants: what may be pruned, and left in floating point
    is_convolution: ClassVar[bool] = False  # what Tourad and Eleuldj keep out of partial quantization
    preserves_encoding: ClassVar[bool] = False  # the integers of its output mean what those of its input mean

    def input_lanes(self, *inputs: Tensor) -> tuple[int, ...]:
        """The numbers of each input that it needs in a beat; by default as many as there are."""
        return tuple(one.lanes for one in inputs)

    @abstractmethod
    def output_shape(self, *input_shapes: Any) -> Shape:
        """Return the shape of the output (``Shape``, without the batch) for inputs of these shapes.

        :raises Unsupported, ValueError: when the layer does not accept them.
        """

    @abstractmethod
    def compute(self, *x: Any) -> np.ndarray:
        """Compute the float reference: ``[frames, *input_shape]`` for each input → ``[frames, *output_shape]``."""

    def in_beats(self, shapes: Sequence[Shape], before: Sequence[bool]) -> bool:
        """Return whether the output may need several beats per vector (of the last axis).

        :param shapes: of its inputs.
        :param before: whether they may.
        """
        return any(before)

    def needs_one_encoding(self, shapes: Sequence[Shape], in_beats: Sequence[bool]) -> bool:
        """Return whether all inputs must share one scale and zero point, because their values meet in the same
        lanes.
        """
        return False

    @property
    def commutes_with_monotone(self) -> bool:
        """Return whether what never decreases may be done before it as well as after it."""
        return False

    @property
    def keeps_ending(self) -> bool:
        """Whether a network that ends with it ends with the function before it."""
        return self.preserves_encoding

    @property
    def bounds(self) -> tuple[float, float]:
        """The numbers between which all of its results lie, whatever its inputs are."""
        return -math.inf, math.inf

    @property
    def ending(self) -> Ending:
        """Return what the layer makes of its values where it is the last one."""
        return Ending.LINEAR

    @property
    def parameter_count(self) -> int:
        return 0


@dataclass(frozen=True, eq=False)
class BuildableLayer(Layer, Quantizable, Trainable, Prunable):
    """A layer kind that is left after all passes: it becomes hardware."""

    def compute(self, *x: Any) -> np.ndarray:
        return self.apply(NUMPY, *x)  # type: ignore[no-any-return]


def moved(layer: BuildableLayer, inputs: tuple[Codes, ...]) -> Moved:
    """Return the codes that a layer with one input makes where it keeps their meaning."""
    (input,) = inputs
    choice = layer.choose(cast(Observed, None), LayerSettings(), input.tensor)

    def build(name: str) -> QuantizedLayer:
        return replace(layer, name=name).quantize(choice, LayerSettings(), input.tensor)

    return Moved(inputs, build, tiled(input.encoding, input.tensor, choice.output.lanes))
