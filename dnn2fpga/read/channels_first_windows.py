"""Windows over images of sources whose tensors are channels first: poolings, and what padding stands for."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dnn2fpga.layers.pooling import AveragePooling, GlobalAverage, MaxPooling
from dnn2fpga.layers.zero_padding import ZeroPadding
from dnn2fpga.read.channels_first import Stream
from dnn2fpga.read.channels_first_operator import Operator
from dnn2fpga.read.limits import LARGEST_EXTENT
from dnn2fpga.tensors.basics import Unsupported
from rtl_lib.image.window_schedule import NO_PADDING, Padding

Pair = tuple[int, int]


def spanned(kernel: Pair, dilations: Pair) -> Pair:
    """Return the rows and columns that a dilated kernel spans."""
    return (kernel[0] - 1) * dilations[0] + 1, (kernel[1] - 1) * dilations[1] + 1


def is_padding(amounts: tuple[int, ...]) -> bool:
    """Whether amounts can be rows and columns around an image."""
    return all(0 <= amount <= LARGEST_EXTENT for amount in amounts)


@dataclass(frozen=True)
class Windows:
    """The windows of a pooling.

    :param padding: around the image.
    :param ceiling: whether windows that begin inside the image or before it count, however little of them is inside.
    """

    size: Pair
    strides: Pair
    padding: Padding = NO_PADDING
    ceiling: bool = False

    def over(self, source: Stream) -> Windows:
        """Return windows without ``ceiling``, which is padding below and to the right."""
        if not self.ceiling:
            return self
        image, padding, more = (source.shape[1], source.shape[2]), self.padding, []
        for extent, around, before, window, step in zip(
            image, padding.around(image), (padding.top, padding.left), self.size, self.strides, strict=True
        ):
            windows = -(-(around - window) // step) + 1
            windows -= (windows - 1) * step >= extent + before
            more.append(max((windows - 1) * step + window - around, 0))
        return replace(self, padding=padding.plus(Padding(bottom=more[0], right=more[1])), ceiling=False)


def max_pooling(operator: Operator, source: Stream, windows: Windows, name: str) -> Stream:
    """Add the maximum of windows, of numbers or of codes."""
    whole = windows.over(source)
    pooled = operator.add(MaxPooling(name, whole.size, whole.strides, whole.padding), source.tensor)
    return Stream.usual(pooled).on(source.grid, source.is_codes)


def average_pooling(operator: Operator, source: Stream, windows: Windows, counts_padding: bool, name: str) -> Stream:
    """Add the mean of windows.

    :param counts_padding: whether zeros around the image are part of the mean.
    """
    whole = windows.over(source)
    counts = counts_padding and windows.padding != NO_PADDING
    if counts and whole.padding != windows.padding:
        raise Unsupported("count_include_pad with ceil_mode is not supported; use pads that need no ceil_mode")
    if whole.size == source.shape[1:] and whole.padding == NO_PADDING:
        return global_average(operator, source, name)
    layer = AveragePooling(name, whole.size, whole.strides, whole.padding, count_include_pad=counts)
    return Stream.usual(operator.add(layer, source.tensor))


def global_average(operator: Operator, source: Stream, name: str, keeps_axes: bool = True) -> Stream:
    """Add the mean over all pixels.

    :param keeps_axes: whether the result is an image of one pixel, not a vector.
    """
    return Stream.usual(operator.add(GlobalAverage(name, keep_dimensions=keeps_axes), source.tensor))


def padded(operator: Operator, source: Stream, padding: Padding, name: str) -> Stream:
    """Add zeros around an image."""
    if padding == NO_PADDING:
        return source
    return Stream.usual(operator.add(ZeroPadding(name, padding), source.tensor))
