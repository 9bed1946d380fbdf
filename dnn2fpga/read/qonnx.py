"""The quantizers of QONNX, which Brevitas exports: Quant, IntQuant, BipolarQuant, Trunc and FINN's MultiThreshold.

Source: https://github.com/fastmachinelearning/qonnx/tree/main/docs/qonnx-custom-ops
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from dnn2fpga.exact.accumulator import Accumulator
from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.exact.pieces import Reach
from dnn2fpga.exact.rounding import RoundingMode
from dnn2fpga.exact.rules import Rounded, Rule
from dnn2fpga.exact.steps import Steps
from dnn2fpga.exact.thresholds import Thresholds, ThresholdsOfChannels
from dnn2fpga.layers.quantizer import Quantizer
from dnn2fpga.read.channels_first import Codes, Constant, Value
from dnn2fpga.read.channels_first_elementwise import by_channels
from dnn2fpga.read.limits import LARGEST_EXTENT
from dnn2fpga.read.onnx_call import Call, Reader
from dnn2fpga.read.onnx_schema import Domain
from dnn2fpga.tensors.basics import Unsupported

WIDEST = 32  # bits of a code
MOST_THRESHOLDS = 2**12

ROUNDING = {
    "ROUND": RoundingMode.HALF_EVEN,
    "HALF_EVEN": RoundingMode.HALF_EVEN,
    "CEIL": RoundingMode.CEILING,
    "FLOOR": RoundingMode.FLOOR,
    "UP": RoundingMode.AWAY_FROM_ZERO,
    "DOWN": RoundingMode.TOWARDS_ZERO,
    "ROUND_TO_ZERO": RoundingMode.TOWARDS_ZERO,  # as Brevitas writes it
    "HALF_UP": RoundingMode.HALF_AWAY,
    "HALF_DOWN": RoundingMode.HALF_TOWARDS,
}


@dataclass(frozen=True)
class Truncated(Rule):
    """``fit(round((rint(x / scale + zero)) / factor), low, high)``: a code of a finer grid, rounded once more.

    :param scale, zero: of the finer grid.
    :param factor: how many of its steps are one step of the codes.
    """

    rounding: RoundingMode
    scale: Fraction
    zero: int
    factor: Fraction

    def codes(self, x: np.ndarray, encoding: Encoding) -> np.ndarray:
        fine = np.rint(np.asarray(x, np.float64) / float(self.scale) + self.zero)
        return np.clip(self.rounding.round(fine / float(self.factor)), encoding.low, encoding.high)

    def steps(self, sums: Accumulator, encoding: Encoding) -> list[Steps]:
        if (exact := sums.exact_pieces) is None:
            return super().steps(sums, encoding)
        return [
            Steps.of_pieces(
                pieces,
                code=lambda x, lane=lane: min(max(self._code(x), lane.low), lane.high),  # type: ignore[misc]
                reach=self._reach,
                low=int(sums.low[k]),
                high=int(sums.high[k]),
                ends=(lane.low, lane.high),
                unit=lane.scale,
            )
            for k, (pieces, lane) in enumerate(zip(exact, encoding.for_lanes(sums.lanes).lanes, strict=True))
        ]

    def _code(self, x: Fraction) -> int:
        return self.rounding.of(RoundingMode.HALF_EVEN.of(x / self.scale + self.zero) / self.factor)

    def _reach(self, code: int) -> Reach:
        level, inclusive = self.rounding.first(code)
        fine = math.ceil(level * self.factor) if inclusive else math.floor(level * self.factor) + 1
        border, inclusive = RoundingMode.HALF_EVEN.first(fine)
        return Reach((border - self.zero) * self.scale, inclusive)


def quant(call: Call) -> Value:
    """Quant and IntQuant: ``x / scale + zero point``, clamped, then rounded."""
    scale, zero = _scales(call, 1), _whole(call, 2)
    signed, narrow, bits = bool(call.attribute("signed", 1)), bool(call.attribute("narrow", 0)), _bits(call, 3)
    rounding = _rounding(call, "ROUND")
    if signed and bits == 1:
        if zero.any():
            raise Unsupported("has one signed bit and a zero point, which is not supported")
        return _bipolar(call, scale)
    low, high = limits(signed, narrow, bits)
    if call.is_constant(0):
        call.computed.spend(call.array(0).size)
        levels = np.clip(call.array(0) / scale + zero, low, high)
        codes = np.clip(rounding.round(levels), low, high) - zero
        return _constant(call, codes, scale)
    source = by_channels(call, call.stream(), scale, zero)
    scale, zero = source.per_channel(scale), source.per_channel(zero).astype(np.int64)
    rule = Rounded(rounding, zero_point_first=True, binary32=call.enters(source))
    return call.after(source, Quantizer(call.name, Encoding.of(scale, low, high, zero), rule))


def limits(signed: bool, narrow: bool, bits: int) -> tuple[int, int]:
    """The lowest and the highest code."""
    if signed:
        return -(2 ** (bits - 1)) + narrow, 2 ** (bits - 1) - 1
    return 0, 2**bits - 1 - narrow


def bipolar(call: Call) -> Value:
    """BipolarQuant: the scale from 0 on, else its negative."""
    return _bipolar(call, _scales(call, 1))


def _bipolar(call: Call, scale: np.ndarray) -> Value:
    if call.is_constant(0):
        call.computed.spend(call.array(0).size)
        return _constant(call, np.where(call.array(0) >= 0, 1, -1), scale)
    source = by_channels(call, call.stream(), scale)
    rule = Thresholds((Reach(Fraction(0), inclusive=True),) * 2)
    return call.after(source, Quantizer(call.name, Encoding.of(source.per_channel(scale), -1, 1), rule))


def _constant(call: Call, codes: np.ndarray, scale: np.ndarray) -> Constant:
    if codes.ndim < scale.ndim or np.broadcast_shapes(codes.shape, scale.shape) != codes.shape:
        raise Unsupported(f"has scales of shape {list(scale.shape)} for numbers of shape {list(codes.shape)}")
    if not np.isfinite(codes).all():
        raise Unsupported("has numbers that are not finite")
    return Constant((codes * scale).astype(np.float32), Codes.of(codes, scale))


def trunc(call: Call) -> Value:
    """Trunc: of version 1 with 5 inputs, which keeps the scale; of version 2 with 6, which has one of its own."""
    scale, zero = Fraction(float(_scales(call, 1, most=1))), int(_whole(call, 2, most=1))
    rounding, before = _rounding(call, "FLOOR"), _bits(call, 3)
    if call.has(5):
        after, bits = Fraction(float(_scales(call, 4, most=1))), _bits(call, 5)
        factor = Fraction(2) ** round(math.log2(after / scale))
        low, high = limits(bool(call.attribute("signed", 1)), bool(call.attribute("narrow", 0)), bits)
        if zero % factor:
            raise Unsupported(f"has the zero point {zero}, which is no code after it")
        encoding = Encoding.of(after, low, high, int(zero / factor))
    else:
        bits = _bits(call, 4)
        factor = Fraction(2) ** (before - bits)
        encoding = Encoding.of(scale, -(2**bits), 2**bits, zero)
    rule = Truncated(rounding, scale, zero, factor)
    return call.after(call.stream(), Quantizer(call.name, encoding, rule))


def thresholds(call: Call) -> Value:
    """MultiThreshold: how many thresholds a number reaches, on a grid."""
    source, table = call.stream(), call.array(1)
    scale, bias = Fraction(call.attribute("out_scale", 1.0)), Fraction(call.attribute("out_bias", 0.0))
    if scale <= 0 or bias % scale:
        raise Unsupported(f"has an out_bias of {float(bias)}, which is no multiple of an out_scale of {float(scale)}")
    if table.ndim != 2 or not 1 <= table.shape[1] <= MOST_THRESHOLDS or len(table) > LARGEST_EXTENT:
        raise Unsupported(f"has thresholds of shape {list(table.shape)}, not [channels, thresholds]")
    if not np.isfinite(table).all() or (np.diff(table, axis=1) < 0).any():
        raise Unsupported("has thresholds that do not rise")
    call.exact.spend(table.size)
    layout = call.attribute("data_layout", "") or {1: "NC", 3: "NCHW"}.get(len(source.shape), "")
    if len(table) > 1:
        columns = [source.per_channel(column.reshape(_shape_of(layout, len(column)))) for column in table.T]
        table = np.stack(columns, axis=1)
    low = int(bias / scale)
    rows = tuple(tuple(Reach(Fraction(float(t)), inclusive=True) for t in row) for row in table)
    encoding = Encoding.of(scale, low, low + table.shape[1])
    if len(set(rows)) == 1:
        return call.after(source, Quantizer(call.name, encoding, Thresholds(rows[0])))
    rule = ThresholdsOfChannels(tuple(map(Thresholds, rows)))
    return call.after(source, Quantizer(call.name, encoding.for_lanes(len(rows)), rule))


def _shape_of(layout: str, channels: int) -> tuple[int, ...]:
    if "C" not in layout or len(layout) > 4:
        raise Unsupported(f"has the data_layout '{layout[:9]}'")
    return tuple(channels if axis == "C" else 1 for axis in layout)


def float_quant(call: Call) -> Value:
    """FloatQuant: never."""
    raise Unsupported("makes floating-point numbers of few bits, which is not supported; train with integers (Quant)")


# Constants of quantizers


def _scales(call: Call, place: int, most: int = LARGEST_EXTENT) -> np.ndarray:
    """Scales above 0."""
    scale = call.array(place)
    if scale.dtype.kind != "f" or not 0 < scale.size <= most or not (np.isfinite(scale) & (scale > 0)).all():
        raise Unsupported("has a scale that is not a positive number, or too many of them")
    call.exact.spend(scale.size)
    return scale.reshape(()) if scale.size == 1 else scale


def _whole(call: Call, place: int, most: int = LARGEST_EXTENT) -> np.ndarray:
    """Integers that may be written as floats."""
    values = call.array(place)
    if not 0 < values.size <= most or not (np.abs(values) < 2**WIDEST).all() or (values != np.rint(values)).any():
        raise Unsupported("has a zero point, or a number of bits, that is no integer")
    return values.reshape(()) if values.size == 1 else values


def _bits(call: Call, place: int) -> int:
    values = _whole(call, place)
    if values.size != 1 or not 1 <= values <= WIDEST:
        raise Unsupported(f"must have one number of bits, 1 to {WIDEST}")
    return int(values)


def _rounding(call: Call, default: str) -> RoundingMode:
    mode = call.attribute("rounding_mode", default)
    if mode.upper() not in ROUNDING:
        raise Unsupported(f"has the rounding mode '{mode[:20]}'; supported are {', '.join(ROUNDING)}")
    return ROUNDING[mode.upper()]


READERS: dict[tuple[Domain, str], Reader] = {
    (Domain.QONNX, kind): reader
    for kind, reader in {
        "BipolarQuant": bipolar,
        "FloatQuant": float_quant,
        "IntQuant": quant,
        "MultiThreshold": thresholds,
        "Quant": quant,
        "Trunc": trunc,
    }.items()
}
