"""Layers with weights of PyTorch programs, and batch normalization."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from dnn2fpga.read.channels_first import Constant, Value
from dnn2fpga.read.channels_first_elementwise import normalization
from dnn2fpga.read.channels_first_linear import Geometry, biases, convolution, dense, require_filters
from dnn2fpga.read.channels_first_windows import spanned
from dnn2fpga.read.torch_call import Call, Reader
from dnn2fpga.tensors.basics import Unsupported
from rtl_lib.image.window_schedule import NO_PADDING, Padding

# Convolution


def conv2d(call: Call) -> Value:
    """conv2d, convolution: padding on both sides."""
    if call.flag("transposed"):
        raise Unsupported("is transposed; only plain convolutions are supported")
    rows, columns = call.pair("padding", (0, 0), least=0)
    return _convolved(call, Padding(rows, rows, columns, columns))


def conv2d_named(call: Call) -> Value:
    """conv2d with ``padding="same"`` or ``"valid"``; the odd row or column is below or to the right."""
    rule = call.text("padding", "valid")
    if rule not in ("same", "valid"):
        raise Unsupported(f"padding='{rule}': must be 'same' or 'valid'")
    _, kernel = require_filters(call.constant("weight"))
    rows, columns = (extent - 1 for extent in spanned(kernel, call.pair("dilation", (1, 1))))
    same = Padding(rows // 2, rows - rows // 2, columns // 2, columns - columns // 2)
    return _convolved(call, same if rule == "same" else NO_PADDING)


def _convolved(call: Call, padding: Padding) -> Value:
    weights = call.constant("weight")
    outputs, _ = require_filters(weights)
    bias = biases(call, call.optional("bias"), outputs)
    strides, dilations = call.pair("stride", (1, 1)), call.pair("dilation", (1, 1))
    geometry = Geometry(strides, dilations, padding, call.integer("groups", 1))
    return convolution(call, call.image("input"), weights, bias, geometry, call.name)


# Dense


def linear(call: Call) -> Value:
    """linear: weights ``[outputs, inputs]``."""
    return _dense(call, "input", _matrix(call.constant("weight")).transposed((1, 0)), call.optional("bias"))


def addmm(call: Call) -> Value:
    """addmm: ``beta * self + alpha * mat1 @ mat2``."""
    alpha, beta = (Fraction(call.finite(name, 1.0)) for name in ("alpha", "beta"))
    return _dense(call, "mat1", _matrix(call.constant("mat2")), call.constant("self"), alpha, beta)


def matmul(second: str) -> Reader:
    """A product with a constant matrix.

    :param second: what the operator calls it.
    """
    return lambda call: _dense(call, "self", _matrix(call.constant(second)), None)


def _matrix(weights: Constant) -> Constant:
    if weights.array.ndim != 2:
        raise Unsupported(f"has weights of shape {list(weights.shape)}, not a matrix")
    return weights


def _dense(
    call: Call,
    source: str,
    weights: Constant,
    bias: Constant | None,
    alpha: Fraction = Fraction(1),
    beta: Fraction = Fraction(1),
) -> Value:
    return dense(call, call.stream(source), weights, biases(call, bias, weights.shape[1], beta), call.name, alpha)


# Batch normalization


def batch_norm(call: Call) -> Value:
    """batch_norm with the statistics of the training."""
    if call.flag("training"):
        raise Unsupported("is in training mode; call model.eval() before the export")
    source = call.stream("input")
    ones = np.ones(source.shape[0], np.float32)
    gamma, beta = call.optional("weight") or Constant(ones), call.optional("bias") or Constant(0 * ones)
    arrays = (gamma, beta, call.constant("running_mean"), call.constant("running_var"))
    epsilon = call.finite("eps", 1e-5)
    return normalization(call, source, tuple(one.array for one in arrays), epsilon, call.name)


READERS: dict[str, Reader] = {
    "aten._native_batch_norm_legit_no_training.default": batch_norm,
    "aten.addmm.default": addmm,
    "aten.batch_norm.default": batch_norm,
    "aten.conv2d.default": conv2d,
    "aten.conv2d.padding": conv2d_named,
    "aten.convolution.default": conv2d,
    "aten.linear.default": linear,
    "aten.matmul.default": matmul("other"),
    "aten.mm.default": matmul("mat2"),
}
