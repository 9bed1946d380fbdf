"""Keras' layers that multiply and add constants, one for each channel."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from dnn2fpga.layers.affine import Affine
from dnn2fpga.layers.base import Layer, Normalization
from dnn2fpga.read.keras_options import (
    LARGEST_NUMBER,
    Arrays,
    Axis,
    LayerOptions,
    Reals,
    Shapes,
    by_class,
    require_last_axis,
)
from dnn2fpga.tensors.basics import Shape, Unsupported

EPSILON = 1e-7  # keras.config.epsilon(): the smallest standard deviation that Normalization divides by


class BatchNormalizationLayer(LayerOptions):
    stands_for: ClassVar[tuple[str, ...]] = ("BatchNormalization",)

    axis: Axis = -1
    epsilon: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-3
    center: bool = True
    scale: bool = True

    @property
    def keeps_arrays(self) -> bool:
        return True

    def check_input(self, shape: Shape) -> None:
        require_last_axis(self.axis, shape)

    def arrays(self, shape: Shape) -> Shapes:
        names = ["gamma"] * self.scale + ["beta"] * self.center + ["moving_mean", "moving_variance"]
        return dict.fromkeys(names, shape[-1:])

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        w = {key: np.asarray(value, np.float64) for key, value in arrays.items()}
        normalization = Normalization(
            gamma=w.get("gamma", np.ones(shape[-1])),
            beta=w.get("beta", np.zeros(shape[-1])),
            mean=w["moving_mean"],
            variance=w["moving_variance"],
            epsilon=np.full(shape[-1], self.epsilon),
        )
        squares = normalization.variance + normalization.epsilon
        if not (squares > 0).all():
            raise Unsupported("its variances must be positive; train the model again")
        scale = normalization.gamma / np.sqrt(squares)
        offset = normalization.beta - normalization.mean * scale
        if max(np.abs(scale).max(), np.abs(offset).max()) > LARGEST_NUMBER:
            raise Unsupported("its variances are too small beside gamma and the means; train the model again")
        return [Affine(name, scale.astype(np.float32), offset.astype(np.float32), normalization=normalization)]


class NormalizationLayer(LayerOptions):
    """Constants: given in the configuration, or taken from data (``adapt``) and kept as arrays."""

    stands_for: ClassVar[tuple[str, ...]] = ("Normalization",)

    axis: Axis = -1
    mean: Reals | None = None
    variance: Reals | None = None
    invert: bool = False

    @property
    def keeps_arrays(self) -> bool:
        return self.mean is None

    def check_input(self, shape: Shape) -> None:
        if self.axis not in _ALL_TOGETHER:
            require_last_axis(self.axis, shape)

    def arrays(self, shape: Shape) -> Shapes:
        if not self.keeps_arrays:
            return {}
        kept = () if self.axis in _ALL_TOGETHER else shape[-1:]
        return {"mean": kept, "variance": kept, "count": ()}

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        given = arrays if self.keeps_arrays else {"mean": self.mean, "variance": self.variance}
        mean, variance = (per_channel(key, given[key], shape) for key in ("mean", "variance"))
        if not (variance >= 0).all():
            raise Unsupported("its variances must not be negative")
        deviation = np.maximum(np.sqrt(variance), np.float32(EPSILON))
        scale, offset = (deviation, mean) if self.invert else (1 / deviation, -mean / deviation)
        return [Affine(name, scale.astype(np.float32), offset.astype(np.float32))]


class RescalingLayer(LayerOptions):
    stands_for: ClassVar[tuple[str, ...]] = ("Rescaling",)

    scale: Reals
    offset: Reals = 0.0

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        scale, offset = per_channel("scale", self.scale, shape), per_channel("offset", self.offset, shape)
        return [Affine(name, scale, offset)]


_ALL_TOGETHER: tuple[Axis, ...] = (None, [])  # axes of a normalization with one mean for everything


def per_channel(name: str, value: Any, shape: Shape) -> np.ndarray:
    """A constant as one number a channel."""
    try:
        array = np.asarray(value, np.float32)
        if math.prod(array.shape[:-1]) != 1 or array.ndim > len(shape) + 1:  # with the batch
            raise ValueError
        return np.broadcast_to(array.reshape(-1) if array.ndim else array, shape[-1:])
    except ValueError:
        raise Unsupported(f"{name} must be one number, or one for each of the {shape[-1]} channels") from None


SCALINGS = by_class(BatchNormalizationLayer, NormalizationLayer, RescalingLayer)
