"""The settings by which one layer is quantized, in one list. The command line, ``dnn2fpga.yaml`` and every search name
them as they are named here.
"""

from __future__ import annotations

import enum
from typing import Annotated

from pydantic import Field

from dnn2fpga.files.described import Described
from dnn2fpga.quantize.ranges import RangeMethod
from dnn2fpga.quantize.weight_sets import WeightSet
from rtl_lib.core.arithmetic import Overflow, Rounding

Bits = Annotated[int, Field(ge=1, le=16)]
Percentile = Annotated[float, Field(gt=50, le=100)]


class Numbers(enum.Enum):
    """The arithmetic of a layer with weights."""

    INTEGER = "integer"
    BINARY32 = "binary32"  # IEEE 754 single precision in a fixed order; integers at both ends


class Scales(enum.Enum):
    """The set from which scales are chosen."""

    POWER_OF_TWO = "power_of_two"  # requantize is wires
    FREE = "free"  # requantize is an integer multiplier and a shift


class Granularity(enum.Enum):
    """The group of values that share one scale."""

    PER_CHANNEL = "per_channel"
    PER_TENSOR = "per_tensor"


class Symmetry(enum.Enum):
    """The position of the zero in a range."""

    SYMMETRIC = "symmetric"  # zero point 0
    ASYMMETRIC = "asymmetric"  # a zero point that lets the codes cover exactly the range


class LayerSettings(Described):
    """The quantization of one layer; an activation is the layer's output.

    :param numbers: the arithmetic.
    :param weight_bits: of an integer weight, 1 to 16.
    :param weight_set: the integers that a weight may be.
    :param weight_calibration: the choice of the range of weights.
    :param weight_symmetry: whether weights have a zero point.
    :param granularity: one weight scale per output channel, or one per tensor.
    :param activation_bits: of an integer activation, 1 to 16.
    :param calibration: the choice of the range of activations.
    :param activation_symmetry: whether activations have a zero point.
    :param activation_granularity: one activation scale per channel, or one per tensor.
    :param percentile: of the values that the range method ``percentile`` keeps, above 50 and at most 100.
    :param scales: the set from which scales are chosen.
    :param rounding: of the right shift in a requantization.
    :param overflow: of results outside the range of the activation.
    """

    numbers: Numbers = Numbers.INTEGER
    weight_bits: Bits = 8
    weight_set: WeightSet = WeightSet.INTEGER
    weight_calibration: RangeMethod = RangeMethod.MSE
    weight_symmetry: Symmetry = Symmetry.SYMMETRIC
    granularity: Granularity = Granularity.PER_CHANNEL
    activation_bits: Bits = 8
    calibration: RangeMethod = RangeMethod.MIN_MAX
    activation_symmetry: Symmetry = Symmetry.SYMMETRIC
    activation_granularity: Granularity = Granularity.PER_TENSOR
    percentile: Percentile = 99.99
    scales: Scales = Scales.POWER_OF_TWO
    rounding: Rounding = Rounding.HALF_UP
    overflow: Overflow = Overflow.SATURATE
