"""Pooling and means of PyTorch programs."""

from __future__ import annotations

from dnn2fpga.read.channels_first import Value
from dnn2fpga.read.channels_first_windows import Windows, average_pooling, global_average, max_pooling
from dnn2fpga.read.torch_call import Call, Reader
from dnn2fpga.tensors.basics import Unsupported
from rtl_lib.image.window_schedule import Padding


def max_pool(call: Call) -> Value:
    """max_pool2d; where indices are a second result, nothing may read them."""
    if call.pair("dilation", (1, 1)) != (1, 1):
        raise Unsupported("dilated windows are not supported")
    return max_pooling(call, call.image(), _windows(call), call.name)


def average_pool(call: Call) -> Value:
    """avg_pool2d."""
    if call.has("divisor_override"):
        raise Unsupported("divisor_override is not supported; multiply by a constant instead")
    return average_pooling(call, call.image(), _windows(call), call.flag("count_include_pad", True), call.name)


def _windows(call: Call) -> Windows:
    size = call.pair("kernel_size", (0, 0))
    rows, columns = call.pair("padding", (0, 0), least=0)
    if 2 * rows > size[0] or 2 * columns > size[1]:
        raise Unsupported(f"padding={rows, columns}: must be at most half of kernel_size={size}")
    padding = Padding(rows, rows, columns, columns)
    return Windows(size, call.pair("stride", size), padding, ceiling=call.flag("ceil_mode"))


def adaptive_average(call: Call) -> Value:
    """adaptive_avg_pool2d to one pixel, or to a divisor of the rows and columns."""
    source = call.image()
    return average_pooling(call, source, _adaptive(call, source.shape[1:]), False, call.name)


def adaptive_maximum(call: Call) -> Value:
    """adaptive_max_pool2d, the same."""
    source = call.image()
    return max_pooling(call, source, _adaptive(call, source.shape[1:]), call.name)


def _adaptive(call: Call, image: tuple[int, ...]) -> Windows:
    wanted = call.pair("output_size", (0, 0))
    if image[0] % wanted[0] or image[1] % wanted[1]:
        raise Unsupported(f"output_size={wanted}: must divide the {image[0]}×{image[1]} pixels; 1 always does")
    size = (image[0] // wanted[0], image[1] // wanted[1])
    return Windows(size, size)


def mean(call: Call) -> Value:
    """mean over rows and columns."""
    source = call.stream()
    rank = len(source.shape) + 1
    axes = call.integers("dim", [])
    if call.has("dtype"):
        raise Unsupported("makes numbers of another type")
    if sorted(axis % rank for axis in axes) != [2, 3] or not source.is_image:
        raise Unsupported(f"is over the axes {axes} of {[1, *source.shape]}; only the mean over pixels is supported")
    return global_average(call, source, call.name, keeps_axes=call.flag("keepdim"))


READERS: dict[str, Reader] = {
    "aten._adaptive_avg_pool2d.default": adaptive_average,
    "aten.adaptive_avg_pool2d.default": adaptive_average,
    "aten.adaptive_max_pool2d.default": adaptive_maximum,
    "aten.avg_pool2d.default": average_pool,
    "aten.max_pool2d.default": max_pool,
    "aten.max_pool2d_with_indices.default": max_pool,
    "aten.mean.dim": mean,
}
