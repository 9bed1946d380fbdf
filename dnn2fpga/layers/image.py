"""Windows and padding: the part that the layers share that slide over an image."""

from __future__ import annotations

from dnn2fpga.tensors.basics import Shape
from dnn2fpga.tensors.padding import PaddingRule, padding_of
from dnn2fpga.tensors.tensor import Extent
from rtl_lib.core.formats import Format
from rtl_lib.image.windows import Windows

Pair = tuple[Extent, Extent]

ANY_FORMAT = Format(True, 8)  # of windows whose numbers do not matter


def image_windows(
    shape: Shape,
    format: Format,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    padding: PaddingRule,
    fill: int | tuple[int, ...] = 0,
) -> Windows:
    """The windows of an image ``(rows, columns, channels)``; raises ``ValueError`` when the kernel does not fit."""
    rows, columns, channels = shape
    pads = padding_of(padding, (rows, columns), kernel, strides)
    return Windows(rows, columns, channels, format, tuple(kernel), tuple(strides), pads, fill)  # type: ignore[arg-type]
