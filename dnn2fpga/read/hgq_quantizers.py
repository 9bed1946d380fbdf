"""HGQ2's fixed-point quantizers: what their options and trained widths mean.

A number has a sign (``k``, 0 or 1), ``i`` integer and ``f`` fraction bits, both of which may be negative: its steps are
2^-f, its codes -k·2^(i+f) … 2^(i+f) - 1; with no bits at all (``k + i + f`` ≤ 0) it is 0. Widths are trained, one for
each element of a tensor or of a part of its axes, and lie in the file as real numbers, which HGQ2 rounds. Source: HGQ2
0.2.0 (``hgq.quantizer``) and its package ``quantizers`` 1.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, ValidationInfo

from dnn2fpga.exact.encoding import Encoding, ExactWeights
from dnn2fpga.exact.rationals import rationals
from dnn2fpga.exact.rounding import RoundingMode
from dnn2fpga.layers.quantizer import Quantizer, Rounded
from dnn2fpga.read.keras_config import Serialized
from dnn2fpga.read.keras_options import Arrays, Shapes
from dnn2fpga.tensors.basics import Shape, Unsupported
from rtl_lib.core import arithmetic
from rtl_lib.core.arithmetic import Overflow

MOST_BITS = 48  # of a number: sums of it stay exact in double precision
LARGEST_SHIFT = 64  # of a binary point
LARGEST_CODE = 2**MOST_BITS

ROUNDINGS = {
    "TRN": RoundingMode.FLOOR,
    "RND": RoundingMode.HALF_UP,
    "RND_CONV": RoundingMode.HALF_EVEN,
    "TRN_ZERO": RoundingMode.TOWARDS_ZERO,
    "RND_ZERO": RoundingMode.HALF_TOWARDS,
    "RND_MIN_INF": RoundingMode.HALF_DOWN,
    "RND_INF": RoundingMode.HALF_AWAY,
}
# The variables of a quantizer, in the order in which Keras keeps them: trainable ones first, and which are, depends.
_SATURATING = {"kbi": ("b", "i", "k"), "kif": ("i", "f", "k")}
_WRAPPING = {"kbi": ("b", "k", "i", "decay"), "kif": ("f", "k", "i", "decay")}
_TANH = "HardTanhConfig"  # keeps no overflow mode: it always saturates

_DESCRIBED = {"iq": "input quantizer", "oq": "output quantizer", "kq": "kernel quantizer", "bq": "bias quantizer"}


def described(place: str) -> str:
    """Return what the quantizer at a place in a layer is, for messages."""
    return f"its {_DESCRIBED.get(place.partition('/')[0], 'quantizer')}"


PER_PIXEL = (
    "has a format of its own for every pixel, and pixels come through the same wires one after another; train the "
    "model with one format per channel: QuantizerConfigScope(place='datalane', heterogeneous_axis=(-1,), "
    "homogeneous_axis=None)"
)


@dataclass(frozen=True, eq=False)
class FixedPoint:
    """A quantizer with the widths of every element that it distinguishes.

    :param keep_negative, integer, fraction: ``k``, ``i`` and ``f`` (int64), of one shape; 0 where there are no bits.
    :param only_rounds: it neither wraps nor makes zeros of elements without bits.
    :param label: says in messages which quantizer it is.
    """

    label: str
    keep_negative: np.ndarray
    integer: np.ndarray
    fraction: np.ndarray
    rounding: RoundingMode
    overflow: Overflow
    only_rounds: bool = False

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """The lowest and the highest code of each element (int64)."""
        magnitude = 2 ** (self.integer + self.fraction)
        symmetric = self.overflow is Overflow.SATURATE_SYMMETRIC
        return -self.keep_negative * (magnitude - symmetric), magnitude - 1

    @property
    def per_channel(self) -> FixedPoint:
        """The same with one format for each channel, the last axis.

        :raises Unsupported: when the formats differ along other axes.
        """
        widths = [array.reshape(-1, array.shape[-1]) for array in (self.keep_negative, self.integer, self.fraction)]
        if any((array != array[0]).any() for array in widths):
            raise Unsupported(f"{self.label} {PER_PIXEL}")
        k, i, f = (array[0] for array in widths)
        return replace(self, keep_negative=k, integer=i, fraction=f)

    def quantizer(self, name: str) -> Quantizer:
        """Return the layer that quantizes a tensor.

        :raises Unsupported: when its pixels have formats of their own.
        """
        channels = self.per_channel
        overflow = Overflow.WRAP if self.overflow is Overflow.WRAP else Overflow.SATURATE  # bounds are symmetric by now
        encoding = Encoding.of(2.0 ** -channels.fraction.astype(np.float64), *channels.bounds)
        return Quantizer(name, encoding, Rounded(self.rounding, overflow))

    def values(self, x: np.ndarray) -> np.ndarray:
        """Return what becomes of constants, exactly (float64).

        :raises Unsupported: when a code is so large that this is not exact.
        """
        with np.errstate(over="ignore"):
            levels = np.ldexp(np.asarray(x, np.float32), self.fraction.astype(np.int32))  # HGQ2 rounds in float32
            codes = self.rounding.round(levels).astype(np.float64)
        if not (np.abs(codes) <= LARGEST_CODE).all():
            raise Unsupported(f"{self.label} makes codes of more than {MOST_BITS} bits")
        if not self.only_rounds:
            codes = arithmetic.fit(codes.astype(np.int64), *self.bounds, self.overflow).astype(np.float64)
        return np.ldexp(codes, -self.fraction.astype(np.int32))


class QuantizerOptions(BaseModel):
    """The options of a quantizer; where its widths begin in training does not matter."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    q_type: Literal["kbi", "kif"]
    round_mode: str
    overflow_mode: Literal["WRAP", "SAT", "SAT_SYM"]
    scaler: None = None
    affine: None = None
    bw_mapper: None = None
    homogeneous_axis: list[int] | None = None
    heterogeneous_axis: list[int] | None = None
    trainable: bool = True
    is_weight: bool = False

    @property
    def rounding(self) -> RoundingMode:
        return ROUNDINGS[self.round_mode]

    @property
    def overflow(self) -> Overflow:
        modes = {"WRAP": Overflow.WRAP, "SAT": Overflow.SATURATE, "SAT_SYM": Overflow.SATURATE_SYMMETRIC}
        return modes[self.overflow_mode]

    @property
    def only_rounds(self) -> bool:
        """Whether its values neither wrap nor vanish: HGQ2 trusts the widths that it traced for weights."""
        exempt = self.q_type == "kif" or self.rounding is RoundingMode.HALF_UP
        return self.overflow is Overflow.WRAP and self.trainable and self.is_weight and exempt

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of its variables in Keras' order."""
        return (_WRAPPING if self.overflow is Overflow.WRAP else _SATURATING)[self.q_type]

    def _widths_shape(self, label: str, shape: Shape) -> Shape:
        """The shape of its widths, for a tensor of ``shape``: 1 where an axis has one format."""
        if (self.heterogeneous_axis is None) == (self.homogeneous_axis is None):
            raise Unsupported(f"{label} must have either a heterogeneous_axis or a homogeneous_axis")
        given = self.heterogeneous_axis if self.homogeneous_axis is None else self.homogeneous_axis
        rank = len(shape)
        if any(not -rank <= axis < rank for axis in given or ()):
            raise Unsupported(f"{label} has axes {given}, of a tensor with {rank}, counted with the batch")
        named = {axis % rank for axis in given or ()}
        own = named if self.homogeneous_axis is None else set(range(rank)) - named
        return tuple(extent if axis in own else 1 for axis, extent in enumerate(shape))

    def arrays(self, place: str, shape: Shape) -> Shapes:
        """Return the names and shapes of its variables.

        :param place: where it is in its layer, such as ``iq``; empty where it is the layer.
        :param shape: of the tensor, with the batch (1) if it has one.
        :raises Unsupported: when the axes in its options do not suit this tensor.
        """
        widths = self._widths_shape(described(place), shape)
        return {_path(place, name): None if name == "decay" else widths for name in self.variables}

    def read(self, place: str, arrays: Arrays) -> FixedPoint:
        """Return the quantizer with the widths in ``arrays``.

        :raises Unsupported: when they are no widths.
        """
        label = described(place)
        found = {name: arrays[_path(place, name)] for name in self.variables if name != "decay"}
        for name, values in found.items():
            wanted = np.uint8 if name == "k" else np.float32
            if values.dtype != wanted:
                raise Unsupported(
                    f"{label} keeps {values.dtype} where '{name}' ({np.dtype(wanted)}) should be: its variables do not "
                    "lie in the order of HGQ2 0.2"
                )
        k, i = found.pop("k").astype(np.int64), _whole(label, found.pop("i"))
        f = _whole(label, found["f"]) if self.q_type == "kif" else _whole(label, found["b"]) - i
        if (k > 1).any():
            raise Unsupported(f"{label} has k = {k.max()}; a sign has 0 or 1 bits")
        bits = k + i + f
        if (bits > MOST_BITS).any():
            raise Unsupported(f"{label} has {bits.max()} bits; at most {MOST_BITS} are supported")
        if not self.only_rounds:
            k, i, f = (np.where(bits > 0, array, 0) for array in (k, i, f))
        return FixedPoint(label, k, i, f, self.rounding, self.overflow, self.only_rounds)


def _path(place: str, variable: str) -> str:
    return f"{place}/quantizer/{variable}".strip("/")


def _whole(label: str, widths: np.ndarray) -> np.ndarray:
    """Trained widths, rounded as HGQ2 does."""
    if not (np.abs(widths) <= LARGEST_SHIFT).all():
        raise Unsupported(f"{label} has widths that are no numbers of at most {LARGEST_SHIFT} bits")
    return np.rint(widths).astype(np.int64)


def exact_weights(weights: np.ndarray, bias: np.ndarray) -> ExactWeights:
    """Return quantized weights and bias with integers on the coarsest grid of each output.

    :param weights: exact, the last axis is the output.
    :raises Unsupported: when the weights of one output lie too far apart.
    """
    mantissas, exponents = np.frexp(weights.reshape(-1, weights.shape[-1]))
    whole = np.ldexp(mantissas, 53).astype(np.int64)
    steps = np.where(whole, exponents - 53 + np.log2(np.maximum(whole & -whole, 1)), np.inf).min(axis=0)
    step = np.where(np.isinf(steps), 0, steps).astype(np.int32)
    codes = np.ldexp(weights, -step)
    if not (np.abs(codes) <= LARGEST_CODE).all():
        raise Unsupported(f"the weights of an output need more than {MOST_BITS} bits")
    return ExactWeights.of(codes.astype(np.int64), rationals(2.0**step), rationals(bias))


def _options(value: Any, info: ValidationInfo) -> QuantizerOptions | None:
    """The options of a quantizer in a configuration; None where there is none."""
    if value is None or isinstance(value, QuantizerOptions):
        return value
    try:
        item = Serialized.model_validate(value)
        if item.foreign not in ("hgq>QuantizerConfig", f"hgq>{_TANH}"):
            raise ValueError(f"{info.field_name} is {item.foreign or item.class_name}, which is not supported")
        given: Mapping[str, Any] = {"overflow_mode": "SAT"} | item.config if item.class_name == _TANH else item.config
        return QuantizerOptions.model_validate(_normalized(given))
    except ValidationError as error:
        problem = error.errors()[0]
        option = ".".join(str(part) for part in ("", *problem["loc"]))
        raise ValueError(f"{info.field_name}{option}={str(problem['input'])[:40]} is not supported") from error


def _normalized(config: Mapping[str, Any]) -> dict[str, Any]:
    """Names of modes as HGQ2 takes them: in any case; stochastic rounding is for training alone."""
    modes = {name: str(config.get(name)).upper() for name in ("round_mode", "overflow_mode")}
    rounding = modes["round_mode"].removeprefix("S_")
    if rounding not in ROUNDINGS:
        raise ValueError(f"round_mode={rounding[:40]} (supported: {', '.join(ROUNDINGS)})")
    return {**config, **modes, "round_mode": rounding}


Options = Annotated[QuantizerOptions | None, BeforeValidator(_options)]
