"""Operators of ``.onnx`` files on codes (the format *QOperator*), as onnxruntime's kernels compute them.

Layers with weights add up integers, multiply each sum with one float32 per output, and round to the nearest code, ties
to even. What works number by number is real arithmetic, then the nearest code.

Source: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dnn2fpga.exact.rationals import rationals
from dnn2fpga.exact.rules import IntegerRule
from dnn2fpga.layers.activation import Table
from dnn2fpga.layers.weighted_sum import WeightedSum
from dnn2fpga.read.channels_first import Codes, Constant, Grid, Stream, Value
from dnn2fpga.read.channels_first_elementwise import affine, alike, product, slope
from dnn2fpga.read.channels_first_linear import dense
from dnn2fpga.read.channels_first_moves import concatenation
from dnn2fpga.read.channels_first_windows import global_average
from dnn2fpga.read.onnx_call import Call, Reader
from dnn2fpga.read.onnx_elementwise import LEAKINESS
from dnn2fpga.read.onnx_linear import convolved
from dnn2fpga.read.onnx_pooling import average
from dnn2fpga.read.onnx_quantized import coded, grid, onto, scales
from dnn2fpga.read.onnx_schema import Domain
from dnn2fpga.tensors.basics import Unsupported

# Sums of integers


def _weights(call: Call, place: int, axis: int) -> Constant:
    """Weights at a place, their scales and zero points after them: one, or one per output."""
    codes, scale, zero = call.array(place), scales(call, place + 1), call.array(place + 2)
    if codes.dtype.kind not in "iu" or zero.dtype.kind not in "iu" or not codes.ndim:
        raise Unsupported("has weights that are no integers")
    if scale.size not in (1, codes.shape[axis]) or zero.size not in (1, codes.shape[axis]):
        raise Unsupported(f"has {scale.size} scales of weights for {codes.shape[axis]} outputs")
    shape = [1] * codes.ndim
    shape[axis] = -1
    call.exact.spend(scale.size)
    call.computed.spend(codes.size)
    scale, zero = scale.reshape(shape), zero.astype(np.int64).reshape(shape)
    integers = codes.astype(np.int64) - zero
    return Constant((integers * scale).astype(np.float32), Codes.of(integers, scale))


def _units(call: Call, outputs: int) -> np.ndarray:
    """Return the exact meaning of a sum of 1 for each output: the scales of the input (place 1) and weights (4)."""
    return np.broadcast_to(rationals(scales(call, 4)) * grid(call, 1).scale, (outputs,))


def _bias(call: Call, place: int, units: np.ndarray) -> np.ndarray:
    """Biases in integers, on the scales of the sums."""
    if not call.has(place):
        return np.asarray(units * 0)
    call.exact.spend(units.size)
    bias = call.array(place)
    if bias.dtype != np.int32 or bias.size != units.size:
        raise Unsupported(f"must have {units.size} biases in int32, not {bias.size} in {bias.dtype}")
    return np.asarray(rationals(bias.reshape(-1).astype(np.int64)) * units)


def _rounded(call: Call, sums: Stream, units: np.ndarray, factor: np.ndarray, target: Grid) -> Stream:
    """Codes of sums of integers.

    :param factor: float32 ``[outputs]``: from sums to codes.
    """

    def function(sums: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            levels = np.rint(sums.astype(np.float32) * factor).astype(np.float64)
        return np.clip(levels + target.zero, target.low, target.high).astype(np.int64)

    return onto(call, sums, target, IntegerRule(units, function))


def _factor(source: np.ndarray, weights: np.ndarray, target: np.ndarray, outputs: int) -> np.ndarray:
    """In float32, one product and one quotient, as the kernels compute it."""
    factor = (source.reshape(()) * weights.reshape(-1)) / target.reshape(())
    if not np.isfinite(factor).all():
        raise Unsupported("has scales that are too far apart")
    return np.broadcast_to(factor.astype(np.float32), (outputs,))


def qlinear_conv(call: Call) -> Value:
    """QLinearConv."""
    coded(call, 0)
    weights, target = _weights(call, 3, 0), grid(call, 6)
    outputs = weights.shape[0]
    units = _units(call, outputs)
    sums = convolved(call, weights, _bias(call, 8, units), call.inner("sums"))
    return _rounded(call, sums, units, _factor(call.array(1), call.array(4), call.array(6), outputs), target)


def qlinear_matmul(call: Call) -> Value:
    """QLinearMatMul with a constant matrix."""
    source, weights, target = coded(call, 0), _weights(call, 3, 1 if call.array(3).ndim == 2 else 0), grid(call, 6)
    return _dense(call, source, weights, target, call.array(6), None)


def qgemm(call: Call) -> Value:
    """QGemm."""
    call.require("transA", 0, "the batch must come first; export the model again")
    if not call.has(7):
        raise Unsupported("makes no codes; quantize its result")
    flipped = bool(call.attribute("transB", 0))
    source, weights, target = coded(call, 0), _weights(call, 3, 0 if flipped else -1), grid(call, 7)
    alpha = call.attribute("alpha", 1.0)
    if alpha != 1:
        raise Unsupported(f"alpha={alpha}: only 1 is supported")
    return _dense(call, source, weights.transposed((1, 0)) if flipped else weights, target, call.array(7), 6)


def _dense(call: Call, source: Stream, weights: Constant, target: Grid, scale: np.ndarray, bias: int | None) -> Value:
    if weights.array.ndim != 2:
        raise Unsupported(f"has weights of shape {list(weights.shape)}, not a matrix")
    outputs = weights.shape[1]
    units = _units(call, outputs)
    exact = units * 0 if bias is None else _bias(call, bias, units)
    sums = dense(call, source, weights, exact, call.inner("sums"))
    return _rounded(call, sums, units, _factor(call.array(1), call.array(4), scale, outputs), target)


# Number by number: real arithmetic, then the nearest code


def qlinear_add(call: Call) -> Value:
    """QLinearAdd, of two tensors or with a constant."""
    target = grid(call, 6)
    if call.is_constant(0) or call.is_constant(3):
        tensor, constant = (3, 0) if call.is_constant(0) else (0, 3)
        offset = _numbers(call, constant)
        return onto(call, affine(call, coded(call, tensor), np.array(1), offset, call.inner("sum")), target)
    one, other = alike(call, coded(call, 0), coded(call, 3))
    total = call.add(WeightedSum(call.inner("sum"), (1.0, 1.0)), one.tensor, other.tensor)
    return onto(call, one.of(total), target)


def qlinear_mul(call: Call) -> Value:
    """QLinearMul, of two tensors or with a constant."""
    target = grid(call, 6)
    if call.is_constant(0) or call.is_constant(3):
        tensor, constant = (3, 0) if call.is_constant(0) else (0, 3)
        factor = _numbers(call, constant)
        return onto(call, affine(call, coded(call, tensor), factor, np.array(0), call.inner("product")), target)
    return onto(call, product(call, coded(call, 0), coded(call, 3), call.inner("product")), target)


def _numbers(call: Call, place: int) -> np.ndarray:
    """Return the real numbers that constant codes mean."""
    of = grid(call, place + 1)
    return (call.array(place).astype(np.float64) - of.zero) * float(of.scale)


def qlinear_sigmoid(call: Call) -> Value:
    """QLinearSigmoid."""
    return onto(call, call.after(coded(call, 0), Table(call.inner("function"), "sigmoid")), grid(call, 3))


def qlinear_leaky(call: Call) -> Value:
    """QLinearLeakyRelu."""
    layer = slope(call.attribute("alpha", LEAKINESS), call.inner("slopes"))
    return onto(call, call.after(coded(call, 0), layer), grid(call, 3))


def qlinear_average(call: Call) -> Value:
    """QLinearAveragePool."""
    _require_channels_first(call)
    coded(call, 0)
    return onto(call, average(call, call.image(), call.inner("mean")), grid(call, 3))


def qlinear_global_average(call: Call) -> Value:
    """QLinearGlobalAveragePool."""
    _require_channels_first(call)
    coded(call, 0)
    return onto(call, global_average(call, call.image(), call.inner("mean")), grid(call, 3))


def _require_channels_first(call: Call) -> None:
    call.require("channels_last", 0, "only channels first are supported")


def qlinear_concat(call: Call) -> Value:
    """QLinearConcat: each tensor on the grid of the result, then one after the other."""
    target, parts = grid(call, 0), []
    if call.count < 5 or call.count % 3 != 2:
        raise Unsupported(f"has {call.count} inputs")
    for place in range(2, call.count, 3):
        source = coded(call, place)
        same = source.grid is not None and source.grid.means_as(target)
        parts.append(source if same else onto(call, source, target, name=call.inner(f"{place // 3}")))
    return concatenation(call, [replace(one, grid=target) for one in parts], call.attribute("axis", 1), call.name)


READERS: dict[tuple[Domain, str], Reader] = {
    (Domain.ONNX, "QLinearConv"): qlinear_conv,
    (Domain.ONNX, "QLinearMatMul"): qlinear_matmul,
    **{
        (Domain.MICROSOFT, kind): reader
        for kind, reader in {
            "QGemm": qgemm,
            "QLinearAdd": qlinear_add,
            "QLinearAveragePool": qlinear_average,
            "QLinearConcat": qlinear_concat,
            "QLinearConv": qlinear_conv,
            "QLinearGlobalAveragePool": qlinear_global_average,
            "QLinearLeakyRelu": qlinear_leaky,
            "QLinearMul": qlinear_mul,
            "QLinearSigmoid": qlinear_sigmoid,
        }.items()
    },
}
