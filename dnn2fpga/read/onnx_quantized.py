"""QuantizeLinear and DequantizeLinear of ``.onnx`` files; what is computed between the two is real arithmetic.

Source: https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.exact.rules import Rounded, Rule
from dnn2fpga.layers.quantizer import Quantizer
from dnn2fpga.read.channels_first import Codes, Constant, Grid, Stream, Value
from dnn2fpga.read.limits import LARGEST_EXTENT
from dnn2fpga.read.onnx_call import Call, Reader
from dnn2fpga.read.onnx_elementwise import narrowed
from dnn2fpga.read.onnx_schema import Domain
from dnn2fpga.tensors.basics import Unsupported

INTEGERS = ("int8", "uint8", "int16", "uint16")
HALF_EVEN = Rounded()

# Scales and zero points


def scales(call: Call, place: int) -> np.ndarray:
    """Scales in float32, all above 0."""
    values = call.array(place)
    if values.dtype != np.float32 or values.ndim > 1 or not 0 < values.size <= LARGEST_EXTENT:
        raise Unsupported(
            f"has scales of shape {list(values.shape)} in {values.dtype}; one, or one per index of an axis"
        )
    if not (np.isfinite(values) & (values >= np.finfo(np.float32).tiny)).all():
        raise Unsupported("has a scale that is not a positive number")
    return values


def grid(call: Call, place: int) -> Grid:
    """The meaning of a tensor's codes: a scale at a place, a zero point at the next.

    :raises Unsupported: when channels have scales of their own, or codes are of another type.
    """
    scale = scales(call, place)
    zero = call.array(place + 1) if call.has(place + 1) else np.zeros(1, np.uint8)
    if scale.size != 1 or zero.size != 1:
        raise Unsupported("has a scale for each channel, which only weights may have")
    if zero.dtype.name not in INTEGERS:
        raise Unsupported(f"has codes of type {zero.dtype}; supported are {', '.join(INTEGERS)}")
    limits = np.iinfo(zero.dtype)
    return Grid(Fraction(float(scale.reshape(())[()])), int(zero.reshape(())[()]), int(limits.min), int(limits.max))


def coded(call: Call, place: int) -> Stream:
    """The codes at a place, whose scale and zero point follow them."""
    source, stated = call.stream(place, codes=True), grid(call, place + 1)
    if source.grid is None or not source.grid.means_as(stated):
        raise Unsupported("reads codes with another scale or zero point than they were made with")
    return source


def onto(call: Call, source: Stream, target: Grid, rule: Rule = HALF_EVEN, name: str | None = None) -> Stream:
    """Round numbers to codes of a grid."""
    encoding = Encoding.of(target.scale, target.low, target.high, target.zero)
    return call.after(source, Quantizer(name or call.name, encoding, rule)).on(target, is_codes=True)


# QuantizeLinear, DequantizeLinear


def quantize(call: Call) -> Value:
    """QuantizeLinear: ``saturate(rint(x / scale) + zero point)``."""
    if call.is_constant(0):
        call.computed.spend(call.array(0).size)
        array, scale, zero = call.array(0), *_along(call, call.array(0).ndim)
        if zero.dtype.name not in INTEGERS:
            raise Unsupported(f"makes constants of type {zero.dtype}")
        limits = np.iinfo(zero.dtype)
        codes = np.rint(array / scale) + zero
        return Constant(np.clip(np.nan_to_num(codes), limits.min, limits.max).astype(zero.dtype))
    source = call.stream()
    target, name = _clipped(call, grid(call, 1))
    if source.grid == target:
        return source.on(target, is_codes=True)
    return onto(call, source, target, Rounded(binary32=call.enters(source)), name)


def _clipped(call: Call, target: Grid) -> tuple[Grid, str]:
    """The codes that are left by a Clip after it, and what they are called, where that alone reads the others."""
    reader = call.model.only_reader(call.name)
    if reader is None or reader.kind != "Clip":
        return target, call.name
    clip = replace(call, node=reader)
    try:
        return narrowed(clip, target), clip.name
    except Unsupported:
        return target, call.name  # its bounds come later


def dequantize(call: Call) -> Value:
    """DequantizeLinear: ``(code - zero point) * scale``."""
    if not call.is_constant(0):
        source = coded(call, 0)
        return source.on(source.grid, is_codes=False)
    codes, scale, zero = call.array(0), *_along(call, call.array(0).ndim)
    if codes.dtype.kind not in "iu":
        raise Unsupported(f"reads constants of type {codes.dtype}, which are no codes")
    call.exact.spend(scale.size)
    call.computed.spend(codes.size)
    integers = codes.astype(np.int64) - zero.astype(np.int64)
    return Constant((integers * scale).astype(np.float32), Codes.of(integers, scale))


def _along(call: Call, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Scale and zero point of a constant, to broadcast to it: one, or one per index of an axis."""
    call.require("block_size", 0, "scales of blocks are not supported")
    scale, axis = scales(call, 1), call.attribute("axis", 1)
    zero = call.array(2) if call.has(2) else np.zeros(1, np.uint8)
    if zero.size not in (1, scale.size) or zero.dtype.kind not in "iu":
        raise Unsupported(f"has {zero.size} zero points for {scale.size} scales")
    if scale.size == 1:
        return scale.reshape(()), zero.reshape(())
    if not -rank <= axis < rank or call.array(0).shape[axis] != scale.size:
        raise Unsupported(f"has {scale.size} scales along axis {axis} of {list(call.array(0).shape)}")
    shape = [1] * rank
    shape[axis] = scale.size
    return scale.reshape(shape), np.broadcast_to(zero.reshape(-1), scale.shape).reshape(shape)


READERS: dict[tuple[Domain, str], Reader] = {
    (domain, kind): reader
    for domain in (Domain.ONNX, Domain.MICROSOFT)
    for kind, reader in {"DequantizeLinear": dequantize, "QuantizeLinear": quantize}.items()
}
